"""Traces cut, joined and thinned, and the week that they repeat."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.traffic.changed_traces import halves, joined, thinned_counts, usual_week
from farthing.core.traffic.shapes import day_night
from farthing.nouns import Trace

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def trace(counts: object, step_s: float = 60.0, start: datetime | None = MONDAY) -> Trace:
    return Trace(name="x", step_s=step_s, counts=np.asarray(counts, dtype=float), start=start)


@given(st.lists(st.integers(1, 9), min_size=2, max_size=50))
def test_halves_join_to_the_whole(counts: list[int]) -> None:
    first, second = halves(trace(counts))
    assert list(joined((first, second)).counts) == counts
    assert second.counts.size - first.counts.size in (0, 1)
    assert second.start == MONDAY + timedelta(minutes=first.counts.size)
    assert joined((first, second)).start == MONDAY


def test_halves_and_joints_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="one step has no halves"):
        halves(trace([5]))
    with pytest.raises(ValueError, match="no requests in 1 steps"):
        halves(trace([0, 5]))
    with pytest.raises(ValueError, match=r"these have \[60.0, 300.0\] s"):
        joined((trace([1]), trace([1], 300.0)))
    with pytest.raises(ValueError, match="these have"):
        joined(())
    assert joined((trace([1]), trace([2]))).name == "x"


def test_thinned_counts_are_binomial() -> None:
    kept = np.array([thinned_counts(trace([40, 400]), 0.25, seed=s).counts for s in range(3000)])
    assert kept.mean(axis=0) == pytest.approx([10, 100], rel=0.02)
    assert kept.var(axis=0) == pytest.approx([7.5, 75], rel=0.1)
    assert np.array_equal(
        thinned_counts(trace([40]), 0.5, seed=1).counts, thinned_counts(trace([40]), 0.5, seed=1).counts
    )
    for counts, share in (([1.5], 0.5), ([4], 0.0), ([4], 1.5)):
        with pytest.raises(ValueError, match=r"thinned|keep_frac"):
            thinned_counts(trace(counts), share, seed=1)


@pytest.mark.parametrize("start_h", [0.0, 34.35, 143.9])
def test_a_week_that_repeats_is_found_wherever_a_trace_begins(start_h: float) -> None:
    shape = day_night(days=21)
    first = round(start_h * 60)
    cut = trace(shape.counts[first : first + 2 * 10_080], start=MONDAY + timedelta(minutes=first))
    week = usual_week(cut)
    assert (week.counts.size, week.step_s, week.start) == (10_080, 60, MONDAY)
    assert week.counts.sum() == pytest.approx(cut.counts.sum() / 2, rel=1e-9)
    assert np.abs(week.counts - shape.counts[:10_080]).max() < 0.02 * shape.counts.max()
    assert week.inferred
    assert week.name == "usual week of x"
    assert week.read_as == "mean by hour over 14 days"


def test_noise_averages_out() -> None:
    rng = np.random.default_rng(1)
    shape = day_night(days=28)
    seen = trace(rng.poisson(5 * shape.counts))
    week = usual_week(seen)
    assert np.sqrt(np.mean((week.counts / 5 - shape.counts[:10_080]) ** 2)) < 0.02 * shape.counts.mean()


def test_of_less_than_a_week_the_day_is_taken() -> None:
    days = trace(day_night(days=3).counts[600:], start=MONDAY + timedelta(hours=10))
    day = usual_week(days)
    assert (day.counts.size, day.start, day.name) == (1440, MONDAY, "usual day of x")
    assert day.counts.argmax() == pytest.approx(day_night().counts[1440:2880].argmax(), abs=60)


def test_without_a_date_the_week_begins_with_the_trace() -> None:
    week = usual_week(trace(np.repeat(np.arange(1, 169), 12), 300.0, start=None))
    assert week.start is None
    assert week.counts[30 : 60 * 168 : 60] == pytest.approx(np.arange(1, 169) / 5, rel=0.01)


def test_less_than_a_day_shows_nothing_that_repeats() -> None:
    with pytest.raises(ValueError, match="it lasts 2 h"):
        usual_week(trace(np.ones(120)))
