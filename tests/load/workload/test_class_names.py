"""Labels in words are the model's class names, whatever their case; what is not known is refused, or said."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from brought_models import float_net, forest
from small_inputs import write_images, write_onnx

from farthing.errors import DataError
from farthing.load.workload.class_names import numbering
from farthing.load.workload.labels import encode_labels
from farthing.load.workload.workload import workload_from_flags
from farthing.nouns import Workload
from farthing.render.plan.understood import understood

LEVELS = ("low", "middle", "high")


def encoded(texts: Sequence[str], classes: Sequence[str] = LEVELS) -> tuple[tuple[float, ...], tuple[str, ...]]:
    names = [f"line {k + 2}" for k in range(len(texts))]
    return encode_labels(texts, source="d.csv", names=names, classes=classes)


@pytest.mark.parametrize(
    ("texts", "classes", "want"),
    [
        (["Low", "HIGH", "middle"], LEVELS, [0, 2, 1]),
        (["card arrival", "Card-Payment"], ["card_payment", "card_arrival"], [1, 0]),
        (["Straße", "WEG"], ["weg", "STRASSE"], [1, 0]),
        (["true", "FALSE"], ["False", "True"], [1, 0]),
        (["us", "US"], ["US", "us"], [1, 0]),
        (["18+", "0-17"], ["0-17", "18+"], [1, 0]),
        (["LABEL_10", "LABEL_2", "LABEL_0"], (), [10, 2, 0]),
        (["label_1", "Label_0"], (), [1, 0]),
        (["LABEL_2", "low"], LEVELS, [2, 0]),
        (["LABEL_0", "LABEL_1"], ["LABEL_1", "LABEL_0"], [1, 0]),
    ],
)
def test_names_are_matched(texts: list[str], classes: Sequence[str], want: list[float]) -> None:
    labels, order = encoded(texts, classes)
    assert list(labels) == want
    assert order == tuple(classes)
    assert numbering(order, classes) == ""


@pytest.mark.parametrize(
    ("texts", "classes", "said", "hint"),
    [
        (["low", "hgih", "hgih"], LEVELS, r"line 3 has the label 'hgih', .* none of the 3 classes known \(low, middle, high\)", "'high'"),
        (["Low", "n/a"], LEVELS, r"line 3 has the label 'n/a', .*; 1 of 2 samples", "leave those samples out"),
        (["other", "HIGH", "low"], LEVELS, r"line 2 has the label 'other'", "leave"),
        (["low", "2"], LEVELS, r"line 3 has the label '2'", "leave"),
        (["LABEL_0", "spam"], (), r"line 3 has the label 'spam', which is no LABEL_k as others are", "leave"),
        (["LABEL_1", "small"], LEVELS, r"line 3 has the label 'small'", "leave"),
        (["Us", "us"], ["US", "us"], r"line 2 has the label 'Us', which names the classes 0 and 1 of the model alike", "write 'US' or 'us'"),
        (["crane", "owl"], ["crane", "owl", "crane"], r"'crane', which names the classes 0 and 2", "write LABEL_0 or LABEL_2"),
        (["CRANE", "owl"], ["crane", "owl", "Crane", "crane"], r"'CRANE', which names", "write LABEL_0 or LABEL_2 or LABEL_3"),
    ],
)  # fmt: skip
def test_a_mixture_is_refused_with_the_first_that_is_unknown(
    texts: list[str], classes: Sequence[str], said: str, hint: str
) -> None:
    with pytest.raises(DataError, match=rf"d\.csv: {said}" if said.startswith("line") else said) as e:
        encoded(texts, classes)
    assert hint in str(e.value.hint)


@pytest.mark.parametrize("classes", [("crane", "owl", "crane"), ("US", "owl", "us"), ("a b", "owl", "A-B", "A-B")])
def test_a_name_of_several_classes_is_written_as_the_hint_says(classes: Sequence[str]) -> None:
    several = str.swapcase(classes[0]).title() if len(set(classes)) == len(classes) else classes[-1]
    with pytest.raises(DataError) as e:
        encoded([several, "owl"], classes)
    hint = str(e.value.hint).removeprefix("write ").split(" or ")
    assert len(hint) >= 2
    found = [encoded([way.strip("'"), "owl"], classes)[0] for way in hint]
    assert len({label for label, _ in found}) == len(hint)
    assert {owl for _, owl in found} == {1}


@pytest.mark.parametrize(
    ("classes", "why"),
    [((), "the model names no classes"), (LEVELS, r"none is a class of the model (low, middle, high)")],
)
def test_where_none_is_known_names_are_sorted_and_it_is_said(classes: Sequence[str], why: str) -> None:
    labels, order = encoded(["owl", "cat", "owl"], classes)
    assert (labels, order) == ((1, 0, 1), ("cat", "owl"))
    assert numbering(order, classes) == f"in sorted order, since {why}"


@pytest.mark.parametrize(("values", "classes"), [([0, 1, 2], ()), ([0, 1, 2], LEVELS), (["1", "0"], ()), ([5, 3], ())])
def test_of_numbers_nothing_is_said(values: list[int | str], classes: Sequence[str]) -> None:
    _, order = encode_labels(values, source="s", names=list("abcd"[: len(values)]), classes=classes)
    assert numbering(order, classes) == ""


def table(folder: Path, labels: Sequence[str]) -> tuple[Path, Path]:
    """Samples, and their labels in a file of their own, each class in turn."""
    x, y = np.zeros((90, 4), np.float32), np.arange(90) % 3
    np.savez(folder / "x.npz", X=x)
    with (folder / "y.csv").open("w", newline="") as f:
        csv.writer(f).writerows([["label"], *([labels[k]] for k in y)])
    return folder / "x.npz", folder / "y.csv"


def read(folder: Path, model: Path, labels: Sequence[str]) -> Workload:
    x, y = table(folder, labels)
    flags = {"model": str(model), "tensors": str(x), "labels": str(y), "bill": "10000", "offer": "aws/m7i.large"}
    return workload_from_flags(flags)


def data_line(workload: Workload) -> str:
    return dict(understood(workload))["data"]


def test_a_forest_whose_classes_are_written_otherwise(tmp_path: Path) -> None:
    model = forest(tmp_path / "m.onnx", labels=["low", "middle", "high"])
    assert read(tmp_path, model, ["Low", "Middle", "High"]).holdout == read(tmp_path, model, LEVELS).holdout
    assert "numbered" not in data_line(read(tmp_path, model, ["LOW", "middle", "High"]))
    with pytest.raises(DataError, match="has the label 'huge', which is none of the 3 classes known"):
        read(tmp_path, model, ["low", "middle", "huge"])
    said = data_line(read(tmp_path, model, ["a", "b", "c"]))
    assert (
        "3 classes (a, b, c), numbered in sorted order, since none is a class of the model (low, middle, high)" in said
    )


def test_twelve_classes_that_have_no_names(tmp_path: Path) -> None:
    """``LABEL_10`` is class 10, not the one after ``LABEL_1``."""
    (tmp_path / "model").mkdir()
    float_net(tmp_path / "model" / "model.onnx", outputs=12)
    config = {"id2label": {str(k): f"LABEL_{k}" for k in range(12)}}
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    y = np.arange(120) % 12
    np.savez(tmp_path / "d.npz", x=np.zeros((120, 8), np.float32), y=np.array([f"LABEL_{k}" for k in y]))
    flags = {"model": str(tmp_path / "model"), "labels": str(tmp_path / "d.npz"), "bill": "9", "offer": "aws/m7i.large"}
    assert workload_from_flags({**flags, "bill": "10000"}).holdout.labels == tuple(map(float, y))


def test_folders_of_images_say_how_they_were_numbered(tmp_path: Path) -> None:
    write_onnx(tmp_path / "model.onnx")
    write_images(tmp_path / "holdout", ["cat", "dog", "owl"] * 4)
    flags = {"model": str(tmp_path / "model.onnx"), "labels": str(tmp_path / "holdout"), "bill": "10000"}
    said = data_line(workload_from_flags({**flags, "offer": "aws/m7i.large"}))
    assert "3 classes (cat, dog, owl), numbered in sorted order, since the model names no classes · judged" in said
