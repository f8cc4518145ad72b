"""Scale to zero by hand, and against requests that are drawn one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from farthing.core.money.little_traffic import up_frac, waiting_frac
from farthing.nouns import Trace


def trace(counts: list[float], step_s: float = 60.0) -> Trace:
    return Trace(name="t", step_s=step_s, counts=np.array(counts))


def test_a_steady_trickle_by_hand() -> None:
    """One request in ten minutes, fifteen minutes of patience: 1.5 are expected in them, up for 1 − e^−1.5."""
    steady = trace([0.1] * 100)
    assert up_frac(steady, 900.0) == pytest.approx(1 - math.exp(-1.5))
    assert waiting_frac(steady, 900.0) == pytest.approx(math.exp(-1.5))


def test_an_hour_of_work_a_day_is_paid_for_that_hour_and_the_patience() -> None:
    day = trace([1000.0] * 60 + [0.0] * 23 * 60)
    assert up_frac(day, 900.0) == pytest.approx((60 + 15) / (24 * 60), abs=0.001)
    assert waiting_frac(day, 900.0) < 0.01  # those of the first moments alone


def test_the_trace_repeats_so_its_first_steps_see_its_last() -> None:
    late = trace([0.0, 0.0, 0.0, 60.0])
    assert up_frac(late, 60.0) == pytest.approx(2 / 4, abs=0.02)  # that minute, and the one after it
    assert up_frac(late, 240.0) == pytest.approx(1.0, abs=1e-6)
    assert up_frac(late, 2400.0) == pytest.approx(1.0)


@pytest.mark.parametrize("idle_s", [30.0, 300.0, 1500.0])
def test_requests_drawn_one_by_one_say_the_same(idle_s: float) -> None:
    rng = np.random.default_rng(3)
    rates = np.array([2.0, 0.1, 0.0, 0.5, 0.02] * 4)  # a minute
    up, waited, asked, length = 0.0, 0, 0, rates.size * 60.0
    rounds = 400
    times = np.sort(
        np.concatenate(
            [
                60.0 * (k + rng.random(rng.poisson(rate))) + turn * length
                for turn in range(rounds)
                for k, rate in enumerate(rates)
            ]
        )
    )
    gaps = np.diff(times)
    up = float(np.minimum(gaps, idle_s).sum()) / (times[-1] - times[0])
    waited, asked = int((gaps > idle_s).sum()), gaps.size
    assert up_frac(trace(list(rates)), idle_s) == pytest.approx(up, rel=0.05)
    assert waiting_frac(trace(list(rates)), idle_s) == pytest.approx(waited / asked, rel=0.1, abs=0.005)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf, math.nan])
def test_patience_is_finite_and_positive(bad: float) -> None:
    with pytest.raises(ValueError, match="idle_s"):
        up_frac(trace([1.0]), bad)
