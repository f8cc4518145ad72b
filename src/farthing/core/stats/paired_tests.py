"""Tests of “the mean drop is at most the allowed one” for many candidates at once: one critical region, then look-ups.

0/1 scores: of n pairs w are worse, b better. The region {z(w, b; δ₀) ≤ −c} orders outcomes by Tango's score
statistic at the allowed drop δ₀; c is the least value ≥ z_α at which the region's probability stays ≤ α for every
p_b on the boundary p_w = p_b + δ₀ (an exact unconditional test; below the boundary the probability is larger, above
it smaller, because raising p_w at a fixed p_b raises w stochastically). The supremum is taken over a grid in
sqrt(n p_b) up to n p_b = 400; beyond, Tango's own level exceeds α by less than what c takes away.

Other scores: the betting test for bounded means (Waudby-Smith & Ramdas, JRSS-B 86, 2024) of (drop + 1) / 2.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from farthing.core.stats.paired_limits import region, region_probability, tango_z
from farthing.core.stats.sequences import SAMPLE_RISK, log_wealth, predictable_bets

__all__ = ["bets_reject", "counts_reject", "n_rejecting", "rejecting_z"]

_GRID_STEP = 0.05
_MOST_EXPECTED_BETTER = 400.0
_SPREAD = 9
_LEVEL_MARGIN = 2e-3
"""Share of α kept back for what lies between two points of the grid."""
_Z_STEPS = 12
_Z_SPAN = 3.0
_ORDER_SEED = 20240213
_MOST_SAMPLES = 10**9

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def counts_reject(
    n_worse: ArrayLike, n_better: ArrayLike, n: int, *, allowed: float, alpha: float
) -> NDArray[np.bool_]:
    """Whether the drop is proven to be at most ``allowed``, for 0/1 scores; exact.

    Args:
        n_worse: Pairs on which the candidate is worse, any shape.
        n_better: Pairs on which it is better, same shape.
        n: All pairs, ≥ 1.
        allowed: δ₀ in (0, 1).
        alpha: Largest probability of a wrong proof, in (0, 0.5).

    Returns:
        True where proven, shape of the counts.

    Raises:
        ValueError: when counts are impossible or an argument is out of its domain.
    """
    worse, better = np.asarray(n_worse, dtype=np.int64), np.asarray(n_better, dtype=np.int64)
    if worse.shape != better.shape or (worse < 0).any() or (better < 0).any() or (worse + better > n).any():
        raise ValueError(f"impossible counts of {n} pairs: {n_worse!r} worse, {n_better!r} better")
    if not worse.size:
        return np.zeros(worse.shape, dtype=bool)
    most = _most_worse(n, allowed, alpha, int(better.max()) + 1)
    return np.asarray(worse <= most[better])


def bets_reject(drops: ArrayLike, *, allowed: float, alpha: float) -> bool:
    """Whether the mean drop is proven to be at most ``allowed``, for drops in [−1, 1]; never wrong above alpha.

    Args:
        drops: Baseline − candidate of each pair, shape ``(n,)``; shuffled in a fixed order before betting.
        allowed: In (0, 1).
        alpha: Largest probability of a wrong proof, in (0, 0.5).

    Raises:
        ValueError: when a drop lies outside [−1, 1] or an argument is out of its domain.
    """
    _check(allowed, alpha)
    x = np.asarray(drops, dtype=np.float64)
    if x.ndim != 1 or x.size == 0 or not ((x >= -1) & (x <= 1)).all():
        raise ValueError(f"drops must be one-dimensional, not empty and in [−1, 1]; have shape {x.shape}")
    unit = (np.random.default_rng(_ORDER_SEED).permutation(x) + 1) / 2
    threshold = math.log(1 / alpha)
    bets = predictable_bets(unit, threshold, unit.size)
    return bool(log_wealth(unit, bets, (allowed + 1) / 2, SAMPLE_RISK) >= threshold)


@lru_cache(maxsize=4096)
def rejecting_z(n: int, *, allowed: float, alpha: float) -> float:
    """Critical value c ≥ z_α of the exact test, see the module.

    Raises:
        ValueError: when an argument is out of its domain.
    """
    _check(allowed, alpha)
    if n < 1:
        raise ValueError(f"n must be ≥ 1, is {n}")
    z = -float(special.ndtri(alpha))
    highest = min(_MOST_EXPECTED_BETTER, n * (1 - allowed) / 2)
    roots = np.arange(0.0, math.sqrt(highest) + _GRID_STEP, _GRID_STEP)
    rates = np.minimum(roots**2, highest) / n
    target = alpha * (1 - _LEVEL_MARGIN)

    def holds(c: float, some: Floats) -> bool:
        size = min(n, int(highest + _SPREAD * math.sqrt(highest) + 41)) + 1
        most = region(-1, 0, n, allowed, c, size)
        return all(region_probability(most, n, p + allowed, p) <= target for p in some)

    lo, hi = z, z + _Z_SPAN
    if holds(lo, rates):
        return lo
    for _ in range(_Z_STEPS):
        mid = (lo + hi) / 2
        lo, hi = (lo, mid) if holds(mid, rates) else (mid, hi)
    return hi


def n_rejecting(worse_frac: float, better_frac: float, n: int, *, allowed: float, alpha: float) -> int | None:
    """Pairs at which the test would prove it if the shares stay as seen: z grows with the square root of n.

    Args:
        worse_frac: Share of worse pairs seen.
        better_frac: Share of better ones.
        n: Pairs behind them.
        allowed: δ₀ in (0, 1).
        alpha: Level.

    Returns:
        At least what a drop of exactly 0 in all pairs needs; None when the drop seen is not below the allowed one
        or more than 10⁹ pairs are needed.
    """
    z = tango_z(worse_frac * n, better_frac * n, float(n), allowed)
    if z >= 0:
        return None
    least = math.ceil(math.log(alpha) / math.log1p(-allowed))
    needed = max(least, n * (rejecting_z(n, allowed=allowed, alpha=alpha) / z) ** 2)
    return math.ceil(needed) if needed <= _MOST_SAMPLES else None


@lru_cache(maxsize=4096)
def _most_worse_cached(n: int, allowed: float, alpha: float, size: int) -> Ints:
    return np.asarray(region(-1, 0, n, allowed, rejecting_z(n, allowed=allowed, alpha=alpha), size))


def _most_worse(n: int, allowed: float, alpha: float, size: int) -> Ints:
    """Largest w that rejects for b = 0 … size − 1, −1 where none does."""
    rounded = min(n + 1, 1 << (size - 1).bit_length())  # few sizes, so that the cache is hit
    return _most_worse_cached(n, allowed, alpha, rounded)


def _check(allowed: float, alpha: float) -> None:
    if not 0 < allowed < 1:
        raise ValueError(f"allowed must lie in (0, 1), is {allowed}")
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must lie in (0, 0.5), is {alpha}")
