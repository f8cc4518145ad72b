"""Betting by hand: the first bets, the wealth they make, the caps on them, and limits with a closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

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


def test_the_first_bets_by_hand() -> None:
    """WSR eq. 26: λ_t = sqrt(2 log(1/α) / (σ̂² n)), σ̂² from a prior of one observation 1/2 of variance 1/4.

    After x₁ = 1: mean (1/2 + 1) / 2 = 3/4, squares 1/4 + (1 − 3/4)² = 5/16, over t = 2.
    After x₂ = 0: mean (3/2 + 0) / 3 = 1/2, squares 5/16 + (0 − 1/2)² = 9/16, over t = 3.
    """
    x = np.array([1.0, 0.0, 1.0])
    fixed = predictable_bets(x, 3.0, 100)
    assert fixed == pytest.approx(np.sqrt([6 / (1 / 4 * 100), 6 / (5 / 32 * 100), 6 / (9 / 48 * 100)]))
    always = predictable_bets(x, 3.0, 0)
    scales = [1 * math.log(2), 2 * math.log(3), 3 * math.log(4)]
    assert always == pytest.approx(np.sqrt(6 / (np.array([1 / 4, 5 / 32, 9 / 48]) * scales)))
    assert predictable_bets(x, 3.0, 1) == pytest.approx(fixed * 10)


def test_wealth_by_hand() -> None:
    """A bet of 1/2 that the mean is below 0.4: 1 + ½ (0.4 − x); the greatest wealth counts, and never less than 1."""
    bets = np.array([0.5, 0.5, 0.5])
    rich = math.log(1.2) + math.log(1.1)
    assert log_wealth(np.array([0.0, 0.2, 1.0]), bets, 0.4, 0.75) == pytest.approx(rich)
    assert log_wealth(np.array([1.0, 1.0, 0.0]), bets, 0.4, 0.75) == 0.0
    assert log_wealth(np.array([0.9, 0.0, 0.0]), bets, 0.4, 0.75) == pytest.approx(math.log(0.75) + 2 * math.log(1.2))


def test_a_bet_risks_no_more_than_its_share_of_the_wealth() -> None:
    """At m = 1/2 a risk of 3/4 caps the bet at 3/2, of 1/2 at 1; at m = 1 nothing can be lost."""
    one, large = np.array([0.0]), np.array([9.0])
    assert log_wealth(one, large, 0.5, 0.75) == pytest.approx(math.log(1.75))
    assert log_wealth(one, large, 0.5, 0.5) == pytest.approx(math.log(1.5))
    assert log_wealth(one, large, 1.0, 0.75) == pytest.approx(math.log(10))
    assert (SAMPLE_RISK, SEQUENCE_RISK) == (0.75, 0.5)


@pytest.mark.parametrize(("n", "alpha"), [(450, 0.05), (100, 0.1)])
def test_limit_of_a_sample_without_any_drop(n: int, alpha: float) -> None:
    """All observations 1/2: the wealth is Π (1 + λ_t (m − 1/2)); the limit is where it reaches 1/α."""
    lower, upper = betting_limits(np.full(n, 0.5), confidence=1 - alpha)
    assert upper == pytest.approx(1 - lower)
    squares = 0.25 / np.arange(1, n + 1)
    bets = np.minimum(np.sqrt(2 * math.log(1 / alpha) / (squares * n)), 0.75 / (1 - upper))
    assert np.log1p(bets * (upper - 0.5)).sum() == pytest.approx(math.log(1 / alpha), abs=1e-6)


def test_no_drop_in_450_is_known() -> None:
    """The docstring's figure: 0 in 450 gives a limit of 0.91 points of the drop."""
    upper = betting_limits(np.full(450, 0.5), confidence=0.95)[1]
    assert 100 * (2 * upper - 1) == pytest.approx(0.91, abs=0.005)


