"""Intervals at their edges: figures by hand or from tables, the ends of every domain, one more or one fewer."""

from __future__ import annotations

import math

import numpy as np
import pytest

from farthing.core.stats.intervals import mean_t, proportion, quantile, ratio_of_blocks

T_7 = 2.364624
"""Student's t, 7 degrees of freedom, 97.5 % (any table)."""


def test_a_ratio_of_eight_blocks_by_hand() -> None:
    logs = np.array([1.0, -1.0] * 4) + 2  # mean 2, sample variance 8/7
    seen = ratio_of_blocks(np.exp(logs), np.ones(8), confidence=0.95)
    half = T_7 * math.sqrt(8 / 7) / math.sqrt(8)
    assert (math.log(seen.lo), math.log(seen.value), math.log(seen.hi)) == pytest.approx((2 - half, 2, 2 + half))
    assert (seen.n, seen.confidence) == (8, 0.95)


def test_blocks_may_be_small_but_not_zero_or_negative_on_either_side() -> None:
    ones, tiny = [1.0] * 8, [1e-300] + [1.0] * 7
    assert ratio_of_blocks(tiny, tiny, confidence=0.9).value == 1
    assert ratio_of_blocks(ones, [0.5] * 8, confidence=0.9).value == pytest.approx(2)
    for a, b, least in ((ones, [0.0, *ones[1:]], "0.0"), ([-2.0, *ones[1:]], ones, "-2.0")):
        with pytest.raises(ValueError, match=f"the least is {least}"):
            ratio_of_blocks(a, b, confidence=0.9)


def test_two_samples_are_enough_for_a_mean() -> None:
    seen = mean_t([0.0, 2.0])
    assert (seen.lo, seen.value, seen.hi) == pytest.approx((1 - 12.7062, 1, 1 + 12.7062), rel=1e-5)
    assert (seen.n, seen.confidence) == (2, 0.95)


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.1, 1.1])
def test_confidence_lies_strictly_between_zero_and_one(confidence: float) -> None:
    for make in (
        lambda: mean_t([0.0, 1.0], confidence=confidence),
        lambda: quantile([0.0, 1.0], 0.5, confidence=confidence),
        lambda: proportion(1, 2, confidence),
    ):
        with pytest.raises(ValueError, match=r"confidence must lie in \(0, 1\)"):
            make()
    for q in (0.0, 1.0):
        with pytest.raises(ValueError, match=r"q must lie in \(0, 1\)"):
            quantile([0.0, 1.0], q)


def test_samples_are_one_row_of_finite_numbers() -> None:
    for bad in ([], [[1.0, 2.0]], 1.0):
        with pytest.raises(ValueError, match="one-dimensional and not empty"):
            mean_t(bad)
    with pytest.raises(ValueError, match="has 2 values that are not"):
        mean_t([math.nan, math.inf, 1.0])


def test_the_median_of_a_hundred_has_the_tables_ranks() -> None:
    """David & Nagaraja's table: ranks 40 and 61 cover the median of 100 with 95 %; given in any order."""
    seen = quantile(np.random.default_rng(0).permutation(np.arange(1.0, 101)), 0.5)
    assert (seen.lo, seen.value, seen.hi) == (40, 50, 61)
    assert (seen.n, seen.method) == (100, "order statistics of 100 samples")


@pytest.mark.parametrize(("q", "rank"), [(0.05, 1), (0.1, 1), (0.11, 2), (0.3, 3), (0.31, 4), (0.9, 9), (0.91, 10)])
def test_a_quantiles_value_is_the_least_sample_with_enough_below(q: float, rank: int) -> None:
    assert quantile(np.arange(1.0, 11), q).value == rank


def test_both_ends_may_be_out_of_reach() -> None:
    seen = quantile([3.0], 0.5)
    assert (seen.lo, seen.value, seen.hi) == (-math.inf, 3, math.inf)
    assert seen.method == "order statistics of 1 samples; too few for lower or upper end"
    # 0.5⁶ = 1.6 % < 2.5 % < 3.1 % = 0.5⁵: six samples reach both ends of the median, five neither.
    assert np.isfinite([quantile(np.arange(6.0), 0.5).lo, quantile(np.arange(6.0), 0.5).hi]).all()
    assert not np.isfinite([quantile(np.arange(5.0), 0.5).lo, quantile(np.arange(5.0), 0.5).hi]).any()


def test_a_share_of_ten_has_the_tables_ends() -> None:
    """Clopper and Pearson's own chart: 1 of 10 is 0.25 % to 44.5 %; all the error on one side: 0.51 %, 39.4 %."""
    both, lower, upper = proportion(1, 10), proportion(1, 10, side="lower"), proportion(1, 10, side="upper")
    assert (both.lo, both.value, both.hi) == pytest.approx((0.002529, 0.1, 0.445016), abs=1e-6)
    assert (lower.lo, lower.hi) == pytest.approx((0.005116, 1), abs=1e-6)
    assert (upper.lo, upper.hi) == pytest.approx((0, 0.394163), abs=1e-6)
    assert (both.method, lower.method) == ("Clopper-Pearson", "Clopper-Pearson, lower limit")
    assert (both.n, both.confidence) == (10, 0.95)


def test_none_and_all_close_one_end() -> None:
    none, every = proportion(0, 10), proportion(10, 10)
    assert (none.lo, none.hi) == pytest.approx((0, 1 - 0.025**0.1))
    assert (every.lo, every.hi) == pytest.approx((0.025**0.1, 1))
    assert proportion(10, 10, side="lower").lo == pytest.approx(0.05**0.1)
    assert proportion(0, 1).value == 0
    assert proportion(1, 1).value == 1
