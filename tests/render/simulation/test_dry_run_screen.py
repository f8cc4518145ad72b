"""A dry run on the screen and for programs: the same facts, every number with its unit."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from autoscalers import external, hpa, recorded, written

from farthing.core.simulation.replay.dry_run import DryRun
from farthing.load.scaling.asked import SeriesAsked
from farthing.render.json import document
from farthing.render.screen import console, say
from farthing.render.simulation.dry_run_plain import plain_dry_run
from farthing.render.simulation.dry_run_terminal import bars, dry_run_block
from farthing.verbs.dry_run import Price, dry_run


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DryRun:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, hpa(maxReplicas=4), name="hpa.yaml").relative_to(tmp_path)
    load = [150.0] * 60 + [900.0] * 60 + [150.0] * 120
    series = SeriesAsked(files=[str(recorded(tmp_path, ({}, load)))])
    return dry_run(path, series, price=Price(usd_per_hour=0.5), start_s=0, load_s=0)


def screen(found: DryRun) -> str:
    stream = StringIO()
    say(console(stream, width=180), dry_run_block(found))
    return stream.getvalue()


def test_the_screen(found: DryRun) -> None:
    said = screen(found)
    for part in (
        "hpa.yaml · HorizontalPodAutoscaler shop/web: Deployment/web between 1 and 4 replicas on requests (100 a pod) · "
        "1 h from 2025-11-25 07:00 UTC",
        "it would have taken $1.33 (2.7 replica-hours), 33 % less than always 4; 2 to 4 replicas, 3 changes",
        "4   ",
        "capped",
        "requests 900 in all against 100 a pod: metrics ask for 9, limited to 4 (TooManyReplicas)",
        "11-25 07:15:00   2 → 4",
        "the maximum of 4 held it down 25 % of the time: the metrics asked for up to 9",
        "instead maxReplicas: 9",
        "a total that does not depend on replicas, replayed as it is",
        "$0.50/h a replica, by the second",
    ):
        assert part in said, said
    assert all(line == line.rstrip() for line in said.splitlines())


def test_without_a_price_or_a_change(found: DryRun, tmp_path: Path) -> None:
    assert "none: --offer NAME or --usd-per-hour X" in screen(replace(found, usd_per_hour=None))
    path = written(tmp_path, hpa([external(type="Value", value=100)]))
    still = dry_run(path, SeriesAsked(files=[str(recorded(tmp_path, ({}, [100.0] * 9)))]))
    said = screen(still)
    assert "when (UTC)" not in said
    assert "fewest at each instant" not in said
    assert "it would have taken 0.0 replica-hours" in said


def test_for_programs(found: DryRun) -> None:
    plain = json.loads(json.dumps(document("dry-run", plain_dry_run(found))))
    assert plain["schema"] == "farthing/dry-run/1"
    assert plain["changes"][1] == {
        "at": "2025-11-25T07:15:00+00:00",
        "at_s": 900.0,
        "before": 2,
        "after": 4,
        "by": "hpa",
        "reason": "requests 900 in all against 100 a pod: metrics ask for 9, limited to 4 (TooManyReplicas)",
    }
    assert plain["metrics"][0]["loop"] == "open"
    assert plain["accounts"]["always_max"] == {"replica_hours": 4.0, "usd": 2.0}
    assert plain["traps"][0]["name"] == "maximum-reached"
    assert plain["steadiness"]["at_max_frac"] == pytest.approx(80 / 240)


def test_bars() -> None:
    assert bars([0, 1, 2, 4], 4, 1) == [" ▂▄█"]
    assert bars([0, 0.01, 2, 4], 4, 2) == ["   █", " ▁██"]
    assert bars([], 1, 2) == ["", ""]