def test_a_short_sequence_by_hand() -> None:
    """Ones: a mean of m is rejected from below once Π (1 + min(λ, ½ / m) (1 − m)) ≥ 2 / α; nothing from above."""
    x, alpha, grid = np.ones(12), 0.4, 20
    seen = betting(x, confidence=1 - alpha, grid_points=grid)
    bets = predictable_bets(x, math.log(2 / alpha), 0)
    for t in range(1, 13):
        rejected = 0
        for k in range(1, grid):
            m = k / grid
            if np.log1p(np.minimum(bets[:t], 0.5 / m) * (1 - m)).sum() < math.log(2 / alpha):
                break
            rejected = k
        assert seen.lo[t - 1] == pytest.approx(max(rejected / grid, seen.lo[t - 2] if t > 1 else 0))
    assert (seen.hi == 1).all()
    assert 0 < seen.lo[-1] < 1
    mirrored = betting(1 - x, confidence=1 - alpha, grid_points=grid)
    assert mirrored.hi == pytest.approx(1 - seen.lo)
    assert (mirrored.lo == 0).all()


def test_the_running_mean_is_kept() -> None:
    seen = betting([1.0, 0.0, 0.5], confidence=0.9)
    assert seen.mean == pytest.approx([1, 0.5, 0.5])
    assert (seen.confidence, seen.method) == (0.9, "betting")


def test_the_bernstein_sequence_by_hand() -> None:
    """WSR theorem 2 for two observations, 1 and 0, with bets capped at 1/2 and plug-in means 1/2 and 3/4."""
    seen = empirical_bernstein([1.0, 0.0], confidence=0.5)
    lam = np.minimum(predictable_bets(np.array([1.0, 0.0]), math.log(4), 0), 0.5)
    assert lam == pytest.approx([0.5, 0.5])
    psi = math.log(2) - 0.5
    first = (math.log(4) + 0.25 * psi) / 0.5
    second = (math.log(4) + (0.25 + 0.5625) * psi) / 1.0
    assert seen.lo == pytest.approx([max(0, 1 - first), max(0, 0.5 - second)])
    many = empirical_bernstein([1.0, 0.0] * 40, confidence=0.5)
    lam = np.minimum(predictable_bets(np.array([1.0, 0.0] * 40), math.log(4), 0), 0.5)
    plugged = [(0.5 + k // 2 + k % 2) / (k + 1) for k in range(80)]
    x = np.array([1.0, 0.0] * 40)
    half = (math.log(4) + np.cumsum((x - plugged) ** 2 * (-np.log1p(-lam) - lam))) / np.cumsum(lam)
    centre = np.cumsum(lam * x) / np.cumsum(lam)
    assert many.hi == pytest.approx(np.minimum.accumulate(np.minimum(centre + half, 1)))
    assert many.lo == pytest.approx(np.maximum.accumulate(np.maximum(centre - half, 0)))
    assert 0 < many.lo[-1] < many.hi[-1] < 1


@pytest.mark.parametrize("method", ["betting", "empirical_bernstein"])
def test_differences_live_between_minus_one_and_one(method: str) -> None:
    a, b = np.tile([1.0, 0.5], 60), np.tile([0.0, 0.25], 60)
    seen = difference(a, b, confidence=0.9, method=method)  # type: ignore[arg-type]
    plain = {"betting": betting, "empirical_bernstein": empirical_bernstein}[method]((a - b + 1) / 2, confidence=0.9)
    assert seen.lo == pytest.approx(2 * plain.lo - 1)
    assert seen.hi == pytest.approx(2 * plain.hi - 1)
    assert seen.mean[[0, 1]] == pytest.approx([1.0, 0.625])
    assert seen.method.endswith("on pairs")


def test_the_ends_of_the_domains() -> None:
    for confidence in (0.0, 1.0):
        with pytest.raises(ValueError, match="confidence"):
            betting([0.5], confidence=confidence)
    with pytest.raises(ValueError, match="grid_points must be ≥ 10, is 9"):
        betting([0.5], confidence=0.9, grid_points=9)
    assert betting([0.0, 1.0], confidence=0.9, grid_points=10).lo.shape == (2,)
    with pytest.raises(ValueError, match="observations"):
        empirical_bernstein([-0.1], confidence=0.9)
