from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_inputs import write_images

from farthing.errors import DataError
from farthing.load.workload.data import guess_kind, read_dataset
from farthing.load.workload.labels import check_labels, encode_labels


def test_class_folders(tmp_path: Path) -> None:
    found = read_dataset(write_images(tmp_path / "d", ["dog", "cat", "dog"]))
    assert found.kind == "image"
    assert found.classes == ("cat", "dog")
    assert found.labels == (0, 1, 1)
    assert found.ids[0] == "cat/0001.png"
    assert Path(found.items[0]).is_absolute()


def test_folders_named_by_numbers_are_class_indices(tmp_path: Path) -> None:
    found = read_dataset(write_images(tmp_path / "d", ["10", "9", "0"]))
    assert dict(zip(found.ids, found.labels or (), strict=True)) == {
        "0/0002.png": 0,
        "10/0000.png": 10,
        "9/0001.png": 9,
    }


def test_the_models_class_names_decide_the_index(tmp_path: Path) -> None:
    found = read_dataset(write_images(tmp_path / "d", ["dog", "cat"]), classes=("wolf", "dog", "cat"))
    assert sorted(found.labels or ()) == [1, 2]
    assert found.classes == ("wolf", "dog", "cat")


def test_wordnet_names(assets: Path) -> None:
    found = read_dataset(assets / "vision" / "imagenet_sample_256")
    assert found.n == 1000
    assert found.labels == tuple(range(1000))
    assert found.classes[0] == "n01440764"


def test_a_flat_folder_with_a_table(tmp_path: Path) -> None:
    write_images(tmp_path / "d", ["."] * 3)
    (tmp_path / "l.csv").write_text("file,label\n0002.png,b\n0000.png,a\n0001.png,b\n")
    found = read_dataset(tmp_path / "d", labels=tmp_path / "l.csv")
    assert found.labels == (0, 1, 1)
    assert read_dataset(tmp_path / "d").labels is None


def test_labels_that_do_not_match(tmp_path: Path, golden_error: Callable[[str, Exception, Path], None]) -> None:
    write_images(tmp_path / "holdout", ["."] * 6)
    (tmp_path / "labels.csv").write_text("file,label\n" + "".join(f"{k:04d}.png,{k % 2}\n" for k in (0, 1, 7, 8)))
    with pytest.raises(DataError) as e:
        read_dataset(tmp_path / "holdout", labels=tmp_path / "labels.csv")
    golden_error("labels-do-not-match", e.value, tmp_path)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda d: d.mkdir(), "no images in"),
        (lambda d: write_images(d, ["a", "a"]), "all 2 samples have the same label 'a'"),
        (
            lambda d: (write_images(d, ["a", "b"]), (d / "a" / "x.jpg").write_bytes(b"no")),
            r"x\.jpg \(2 bytes\) is no re",
        ),
        (lambda d: (write_images(d, ["a", "b"]), (d / "a" / "x.jpg").touch()), r"x\.jpg \(0 bytes\) is no readable"),
        (lambda d: write_images(d, ["a", "."]), "1 images beside its class folders: 0001.png"),
        (lambda d: None, "there is no data at"),
    ],
)
def test_bad_image_folders(tmp_path: Path, make: Callable[[Path], object], says: str) -> None:
    make(tmp_path / "d")
    with pytest.raises(DataError, match=says):
        read_dataset(tmp_path / "d", "image")


def test_pixels_are_limited_before_decoding(tmp_path: Path) -> None:
    write_images(tmp_path / "d", ["a", "b"], side=40)
    with pytest.raises(DataError, match=r"40 × 40 pixels; the limit is 1,000"):
        read_dataset(tmp_path / "d", max_pixels=1000)
    Image.new("1", (20_000, 20_000)).save(tmp_path / "d" / "a" / "bomb.png")
    with pytest.raises(DataError, match=r"bomb\.png"):
        read_dataset(tmp_path / "d")


