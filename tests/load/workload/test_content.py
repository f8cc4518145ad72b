"""Every kind of content that a result hangs on is told apart by its bytes, never by its name, size or time."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from small_inputs import write_images, write_onnx

from farthing.load.workload.content import changes, content_of, without_paths
from farthing.load.workload.data import read_dataset
from farthing.models.python_sources import sources_of
from farthing.nouns import BaselineSpec, Bill, ModelRef, Objective, PipelineSpec, Workload

NET = """
import torch
from parts.blocks import block
import helper

DEPTH = 1

def net():
    return block()
"""
METRIC = """
import sums

def score(outputs, labels):
    return sums.add(1, 1)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of all kinds; none is shared by two."""
    write_onnx(tmp_path / "plain.onnx")
    model = onnx.load(tmp_path / "plain.onnx")
    onnx.save(model, tmp_path / "large.onnx", save_as_external_data=True, location="large.data", size_threshold=0)
    optimum = tmp_path / "optimum"
    optimum.mkdir()
    write_onnx(optimum / "model.onnx")
    for name in ("config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"):
        (optimum / name).write_text('{"a": 1}')
    (optimum / "notes.txt").write_text("1")
    (tmp_path / "own.json").write_text('{"b": 1}')
    write_images(tmp_path / "images", ["cat", "dog"] * 3)
    np.savez(tmp_path / "arrays.npz", x=np.zeros((6, 2), np.float32), labels=np.array([0, 1] * 3))
    (tmp_path / "texts.csv").write_text("text,label\n" + "".join(f"text {k},{'ab'[k % 2]}\n" for k in range(6)))
    (tmp_path / "labels.csv").write_text("label\n" + "".join(f"{'ab'[k % 2]}\n" for k in range(6)))
    (tmp_path / "train.csv").write_text("text,label\n" + "".join(f"train {k},{'ab'[k % 2]}\n" for k in range(6)))
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "helper.py").write_text("X = 1\n")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").write_text("")
    (tmp_path / "parts" / "blocks.py").write_text("from .sizes import N\n\ndef block():\n    return N\n")
    (tmp_path / "parts" / "sizes.py").write_text("N = 1\n")
    (tmp_path / "parts" / "unused.py").write_text("N = 1\n")
    (tmp_path / "metric.py").write_text(METRIC)
    (tmp_path / "sums.py").write_text("def add(a, b):\n    return a + b\n")
    return tmp_path


def of(model: ModelRef, data: Path, pipeline: PipelineSpec | None = None, **more: object) -> Workload:
    return Workload(
        name="w",
        model=model,
        pipeline=pipeline or PipelineSpec(kind="tensor"),
        holdout=read_dataset(data, labels=more.pop("labels", None)),  # type: ignore[arg-type]
        baseline=BaselineSpec(),
        bill=Bill(offer="aws/m7i.large", replicas=1),
        objective=Objective(),
        **more,  # type: ignore[arg-type]
    )


def onnx_file(folder: Path, name: str = "plain.onnx") -> ModelRef:
    return ModelRef(kind="onnx", path=str(folder / name), onnx_path=str(folder / name))


def optimum(folder: Path) -> Workload:
    home = folder / "optimum"
    ref = ModelRef(kind="optimum", path=str(home), onnx_path=str(home / "model.onnx"))
    return of(ref, folder / "texts.csv", PipelineSpec(kind="text", tokenizer=str(home / "tokenizer.json")))


CASES: dict[str, tuple[Callable[[Path], Workload], str, str]] = {
    "an ONNX file": (lambda f: of(onnx_file(f), f / "arrays.npz"), "plain.onnx", "plain.onnx"),
    "its external data": (lambda f: of(onnx_file(f, "large.onnx"), f / "arrays.npz"), "large.data", "large.data"),
    "a folder's model": (optimum, "optimum/model.onnx", "model.onnx"),
    "a folder's settings": (optimum, "optimum/config.json", "config.json"),
    "a folder's preprocessor": (optimum, "optimum/preprocessor_config.json", "preprocessor_config.json"),
    "a folder's tokenizer": (optimum, "optimum/tokenizer.json", "tokenizer.json"),
    "a tokenizer's settings": (optimum, "optimum/tokenizer_config.json", "tokenizer_config.json"),
    "a tokenizer of one's own": (
        lambda f: of(
            onnx_file(f), f / "texts.csv", PipelineSpec(kind="text", tokenizer=str(f / "own.json"))
        ),
        "own.json",
        "own.json",
    ),
    "one image of a folder": (lambda f: of(onnx_file(f), f / "images"), "images/dog/0003.png", "images"),
    "an npz file": (lambda f: of(onnx_file(f), f / "arrays.npz"), "arrays.npz", "arrays.npz"),
    "a table's texts": (lambda f: of(onnx_file(f), f / "texts.csv"), "texts.csv", "texts.csv"),
    "labels of their own": (
        lambda f: of(onnx_file(f), f / "texts.csv", labels=f / "labels.csv"), "labels.csv", "texts.csv",
    ),
    "calibration data": (
        lambda f: of(onnx_file(f), f / "texts.csv", calibration=read_dataset(f / "train.csv")),
        "train.csv",
        "calibration data train.csv",
    ),
    "a module": (
        lambda f: of(ModelRef(kind="torch", path=f"{f / 'net.py'}:net"), f / "arrays.npz"), "net.py", "net.py",
    ),
    "a module beside it": (
        lambda f: of(ModelRef(kind="torch", path=f"{f / 'net.py'}:net"), f / "arrays.npz"), "helper.py", "helper.py",
    ),
    "a module of a module's package": (
        lambda f: of(ModelRef(kind="torch", path=f"{f / 'net.py'}:net"), f / "arrays.npz"), "parts/sizes.py",
        "sizes.py",
    ),
    "a metric": (
        lambda f: of(onnx_file(f), f / "arrays.npz", custom_metric=f"{f / 'metric.py'}:score"), "metric.py",
        "the metric's code",
    ),
    "what a metric imports": (
        lambda f: of(onnx_file(f), f / "arrays.npz", custom_metric=f"{f / 'metric.py'}:score"), "sums.py",
        "the metric's code",
    ),
}  # fmt: skip


def overwrite(path: Path) -> None:
    """Change bytes and keep name, size, inode and times: only the content tells."""
    before, kept = path.read_bytes(), path.stat()
    after = _other(path, before)
    assert (len(after), after != before) == (len(before), True)
    with path.open("r+b") as f:
        f.write(after)
    os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    now = path.stat()
    assert (now.st_size, now.st_mtime_ns, now.st_ino) == (kept.st_size, kept.st_mtime_ns, kept.st_ino)


def _other(path: Path, before: bytes) -> bytes:
    swaps = {".json": (b"1", b"2"), ".csv": (b"b\n", b"a\n"), ".py": (b"1", b"2") if b"1" in before else (b"+", b"*")}
    if path.suffix in swaps:
        return before.replace(*swaps[path.suffix], 1)
    if path.suffix == ".npz":
        other = io.BytesIO()
        np.savez(other, x=np.ones((6, 2), np.float32), labels=np.array([0, 1] * 3))
        return other.getvalue()
    if path.suffix == ".onnx":
        at = before.index(b"classifier")
        return before[:at] + b"C" + before[at + 1 :]
    at = len(before) - 1 if path.suffix == ".data" else before.index(b"IEND") + 6  # the checksum that Pillow ignores
    return before[:at] + bytes([before[at] ^ 1]) + before[at + 1 :]


@pytest.mark.parametrize("case", CASES)
def test_what_was_overwritten_is_another_content(case: str, folder: Path) -> None:
    make, file, name = CASES[case]
    before, said = content_of(make(folder)), without_paths(make(folder))
    assert content_of(make(folder)) == before
    overwrite(folder / file)
    again = content_of(make(folder))
    assert [k for k in before if again[k] != before[k]] == [name]
    assert changes({"content": before}, {"content": again}) == (name,)
    assert without_paths(make(folder)) == said


@pytest.mark.parametrize("case", CASES)
def test_the_same_content_elsewhere_is_the_same(
    case: str, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    make = CASES[case][0]
    before = content_of(make(folder)), without_paths(make(folder))
    moved = tmp_path_factory.mktemp("elsewhere") / "deep"
    folder.rename(moved)
    assert (content_of(make(moved)), without_paths(make(moved))) == before


def test_files_that_are_not_read_do_not_count(folder: Path) -> None:
    before = content_of(optimum(folder)), sources_of(f"{folder / 'net.py'}:net")
    (folder / "optimum" / "notes.txt").write_text("2")
    assert content_of(optimum(folder)) == before[0]
    assert folder / "parts" / "unused.py" not in before[1]


def test_modules_by_name_are_found_where_python_would(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = [path.relative_to(folder).as_posix() for path in sources_of("parts.blocks:block")]
    assert found == ["parts/__init__.py", "parts/blocks.py", "parts/sizes.py"]
    assert sources_of("no_such_module:x") == ()
    installed = sources_of("cattrs.gen:make_dict_structure_fn")
    assert installed
    assert all("cattrs" in path.parts for path in installed)
    assert "farthing" not in sys.argv  # nothing was imported to find that out
    assert "parts" not in sys.modules


def test_labels_alone_are_another_content(folder: Path) -> None:
    workload = of(onnx_file(folder), folder / "texts.csv")
    assert workload.holdout.labels is not None
    other = replace(workload.holdout, labels=workload.holdout.labels[::-1])
    before, after = content_of(workload), content_of(replace(workload, holdout=other))
    assert changes({"content": before}, {"content": after}) == ("texts.csv",)


def test_what_changed_is_said_in_words() -> None:
    before = {
        "content": {"model.onnx": "a", "old.json": "a"}, "versions": {"onnxruntime": "1.20", "nncf": "2"},
        "settings": {"proof_rounds": 8}, "fingerprint": "x", "workload": {"search_n": None},
    }  # fmt: skip
    now = {
        "content": {"model.onnx": "b", "new.json": "a"}, "versions": {"onnxruntime": "1.21", "torch": "2"},
        "settings": {"proof_rounds": 12}, "fingerprint": "y", "workload": {"search_n": 3},
    }  # fmt: skip
    assert changes({"workload": {}, "versions": {}}, now) == ("farthing",)
    assert changes(before, now) == (
        "model.onnx", "new.json is new", "old.json is gone", "nncf 2 → not installed", "onnxruntime 1.20 → 1.21",
        "torch not installed → 2", "this machine", "setting proof_rounds", "workload's search_n",
    )  # fmt: skip
