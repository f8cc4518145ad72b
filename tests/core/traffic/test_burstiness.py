"""Indexes of dispersion and peaks by mean: against counts made in one piece, theory, and exact cases."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.traffic.arrivals.gamma import gamma
from farthing.core.traffic.arrivals.of_traces import placed
from farthing.core.traffic.arrivals.poisson import poisson
from farthing.core.traffic.burstiness import burstiness, burstiness_of_counts
from farthing.core.traffic.shapes import day_night
from farthing.nouns import Trace


@given(
    st.lists(st.floats(0, 99.9), min_size=1, max_size=200).map(sorted),
    st.integers(1, 40),
    st.sampled_from((0.5, 1.0, 7.0, 9.0)),
)
def test_blocks_count_as_one_piece_does(at_s: list[float], size: int, window_s: float) -> None:
    at = np.array(at_s)
    found = burstiness((at[k : k + size] for k in range(0, at.size, size)), 100.0, windows_s=(window_s,))
    n = int(100 / window_s)
    counts = np.bincount((at / window_s).astype(int), minlength=n)[:n].astype(float)
    if not counts.any():
        assert found.by_window == ()
        return
    (one,) = found.by_window
    assert (one.windows, found.requests) == (n, at.size)
    assert one.mean == pytest.approx(counts.mean())
    assert one.idc == pytest.approx(counts.var(ddof=1) / counts.mean())
    assert one.peak_to_mean == pytest.approx(counts.max() / counts.mean())


def test_a_clock_has_no_dispersion() -> None:
    found = burstiness(iter([np.arange(0.005, 1000, 0.01)]), 1000.0, windows_s=(0.01, 1.0, 60.0))
    assert [one.idc for one in found.by_window] == pytest.approx([0, 0, 0], abs=1e-12)
    assert [one.peak_to_mean for one in found.by_window] == pytest.approx([1, 1, 1])


def test_poisson_lies_in_its_band_as_often_as_it_says() -> None:
    """Of 2,000 streams 95 % in windows of a mean of 5; the exact 99.9 % interval of that share."""
    inside = 0
    for seed in range(2000):
        (one,) = burstiness(poisson(5.0, 60.0, seed=seed), 60.0, windows_s=(1.0,)).by_window
        inside += one.poisson_lo < one.idc < one.poisson_hi
    assert 0.93 < inside / 2000 < 0.967


def test_peaks_by_second_minute_and_hour() -> None:
    """Twelve hours of one request a second, with a minute of ten a second and a second of a hundred."""
    at = [np.arange(43_200) + 0.5, 7200 + np.arange(540) / 9 + 0.01, np.full(99, 30_000.25)]
    at_s = np.sort(np.concatenate(at))
    found = burstiness(iter([at_s]), 43_200.0)
    mean = at_s.size / 43_200
    peaks = {w: one.peak_to_mean for w in (1.0, 60.0, 3600.0) if (one := found.at(w)) is not None}
    assert peaks == pytest.approx({1.0: 100 / mean, 60.0: 600 / 60 / mean, 3600.0: (3600 + 540) / 3600 / mean})
    assert found.at(0.5) is None


def test_counts_and_instants_agree() -> None:
    trace = day_night().scaled(0.2)
    whole = Trace(name="x", step_s=60.0, counts=np.round(trace.counts))
    of_counts = burstiness_of_counts(whole)
    of_instants = burstiness(placed(whole, seed=1), 604_800.0)
    assert [one.window_s for one in of_counts.by_window] == [60, 180, 600, 1800, 3600]
    for one in of_counts.by_window:
        assert of_instants.at(one.window_s) == one
    assert of_counts.requests == whole.counts.sum()


def test_steps_that_are_no_usual_window() -> None:
    trace = Trace(name="x", step_s=300.0, counts=np.arange(1.0, 101.0))
    assert [one.window_s for one in burstiness_of_counts(trace).by_window] == [300, 600, 1800]
    short = Trace(name="x", step_s=60.0, counts=np.ones(9))
    assert burstiness_of_counts(short).by_window == ()


def test_windows_finer_than_the_instants_are_left_out() -> None:
    found = burstiness(poisson(1.0, 1000.0, seed=1), 1000.0, resolution_s=1.0)
    assert [one.window_s for one in found.by_window] == [1, 3, 10, 30, 60]


def test_memory_is_constant() -> None:
    tracemalloc.start()
    found = burstiness(gamma(2000.0, 2.0, 1000.0, seed=1), 1000.0, windows_s=(0.01, 1.0, 60.0))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.requests > 1_900_000
    assert peak_bytes < 8e6


def test_wrong_lengths_are_refused() -> None:
    for length_s, windows_s in ((0.0, (1.0,)), (10.0, (0.0,)), (float("nan"), (1.0,))):
        with pytest.raises(ValueError, match="must be > 0"):
            burstiness(iter(()), length_s, windows_s=windows_s)
