from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from farthing.core.stats.sequences import (
    SAMPLE_RISK,
    SEQUENCE_RISK,
    betting,
    betting_limits,
    difference,
    empirical_bernstein,
    log_wealth,
    predictable_bets,
)

streams = arrays(np.float64, st.integers(1, 80), elements=st.floats(0, 1))
METHODS = [betting, empirical_bernstein]


@pytest.mark.parametrize("method", METHODS)
@given(x=streams)
@settings(max_examples=50, deadline=None)
def test_sequences_only_shrink_and_nest_in_confidence(method, x) -> None:
    narrow, wide = method(x, confidence=0.8), method(x, confidence=0.99)
    for s in (narrow, wide):
        assert (np.diff(s.lo) >= 0).all()
        assert (np.diff(s.hi) <= 0).all()
        assert s.lo.min() >= 0
        assert s.hi.max() <= 1
    assert wide.lo[-1] <= narrow.hi[-1]


@given(x=streams)
@settings(max_examples=40, deadline=None)
def test_mirrored_observations_mirror_the_sequence(x) -> None:
    s, mirrored = betting(x, confidence=0.9), betting(1 - x, confidence=0.9)
    assert mirrored.lo == pytest.approx(1 - s.hi, abs=2.5e-3)
    b, back = empirical_bernstein(x, confidence=0.9), empirical_bernstein(1 - x, confidence=0.9)
    assert back.lo == pytest.approx(1 - b.hi, abs=1e-9)


@given(x=streams)
@settings(max_examples=40, deadline=None)
def test_grid_and_direct_wealth_agree(x) -> None:
    """A mean inside the reported ends was never rejected; one well outside was."""
    s, bets = betting(x, confidence=0.9, grid_points=200), predictable_bets(x, np.log(2 / 0.1), 0)
    for m in np.linspace(0.01, 0.99, 15):
        over = log_wealth(x, bets, m, SEQUENCE_RISK) >= np.log(20)
        under = log_wealth(1 - x, bets, 1 - m, SEQUENCE_RISK) >= np.log(20)
        if m > s.hi[-1]:
            assert over
        if m < s.lo[-1]:
            assert under
        if s.lo[-1] + 0.006 < m < s.hi[-1] - 0.006:
            assert not over
            assert not under


def test_prefix_gives_the_same_sequence() -> None:
    x = np.random.default_rng(0).random(300)
    for method in METHODS:
        np.testing.assert_allclose(method(x, confidence=0.95).lo[:100], method(x[:100], confidence=0.95).lo)


def test_difference_finds_its_sign() -> None:
    rng = np.random.default_rng(1)
    a, b = (rng.random(3000) < 0.5).astype(float), (rng.random(3000) < 0.35).astype(float)
    for method in ("betting", "empirical_bernstein"):
        s, back = difference(a, b, confidence=0.95, method=method), difference(b, a, confidence=0.95, method=method)
        assert s.lo[-1] > 0
        assert back.hi[-1] < 0
        assert s.lo[-1] < 0.15 < s.hi[-1]
    with pytest.raises(ValueError, match="pairs"):
        difference(a, b[:-1], confidence=0.95)


@given(x=streams)
@settings(max_examples=50, deadline=None)
def test_limits_of_a_fixed_sample_are_ordered_and_nested(x) -> None:
    lo, hi = betting_limits(x, confidence=0.9)
    wide_lo, wide_hi = betting_limits(x, confidence=0.99)
    assert lo >= -1e-9
    assert hi <= 1 + 1e-9
    assert wide_lo <= hi
    assert lo <= wide_hi
    bets = predictable_bets(x, np.log(10), x.size)
    if hi < 1 - 1e-9:
        assert log_wealth(x, bets, hi + 1e-9, SAMPLE_RISK) >= np.log(10) - 1e-9


@pytest.mark.parametrize("x", [[], [[0.1]], [1.1], [np.nan]])
def test_out_of_range_is_refused(x) -> None:
    for method in METHODS:
        with pytest.raises(ValueError, match="observations"):
            method(x, confidence=0.95)
    with pytest.raises(ValueError, match="confidence"):
        betting_limits([0.5], confidence=1.0)
    with pytest.raises(ValueError, match="grid_points"):
        betting([0.5], confidence=0.9, grid_points=2)
