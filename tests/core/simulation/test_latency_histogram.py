"""Bins of latencies: as narrow as promised, each value in its own, percentiles beside order statistics."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.simulation.latency_histogram import BINS, LatencyHistogram, bin_of, lower_end_s


def histogram_of(latencies_s: list[float]) -> LatencyHistogram:
    bins = np.array([bin_of(s) for s in latencies_s], dtype=np.int64)
    return LatencyHistogram(
        counts=np.bincount(bins, minlength=BINS),
        lowest_s=min(latencies_s, default=math.inf),
        highest_s=max(latencies_s, default=0.0),
    )


def test_bins_are_at_most_half_a_percent_wide_and_join() -> None:
    edges = np.array([lower_end_s(k) for k in range(BINS + 1)])
    assert (np.diff(edges) / edges[:-1]).max() <= 0.005
    assert edges[0] < 1e-6 and edges[-1] > 86_400 * 12


@pytest.mark.parametrize("k", [0, 1, 255, 256, 5120, BINS - 1])
def test_a_bin_holds_its_lower_end_and_not_its_upper_one(k: int) -> None:
    assert bin_of(lower_end_s(k)) == k
    assert bin_of(math.nextafter(lower_end_s(k + 1), 0)) == k


@pytest.mark.parametrize(("latency_s", "k"), [(0.0, 0), (1e-12, 0), (1e9, BINS - 1), (math.inf, BINS - 1)])
def test_what_lies_outside_counts_at_the_ends(latency_s: float, k: int) -> None:
    assert bin_of(latency_s) == k


@given(
    latencies_s=st.lists(st.floats(1e-5, 1e4), min_size=1, max_size=60),
    q=st.floats(0.001, 1.0),
)
def test_percentiles_are_order_statistics_within_half_a_bin(latencies_s: list[float], q: float) -> None:
    rank = max(1, math.ceil(q * len(latencies_s) * (1 - 1e-12)))
    truth = sorted(latencies_s)[rank - 1]
    assert histogram_of(latencies_s).percentile_s(q) == pytest.approx(truth, rel=0.002)


def test_extremes_are_exact() -> None:
    found = histogram_of([0.0123456, 0.02, 0.0789])
    assert found.percentile_s(1.0) == 0.0789
    assert histogram_of([0.0123456]).percentile_s(0.5) == 0.0123456
    assert found.n == 3


def test_of_nothing_there_is_no_percentile() -> None:
    assert math.isnan(histogram_of([]).percentile_s(0.99))


@pytest.mark.parametrize("q", [0.0, 1.01, math.nan])
def test_levels_outside_are_refused(q: float) -> None:
    with pytest.raises(ValueError, match="level"):
        histogram_of([1.0]).percentile_s(q)
