from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from farthing.core.stats.intervals import mean_t, proportion, quantile, ratio_of_blocks

positive = st.floats(0.01, 1e4)
levels = st.tuples(st.floats(0.5, 0.999), st.floats(0.5, 0.999)).map(sorted)


def nested(inner, outer) -> bool:
    slack = 1e-9 * (1 + abs(inner.value))
    return outer.lo <= inner.lo + slack and inner.hi <= outer.hi + slack


@given(st.lists(st.tuples(positive, positive), min_size=8, max_size=30), levels)
def test_ratio_is_nested_and_inverts(pairs, level) -> None:
    a, b = np.array(pairs).T
    narrow, wide = (ratio_of_blocks(a, b, confidence=c) for c in level)
    assert nested(narrow, wide)
    back = ratio_of_blocks(b, a, confidence=level[0])
    assert back.value == pytest.approx(1 / narrow.value)
    assert back.lo == pytest.approx(1 / narrow.hi)


def test_ratio_ignores_what_both_blocks_share() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(1, 1.1, 8), rng.uniform(1, 1.1, 8)
    drift = np.exp(np.linspace(0, 3, 8))
    first, second = ratio_of_blocks(a, b, confidence=0.9), ratio_of_blocks(a * drift, b * drift, confidence=0.9)
    assert second.lo == pytest.approx(first.lo)
    assert first.method == "t on 8 log ratios"


@pytest.mark.parametrize(
    ("a", "b", "word"),
    [
        ([1.0] * 7, [1.0] * 7, "at least 8 pairs"),
        ([1.0] * 8, [1.0] * 9, "in pairs"),
        ([1.0] * 7 + [0.0], [1.0] * 8, "> 0"),
        ([1.0] * 7 + [math.nan], [1.0] * 8, "finite"),
    ],
)
def test_ratio_refuses(a, b, word) -> None:
    with pytest.raises(ValueError, match=word):
        ratio_of_blocks(a, b, confidence=0.95)


def test_mean_matches_scipy() -> None:
    x = np.random.default_rng(1).normal(3, 2, 15)
    seen = mean_t(x, confidence=0.9)
    lo, hi = stats.t.interval(0.9, 14, x.mean(), stats.sem(x))
    assert (seen.lo, seen.hi) == pytest.approx((lo, hi))
    with pytest.raises(ValueError, match="at least 2"):
        mean_t([1.0])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.floats(0.01, 0.99), levels)
def test_quantile_is_nested_and_made_of_samples(x, q, level) -> None:
    narrow, wide = (quantile(x, q, confidence=c) for c in level)
    assert nested(narrow, wide)
    assert {wide.value, *(e for e in (wide.lo, wide.hi) if math.isfinite(e))} <= set(x)


@given(st.integers(1, 120), st.floats(0.02, 0.98))
@settings(max_examples=60)
def test_quantile_ends_are_the_tightest_allowed(n, q) -> None:
    seen, alpha = quantile(np.arange(1, n + 1), q, confidence=0.9), 0.05
    if math.isfinite(seen.lo):
        assert stats.binom.cdf(seen.lo - 1, n, q) <= alpha + 1e-12
        assert stats.binom.cdf(seen.lo, n, q) > alpha - 1e-12
    else:
        assert stats.binom.cdf(0, n, q) > alpha - 1e-12
    if math.isfinite(seen.hi):
        assert stats.binom.sf(seen.hi - 1, n, q) <= alpha + 1e-12
        assert stats.binom.sf(seen.hi - 2, n, q) > alpha - 1e-12
    else:
        assert stats.binom.sf(n - 1, n, q) > alpha - 1e-12


def test_quantile_says_when_samples_are_too_few() -> None:
    few = quantile(np.arange(100.0), 0.99)
    assert few.hi == math.inf
    assert "too few for upper end" in few.method
    assert math.isfinite(quantile(np.arange(400.0), 0.99).hi)


@given(st.integers(1, 500), st.data(), levels)
def test_proportion_is_nested_monotone_and_symmetric(n, data, level) -> None:
    k = data.draw(st.integers(0, n))
    narrow, wide = (proportion(k, n, c) for c in level)
    assert nested(narrow, wide)
    mirrored = proportion(n - k, n, level[0])
    assert mirrored.lo == pytest.approx(1 - narrow.hi, abs=1e-9)
    if k < n:
        more = proportion(k + 1, n, level[0])
        assert more.lo >= narrow.lo
        assert more.hi >= narrow.hi


def test_proportion_one_sided_and_refusals() -> None:
    assert proportion(0, 450, 0.95, side="upper").hi == pytest.approx(1 - 0.05 ** (1 / 450))
    assert proportion(3, 10, side="lower").hi == 1
    assert proportion(3, 10, side="upper").hi < proportion(3, 10).hi
    for k, n in ((1, 0), (-1, 5), (6, 5)):
        with pytest.raises(ValueError, match="0 ≤ k ≤ n"):
            proportion(k, n)
    with pytest.raises(ValueError, match="confidence"):
        proportion(1, 2, 1.0)
