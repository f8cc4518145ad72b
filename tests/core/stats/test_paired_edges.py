"""Paired limits and tests at their edges: scores by hand, regions by enumeration, limits met exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from farthing.core.stats.paired_limits import (
    exact_upper,
    miss_probability,
    region,
    region_probability,
    tango_upper,
    tango_z,
)
from farthing.core.stats.paired_tests import bets_reject, counts_reject, n_rejecting, rejecting_z

Z_95 = float(stats.norm.ppf(0.95))


def enumerated(most: list[int], n: int, p_w: float, p_b: float) -> float:
    """P(w ≤ most[b]) by adding up all outcomes."""
    total = 0.0
    for b, largest in enumerate(most):
        for w in range(min(largest, n - b) + 1):
            total += float(stats.multinomial.pmf([w, b, n - w - b], n, [p_w, p_b, 1 - p_w - p_b]))
    return total


def test_at_no_drop_the_score_is_mcnemars() -> None:
    assert tango_z(9, 4, 100, 0.0) == pytest.approx((9 - 4) / math.sqrt(9 + 4))
    assert tango_z(0, 0, 100, 0.0) == 0
    assert tango_z(4, 9, 100, 0.0) == pytest.approx(-tango_z(9, 4, 100, 0.0))


def test_without_better_pairs_the_score_is_the_binomials() -> None:
    """With b = 0 the constrained p_b is 0 and the variance n δ (1 − δ)."""
    assert tango_z(1, 0, 400, 0.01) == pytest.approx((1 - 4) / math.sqrt(400 * 0.01 * 0.99))
    assert tango_z(0, 0, 100, 1.0) == -math.inf


def test_the_score_at_the_constrained_estimate() -> None:
    """Tango's p_b maximises the likelihood on p_w = p_b + δ; here it is found by search."""
    w, b, n, delta = 12, 5, 200, 0.02
    grid = np.linspace(1e-6, 0.2, 400_001)
    likelihood = w * np.log(grid + delta) + b * np.log(grid) + (n - w - b) * np.log(1 - 2 * grid - delta)
    p_b = grid[likelihood.argmax()]
    variance = n * (2 * p_b + delta * (1 - delta))
    assert tango_z(w, b, n, delta) == pytest.approx((w - b - n * delta) / math.sqrt(variance), rel=1e-4)


def test_the_score_limit_is_where_the_score_is_z() -> None:
    for w, b, n in ((12, 5, 200), (0, 0, 300), (3, 9, 500)):
        assert tango_z(w, b, n, tango_upper(w, b, n, confidence=0.95)) == pytest.approx(-Z_95, abs=1e-5)
    assert tango_upper(0, 0, 300, confidence=0.95) == pytest.approx(Z_95**2 / (300 + Z_95**2), rel=1e-5)


def test_a_region_is_every_outcome_at_or_below_the_limit() -> None:
    n, delta, z = 60, 0.05, 1.3
    found = region(-1, 0, n, delta, z, n + 1)
    for b in range(n + 1):
        inside = [w for w in range(n - b + 1) if tango_z(w, b, n, delta) <= -z * (1 - 1e-9)]
        assert found[b] == max([*inside, found[b - 1] if b else -1])
    assert (np.diff(found) >= 0).all()


def test_a_region_holds_the_outcome_that_it_is_drawn_through() -> None:
    """(w, b) itself belongs, whatever rounding does to its score; fewer better pairs do not get its w."""
    w, b, n = 7, 3, 150
    limit = tango_upper(w, b, n, confidence=0.95)
    through = region(w, b, n, limit, Z_95, 10)
    assert through[b] == w
    assert through[b - 1] < w
    forced = region(50, 2, 100, 0.05, 1.0, 4)
    assert forced[2] == 50
    assert forced[1] < 50
    assert forced.size == 4


@pytest.mark.parametrize(("n", "p_w", "p_b"), [(12, 0.1, 0.2), (30, 0.3, 0.0), (25, 0.0, 0.4), (20, 0.02, 0.9)])
def test_a_regions_probability_is_the_sum_of_its_outcomes(n: int, p_w: float, p_b: float) -> None:
    for most in ([0, 1, 2, 4, 5], [-1, -1, 0, 3, 8, 9, 9], [n] * (n + 1), [-1] * 4, [2]):
        seen = region_probability(np.array(most, dtype=np.int64), n, p_w, p_b)
        assert seen == pytest.approx(enumerated(most, n, p_w, p_b), abs=1e-12)


