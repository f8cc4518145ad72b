"""A fault of farthing's own after measuring loses nothing: what is known is written, and how to go on is said."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import farthing as ft
from farthing.errors import FarthingError, PriceError, UnexpectedError
from farthing.measure import campaign
from farthing.measure.first_look import Glimpse
from farthing.nouns import Plan, Workload
from farthing.runs import first_look as looking
from farthing.store.measurements import read_measurements
from farthing.verbs import optimize as verb
from farthing.verbs.first_look import first_look

QUICK = ft.MeasureSettings(engines=("onnxruntime",), variants=("fp32",))


def quick(out: Path) -> ft.RunOptions:
    return ft.RunOptions(output_dir=out, measure=QUICK)


@pytest.fixture
def asked(small_model: Path) -> Workload:
    flags = {"model": str(small_model / "model.onnx"), "labels": str(small_model / "holdout.npz")}
    return ft.workload_from_flags({**flags, "bill": 10_000, "offer": "aws/m7i.large", "p99": "50ms"})


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run whose measuring is done in no time: two steps, one measurement, a choice."""

    import search_examples as made

    found = made.findings(latency={made.BASE: made.measured(made.BASE, 3.0, 5.0, 9.0)})

    def run(bench: Any, _: Any) -> Any:
        bench.journal.once("a", float, lambda: 1.0)
        bench.journal.once("b", float, lambda: 2.0)
        bench.note(made.measured(made.BASE, 3.0, 5.0, 9.0))
        return found

    monkeypatch.setattr(campaign, "run", run)
    return SimpleNamespace(found=found, made=made)


def fails(error: Exception) -> Any:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize("error", [TypeError("'float' object is not iterable"), KeyError("c"), ZeroDivisionError()])
def test_a_fault_in_working_out_the_plan(
    asked: Workload, measured: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(verb, "assemble", fails(error))
    with pytest.raises(UnexpectedError) as raised:
        ft.optimize(asked, options=quick(tmp_path / "out"))
    out = tmp_path / "out"
    assert type(error).__name__ in raised.value.message
    assert "working out the costs of what was measured" in raised.value.message
    assert raised.value.hint is not None
    assert "the same command (without --fresh) goes on from there" in raised.value.hint
    assert "2 finished steps" in raised.value.hint
    assert len(read_measurements(out / "measurements.parquet")) == 1
    known = json.loads((out / "measured.json").read_text())
    rates = {c["candidate"]["variant"]: c["planned_rps"] for c in known["candidates"]}
    assert rates["fp32"] == 40
    assert raised.value.__cause__ is error
    assert len((out / "work" / "journal.jsonl").read_text().splitlines()) == 3


def test_the_same_command_goes_on_once_it_is_mended(
    asked: Workload, measured: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(verb, "assemble", fails(ValueError("min() iterable argument is empty")))
        with pytest.raises(UnexpectedError):
            ft.optimize(asked, options=quick(tmp_path / "out"))
    plan = ft.optimize(asked, options=quick(tmp_path / "out"))
    assert isinstance(plan, Plan)
    assert plan.provenance.reuse[0].startswith("reused: 2 of 2 steps")


def test_a_fault_in_the_page_leaves_the_plan(
    asked: Workload, measured: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farthing.runs.outputs.report_html", fails(IndexError("tuple index out of range")))
    with pytest.raises(UnexpectedError, match="writing the results"):
        ft.optimize(asked, options=quick(tmp_path / "out"))
    assert ft.load_plan(tmp_path / "out" / "plan.yaml").chosen is not None


def test_a_fault_while_measuring_says_that_steps_are_kept(
    asked: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "run", fails(RuntimeError("nobody thought of that")))
    with pytest.raises(UnexpectedError, match="went wrong while measuring") as raised:
        ft.optimize(asked, options=quick(tmp_path / "out"))
    assert raised.value.hint is not None
    assert "0 finished steps" in raised.value.hint


# — the first look —————————————————————————————————————————————————————————————————————————————————————————


@pytest.fixture
def glimpsed(measured: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A first look that is done in no time, and finds what the run finds."""
    seen = Glimpse(findings=measured.found, left_out=(), seconds=1.0, score=None, doubt="")
    monkeypatch.setattr(looking, "glimpse", lambda bench: seen)
    return seen


@pytest.mark.parametrize("where", ["glimpse", "priced", "write_json", "shown"])
def test_a_fault_in_the_first_look_stands_in_the_way_of_no_plan(
    asked: Workload, glimpsed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    told: list[str] = []
    shown = fails(ZeroDivisionError("division by zero"))
    if where != "shown":
        monkeypatch.setattr(looking, where, shown)
        shown = told.append
    plan = ft.optimize(
        asked, options=quick(tmp_path / "out"), on_first_look=shown,
        on_progress=lambda stage, done, total, note: told.append(f"{stage} {note}"),
    )  # fmt: skip
    assert plan.chosen is not None
    assert any("first look left out" in line and "ZeroDivisionError: division by zero" in line for line in told)
    assert not (tmp_path / "out" / "measured.json").exists()


def test_what_is_foreseen_in_the_first_look_passes(
    asked: Workload, measured: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = PriceError("no price", hint="import it")
    monkeypatch.setattr(looking, "glimpse", fails(error))
    with pytest.raises(PriceError) as raised:
        ft.optimize(asked, options=quick(tmp_path / "out"), on_first_look=print)
    assert raised.value is error


def test_what_was_seen_is_forgotten_before_the_search(
    asked: Workload, glimpsed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "run", fails(RuntimeError("nobody thought of that")))
    with pytest.raises(UnexpectedError, match="went wrong while measuring"):
        ft.optimize(asked, options=quick(tmp_path / "out"), on_first_look=lambda found: None)


def test_a_fault_after_a_quick_look_leaves_what_was_seen(
    asked: Workload, glimpsed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "priced", fails(ZeroDivisionError()))
    with pytest.raises(UnexpectedError, match="working out the costs of what was measured"):
        first_look(asked, options=quick(tmp_path / "out"))
    known = json.loads((tmp_path / "out" / "measured.json").read_text())
    assert known["baseline"] == glimpsed.findings.baseline.label


@pytest.mark.parametrize("error", [PriceError("no price", hint="import it"), KeyboardInterrupt()])
def test_what_is_foreseen_passes_as_it_is(
    asked: Workload, measured: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr(verb, "assemble", fails(error))  # type: ignore[arg-type]
    with pytest.raises(type(error)) as raised:
        ft.optimize(asked, options=quick(tmp_path / "out"))
    assert raised.value is error
    assert (tmp_path / "out" / "measured.json").exists() == isinstance(error, FarthingError)
