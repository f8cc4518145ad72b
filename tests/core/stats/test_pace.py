"""Others on the machine, seen in what clients that never rest get from a server."""

from __future__ import annotations

import numpy as np
import pytest

from farthing.core.stats.pace import SLOWER, Pace


def test_a_server_that_answers_less_than_before_is_seen_and_not_taken_for_usual() -> None:
    pace = Pace()
    for _ in range(4):
        assert pace.slower(1000.0) == 1.0
    for _ in range(20):  # however long it lasts
        assert pace.slower(800.0) == pytest.approx(1.25)
    assert pace.slower(1000.0) == 1.0


def test_the_first_look_knows_nothing_and_a_quicker_server_is_not_slower() -> None:
    assert Pace().slower(10.0) == 1.0
    pace = Pace()
    pace.slower(1000.0)
    assert pace.slower(2000.0) == 1.0


def test_what_is_usual_follows_a_server_that_changes_little() -> None:
    pace = Pace()
    for step in range(30):
        assert pace.slower(1000.0 * 0.99**step) < SLOWER


def test_noise_of_a_few_per_cent_is_nobody() -> None:
    rng = np.random.default_rng(2)
    pace = Pace()
    seen = [pace.slower(1000.0 * float(np.exp(rng.normal(0, 0.025)))) for _ in range(1000)]
    assert sum(s >= SLOWER for s in seen) <= 5


def test_one_lucky_moment_in_the_beginning_is_not_what_is_usual() -> None:
    pace = Pace()
    pace.begin([1200.0, 1000.0, 1010.0])
    assert all(pace.slower(1000.0) == pytest.approx(1.0, abs=0.02) for _ in range(5))
