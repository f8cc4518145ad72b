"""Streams scaled, thinned, spliced, cut and spread: relations that hold of any, and distributions in theory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from farthing.core.traffic.arrivals.bursts import Bursts, bursts
from farthing.core.traffic.arrivals.poisson import poisson
from farthing.core.traffic.arrivals.streams import (
    between,
    first_half,
    quickened,
    second_half,
    spliced,
    spread,
    thinned,
)
from farthing.core.traffic.burstiness import burstiness

Floats = NDArray[np.float64]
STORM = Bursts(calm_rps=5, burst_rps=50, calm_s=20, burst_s=5)
instants = st.lists(st.floats(0, 100), min_size=1, max_size=120).map(sorted)


def blocks(at_s: list[float], size: int = 7) -> Iterator[Floats]:
    return (np.array(at_s[k : k + size]) for k in range(0, len(at_s), size))


def whole(found: Iterator[Floats]) -> list[float]:
    return [float(t) for block in found for t in block]


@given(instants, st.integers(1, 9), st.floats(0, 100), st.floats(0, 100))
def test_what_is_cut_out(at_s: list[float], size: int, a: float, b: float) -> None:
    start, end = sorted((a, b))
    assert whole(between(blocks(at_s, size), start, end)) == [t - start for t in at_s if start <= t < end]


@given(instants, st.integers(1, 9))
def test_two_halves_are_the_whole(at_s: list[float], size: int) -> None:
    halves = [whole(first_half(blocks(at_s, size), 100.0)), whole(second_half(blocks(at_s, size), 100.0))]
    assert halves[0] + [50 + t for t in halves[1]] == pytest.approx(at_s)
    assert all(t < 50 for t in halves[0])


@given(st.lists(instants, min_size=1, max_size=4))
def test_spliced_end_to_end(parts: list[list[float]]) -> None:
    found = whole(spliced((blocks(part), 100.0) for part in parts))
    assert found == [100.0 * k + t for k, part in enumerate(parts) for t in part]


def test_streams_that_would_overlap_are_not_spliced() -> None:
    with pytest.raises(ValueError, match=r"instants must lie in \[0, 50.0\] s"):
        list(spliced([(blocks([1.0, 60.0]), 50.0)]))


def test_quickened_keeps_the_shape_of_gaps() -> None:
    slow = burstiness(bursts(STORM, 2e5, seed=3), 2e5, windows_s=(10.0,))
    quick = burstiness(quickened(bursts(STORM, 2e5, seed=3), 10.0), 2e4, windows_s=(1.0,))
    assert quick.by_window[0].idc == pytest.approx(slow.by_window[0].idc, rel=1e-3)
    assert quick.requests == slow.requests
    assert whole(quickened(blocks([1.0, 3.0]), 0.5)) == [2.0, 6.0]
    for wrong in (0.0, -1.0, np.inf):
        with pytest.raises(ValueError, match="factor"):
            quickened(iter(()), wrong)


@pytest.mark.parametrize("keep_frac", [0.1, 0.5])
def test_thinning_is_exact_in_distribution(keep_frac: float) -> None:
    """1 + p (I − 1) of any stream; of one stream of n requests a binomial number is left."""
    found = burstiness(thinned(bursts(STORM, 6e5, seed=9), keep_frac, seed=1), 6e5, windows_s=(1.0, 10.0))
    exact = 1 + keep_frac * (STORM.idc(np.array([1.0, 10.0])) - 1)
    assert [one.idc for one in found.by_window] == pytest.approx(list(exact), rel=0.08)
    at_s = list(poisson(10.0, 100.0, seed=4))
    n = sum(block.size for block in at_s)
    left = np.array([sum(b.size for b in thinned(at_s, keep_frac, seed=s)) for s in range(2000)])
    spread_of = np.sqrt(n * keep_frac * (1 - keep_frac))
    assert left.mean() == pytest.approx(n * keep_frac, abs=4 * spread_of / np.sqrt(left.size))
    assert left.std() == pytest.approx(spread_of, rel=0.07)


def test_thinning_repeats_by_seed() -> None:
    first, again = (whole(thinned(poisson(50.0, 100.0, seed=1), 0.3, seed=2)) for _ in range(2))
    assert first == again
    assert set(first) < set(whole(poisson(50.0, 100.0, seed=1)))
    assert whole(thinned(blocks([1.0, 2.0]), 1.0, seed=1)) == [1.0, 2.0]
    assert list(thinned(blocks([1.0]), 1e-12, seed=1)) == []
    for wrong in (0.0, 1.1, -1.0):
        with pytest.raises(ValueError, match="keep_frac"):
            thinned(iter(()), wrong, seed=1)


@given(instants, st.integers(1, 9))
def test_spread_by_less_than_a_step_and_in_order(at_s: list[float], size: int) -> None:
    floored = [float(np.floor(t)) for t in at_s]
    found = whole(spread(blocks(floored, size), 1.0, seed=5))
    assert sorted(np.floor(found)) == floored
    assert found == sorted(found)
    assert whole(spread(blocks(at_s, size), 0.0, seed=5)) == at_s


def test_a_poisson_stream_in_whole_seconds_is_one_again() -> None:
    floored = (np.floor(block) for block in poisson(20.0, 20_000.0, seed=12))
    mended = np.array(whole(spread(floored, 1.0, seed=13)))
    assert stats.kstest(np.diff(mended) * 20, "expon").pvalue > 0.01
    found = burstiness(iter([mended]), 20_000.0, windows_s=(0.1, 10.0))
    assert all(one.poisson_lo < one.idc < one.poisson_hi for one in found.by_window)
