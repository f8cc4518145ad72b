"""A route's planned rate, end to end: real tiers behind a real ``farthing serve``, and what is refused in words."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from small_tiers import texts_and_labels, write_requests, write_text_tier, write_tier

import farthing as ft
from farthing.cli.main import cli
from farthing.core.route.judging.reports import CalibrationReport
from farthing.core.route.planned_rate import PlannedRate
from farthing.core.search.sustained import HEADROOM, LEAST_CUT
from farthing.errors import InputError
from farthing.load.route.files import read_route
from farthing.measure import open_loop
from farthing.runs.route import rate as _route_rate
from farthing.store.routes import write_route

QUICK = ft.TierSettings(rounds=6, per_round=5)
SHORT = ft.MeasureSettings(rate_runs=3, proof_runs=3)
"""So short that on a machine with company nothing is proven by them: what is checked is what was done."""
LOOSE = "500ms"
"""A promise that tiny tiers keep on a machine that is not swamped."""
PRICES = ("small=0.000001/request", "large=0.001/request")


@pytest.fixture(autouse=True)
def _short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of a quarter of a second, whatever the rate, and no canary: other tests are company."""
    monkeypatch.setattr(open_loop, "RUN_S", 0.25)
    monkeypatch.setattr(open_loop, "MOST_REQUESTS", 500)
    monkeypatch.setattr(_route_rate, "Canary", lambda: None)


@pytest.fixture(scope="module")
def tiers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiers")
    for name, seen in (("small", 14), ("large", 24)):
        write_tier(folder / name / "model.onnx", seen=seen)
    write_requests(folder / "calibrate.npz", 1600, 1)
    return folder


def named(folder: Path) -> list[str]:
    return [f"{name}={folder / name / 'model.onnx'}" for name in ("small", "large")]


@pytest.fixture(scope="module")
def report(tiers: Path) -> CalibrationReport:
    """A route without a promise, in ``route`` beside its tiers."""
    return calibrated(tiers, tiers / "route")


@pytest.fixture
def out(tiers: Path, report: CalibrationReport, tmp_path: Path) -> Path:
    """A copy of that route for one test, beside the tiers since their places are relative."""
    return Path(shutil.copytree(tiers / "route", tiers / tmp_path.name))


def options(out: Path | None = None) -> ft.RunOptions:
    return ft.RunOptions(output_dir=out, tiers=QUICK, measure=SHORT)


def calibrated(folder: Path, out: Path, **more: Any) -> CalibrationReport:
    settings = {"data": folder / "calibrate.npz", "max_loss": "3%", **more}
    task = ft.RouteTask(tiers=named(folder), prices=PRICES, settings=settings)
    return ft.route_calibrate(task, options=options(out))


def proven(rate: PlannedRate | None) -> PlannedRate:
    """A rate whose verdict is what its last proof says; one that was never kept was tried three times."""
    assert rate is not None
    assert rate.rate_rps is not None
    assert rate.latency_ms is not None
    assert (rate.verdict.outcome == "met") == (rate.latency_ms.hi <= rate.bound.ms)
    assert rate.verdict.outcome == "met" or rate.proofs == 3
    return rate


@pytest.mark.slow
def test_calibrating_with_a_promise_plans_the_rate_that_the_server_keeps(tiers: Path, tmp_path: Path) -> None:
    report = calibrated(tiers, tmp_path / "route", p99=LOOSE)
    rate = proven(report.route.planned_rate)
    assert (rate.bound.ms, rate.bound.percentile) == (500.0, 0.99)
    assert rate.rate_rps is not None
    assert rate.kept_rps is not None
    assert rate.latency_ms is not None
    first = rate.kept_rps.value / HEADROOM
    assert rate.rate_rps.value == pytest.approx(first) if rate.proofs == 1 else rate.rate_rps.value <= first / LEAST_CUT
    assert rate.rate_rps.lo < rate.rate_rps.value < rate.rate_rps.hi
    assert 0 < rate.latency_ms.value <= rate.latency_ms.hi
    assert rate.generator_frac is not None
    assert 0 < rate.generator_frac.value < 1
    assert rate.runs in (3, 6)  # as many again where three cannot tell
    assert 0 < rate.rate_rps.value < rate.capacity_rps * 1.5
    assert "requests of the calibration in their own mix (1,600 of 1,600" in rate.assumptions[0]
    assert any("load generator" in text for text in rate.assumptions)
    assert read_route(tmp_path / "route" / "route.yaml") == report.route
    page = (tmp_path / "route" / "route.html").read_text()
    assert "The rate that is kept" in page
    assert "load generator" in page


