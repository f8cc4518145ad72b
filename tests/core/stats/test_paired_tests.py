"""The tests of a drop: exact level by enumeration and by simulation, agreement with the gate, power printed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from farthing.core.stats.intervals import proportion
from farthing.core.stats.noninferiority import drop_upper
from farthing.core.stats.paired_tests import bets_reject, counts_reject, n_rejecting, rejecting_z

ALPHA, REPEATS = 0.05, 20_000


def passes(n: int, worse: float, better: float, allowed: float, alpha: float = ALPHA):
    rng = np.random.default_rng([n, int(1e6 * worse), int(1e6 * better)])
    w, b, _ = rng.multinomial(n, [worse, better, 1 - worse - better], size=REPEATS).T
    return proportion(int(counts_reject(w, b, n, allowed=allowed, alpha=alpha).sum()), REPEATS, 0.99)


@pytest.mark.parametrize("better", [0.0, 0.001, 0.005, 0.02, 0.1, 0.3])
@pytest.mark.parametrize(("n", "allowed"), [(300, 0.01), (598, 0.005), (3000, 0.005), (6000, 0.005)])
def test_error_at_the_null(n, allowed, better) -> None:
    seen = passes(n, allowed + better, better, allowed)
    assert seen.lo <= ALPHA, seen


@pytest.mark.parametrize(("n", "worse", "better"), [(3000, 0.0035, 0.002), (6000, 0.006, 0.004), (600, 0.0, 0.0)])
def test_power(n, worse, better) -> None:
    seen = passes(n, worse, better, 0.005)
    print(f"power of {n} pairs at {worse} worse, {better} better, 0.005 allowed: {seen.value:.3f}")
    assert seen.lo > 0.3


@given(st.integers(20, 200), st.floats(0.01, 0.2), st.floats(0.01, 0.2))
@settings(max_examples=20, deadline=None)
def test_level_by_enumeration(n, allowed, alpha) -> None:
    b, w = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    inside = w + b <= n
    rejected = np.zeros_like(inside)
    rejected[inside] = counts_reject(w[inside], b[inside], n, allowed=allowed, alpha=alpha)
    for better in (0.0, 0.004, 0.03, 0.11, 0.3, (1 - allowed) / 2):
        p = stats.multinomial.pmf(
            np.stack([w[rejected], b[rejected], n - w[rejected] - b[rejected]], axis=-1),
            n,
            [allowed + better, better, max(0.0, 1 - allowed - 2 * better)],
        )
        assert p.sum() <= alpha * 1.0005


@given(st.integers(50, 2000), st.data())
@settings(max_examples=40, deadline=None)
def test_fewer_worse_or_more_better_never_hurts(n, data) -> None:
    w, b = data.draw(st.integers(0, n // 3)), data.draw(st.integers(0, n // 3))
    one, fewer, more = counts_reject([w, max(w - 1, 0), w], [b, b, b + 1], n, allowed=0.02, alpha=0.05)
    assert one <= fewer
    assert one <= more


def test_it_agrees_with_the_gate_but_for_a_few_borders() -> None:
    w, b = (x.ravel() for x in np.meshgrid(np.arange(0, 80, 8), np.arange(0, 40, 8)))
    ours = counts_reject(w, b, 4200, allowed=0.005, alpha=0.05)
    gate = np.array([drop_upper(int(i), int(j), 4200, confidence=0.95) <= 0.005 for i, j in zip(w, b)])
    assert (ours != gate).sum() <= 1
    assert ours.any()
    assert not ours.all()


def test_the_critical_value_costs_little() -> None:
    assert 1.6448 < rejecting_z(6000, allowed=0.005, alpha=0.05) < 1.66


def test_n_that_would_reject() -> None:
    few = n_rejecting(0.004, 0.002, 500, allowed=0.005, alpha=0.05)
    assert few is not None
    assert 500 < few < 20_000
    m = 2 * few
    assert counts_reject(round(0.004 * m), round(0.002 * m), m, allowed=0.005, alpha=0.05)
    assert n_rejecting(0.0, 0.0, 100, allowed=0.005, alpha=0.05) == 598
    assert n_rejecting(0.01, 0.002, 500, allowed=0.005, alpha=0.05) is None


@pytest.mark.parametrize("share", [1.0, 0.05])
def test_bets_at_the_null(share) -> None:
    rng, repeats, allowed, n = np.random.default_rng(7), 10_000, 0.02, 300
    centre = allowed / share
    differ = rng.random((repeats, n)) < share
    drops = np.where(differ, centre + rng.uniform(-1, 1, (repeats, n)) * (0.9 - centre), 0.0)
    wrong = sum(bets_reject(row, allowed=allowed, alpha=ALPHA) for row in drops)
    seen = proportion(wrong, repeats, 0.99)
    assert seen.lo <= ALPHA, seen


def test_bets_find_no_loss() -> None:
    rng = np.random.default_rng(8)
    found = [bets_reject(rng.normal(0, 0.03, 800).clip(-1, 1), allowed=0.02, alpha=ALPHA) for _ in range(200)]
    print(f"power of 800 bets at no loss, 0.02 allowed: {np.mean(found):.3f}")
    assert np.mean(found) > 0.5


def test_refusals() -> None:
    with pytest.raises(ValueError, match="impossible counts of 10 pairs"):
        counts_reject([6], [5], 10, allowed=0.1, alpha=0.05)
    with pytest.raises(ValueError, match="allowed must lie"):
        counts_reject([0], [0], 10, allowed=0.0, alpha=0.05)
    with pytest.raises(ValueError, match="alpha must lie"):
        bets_reject([0.1], allowed=0.1, alpha=0.7)
    with pytest.raises(ValueError, match=r"in \[−1, 1\]"):
        bets_reject([1.1], allowed=0.1, alpha=0.05)
    assert counts_reject([], [], 10, allowed=0.1, alpha=0.05).size == 0
