"""``farthing report`` with other traffic, bills, offers and promises: a recorded plan, nothing measured."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from farthing.cli import main as cli
from farthing.errors import InputError
from farthing.load.plans import load_plan
from farthing.measure import workbench
from farthing.nouns import Plan
from farthing.verbs.report import report

GOLDEN = Path(__file__).parents[1] / "golden" / "v2"
DAY = date(2026, 11, 24)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something is measured")

    monkeypatch.setattr(workbench.Replica, "start", refuse)
    for name in ("plan.yaml", "workload.json"):
        shutil.copy(GOLDEN / name, tmp_path)
    return tmp_path


def again(folder: Path, **asked: object) -> Plan:
    return report(folder / "plan.yaml", as_of=DAY, asked=asked)[0]


def test_a_trace_gives_the_split_that_the_bill_alone_does_not(folder: Path) -> None:
    before = load_plan(folder / "plan.yaml")
    alone = again(folder, bill=10_000)
    assert [p.name for p in alone.parts] == ["saving", "purchase terms"]
    assert len(alone.utilisations) == 7
    rows = "".join(f"2026-11-02T{h:02}:00:00,{2e9 * (1 + 5 * h % 12)}\n" for h in range(24))
    (folder / "trace.csv").write_text("timestamp,count\n" + rows)
    plan = again(folder, trace=str(folder / "trace.csv"))
    assert plan.trace_name == "trace.csv"
    assert plan.requests_per_month == pytest.approx(2e9 * 78 * 2 / 24 * 730)
    assert [p.name for p in plan.parts] == ["right-sizing", "efficiency", "batching", "purchase terms"]
    assert plan.planned_usd_per_month is not None
    saved = sum(p.usd_per_month.value for p in plan.parts if p.usd_per_month)
    assert saved == pytest.approx(plan.bill_usd_per_month - plan.planned_usd_per_month.value, abs=1e-4)
    assert plan.chosen is not None
    assert before.chosen is not None
    assert plan.chosen.sla_rps == before.chosen.sla_rps
    assert "nothing was measured for it" in plan.assumptions[0]


def test_replicas_times_utilisation_and_a_fleet_that_does_not_scale(folder: Path) -> None:
    scaled = again(folder, replicas=12, utilisation="40%", offer="aws/m7i.large")
    assert scaled.bill_usd_per_month == pytest.approx(12 * 0.1008 * 730)
    assert scaled.fixed_fleet is None
    fixed = again(folder, replicas=12, utilisation="40%", fixed_fleet=True)
    assert fixed.fixed_fleet is not None
    assert fixed.fixed_fleet.today == 12
    # 40 % on average, 1.63 times that in the busiest minute of a day-night week: eight of twelve
    assert fixed.fixed_fleet.baseline == 8
    assert fixed.fixed_fleet.planned is not None
    assert fixed.fixed_fleet.planned <= fixed.fixed_fleet.baseline
    assert set(fixed.hourly.baseline_replicas) == {8}
    assert fixed.baseline_usd_per_month.value >= scaled.baseline_usd_per_month.value


def test_another_promise_is_rated_from_the_curves(folder: Path) -> None:
    before, strict = load_plan(folder / "plan.yaml"), again(folder, p999="60ms")
    assert before.chosen is not None
    assert before.chosen.sla_rps is not None
    assert strict.objective.latency is not None
    assert strict.objective.latency.ms == 60
    if strict.chosen is not None:
        assert strict.chosen.sla_rps is not None
        assert strict.chosen.sla_rps.value < before.chosen.sla_rps.value * 1.05
    none = again(folder, p999="0.1ms")
    assert (none.verdict.outcome, none.chosen) == ("not_met", None)
    assert none.without_promise is not None


def test_the_files_are_those_that_are_named_and_the_status_is_the_verdicts(folder: Path) -> None:
    plan = str(folder / "plan.yaml")
    flags = ["--as-of", "2026-11-24", "--bill", "5000"]
    done = CliRunner().invoke(cli.cli, ["report", plan, *flags])
    again_plan, page = folder / "plan-again.yaml", folder / "report-again.html"
    assert done.exit_code in (0, 3)
    assert str(again_plan) in done.stdout
    assert str(page) in done.stdout
    assert page.is_file()
    assert load_plan(again_plan).bill_usd_per_month == 5000
    assert load_plan(folder / "plan.yaml") == load_plan(GOLDEN / "plan.yaml")  # the first one is left as it was
    shown = CliRunner().invoke(cli.cli, ["report", plan, *flags, "--json", "--out", str(folder / "cheap.html")])
    assert json.loads(shown.stdout)["bill_usd_per_month"] == 5000
    assert load_plan(folder / "cheap.yaml").bill_usd_per_month == 5000
    once_more = CliRunner().invoke(cli.cli, ["report", str(again_plan), *flags])
    assert (folder / "plan-again-again.yaml").is_file(), once_more.stdout


def test_what_was_not_measured_is_refused(folder: Path) -> None:
    report(folder / "plan.yaml", as_of=DAY, asked={"p99": "80ms"})
    with pytest.raises(InputError, match=r"p99\.9 was not measured: the plan's runs hold 99 %"):
        report(folder / "plan-again.yaml", as_of=DAY, asked={"p999": "80ms"})
    (folder / "workload.json").unlink()
    with pytest.raises(InputError, match=r"workload\.json"):
        again(folder, bill=5)


def test_payloads_are_not_needed(folder: Path) -> None:
    """The recorded data lie nowhere on this machine."""
    assert again(folder, bill=20_000).bill_usd_per_month == 20_000
