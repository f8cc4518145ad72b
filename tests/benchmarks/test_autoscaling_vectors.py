"""The judge of autoscaling vectors finds what differs, and says which suites it does not know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import autoscaling_vectors
from vectors.agreement import Difference, differences

IDLE: dict[str, Any] = {
    "id": "keda-901",
    "group": "idle_or_min",
    "input": {"idle_replicas": None, "min_replicas": 2},
    "expected": {"is_idle": False, "replicas": 2},
}


def write(folder: Path, suite: str, *cases: Mapping[str, Any], version: int = 1) -> None:
    folder.mkdir(exist_ok=True)
    document = {"format_version": version, "suite": suite, "cases": list(cases)}
    (folder / f"{suite}.json").write_text(json.dumps(document))


def test_a_folder_that_agrees_is_met(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "keda", IDLE)
    assert autoscaling_vectors.main(tmp_path) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["figure"], row["value"], row["met"]) for row in rows] == [
        ("autoscaling/keda", 1.0, True),
        ("autoscaling/all", 1.0, True),
    ]
    assert rows[0]["said"] == ["1 of 1 cases agree"]


def test_a_difference_is_named_and_the_folder_is_not_met(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = IDLE | {"expected": {"is_idle": False, "replicas": 3}}
    write(tmp_path / "below", "keda", IDLE, wrong)
    assert autoscaling_vectors.main(tmp_path) == 1
    said = capsys.readouterr()
    assert said.err == "keda-901: replicas: expected 3, got 2\n"
    assert json.loads(said.out.splitlines()[0])["value"] == 0.5


def test_unknown_suites_and_formats_are_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a", "nomad", IDLE)
    write(tmp_path / "b", "keda", IDLE, version=2)
    (tmp_path / "other.json").write_text("[1]")
    assert autoscaling_vectors.main(tmp_path) == 1
    said = capsys.readouterr()
    assert said.err.count("skipped: ") == 2
    assert "'nomad'" in said.err
    assert json.loads(said.out)["met"] is False


def test_values_are_compared_by_kind() -> None:
    def got(expected: Any, had: Any) -> list[Difference]:
        return differences(lambda _: {"x": had}, {"id": "a", "expected": {"x": expected}})

    assert not got(1, 1)
    assert not got(0.1 + 0.2, 0.3)
    assert not got([{"a": 1}], [{"a": 1, "b": 2}])
    assert not got({"a": None}, {"a": None, "b": 1})
    for expected, had in [(1, True), (True, 1), (1, 2), ([1], [1, 2]), (None, 0), ("1", 1), (2**63 - 1, 2**63 - 2)]:
        assert got(expected, had), (expected, had)
    assert differences(lambda _: {}, {"id": "a", "expected": {"x": 1}})[0].got == "(nothing)"


def test_a_case_that_raises_differs() -> None:
    def fails(_: Mapping[str, Any]) -> Mapping[str, Any]:
        raise KeyError("group")

    (found,) = differences(fails, {"id": "a", "expected": {}})
    assert found.key == "(raised)"