def test_formats_that_run_programs_are_not_opened(tmp_path: Path) -> None:
    write_images(tmp_path / "d", ["a", "b"])
    (tmp_path / "d" / "a" / "x.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(DataError, match="no readable image"):
        read_dataset(tmp_path / "d")


ROWS = [("turn it on", "on"), ("turn, it off", "off"), ('é "so"', "on")]


def as_csv(path: Path) -> None:
    path.write_text('Text,intent\nturn it on,on\n"turn, it off",off\n"é ""so""",on\n')


def as_jsonl(path: Path) -> None:
    path.write_text("\n\n".join(json.dumps({"text": t, "intent": i}) for t, i in ROWS))


def as_parquet(path: Path) -> None:
    pq.write_table(pa.table({"text": [t for t, _ in ROWS], "intent": [i for _, i in ROWS]}), path)


@pytest.mark.parametrize(("suffix", "write"), [("csv", as_csv), ("jsonl", as_jsonl), ("parquet", as_parquet)])
def test_texts_in_every_form(tmp_path: Path, suffix: str, write: Callable[[Path], None]) -> None:
    write(tmp_path / f"t.{suffix}")
    found = read_dataset(tmp_path / f"t.{suffix}")
    assert found.items == tuple(t for t, _ in ROWS)
    assert found.classes == ("off", "on")
    assert found.labels == (1, 0, 1)


def test_clinc_texts(assets: Path, tmp_path: Path) -> None:
    rows = json.loads((assets / "nlp" / "clinc150_data_full.json").read_text())["test"]
    (tmp_path / "c.jsonl").write_text("\n".join(json.dumps({"text": t, "label": i}) for t, i in rows))
    found = read_dataset(tmp_path / "c.jsonl")
    assert (found.n, len(found.classes)) == (4500, 150)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\nx,y\n", "has no column of a usual name for texts; its columns are a, b"),
        ("text,label\nx,1\ny,\n", "line 3 has no label"),
        ("text,label\nx,1\ny\n", "line 3: 1 values for 2 columns"),
        ("text,label\nx,1\ny,1\n", "all 2 samples have the same label '1'"),
        ("text,label\nx,1\ny,nan\n", "line 3 has the label 'nan', which is no finite number"),
        ("text,text\nx,1\n", "a column name occurs twice"),
        ("text,label\n", "has no rows"),
        ('text,label\n"x,1\n', "line"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=says):
        read_dataset(tmp_path / "t.csv")


def test_columns_by_name_and_labels_apart(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("q,gold,text\nx,0,p\ny,1,q\n")
    assert read_dataset(tmp_path / "t.csv", text_column="q", label_column="gold").labels == (0, 1)
    with pytest.raises(DataError, match="no column 'nope'") as e:
        read_dataset(tmp_path / "t.csv", text_column="nope")
    assert "q, gold, text" in str(e.value.hint)
    (tmp_path / "l.csv").write_text("whatever\n1\n0\n")
    assert read_dataset(tmp_path / "t.csv", labels=tmp_path / "l.csv").labels == (1, 0)
    (tmp_path / "l.csv").write_text("label\n1\n0\n1\n")
    with pytest.raises(DataError, match=r"labels do not match: 3 labels in .*l\.csv for 2 samples"):
        read_dataset(tmp_path / "t.csv", labels=tmp_path / "l.csv")


def test_broken_jsonl_and_parquet(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": "a"}\n{"text": ')
    with pytest.raises(DataError, match="line 2: no valid JSON"):
        read_dataset(tmp_path / "t.jsonl")
    (tmp_path / "t.jsonl").write_text('{"text": "a"}\n[1]')
    with pytest.raises(DataError, match="line 2: list, not an object"):
        read_dataset(tmp_path / "t.jsonl")
    (tmp_path / "t.jsonl").write_text('{"text": "a"}\n{"text": 3}')
    with pytest.raises(DataError, match="line 2: text is 3, not a text"):
        read_dataset(tmp_path / "t.jsonl")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="no readable Parquet"):
        read_dataset(tmp_path / "t.parquet")


def test_tensors(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.zeros((4, 2, 3), np.float32), y=np.array([0, 1, 1, 0]))
    found = read_dataset(tmp_path / "t.npz")
    assert (found.n, found.labels, found.items[1:]) == (4, (0, 1, 1, 0), ("x",))
    np.savez(tmp_path / "u.npz", x=np.zeros((4, 2)), gold=np.array(["a", "b", "b", "b"]))
    assert read_dataset(tmp_path / "u.npz", label_column="gold").classes == ("a", "b")


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x": np.zeros((4, 2)), "labels": np.zeros(3)}, "unequal numbers of samples: x 4, labels 3"),
        ({"labels": np.arange(3)}, "has no samples"),
        ({"x": np.zeros((0, 2))}, "has no samples"),
        ({"x": np.array([object()])}, "holds Python objects"),
        ({"x": np.zeros((3, 2)), "labels": np.zeros((3, 2))}, "one label a sample is needed"),
    ],
)
def test_bad_tensors(tmp_path: Path, arrays: dict[str, np.ndarray], says: str) -> None:
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(DataError, match=says):
        read_dataset(tmp_path / "t.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "t.npz").read_bytes()[:-30])
    with pytest.raises(DataError, match="no readable npz"):
        read_dataset(tmp_path / "cut.npz")


def test_labels_outside_the_models_classes(tmp_path: Path) -> None:
    found = read_dataset(write_images(tmp_path / "d", ["a", "b", "c"]))
    check_labels(found, 3)
    with pytest.raises(DataError, match=r"c/0002\.png in .* has label c \(class 2\), but the model has 2 classes"):
        check_labels(found, 2)


def test_numbers_stay_numbers() -> None:
    assert encode_labels(["1", "0", "2", "0"], source="s", names=list("abcd")) == ((1, 0, 2, 0), ("0", "1", "2"))
    assert encode_labels([5, 3], source="s", names=["a", "b"]) == ((5, 3), ())
    assert encode_labels(["0.5", 1, 2.5], source="s", names=["a", "b", "c"])[0] == (0.5, 1, 2.5)
    assert encode_labels([True, False], source="s", names=["a", "b"])[0] == (1, 0)


def test_unknown_kinds(tmp_path: Path) -> None:
    (tmp_path / "x.doc").touch()
    with pytest.raises(DataError, match="no data that can be read"):
        guess_kind(tmp_path / "x.doc")
    shutil.rmtree(tmp_path)
