"""The benchmark of people's own models: cases load as they are announced, and outcomes are judged as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import own_models
from farthing.load.workload.workload import load_workload
from own.cases import CASES
from own.commands import _FIRST, _label

ROW = {
    "case": "a", "kind": "k", "status": 0, "verdict": "met", "reasons": [], "precision": "FP32", "first_verdict_s": 90.0,
    "whole_s": 300.0, "traceback": False, "agrees_by_hand": None, "label_right": True,
    "repriced": [{"way": w, "status": 0} for w in ("bill", "trace", "replicas")],
}  # fmt: skip


def rows(**change: Any) -> list[dict[str, Any]]:
    good = [{**ROW, "case": f"c{k}", "kind": f"k{k % 9}"} for k in range(20)]
    return [*good[:-1], {**good[-1], **change}]


def test_there_are_enough_of_enough_kinds() -> None:
    assert len(CASES) >= 20
    assert len({case.kind for case in CASES}) >= 8
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize(
    ("change", "figure"),
    [
        ({"verdict": None, "repriced": []}, "without-verdict"),
        ({"traceback": True}, "tracebacks"),
        ({"label_right": False}, "wrong-labels"),
        ({"first_verdict_s": 181.0}, "longest-first-verdict"),
        ({"first_verdict_s": None}, "longest-first-verdict"),
        ({"whole_s": 601.0}, "longest-run"),
        ({"repriced": [{"way": "bill", "status": 1}]}, "repriced"),
        ({"agrees_by_hand": False}, "agree-by-hand"),
    ],
)
def test_each_fault_fails_its_figure(change: dict[str, Any], figure: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert own_models.figures(rows())
    capsys.readouterr()
    assert not own_models.figures(rows(**change))
    found = {row["figure"]: row["met"] for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert found[f"own-models/{figure}"] is False


def test_a_known_outcome_is_not_measured_again(tmp_path: Path) -> None:
    (tmp_path / "outcome.json").write_text(json.dumps(ROW))
    assert own_models.outcome(CASES[0], tmp_path, by_hand=False) == ROW


@pytest.mark.parametrize(
    ("text", "first"),
    [("first look  1:50  ≈ 41 % cheaper", True), ("✘ not met: no candidate", True), ("? unproven: 400 images", True),
     ("first look      0/6  the baseline  about 7:30 left in all", False), ("racing          0/16  3 running", False), ("proof           12/12", False)],
)  # fmt: skip
def test_lines_that_give_a_verdict(text: str, first: bool) -> None:
    assert bool(_FIRST.match(text)) == first


def test_the_label_is_the_one_that_is_printed() -> None:
    assert _label({"description": "m · 300 held-out samples · INT8 in onnxruntime, one request at a time"}) == "INT8"
    assert _label({}) == ""


@pytest.mark.parametrize("name", ["two-inputs", "two-inputs-module"])
def test_a_case_loads_as_announced(name: str, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == name)
    folder = own_models.built(case, tmp_path / name)
    found = load_workload(folder / "workload.yaml", trust=True)
    assert found.baseline.precision.upper() == case.precision
    assert found.holdout.items[1:] == ("high", "measured")
    stamp = (folder / "workload.yaml").stat().st_mtime_ns
    own_models.built(case, folder)
    assert (folder / "workload.yaml").stat().st_mtime_ns == stamp