def test_a_large_regions_probability_needs_no_enumeration() -> None:
    """With the same largest w for every b the worse pairs alone count: a binomial, far from where sums begin."""
    n, p_w, p_b = 20_000, 0.004, 0.05
    for largest in (40, 79, 80, 95):
        most = np.full(n + 1, largest, dtype=np.int64)
        assert region_probability(most, n, p_w, p_b) == pytest.approx(stats.binom.cdf(largest, n, p_w), rel=1e-9)


def test_certain_outcomes() -> None:
    assert region_probability(np.array([-1, -1, 0], dtype=np.int64), 2, 0.0, 1.0) == 1
    assert region_probability(np.array([0, 0, -1], dtype=np.int64), 2, 0.0, 1.0) == 0
    assert region_probability(np.array([0, 0], dtype=np.int64), 2, 0.0, 1.0) == 0
    assert region_probability(np.array([0], dtype=np.int64), 5, 0.0, 0.0) == 1
    assert region_probability(np.array([4], dtype=np.int64), 5, 1.0, 0.0) == 0
    assert region_probability(np.array([5], dtype=np.int64), 5, 1.0, 0.0) == 1


@pytest.mark.parametrize(("w", "n"), [(0, 450), (1, 450), (3, 100), (20, 400), (5, 5)])
def test_without_better_pairs_the_exact_limit_is_clopper_and_pearsons(w: int, n: int) -> None:
    alpha = 0.05 * (1 - 1e-3)  # a thousandth is spent on the nuisance parameter
    expected = 1.0 if w == n else stats.beta.ppf(1 - alpha, w + 1, n - w)
    assert exact_upper(w, 0, n, confidence=0.95) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize(("w", "b", "n"), [(2, 1, 30), (4, 2, 40), (0, 3, 25), (6, 6, 50)])
def test_the_exact_limit_is_the_largest_drop_that_the_region_allows(w: int, b: int, n: int) -> None:
    """At the limit the region has probability α' for the worst p_b of its interval, and less above it."""
    limit = exact_upper(w, b, n, confidence=0.95)
    alpha, gamma = 0.05, 0.05e-3
    p_lo, p_hi = stats.beta.ppf(gamma / 2, b, n - b + 1) if b else 0.0, stats.beta.ppf(1 - gamma / 2, b + 1, n - b)
    most = region(w, b, n, tango_upper(w, b, n, confidence=0.95), Z_95, n + 1)

    def worst(drop: float) -> float:
        edge = min(p_hi, (1 - drop) / 2)
        grid = [p for p in [*np.linspace(p_lo, p_hi, 400), edge] if p + drop >= 0 and 2 * p + drop <= 1]
        return max(region_probability(most, n, p + drop, p) for p in grid)

    assert worst(limit - 1e-3) > alpha - gamma
    assert worst(limit + 1e-4) <= alpha - gamma


def test_limits_at_the_ends_of_the_counts() -> None:
    assert exact_upper(10, 0, 10, confidence=0.95) == 1
    assert -0.5 < exact_upper(0, 10, 10, confidence=0.95) < -0.3
    assert exact_upper(0, 1, 1, confidence=0.95) <= 1


@pytest.mark.parametrize("p_w", [0.47, 0.5, 0.503, 0.51, 0.6])
def test_the_exact_limit_covers_where_every_pair_differs(p_w: float) -> None:
    """On the edge p_w + p_b = 1, which a grid of p_b may step over: no more than 5 % missed."""
    n = 25
    missed = sum(
        float(stats.binom.pmf(w, n, p_w))
        for w in range(n + 1)
        if exact_upper(w, n - w, n, confidence=0.95) < 2 * p_w - 1 - 1e-9
    )
    assert missed <= 0.05


def test_tangos_misses_by_enumeration() -> None:
    n, p_w, p_b = 40, 0.1, 0.05
    missed = 0.0
    for w in range(n + 1):
        for b in range(n - w + 1):
            if tango_upper(w, b, n, confidence=0.95) < p_w - p_b - 1e-9:
                missed += float(stats.multinomial.pmf([w, b, n - w - b], n, [p_w, p_b, 1 - p_w - p_b]))
    assert miss_probability(n, p_w, p_b, confidence=0.95) == pytest.approx(missed, rel=1e-6)


