"""What a run is told reaches the route: its seed, its trust, the day of its prices, how much is measured."""

from __future__ import annotations

import csv
import random
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from small_route import cascade, margin_of, route_of, rung, tier

import farthing as ft
from farthing.core.route.routes import Route
from farthing.errors import FarthingError, InputError
from farthing.store.routes import write_route
from farthing.verbs import verify as verify_verb
from farthing.verbs.route import calibrate as calibrate_verb
from farthing.verbs.route import plan_rate as plan_rate_verb


@pytest.fixture
def outcomes(tmp_path: Path) -> Path:
    rng = random.Random(7)
    with (tmp_path / "o.csv").open("w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(["request_id", "quality:s", "cost_usd:s", "quality:l", "cost_usd:l", "score:x@s"])
        for k in range(400):
            right = rng.random() < 0.8
            writer.writerow([f"q{k}", int(right), 1e-5, int(rng.random() < 0.99), 1e-3, rng.gauss(right, 0.3)])
    return tmp_path / "o.csv"


def calibrated(outcomes: Path, out: str, settings: ft.RouteKeys, **more: Any) -> Route:
    task = ft.RouteTask(source=outcomes, settings={"max_loss": "20%", **settings})
    return ft.route_calibrate(task, options=ft.RunOptions(output_dir=outcomes.with_name(out), **more)).route


def parts(route: Path) -> tuple[str, ...]:
    from farthing.load.tables import read_table

    return tuple(read_table(route / "outcomes.parquet").columns["part"])


def test_a_run_has_one_seed_wherever_it_is_said(outcomes: Path) -> None:
    by_options = calibrated(outcomes, "a", {}, seed=7)
    by_settings = calibrated(outcomes, "b", {"seed": 7})
    own = calibrated(outcomes, "c", {"seed": 7}, seed=9)
    folder = outcomes.parent
    assert parts(folder / "a") == parts(folder / "b") == parts(folder / "c")
    calibrated(outcomes, "d", {})
    assert parts(folder / "a") != parts(folder / "d")
    said = ("--seed", "7")
    assert said in by_options.asked and said in by_settings.asked and said in own.asked


def test_trust_and_the_day_of_the_prices_are_kept_with_the_route(outcomes: Path) -> None:
    route = calibrated(outcomes, "a", {}, trust=True, as_of=date(2026, 11, 24))
    assert route.asked[-2:] == (("--as-of", "2026-11-24"), ("--trust", ""))


def test_a_misspelt_setting_is_refused_before_anything_is_written(outcomes: Path) -> None:
    wrong = ft.RouteTask(source=outcomes, settings={"max_los": "1%"})  # type: ignore[typeddict-unknown-key]
    for verb in (ft.route_calibrate, ft.route_evaluate):
        with pytest.raises(InputError, match="unknown key 'max_los' in the flags") as refused:
            verb(wrong, options=ft.RunOptions(output_dir=outcomes.with_name("out")))
        assert refused.value.hint == "did you mean max_loss?"
    assert not (outcomes.with_name("out") / "route.yaml").exists()


def test_what_is_measured_of_tiers_reaches_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[ft.RunOptions] = []

    def stop(named: Any, asked: Any, out: Path, options: ft.RunOptions, tell: Any) -> None:
        found.append(options)
        raise FarthingError("enough was seen")

    monkeypatch.setattr(calibrate_verb, "of_tiers", stop)
    options = ft.RunOptions(output_dir=tmp_path, trust=True, tiers=ft.TierSettings(rounds=6))
    task = ft.RouteTask(tiers=("a=a.onnx", "b=b.onnx"), settings={"data": "q.csv", "seed": 5})
    with pytest.raises(FarthingError, match="enough was seen"):
        ft.route_calibrate(task, options=options)
    assert found == [replace(options, seed=5)]


@pytest.fixture
def route(tmp_path: Path) -> Path:
    made = route_of([tier("small"), tier("large")], [rung(cascade("small", "large"))], margin_of("small"))
    return write_route(made, tmp_path / "route" / "route.yaml")


def test_what_is_measured_of_a_served_route_reaches_it(route: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []

    def stop(path: Path, route: Any, bound: Any, requests: Any, options: ft.RunOptions, tell: Any) -> None:
        found.append((path, bound.ms, options))
        raise FarthingError("enough was seen")

    monkeypatch.setattr(plan_rate_verb, "refuse_unplannable", lambda *_: None)
    monkeypatch.setattr(plan_rate_verb, "sent", lambda *_: None)
    monkeypatch.setattr(plan_rate_verb, "planned", stop)
    options = ft.RunOptions(seed=7, trust=True, measure=ft.MeasureSettings(rate_runs=3))
    task = ft.RouteTask(source=route.parent, settings={"p99": "50ms"})
    with pytest.raises(FarthingError, match="enough was seen"):
        ft.route_plan_rate(task, options=options)
    assert found == [(route, 50.0, options)]


def test_what_is_measured_in_verifying_a_route_reaches_it(route: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []
    monkeypatch.setattr(verify_verb, "verify_route", lambda path, options, tell: found.append((path, options)))
    options = ft.RunOptions(seed=7, measure=ft.MeasureSettings(proof_runs=3))
    ft.verify(route, options=options)
    assert found == [(route, options)]
