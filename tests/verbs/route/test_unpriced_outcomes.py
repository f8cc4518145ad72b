"""Costs of 0 in a file of outcomes: said to be meant, or refused before anything is calibrated."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest

from farthing.errors import DataError, InputError
from farthing.load.route.task import RouteTask
from farthing.runs.options import RunOptions
from farthing.verbs.route.calibrate import route_calibrate
from farthing.verbs.route.evaluate import route_evaluate


def outcomes(path: Path, small: float, large: float, n: int = 400, zeros: int = 0) -> Path:
    rng = random.Random(7)
    with path.open("w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(
            ["request_id", "quality:small", "cost_usd:small", "quality:large", "cost_usd:large", "score:s@small"]
        )
        for k in range(n):
            right = rng.random() < 0.8
            score = rng.gauss(1.5 if right else 0.0, 0.3)
            writer.writerow([f"q{k}", int(right), small, int(rng.random() < 0.99), 0 if k < zeros else large, score])
    return path


@pytest.mark.parametrize(
    ("small", "large", "tier"), [(0, 0.001, "small"), (2e-5, 0, "large"), (0, 0, "small"), ("-0.0", 0.001, "small")]
)
@pytest.mark.parametrize("verb", [route_calibrate, route_evaluate])
def test_a_tier_without_a_price(tmp_path: Path, verb, small: float, large: float, tier: str) -> None:
    path = outcomes(tmp_path / "o.csv", small, large)
    with pytest.raises(DataError, match=rf"the tier '{tier}' costs 0 on every request \(cost_usd:{tier}\)") as e:
        verb(path, options=RunOptions(output_dir=tmp_path / "out"))
    assert f"--free {tier}" in str(e.value.hint)
    assert not (tmp_path / "out" / "route.yaml").exists()


def test_a_few_costs_of_0_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    path = outcomes(tmp_path / "o.csv", 2e-5, 0.001, zeros=3)
    with pytest.raises(DataError, match="the tier 'large' costs 0 on 3 of 400 requests, line 2 first"):
        route_calibrate(path, options=RunOptions(output_dir=tmp_path / "out"))


def test_nothing_can_be_saved_where_nothing_costs(tmp_path: Path) -> None:
    path = outcomes(tmp_path / "o.csv", 0, 0)
    task = RouteTask(source=path, settings={"free": ["small", "large"]})
    with pytest.raises(DataError, match="no tier costs anything"):
        route_calibrate(task, options=RunOptions(output_dir=tmp_path / "out"))


def test_a_tier_that_is_free_is_declared(tmp_path: Path) -> None:
    path = outcomes(tmp_path / "o.csv", 0, 0.001)
    task = RouteTask(source=path, settings={"max_loss": "20%", "free": ("small",)})
    report = route_calibrate(task, options=RunOptions(output_dir=tmp_path / "out"))
    assert ("--free", "small") in report.route.asked
    assert any("costs of 0 are meant" in text for text in report.route.assumptions)
    text = path.read_text().replace("\nq", "\nt")
    test = tmp_path / "test.csv"
    test.write_text(text)
    asked = RouteTask(source=tmp_path / "out" / "route.yaml", settings={"data": test})
    judged = route_evaluate(asked, options=RunOptions(output_dir=tmp_path / "judged"), draws=100)
    assert judged.evaluation.n == 400
    wrong = RouteTask(source=path, settings={"free": ("smal",)})
    with pytest.raises(DataError, match="--free names the tier 'smal'"):
        route_calibrate(wrong, options=RunOptions(output_dir=tmp_path / "out"))


def test_tiers_that_run_have_a_price(tmp_path: Path) -> None:
    task = RouteTask(tiers=["a=a.onnx", "b=b.onnx"], settings={"free": ("a",)})
    with pytest.raises(InputError, match="free names tiers of a file of outcomes"):
        route_calibrate(task, options=RunOptions(output_dir=tmp_path / "out"))


def test_nothing_is_cheaper_than_a_free_tier_that_is_proven(tmp_path: Path) -> None:
    path = outcomes(tmp_path / "o.csv", 0, 0.001)
    task = RouteTask(source=path, settings={"max_loss": "60%", "free": ("small",)})
    report = route_calibrate(task, options=RunOptions(output_dir=tmp_path / "out"))
    assert report.route.verdict.outcome == "met"
    assert "always small is the cheapest that is proven (it costs nothing)" in report.route.verdict.reasons[0]
