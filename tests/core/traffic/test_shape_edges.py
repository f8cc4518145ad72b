"""Shapes of traffic hour by hour against their formula, and curves of service times at their edges."""

from __future__ import annotations

import math

import numpy as np
import pytest

from farthing.core.traffic.service_curve import ServiceCurve
from farthing.core.traffic.shapes import day_night, flat
from farthing.nouns import Estimate


def rate(day: int, hour: float) -> float:
    """Requests/s in the minute after that hour, from Monday on."""
    trace = day_night()
    return float(trace.counts[round((day * 24 + hour) * 60)] / 60)


@pytest.mark.parametrize(
    ("hour", "height"),
    [
        (15.5, 1 + 0.55 - 0.15 * math.sqrt(0.5)),
        (3.5, 1 - 0.55 - 0.15 * math.sqrt(0.5)),
        (20.0, 1 + 0.55 * math.cos(2 * math.pi * 4.5 / 24) + 0.15),
        (8.0, 1 + 0.55 * math.cos(2 * math.pi * 7.5 / 24) + 0.15),
        (2.0, 1 + 0.55 * math.cos(2 * math.pi * 13.5 / 24) - 0.15),
    ],
)
def test_a_workday_follows_the_documented_curve(hour: float, height: float) -> None:
    """Against 21:30, where the first wave is 0 and the second √½ of its height."""
    reference = 1 + 0.55 * math.cos(2 * math.pi * 6 / 24) + 0.15 * math.cos(4 * math.pi * 1.5 / 24)
    assert rate(2, hour) / rate(2, 21.5) == pytest.approx(height / reference, rel=0.005)


@pytest.mark.parametrize(
    ("day", "hour", "share"),
    [
        (4, 21.9, 1.0),
        (4, 23.0, 1 - 0.25 * (1 - math.sqrt(0.5)) / 2),
        (5, 0.0, 0.875),
        (5, 1.0, 1 - 0.25 * (1 + math.sqrt(0.5)) / 2),
        (5, 2.1, 0.75),
        (6, 12.0, 0.75),
        (6, 21.9, 0.75),
        (0, 0.0, 0.875),
        (0, 2.1, 1.0),
    ],
)
def test_a_weekend_is_a_quarter_lower_with_edges_of_four_hours(day: int, hour: float, share: float) -> None:
    assert rate(day, hour) / rate(2, hour) == pytest.approx(share, abs=0.002)


def test_days_begin_on_monday_and_repeat_after_a_week() -> None:
    assert day_night(3600, days=5).counts.size == 120
    two_weeks = day_night(3600, days=14).counts
    assert np.allclose(two_weeks[:168], two_weeks[168:])
    workdays = day_night(3600, days=4).counts
    assert np.allclose(workdays[24:48], workdays[48:72])
    assert workdays[0] < workdays[24]  # Monday's first hours are still the weekend's


def test_steps_divide_a_day_and_are_at_most_an_hour() -> None:
    assert flat(3600, days=1).counts.size == 24
    assert flat(86_400 / 7000, days=1).counts.size == 7000
    for step_s in (86_400 / 23, 3601.0, 0.0, -3600.0, 100.001):
        with pytest.raises(ValueError, match="step_s must divide a day"):
            flat(step_s)
    with pytest.raises(ValueError, match="days must be ≥ 1, is 0"):
        flat(3600, days=0)


def ms(value: float) -> Estimate:
    return Estimate(value=value, lo=0.9 * value, hi=1.2 * value, n=8, method="t")


def test_the_least_and_the_worst_curves() -> None:
    assert ServiceCurve.exact(sizes=(1,), seconds=(1e-9,), sigma=0.0).sigma == 0
    for sizes, seconds, sigma in (
        ((1, 1), (0.1, 0.1), 0.0), ((2, 1), (0.1, 0.2), 0.0), ((0, 1), (0.1, 0.1), 0.0), ((1,), (math.inf,), 0.0),
        ((1,), (-0.1,), 0.0), ((1,), (0.1,), math.inf), ((1,), (0.1,), -1e-9), ((1, 2, 2), (0.1, 0.1, 0.1), 0.0),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="ServiceCurve"):
            ServiceCurve.exact(sizes=sizes, seconds=seconds, sigma=sigma)


def test_the_spread_of_single_batches_is_pooled_over_sizes() -> None:
    """Logs 0 and 1 at each of two sizes: squares of 1/2 each, over 4 − 2 degrees of freedom."""
    seen = ServiceCurve.measured({1: (1.0, math.e), 4: (2.0, 2 * math.e)})
    assert seen.sigma == pytest.approx(math.sqrt(0.5))
    three = ServiceCurve.measured({1: (1.0, math.e, math.sqrt(math.e)), 2: (3.0, 3.0)})
    assert three.sigma == pytest.approx(math.sqrt(0.5 / 3))
    wild = ServiceCurve.measured({1: (1.0, 1000.0)})
    assert wild.sigma == 1.0


def test_ends_of_the_intervals_make_quick_and_slow_curves() -> None:
    rows = ((1, ms(2.0)), (4, ms(6.0)))
    assert ServiceCurve.of(rows, end="lo").seconds == pytest.approx((0.0018, 0.0054))
    assert ServiceCurve.of(rows).service_ms == (ms(2.0), ms(6.0))


def test_a_curve_reaches_to_its_largest_size() -> None:
    curve = ServiceCurve.exact(sizes=(2, 4), seconds=(0.002, 0.004))
    assert curve.upto(4).sizes == (2, 4)
    assert curve.upto(3).sizes == (2,)
    assert curve.by_size_s(1) == pytest.approx([0.002])
    assert curve.by_size_s(4) == pytest.approx([0.002, 0.002, 0.003, 0.004])
    for max_batch in (0, 5):
        with pytest.raises(ValueError, match=r"must lie in \[1, 4\]"):
            curve.by_size_s(max_batch)


def test_one_new_time_scales_the_others_with_their_intervals() -> None:
    curve = ServiceCurve(sizes=(1, 2), service_ms=(ms(1.0), ms(3.0)))
    seen = curve.carried_over({1: ms(2.0)})
    assert seen.service_ms[0] == ms(2.0)
    assert (seen.service_ms[1].lo, seen.service_ms[1].hi) == pytest.approx((5.4, 7.2))
