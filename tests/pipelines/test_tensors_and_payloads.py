from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from farthing.errors import DataError
from farthing.nouns import Dataset, PipelineSpec, TensorSpec
from farthing.pipelines.payloads import read
from farthing.pipelines.tensor import TensorPipeline
from farthing.plugins import find
from farthing.ports import Pipeline

X = np.arange(24, dtype=np.float64).reshape(4, 2, 3)
IDS = np.arange(8, dtype=np.int64).reshape(4, 2)


def dataset(path: Path, *names: str, n: int = 4) -> Dataset:
    return Dataset(kind="tensor", items=(str(path), *names), n=n, source=path.name)


def make(payloads: list[dict[str, Any]], *inputs: TensorSpec, **spec: Any) -> dict[str, np.ndarray]:
    return TensorPipeline().open(PipelineSpec(kind="tensor", **spec))(payloads, inputs)


def floats(*shape: int | None, name: str = "x", dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape)


def test_it_comes_in_by_the_plug_in_door() -> None:
    assert isinstance(find("pipelines", "tensor").open(PipelineSpec(kind="tensor")), Pipeline)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_samples_of_an_npz_file(tmp_path: Path, save: Any) -> None:
    save(tmp_path / "t.npz", x=X, ids=np.asfortranarray(IDS), labels=np.arange(4))
    found = read(dataset(tmp_path / "t.npz", "x", "ids"), [2, 0])
    assert [sorted(sample) for sample in found] == [["ids", "x"]] * 2
    np.testing.assert_array_equal(found[0]["x"], X[2])
    np.testing.assert_array_equal(found[1]["ids"], IDS[0])


def test_stored_arrays_are_mapped_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=X)
    assert isinstance(read(dataset(tmp_path / "t.npz", "x"), [1])[0]["x"], np.memmap)


def test_batches_are_stacked_in_the_models_type() -> None:
    payloads = [{"x": X[k], "ids": IDS[k]} for k in range(4)]
    feeds = make(payloads, floats(None, 2, 3), floats(None, None, name="ids", dtype="int32"))
    assert {k: (v.dtype, v.shape) for k, v in feeds.items()} == {
        "x": (np.float32, (4, 2, 3)),
        "ids": (np.int32, (4, 2)),
    }
    np.testing.assert_array_equal(feeds["x"], X)


def test_a_single_array_needs_no_name() -> None:
    assert list(make([{"whatever": X[0]}], floats(None, 2, 3))) == ["x"]


@pytest.mark.parametrize(
    ("payloads", "inputs", "says"),
    [
        ([], [floats(None)], "a batch without samples"),
        ([{"a": X[0], "b": X[0]}], [floats(None, 2, 3)], "no array for the model's input x"),
        (
            [{"x": X[0]}],
            [floats(None, 5)],
            r"samples of x have the shape \(2, 3\), but the model's input is x float32 \(n, 5\)",
        ),
        ([{"x": X[0]}, {"x": X[0][:1]}], [floats(None, None, None)], r"\(1, 3\), \(2, 3\)"),
        ([{"x": X[0]}], [floats(None, 2, 3, dtype="int64")], "x has the type float64, but"),
        ([{"x": X[0]}], [floats(None, 2, 3, dtype="bfloat16x")], "which a pipeline cannot make"),
    ],
)
def test_what_does_not_fit(payloads: list[dict[str, Any]], inputs: list[TensorSpec], says: str) -> None:
    with pytest.raises(DataError, match=says):
        make(payloads, *inputs)


def test_payload_limit() -> None:
    with pytest.raises(DataError, match="sample 0 of the batch has 48 bytes; the limit is 47"):
        make([{"x": X[0]}], floats(None, 2, 3), max_payload_bytes=47)


def test_images_and_texts_are_read_as_sent(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"bytes")
    images = Dataset(kind="image", items=(str(tmp_path / "a.jpg"), str(tmp_path / "gone.jpg")), n=2, source="d")
    assert read(images, [0, 0]) == [b"bytes", b"bytes"]
    with pytest.raises(DataError, match=r"cannot read .*gone\.jpg"):
        read(images, [1])
    texts = Dataset(kind="text", items=("one", "two"), n=2, source="t.csv")
    assert read(texts, [1, 0]) == ["two", "one"]
    with pytest.raises(ValueError, match="index 2 lies outside"):
        read(texts, [2])


def test_changed_and_hostile_npz_files(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    np.savez(path, x=X[:3])
    with pytest.raises(DataError, match="no longer holds 4 samples of x"):
        read(dataset(path, "x"), [0])
    with pytest.raises(DataError, match="no longer holds 4 samples of z"):
        read(dataset(path, "z"), [0])
    np.savez(path, x=np.array([object()] * 4))
    with pytest.raises(DataError, match="a pickle"):
        read(dataset(path, "x"), [0])
    header = (
        b"\x93NUMPY\x01\x00v\x00"
        + b"{'descr': '<f8', 'fortran_order': False, 'shape': (4, 99999999999)}".ljust(117)
        + b"\n"
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", header + b"\0" * 8)
    with pytest.raises(DataError, match="says 3,199,999,999,968 bytes, the archive 8"):
        read(dataset(path, "x"), [0])
    path.write_bytes(b"PK no")
    with pytest.raises(DataError, match="cannot read"):
        read(dataset(path, "x"), [0])
