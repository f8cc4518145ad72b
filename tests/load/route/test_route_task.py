"""A route's task: its settings have the keys of a tiers.yaml, and a misspelt one is found by mypy and when it is read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from farthing.errors import InputError
from farthing.load.route.settings import read_settings
from farthing.load.route.task import RouteKeys, RouteTask, source_alone, task_of


def test_the_keys_are_those_that_are_read() -> None:
    with pytest.raises(InputError, match="unknown key 'q' in the flags") as refused:
        read_settings({"q": 1})
    assert set(str(refused.value.hint).removeprefix("it takes ").split(", ")) == set(RouteKeys.__annotations__)


def test_a_misspelt_setting_is_refused_in_words() -> None:
    task = RouteTask(settings={"max_los": "1%"})  # type: ignore[typeddict-unknown-key]
    with pytest.raises(InputError, match="unknown key 'max_los' in the flags") as refused:
        read_settings(task.settings)
    assert refused.value.hint == "did you mean max_loss?"


@pytest.mark.slow
def test_a_misspelt_setting_is_seen_by_mypy(tmp_path: Path) -> None:
    call = "import farthing as ft\n\nft.route_calibrate(ft.RouteTask(source='o.csv', settings={%r: '1%%'}))\n"
    for key in ("max_loss", "max_los"):
        (tmp_path / f"{key}.py").write_text(call % key)
    words = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(
        [*words, "max_loss.py", "max_los.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    said = [line for line in done.stdout.splitlines() if line.startswith("max_los")]
    assert len(said) == 1, done.stdout
    assert said[0].startswith('max_los.py:3: error: Extra key "max_los" for TypedDict "RouteKeys"')


def test_a_source_alone_is_a_task() -> None:
    assert task_of("o.csv") == RouteTask(source="o.csv")
    assert task_of(Path("o.csv")).path == Path("o.csv")
    task = RouteTask(tiers=("a=a", "b=b"))
    assert task_of(task) is task
    assert task.path is None


def test_the_seed_of_a_run_is_that_of_settings_that_name_none() -> None:
    task = RouteTask(settings={"max_loss": "1%", "seed": None})
    assert task.seeded(None) is task
    assert task.seeded(7).settings == {"max_loss": "1%", "seed": 7}
    assert RouteTask().seeded(0).settings == {"seed": 0}
    own = RouteTask(settings={"seed": 3})
    assert own.seeded(7) is own


def test_a_route_that_is_there_has_tiers_of_its_own() -> None:
    assert source_alone(RouteTask(source="route.yaml", settings={"data": "q.csv"})) == Path("route.yaml")
    with pytest.raises(InputError, match="no route and no file of outcomes is named"):
        source_alone(RouteTask())
    with pytest.raises(InputError, match=r"route.yaml has tiers and prices of its own"):
        source_alone(RouteTask(source="route.yaml", prices=("a=1/request",)))
