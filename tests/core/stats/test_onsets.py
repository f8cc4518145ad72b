"""Sums of gamblers who start at every step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.stats.intervals import proportion
from farthing.core.stats.onsets import stakes, wealth_path


def test_all_stakes_together_are_less_than_one():
    for patience in (3, 100, 10_000):
        found = stakes(0, 10**6, patience)
        assert 0 < found.sum() < 1
        assert (np.diff(found) < 0).all()
    assert np.allclose(stakes(700, 50), stakes(0, 750)[700:])


@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.integers(1, 5))
def test_the_path_is_the_recursion(seed, n, kinds):
    rng = np.random.default_rng(seed)
    factors, staked, wealth = rng.uniform(0.5, 1.4, (kinds, n)), rng.random(n), rng.random(kinds)
    found = wealth_path(wealth, staked, factors)
    now = wealth.copy()
    for t in range(n):
        now = (now + staked[t] / kinds) * factors[:, t]
        assert found[:, t] == pytest.approx(now, rel=1e-9)


def test_riches_do_not_overflow():
    assert np.isfinite(wealth_path(np.ones(2), stakes(0, 5000), np.full((2, 5000), 10.0))).all()


def test_no_steps_leave_nothing():
    assert wealth_path(np.ones(3), np.zeros(0), np.zeros((3, 0))).shape == (3, 0)


def test_fair_coins_seldom_make_rich():
    rng, alpha, repeats, n = np.random.default_rng(1), 0.2, 2000, 2000
    ever = 0
    for _ in range(repeats):
        heads = rng.random(n) < 0.5
        factors = np.where(heads, [[1.2], [1.6]], [[0.8], [0.4]])
        ever += wealth_path(np.zeros(2), stakes(0, n, 3), factors).sum(axis=0).max() >= 1 / alpha
    assert proportion(ever, repeats, 0.99).lo <= alpha
    assert ever > 0


def test_a_late_change_is_found():
    rng = np.random.default_rng(2)
    heads = rng.random(30_000) < np.where(np.arange(30_000) < 20_000, 0.5, 0.8)
    path = wealth_path(np.zeros(1), stakes(0, heads.size), np.where(heads, 1.5, 0.5)[None, :])[0]
    assert path[:20_000].max() < 40
    assert np.flatnonzero(path >= 40)[0] < 20_300