@pytest.mark.slow
def test_planning_a_route_that_is_there_and_verifying_it(report: CalibrationReport, out: Path) -> None:
    before = report.route
    assert before.planned_rate is None
    done = ft.route_plan_rate(ft.RouteTask(source=out, settings={"p90": LOOSE}), options=options())
    assert proven(done.planned_rate).bound.name == "p90"
    assert done.planned_rate is not None
    assert done.planned_rate.assumptions[0].startswith("clients send the requests of the calibration")
    assert replace(done, planned_rate=None) == before
    assert read_route(out / "route.yaml") == done
    again = ft.verify(out / "route.yaml", options=options())
    (check,) = again.checks
    assert check.name.startswith("p90 at ")
    assert check.planned == done.planned_rate.latency_ms
    assert check.seen is not None
    assert (again.verdict.outcome == "met") == (check.seen.value <= 500.0)
    assert again.machine_speed.value > 0


@pytest.mark.slow
def test_a_promise_that_no_server_keeps_is_not_met_and_written(out: Path) -> None:
    done = CliRunner().invoke(cli, ["route", "plan-rate", str(out), "--p99", "1us", "--json"])
    assert done.exit_code == 3, done.output
    rate = read_route(out / "route.yaml").planned_rate
    assert rate is not None
    assert rate.verdict.outcome == "not_met"
    assert rate.rate_rps is None
    assert json.loads(done.stdout)["verdict"]["outcome"] == "not_met"
    with pytest.raises(InputError, match="plans no rate that could be verified"):
        ft.verify(out / "route.yaml", options=options())


@pytest.mark.slow
def test_texts_go_as_texts_and_come_from_the_outcomes_where_the_file_is_gone(tmp_path: Path) -> None:
    import csv

    for name, seen in (("small", 12), ("large", 24)):
        write_text_tier(tmp_path / name, seen=seen)
    with (tmp_path / "texts.csv").open("w", newline="") as f:
        out = csv.writer(f)
        out.writerow(["text", "label"])
        out.writerows(texts_and_labels(1200, 1))
    folder = tmp_path / "route"
    task = ft.RouteTask(
        tiers=[f"{name}={tmp_path / name}" for name in ("small", "large")],
        prices=PRICES,
        settings={"data": tmp_path / "texts.csv", "max_loss": "3%"},
    )
    ft.route_calibrate(task, options=options(folder))
    (tmp_path / "texts.csv").unlink()
    task = ft.RouteTask(source=folder, settings={"p99": LOOSE})
    rate = proven(ft.route_plan_rate(task, options=options()).planned_rate)
    assert "1,200 of 1,200" in rate.assumptions[0]


# — refusals ———————————————————————————————————————————————————————————————————————————————————————————————————————


def test_tiers_behind_a_url_are_said_before_any_is_asked(tiers: Path, tmp_path: Path) -> None:
    task = ft.RouteTask(
        tiers=[named(tiers)[0], "large=http://127.0.0.1:9/v2/models/large"],
        prices=PRICES,
        settings={"data": tiers / "calibrate.npz", "p99": "50ms"},
    )
    with pytest.raises(InputError, match=r"p99 ≤ 50 ms is promised, and the tier large answers at a URL: .* machines"):
        ft.route_calibrate(task, options=options(tmp_path / "route"))
    assert not (tmp_path / "route" / "route.yaml").exists()


