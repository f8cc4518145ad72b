"""Plan replay: recorded measurements give the identical plan after any refactor."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from recording import FOLDER, cut, replay, write_journal

from farthing.codec import to_plain
from farthing.load.plans import load_plan
from farthing.measure import workbench
from farthing.measure.graphs import graph_reader
from farthing.measure.served import path as served_path


@pytest.fixture(autouse=True)
def nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(subject: Any, *_: Any, **__: Any) -> None:
        raise AssertionError(f"the journal lacks a measurement of {subject}: `make recording` if that is meant")

    monkeypatch.setattr(workbench.Replica, "start", refuse)
    monkeypatch.setattr(served_path, "LiveServer", refuse)
    monkeypatch.setattr(graph_reader, "read_graph_in_child", refuse)


def differences(a: Any, b: Any, path: str = "plan") -> list[str]:
    """Where two plain values differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        keys = {*a, *b}
        return [d for k in sorted(keys) for d in differences(a.get(k), b.get(k), f"{path}.{k}")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [d for k, (x, y) in enumerate(zip(a, b, strict=True)) for d in differences(x, y, f"{path}[{k}]")]
    return [] if a == b else [f"{path}: {a!r} was {b!r}"]


def test_the_recorded_run_gives_the_identical_plan(tmp_path: Path) -> None:
    plan = replay(FOLDER, tmp_path / "run")
    found = differences(_rounded(plan), _rounded(load_plan(FOLDER / "plan.yaml")))
    assert not found, "\n".join(found[:20])


def _rounded(plan: Any) -> Any:
    """Six digits: the last ones belong to the processor's own arithmetic, not to farthing."""
    return cut(json.loads(json.dumps(to_plain(plan))))


def test_nothing_was_measured_again(tmp_path: Path) -> None:
    replay(FOLDER, tmp_path / "run")
    before, after = ((f / "journal.jsonl").read_text() for f in (FOLDER, tmp_path / "run" / "work"))
    assert before == after


def test_a_changed_measurement_changes_the_plan(tmp_path: Path) -> None:
    """The plan hangs on the journal and not on the recorded plan."""
    changed = tmp_path / "recording"
    shutil.copytree(FOLDER, changed)
    rows = [json.loads(line) for line in (FOLDER / "journal.jsonl").read_text().splitlines()]
    first = next(row for row in rows if str(row.get("key", "")).startswith("single/"))
    p50 = first["value"]["metrics"]["latency_p50_ms"]
    p50.update({key: p50[key] * 2 for key in ("value", "lo", "hi")})
    (changed / "journal.jsonl").unlink()
    write_journal(changed / "journal.jsonl", *rows)
    was, now = (p.baseline.single_at(0.5) for p in (load_plan(FOLDER / "plan.yaml"), replay(changed, tmp_path / "run")))
    assert was is not None
    assert now is not None
    assert now.ms.value == pytest.approx(2 * was.ms.value)
