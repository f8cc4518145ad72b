"""The time left is that of the whole run."""

from __future__ import annotations

import io

import pytest

from farthing.render.progress import TerminalProgress
from farthing.render.remaining import TYPICAL_S, Remaining

STAGES = {"look": 10.0, "search": 100.0, "race": 40.0, "proof": 50.0}


def run(*told: tuple[str, int, int, float]) -> float:
    left = Remaining(STAGES)
    for stage, done, total, now_s in told:
        left.told(stage, done, total, now_s)
    found = left.left_s()
    assert found is not None
    return found


def test_at_the_start_it_is_the_whole_run() -> None:
    assert run(("look", 0, 1, 0)) == pytest.approx(200)


def test_at_the_usual_pace_it_goes_down_with_the_clock() -> None:
    told = [("look", 0, 1, 0), ("look", 1, 1, 10), ("search", 0, 4, 10), ("search", 1, 4, 35), ("search", 2, 4, 60)]
    lefts = [run(*told[:k]) for k in range(1, len(told) + 1)]
    assert lefts == pytest.approx([200, 190, 190, 165, 140])


def test_a_slow_model_makes_it_longer_and_a_quick_one_shorter() -> None:
    def at(pace: float) -> float:
        return run(
            ("look", 0, 1, 0), ("look", 1, 1, 10 * pace), ("search", 0, 4, 10 * pace), ("search", 4, 4, 110 * pace)
        )

    assert at(0.5) < 90 < at(3)
    assert at(3) == pytest.approx(90 * (330 + 30) / (110 + 30))


def test_what_is_finished_takes_earlier_stages_with_it() -> None:
    """Without a promise nobody is tried under load: that stage never comes."""
    assert run(("search", 4, 4, 0), ("race", 0, 1, 0), ("race", 1, 1, 40)) == pytest.approx(50)


def test_a_stage_that_begins_does_not_end_the_one_around_it() -> None:
    assert run(("look", 0, 2, 0), ("search", 0, 3, 1)) == pytest.approx(200, rel=0.05)


def test_what_comes_from_the_journal_says_nothing_of_the_pace() -> None:
    told = [("look", 0, 1, 0), ("look", 1, 1, 0.01), ("search", 0, 4, 0.01), ("search", 4, 4, 0.1)]
    assert run(*told) == pytest.approx(90)


def test_stages_that_nobody_expects_change_nothing() -> None:
    assert run(("resuming", 1, 1, 0), ("earlier run", 1, 1, 5), ("look", 0, 1, 6)) == pytest.approx(200)


def test_nobody_knows() -> None:
    assert Remaining({}).left_s() is None


def test_every_line_says_what_is_left_of_the_whole() -> None:
    class Clock:
        now_s = 0.0

        def __call__(self) -> float:
            return self.now_s

    stream, clock = io.StringIO(), Clock()
    with TerminalProgress(stream, typical_s=STAGES, every_s=5, monotonic_s=clock) as progress:
        for done in range(5):
            progress("search", done, 4, "x")
            clock.now_s += 25
    lines = stream.getvalue().splitlines()
    assert lines[0] == "search          0/4  x  about 3:20 left in all"
    assert lines[1] == "search          1/4  x  about 3:00 left in all"  # the look is still to come
    assert lines[-1] == "search          4/4  x  1:40"


def test_the_stages_of_a_run_are_known_by_their_names() -> None:
    assert list(TYPICAL_S["optimize"])[:3] == ["machine", "first look", "baseline"]
    assert sum(TYPICAL_S["quick"].values()) <= 180
    assert sum(TYPICAL_S["optimize"].values()) <= 600