def test_a_route_with_a_tier_behind_a_url_plans_no_rate(report: CalibrationReport, out: Path) -> None:
    route = report.route
    far = replace(route.tiers[1], kind="openai", source="http://127.0.0.1:9/v1", model="m")
    write_route(replace(route, tiers=(route.tiers[0], far)), out / "route.yaml")
    with pytest.raises(InputError, match=r"no rate is planned for .*the tier large answers at a URL"):
        ft.route_plan_rate(ft.RouteTask(source=out, settings={"p99": "50ms"}))


def outcomes(path: Path) -> Path:
    import numpy as np

    rng = np.random.default_rng(0)
    rows = [f"{i},{int(rng.random() < 0.9)},{int(rng.random() < 0.95)},0.001,0.01" for i in range(600)]
    head = "request_id,quality:small,quality:large,cost_usd:small,cost_usd:large"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_of_outcomes_alone_nothing_is_served(tmp_path: Path) -> None:
    table = outcomes(tmp_path / "outcomes.csv")
    with pytest.raises(InputError, match="there is nothing to serve") as refused:
        ft.route_calibrate(ft.RouteTask(source=table, settings={"p99": "50ms"}), options=options(tmp_path / "route"))
    assert "farthing route attach" in str(refused.value.hint)
    ft.route_calibrate(table, options=options(tmp_path / "route"))
    with pytest.raises(InputError, match="rests on a table of outcomes, and no place of small, large is named"):
        ft.route_plan_rate(ft.RouteTask(source=tmp_path / "route", settings={"p99": "50ms"}))


def test_one_level_is_promised(tiers: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="promise p95 and p99"):
        calibrated(tiers, tmp_path / "route", p95="10ms", p99="20ms")
    with pytest.raises(InputError, match="--p99 is '5' without a unit"):
        calibrated(tiers, tmp_path / "route", p99="5")


def test_without_a_promise_there_is_nothing_to_plan(out: Path) -> None:
    with pytest.raises(InputError, match="no latency is promised"):
        ft.route_plan_rate(out)
    with pytest.raises(InputError, match="plans no rate"):
        ft.verify(out / "route.yaml")


def test_requests_that_are_gone_are_asked_for(
    tiers: Path, report: CalibrationReport, out: Path, tmp_path: Path
) -> None:
    route = read_route(out / "route.yaml")
    gone = tuple((option, "../gone.npz" if option == "--data" else value) for option, value in route.asked)
    write_route(replace(route, asked=gone), out / "route.yaml")
    task = ft.RouteTask(source=out, settings={"p99": LOOSE})
    with pytest.raises(InputError, match=r"are gone .*gone.npz") as refused:
        ft.route_plan_rate(task, options=options())
    assert "--data FILE" in str(refused.value.hint)


@pytest.mark.slow
def test_other_requests_may_be_sent(out: Path, tmp_path: Path) -> None:
    other = write_requests(tmp_path / "others.npz", 300, 2)
    task = ft.RouteTask(source=out, settings={"p99": LOOSE, "data": other})
    rate = proven(ft.route_plan_rate(task, options=options()).planned_rate)
    assert "requests of others.npz in their own mix (300 of 300" in rate.assumptions[0]


def test_the_screen_says_what_is_planned_and_why_not(report: CalibrationReport, tmp_path: Path) -> None:
    from io import StringIO

    from rich.console import Console

    from farthing.render.route.screen import calibration_block

    def shown(report: CalibrationReport) -> str:
        target = Console(file=StringIO(), width=400)
        target.print(calibration_block(report, tmp_path))
        return target.file.getvalue()  # type: ignore[attr-defined]

    assert "rate       none is planned: no latency was promised (--p99 50ms)" in shown(report)
    far = replace(report.route.tiers[1], kind="openai", source="http://127.0.0.1:9/v1")
    remote = replace(report, route=replace(report.route, tiers=(report.route.tiers[0], far)))
    assert "rate       none is planned: the tier large answers at a URL" in shown(remote)
