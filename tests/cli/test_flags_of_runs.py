"""Flags of commands that measure: each reaches the options of the run, the settings of the route, or the task."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

import farthing as ft
from farthing.cli.main import cli
from farthing.errors import InputError


def seen(monkeypatch: pytest.MonkeyPatch, module: str, verb: str, words: list[str]) -> tuple[tuple[Any, ...], Any]:
    """What a verb is called with by a command line."""
    calls: list[tuple[tuple[Any, ...], Any]] = []

    def stop(*arguments: Any, **named: Any) -> None:
        calls.append((arguments, SimpleNamespace(**named)))
        raise InputError("now work would start")

    monkeypatch.setitem(sys.modules, f"farthing.verbs.{module}", SimpleNamespace(**{verb: stop}))
    done = CliRunner().invoke(cli, words)
    assert isinstance(done.exception, InputError), done.output
    return calls[0]


@pytest.mark.parametrize(
    ("module", "more"), [("optimize", []), ("first_look", ["--quick"]), ("profile", [])], ids=lambda v: str(v)
)
def test_of_a_workload(monkeypatch: pytest.MonkeyPatch, module: str, more: list[str]) -> None:
    command = "optimize" if module == "first_look" else module
    words = [
        command, "x.onnx", "--seed", "3", "--trust", "--fresh", "--as-of", "2026-11-24", "--max-price-age", "30",
        "--rounds", "9", "--engines", "onnxruntime", "--output-dir", "here", *more,
    ]  # fmt: skip
    monkeypatch.setattr("farthing.load.workload.workload.workload_of", lambda *_, **__: "the workload")
    monkeypatch.setattr("farthing.render.plan.terminal.print_understood", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["/usr/bin/farthing", *words])
    given, named = seen(monkeypatch, module, module, words)
    assert given == ("the workload",)
    assert named.options == ft.RunOptions(
        output_dir=Path("here"),
        seed=3,
        trust=True,
        fresh=True,
        as_of=date(2026, 11, 24),
        max_price_age_days=30,
        command=" ".join(["farthing", *words]),
        measure=ft.MeasureSettings(engines=("onnxruntime",), proof_rounds=9),
    )


def test_of_verifying(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["verify", "plan.yaml", "--seed", "3", "--trust", "--tolerance", "5%"]
    given, named = seen(monkeypatch, "verify", "verify", words)
    assert given == (Path("plan.yaml"),)
    assert (named.options, named.tolerance_frac) == (ft.RunOptions(seed=3, trust=True), 0.05)


def test_of_calibrating_in_the_order_in_which_they_were_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [
        "route", "calibrate", "--seed", "3", "--max-loss", "1%", "--data", "q.csv", "--tier", "a=a", "--tier", "b=b",
        "--price", "a=1/request", "--columns", "a=q,c", "--as-of", "2026-11-24", "--trust", "--out", "here",
    ]  # fmt: skip
    (task,), named = seen(monkeypatch, "route.calibrate", "route_calibrate", words)
    assert (task.source, task.tiers, task.prices) == (None, ("a=a", "b=b"), ("a=1/request",))
    assert task.columns == {"a": ("q", "c")}
    said = [(key, value) for key, value in task.settings.items() if value not in (None, ())]
    assert said == [("seed", 3), ("max_loss", "1%"), ("data", "q.csv")]
    assert set(task.settings) <= set(ft.RouteKeys.__annotations__)
    assert named.options == ft.RunOptions(output_dir=Path("here"), trust=True, as_of=date(2026, 11, 24))


def test_of_evaluating(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["route", "evaluate", "route.yaml", "--data", "q.csv", "--seed", "3", "--drop-known", "--draws", "200"]
    (task,), named = seen(monkeypatch, "route.evaluate", "route_evaluate", words)
    assert (task.source, task.settings["data"], task.settings["seed"]) == (Path("route.yaml"), "q.csv", 3)
    assert set(task.settings) <= set(ft.RouteKeys.__annotations__)
    assert (named.drop_known, named.draws, named.options) == (True, 200, ft.RunOptions())


def test_of_planning_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["route", "plan-rate", "route", "--p99", "50ms", "--seed", "3", "--trust"]
    (task,), named = seen(monkeypatch, "route.plan_rate", "route_plan_rate", words)
    assert (task.source, task.settings["p99"], task.settings["seed"]) == (Path("route"), "50ms", 3)
    assert set(task.settings) <= set(ft.RouteKeys.__annotations__)
    assert named.options == ft.RunOptions(trust=True)


def test_of_attaching(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["route", "attach", "route", "a=http://a", "--chat", "a=m", "--trust", "--out", "here"]
    given, named = seen(monkeypatch, "route.attach", "route_attach", words)
    assert (given, named.places, named.chat) == ((Path("route"),), ("a=http://a",), {"a": "m"})
    assert named.options == ft.RunOptions(output_dir=Path("here"), trust=True)


@pytest.mark.parametrize("command", ["calibrate", "evaluate", "plan-rate"])
def test_a_misspelt_flag_is_refused(command: str) -> None:
    done = CliRunner().invoke(cli, ["route", command, "x", "--max-los", "1%"])
    assert done.exit_code == 2
    assert "No such option" in done.output and "--max-los'" in done.output
