"""Options of a run: where it writes, and with which seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from farthing.runs.options import USUAL, RunOptions


@pytest.mark.parametrize("named", ["out", Path("out")])
def test_the_folder_that_is_named_wins(named: Path | str) -> None:
    assert RunOptions(output_dir=named).folder("usual") == Path("out")


def test_without_a_name_it_is_the_usual_one_of_the_command() -> None:
    assert USUAL.folder("usual") == USUAL.folder(Path("usual")) == Path("usual")


def test_without_a_seed_it_is_0() -> None:
    assert [RunOptions(seed=seed).seed_used for seed in (None, 0, 7)] == [0, 0, 7]


def test_a_misspelt_option_is_refused() -> None:
    with pytest.raises(TypeError, match="ouput_dir"):
        RunOptions(ouput_dir="out")  # type: ignore[call-arg]
