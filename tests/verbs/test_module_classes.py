"""Labels in words get the numbers that the model gives its classes, wherever it names them; never swapped in silence."""

from __future__ import annotations

import itertools
import json
from datetime import date
from pathlib import Path

import pytest

import farthing as ft
from farthing.errors import DataError
from farthing.models.class_labels import classes_of_module, in_index_order
from farthing.nouns import Workload
from farthing.render.plan.understood import understood
from farthing.runs import opening
from farthing.runs.opening import opened
from farthing.workers.replicas.builder import ModuleSeen

WORDS = ("bad", "fair", "good")
MODULE = """
import types
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.config = types.SimpleNamespace(id2label={0: "good", 1: "bad", 2: "fair"})
        self.head = torch.nn.Linear(3, 3)

    def forward(self, input_ids):
        return self.head(input_ids[:, :3].float())

def load():
    return Net()
"""


def asked(folder: Path, words: tuple[str, ...] = WORDS, **flags: str) -> Workload:
    (folder / "net.py").write_text(MODULE)
    (folder / "tokens").mkdir(exist_ok=True)
    (folder / "tokens" / "tokenizer.json").write_text("{}")
    rows = "".join(f"text {k},{words[k % len(words)]}\n" for k in range(300))
    (folder / "texts.csv").write_text(f"text,label\n{rows}")
    flags = {"model": f"{folder / 'net.py'}:load", "labels": str(folder / "texts.csv"), **flags}
    flags.setdefault("tokenizer", str(folder / "tokens"))
    return ft.workload_from_flags({**flags, "bill": 10_000, "offer": "aws/m7i.large", "p99": "50ms"})


def labels_at_work(workload: Workload, out: Path) -> tuple[tuple[float, ...] | None, tuple[str, ...], list[str]]:
    """Labels and classes with which a run works, and what it says of them."""
    told: list[str] = []
    options = ft.RunOptions(output_dir=out, as_of=date(2026, 11, 24))

    def tell(stage: str, done: int, total: int, note: str) -> None:
        told.extend([note] if stage == "labels" else [])

    with opened(workload, options, tell) as run:
        assert run.bench.workload == run.workload
        return run.workload.holdout.labels, run.workload.holdout.classes, told


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> object:
    """A module that names these classes, without making one."""

    def name(*classes: str) -> None:
        monkeypatch.setattr(opening, "see_module", lambda *_, **__: ModuleSeen(sha256="0", classes=classes))
        monkeypatch.setattr(opening, "say_machine", lambda bench: None)

    return name


@pytest.mark.parametrize("order", list(itertools.permutations(WORDS)))
@pytest.mark.parametrize("spelled", [str, str.upper])
def test_words_get_the_places_of_the_modules_classes(
    tmp_path: Path, named: object, order: tuple[str, ...], spelled: object
) -> None:
    named(*map(spelled, order))  # type: ignore[operator, arg-type]
    labels, classes, told = labels_at_work(asked(tmp_path), tmp_path / "out")
    assert labels is not None
    assert [order[int(x)] for x in labels] == [WORDS[k % 3] for k in range(300)]
    assert told == [f"numbered as the module's config.id2label: {', '.join(classes)}"]


def test_words_that_are_no_classes_keep_their_order_and_it_is_said(tmp_path: Path, named: object) -> None:
    named("a", "b", "c")  # type: ignore[operator]
    labels, _, told = labels_at_work(asked(tmp_path), tmp_path / "out")
    assert labels == asked(tmp_path).holdout.labels
    assert told == ["numbered in sorted order, since none is a class of the model (a, b, c)"]


def test_where_only_some_are_classes_nothing_is_run(tmp_path: Path, named: object) -> None:
    named("good", "bad", "worse")  # type: ignore[operator]
    with pytest.raises(DataError, match="has the label 'fair', which is none of the 3 classes known"):
        labels_at_work(asked(tmp_path), tmp_path / "out")


def test_indices_stay_what_they_are(tmp_path: Path, named: object) -> None:
    named("good", "bad", "fair")  # type: ignore[operator]
    labels, classes, _ = labels_at_work(asked(tmp_path, ("0", "1", "2")), tmp_path / "out")
    assert labels == tuple(float(k % 3) for k in range(300))
    assert classes == ("good", "bad", "fair")


def test_a_module_that_names_none_leaves_all_as_it_was(tmp_path: Path, named: object) -> None:
    named()  # type: ignore[operator]
    workload = asked(tmp_path)
    labels, classes, told = labels_at_work(workload, tmp_path / "out")
    assert (labels, classes, told) == (workload.holdout.labels, workload.holdout.classes, [])
    assert "unless the module itself names its classes" in dict(understood(workload))["data"]


@pytest.mark.parametrize("fits", [True, False])
def test_config_beside_the_tokenizer_counts_where_all_labels_fit(tmp_path: Path, fits: bool) -> None:
    (tmp_path / "tokens").mkdir()
    names = ("good", "bad", "fair" if fits else "other")
    (tmp_path / "tokens" / "config.json").write_text(json.dumps({"id2label": dict(enumerate(names))}))
    data = asked(tmp_path).holdout
    assert data.classes == (names if fits else WORDS)
    assert ("beside the tokenizer" in data.numbered) == fits


def test_what_counts_as_names() -> None:
    assert in_index_order({1: "b", "0": "a"}) == ("a", "b")
    for other in (None, [], {}, {0: "LABEL_0", 1: "LABEL_1"}, {0: "a", 2: "b"}, {"x": "a"}):
        assert in_index_order(other) == ()
    for module in (object(), type("M", (), {"config": None}), type("M", (), {"config": {"other": 1}})):
        assert classes_of_module(module) == ()
    assert classes_of_module(type("M", (), {"config": {"id2label": {0: "a", 1: "b"}}})) == ("a", "b")


@pytest.mark.slow
def test_a_real_module_is_asked(tmp_path: Path) -> None:
    labels, classes, told = labels_at_work(asked(tmp_path), tmp_path / "out")
    assert classes == ("good", "bad", "fair")
    assert labels is not None
    assert [classes[int(x)] for x in labels[:3]] == list(WORDS)
    assert told == ["numbered as the module's config.id2label: good, bad, fair"]