def test_a_proof_without_worse_pairs_by_hand() -> None:
    """0.99²⁹⁹ = 4.95 % and 0.99²⁹⁸ = 5.004 %: no worse pair in 299 proves one point at 95 %, in 298 not quite."""
    assert counts_reject([0], [0], 299, allowed=0.01, alpha=0.05).tolist() == [True]
    assert counts_reject([0], [0], 298, allowed=0.01, alpha=0.05).tolist() == [False]
    assert counts_reject([1], [0], 299, allowed=0.01, alpha=0.05).tolist() == [False]


def test_counts_may_add_up_to_all_pairs_and_keep_their_shape() -> None:
    assert counts_reject(0, 10, 10, allowed=0.1, alpha=0.05).shape == ()
    assert counts_reject([[0, 5]], [[10, 5]], 10, allowed=0.1, alpha=0.05).tolist() == [[True, False]]
    for worse, better in (([-1], [0]), ([0], [-1]), ([6], [5]), ([1, 2], [1])):
        with pytest.raises(ValueError, match="impossible counts of 10 pairs"):
            counts_reject(worse, better, 10, allowed=0.1, alpha=0.05)


def test_the_critical_value_is_the_least_that_holds_the_level() -> None:
    n, allowed, alpha = 200, 0.03, 0.05
    c = rejecting_z(n, allowed=allowed, alpha=alpha)
    assert c >= Z_95
    rates = np.linspace(0, (1 - allowed) / 2, 300)

    def level(z: float) -> float:
        most = region(-1, 0, n, allowed, z, n + 1)
        return max(region_probability(most, n, p + allowed, p) for p in rates)

    assert level(c) <= alpha * 1.0005
    assert c == pytest.approx(Z_95) or level(c - 0.002) > alpha * 0.998


def test_the_domains_of_the_tests() -> None:
    for allowed in (0.0, 1.0):
        with pytest.raises(ValueError, match="allowed"):
            rejecting_z(10, allowed=allowed, alpha=0.05)
    for alpha in (0.0, 0.5):
        with pytest.raises(ValueError, match="alpha"):
            bets_reject([0.0], allowed=0.1, alpha=alpha)
    with pytest.raises(ValueError, match="n must be ≥ 1, is 0"):
        rejecting_z(0, allowed=0.1, alpha=0.05)
    assert rejecting_z(1, allowed=0.1, alpha=0.05) > 0
    for bad in ([], [[0.1]], [-1.1], [math.nan]):
        with pytest.raises(ValueError, match="drops must be"):
            bets_reject(bad, allowed=0.1, alpha=0.05)
    assert bets_reject([-1.0, 1.0], allowed=0.1, alpha=0.05) is False


def test_bets_prove_a_constant_drop_from_a_known_sample_size_on() -> None:
    """Drops of 0 at 2 points allowed: bets of 3/4 of the wealth at most, tuned for n; wealth 20 is enough."""

    def proven(n: int) -> bool:
        return bets_reject(np.zeros(n), allowed=0.02, alpha=0.05)

    def wealth(n: int) -> float:
        m, squares = 0.51, 0.25 / np.arange(1, n + 1)
        bets = np.minimum(np.sqrt(2 * math.log(20) / (squares * n)), 0.75 / (1 - m))
        return float(np.log1p(bets * (m - 0.5)).sum())

    least = next(n for n in range(10, 2000) if wealth(n) >= math.log(20))
    assert proven(least)
    assert not proven(least - 1)


def test_pairs_needed_grow_with_the_square_of_the_score() -> None:
    """n (c / z)², rounded up; a drop of exactly what is allowed needs none, because no number would do."""
    seen = n_rejecting(0.02, 0.01, 400, allowed=0.02, alpha=0.05)
    z = tango_z(8.0, 4.0, 400.0, 0.02)
    assert seen == math.ceil(400 * (rejecting_z(400, allowed=0.02, alpha=0.05) / z) ** 2)
    assert n_rejecting(0.02, 0.0, 400, allowed=0.02, alpha=0.05) is None
    assert n_rejecting(0.0, 0.0, 5000, allowed=0.01, alpha=0.05) == 299  # 0.99²⁹⁹ ≤ 0.05, whatever z promises
    assert n_rejecting(0.02 - 1e-7, 0.0, 400, allowed=0.02, alpha=0.05) is None  # beyond 10⁹
    near = n_rejecting(0.02 - 1e-5, 0.0, 400, allowed=0.02, alpha=0.05)
    assert near is not None
    assert near == pytest.approx(0.02 * 0.98 * rejecting_z(400, allowed=0.02, alpha=0.05) ** 2 / 1e-10, rel=0.01)
