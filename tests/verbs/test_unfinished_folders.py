"""A folder in which no run came to a plan is refused by every command that wants one, in words of what it holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from served_plans import write_plan
from small_inputs import write_onnx

import farthing as ft
from farthing.errors import InputError
from farthing.load.serve.models import served_models
from farthing.store.artefacts import check_artefact
from farthing.verbs.simulate import simulate

LEFT = {
    "a first look": (("first-look.json", "work/journal.jsonl"), "holds a first look only", "without --quick"),
    "a profile": (("baseline.yaml", "work/journal.jsonl"), "holds a profile of the baseline only", "makes a plan"),
    "interrupted": (("work/journal.jsonl",), "holds the journal of a run that has not ended", "without --fresh"),
}


def serve(path: Path) -> Any:
    return served_models([path], cores=2, check=check_artefact)


READERS: dict[str, Callable[[Path], Any]] = {
    "load_plan": ft.load_plan,
    "report": ft.report,
    "verify": ft.verify,
    "simulate": lambda path: simulate(path, "none.csv"),
    "serve": serve,
}


def left(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('{"schema": "farthing/none/1"}\n')
    return folder


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", LEFT)
@pytest.mark.parametrize("named", ["", "plan.yaml", "itself"])
def test_it_says_what_is_there_and_what_makes_a_plan(reader: str, case: str, named: str, tmp_path: Path) -> None:
    names, what, todo = LEFT[case]
    folder = left(tmp_path / "out", names)
    named = names[0] if named == "itself" and "/" not in names[0] else named.removeprefix("itself")
    with pytest.raises(InputError) as refused:
        READERS[reader](folder / named)
    assert refused.value.message == f"{folder} {what} ({names[0]}), no plan"
    assert todo in str(refused.value.hint)


@pytest.mark.parametrize("reader", READERS)
def test_beside_a_plan_the_plan_is_named(reader: str, tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "out")
    left(tmp_path / "out", ("first-look.json",))
    with pytest.raises(InputError, match="holds a first look only") as refused:
        READERS[reader](tmp_path / "out" / "first-look.json")
    assert str(plan) in str(refused.value.hint)


def test_models_beside_what_a_run_left_are_served(tmp_path: Path) -> None:
    left(tmp_path / "out", LEFT["a first look"][0])
    write_onnx(tmp_path / "out" / "model.onnx")
    assert len(serve(tmp_path / "out")) == 1
    (tmp_path / "many" / "tiny" / "1").mkdir(parents=True)
    write_onnx(tmp_path / "many" / "tiny" / "1" / "model.onnx")
    assert [m.name for m in serve(left(tmp_path / "many", LEFT["interrupted"][0]))] == ["tiny"]


def test_any_other_folder_is_told_as_before(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no plan\.yaml"):
        ft.load_plan(tmp_path)
