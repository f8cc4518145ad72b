"""Anytime-valid confidence sequences for the mean of bounded observations: looking early is free.

With probability at least ``confidence`` the interval holds the mean at *every* time at once. Observations need not
be independent: it is enough that each has conditional mean μ given the past, so variance may come in bursts;
autocorrelated *means* break the guarantee. All methods are from Waudby-Smith & Ramdas, "Estimating means of bounded
random variables by betting", JRSS-B 86 (2024), cited as WSR; symbols are theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from farthing.core.stats.compiled import compiled

__all__ = [
    "SAMPLE_RISK",
    "SEQUENCE_RISK",
    "ConfidenceSequence",
    "betting",
    "betting_limits",
    "difference",
    "empirical_bernstein",
    "log_wealth",
    "predictable_bets",
]

SEQUENCE_RISK = 0.5
"""Largest share c of the wealth put at risk in one bet of a sequence (WSR use 1/2 or 3/4)."""
SAMPLE_RISK = 0.75
"""The same for a fixed sample: rare differences need larger bets (0 in 450: limit 0.91 points instead of 1.34)."""
_MOST_EB_BET = 0.5
_FEWEST_GRID = 10

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConfidenceSequence:
    """An interval for the mean after each observation.

    Attributes:
        lo: Lower ends, shape ``(n,)``, never falling.
        hi: Upper ends, shape ``(n,)``, never rising. Where the sequence was broken by data that cannot have one
            mean, lo > hi from then on.
        mean: Running mean of the observations, shape ``(n,)``.
        confidence: Of the whole sequence, in (0, 1).
        method: How it was made.
    """

    lo: Floats
    hi: Floats
    mean: Floats
    confidence: float
    method: str


def betting(x: ArrayLike, *, confidence: float, grid_points: int = 1000) -> ConfidenceSequence:
    """Hedged-capital confidence sequence (WSR, theorem 3): the tighter one for few or rare observations.

    Args:
        x: Observations in [0, 1], shape ``(n,)``, in the order of arrival.
        confidence: Of the whole sequence, two-sided.
        grid_points: Candidate means; the ends are rounded outwards to this grid.

    Raises:
        ValueError: when an observation lies outside [0, 1] or the grid is too coarse.
    """
    values, alpha = _unit(x), _alpha(confidence)
    if grid_points < _FEWEST_GRID:
        raise ValueError(f"grid_points must be ≥ {_FEWEST_GRID}, is {grid_points}")
    bets = predictable_bets(values, math.log(2 / alpha), 0)
    lo, hi = _betting_ends(values, bets, math.log(2 / alpha), grid_points)
    return _sequence(values, lo, hi, confidence, "betting")


def empirical_bernstein(x: ArrayLike, *, confidence: float) -> ConfidenceSequence:
    """Predictable plug-in empirical Bernstein sequence (WSR, theorem 2): closed form, the tighter one for many.

    Args:
        x: Observations in [0, 1], shape ``(n,)``, in the order of arrival.
        confidence: Of the whole sequence, two-sided.

    Raises:
        ValueError: when an observation lies outside [0, 1].
    """
    values, alpha = _unit(x), _alpha(confidence)
    threshold = math.log(2 / alpha)
    lam = np.minimum(predictable_bets(values, threshold, 0), _MOST_EB_BET)
    n = np.arange(1, values.size + 1)
    before = np.concatenate(([0.5], (0.5 + np.cumsum(values)) / (n + 1)))[:-1]
    psi = -np.log1p(-lam) - lam  # v ψ_E with v = 4 (x − μ̂)² and ψ_E = (−log(1 − λ) − λ) / 4
    weight = np.cumsum(lam)
    centre = np.cumsum(lam * values) / weight
    half = (threshold + np.cumsum((values - before) ** 2 * psi)) / weight
    lo = np.maximum.accumulate(np.maximum(centre - half, 0.0))
    hi = np.minimum.accumulate(np.minimum(centre + half, 1.0))
    return _sequence(values, lo, hi, confidence, "empirical Bernstein")


_METHODS: dict[str, Callable[..., ConfidenceSequence]] = {
    "betting": betting,
    "empirical_bernstein": empirical_bernstein,
}


def difference(
    a: ArrayLike,
    b: ArrayLike,
    *,
    confidence: float,
    method: Literal["betting", "empirical_bernstein"] = "betting",
) -> ConfidenceSequence:
    """Confidence sequence for the mean of paired differences a − b.

    Args:
        a: Observations in [0, 1], shape ``(n,)``, in the order of arrival.
        b: Their partners, same shape.
        confidence: Of the whole sequence, two-sided.
        method: Which sequence is applied to (a − b + 1) / 2.

    Returns:
        Ends in [−1, 1].

    Raises:
        ValueError: when shapes differ or an observation lies outside [0, 1].
    """
    first, second = _unit(a), _unit(b)
    if first.shape != second.shape:
        raise ValueError(f"pairs: {first.size} observations of a, {second.size} of b")
    s = _METHODS[method]((first - second + 1) / 2, confidence=confidence)
    return ConfidenceSequence(
        lo=2 * s.lo - 1, hi=2 * s.hi - 1, mean=2 * s.mean - 1, confidence=confidence, method=f"{s.method} on pairs"
    )


def betting_limits(x: ArrayLike, *, confidence: float) -> tuple[float, float]:
    """One-sided lower and upper limits for the mean of a fixed sample (WSR, section 4.4, bets tuned for n).

    Each alone misses with probability at most 1 − confidence, for any distribution on [0, 1].

    Args:
        x: Observations in [0, 1], shape ``(n,)``; the limits depend a little on their order.
        confidence: Of each limit.

    Raises:
        ValueError: when an observation lies outside [0, 1].
    """
    values, alpha = _unit(x), _alpha(confidence)
    threshold = math.log(1 / alpha)
    bets = predictable_bets(values, threshold, values.size)
    upper = _betting_upper(values, bets, threshold)
    return 1 - _betting_upper(1 - values, bets, threshold), upper


@compiled
def predictable_bets(x: Floats, threshold: float, horizon: int) -> Floats:
    """Bets λ_t from the observations before t (WSR, eq. 15 and 26).

    Args:
        x: Observations in [0, 1], shape ``(n,)``.
        threshold: log(1/α) or log(2/α).
        horizon: Sample size that the bets are tuned for, 0 for all times.

    Returns:
        λ_t > 0, shape ``(n,)``, not yet truncated.
    """
    lam = np.empty(x.size)
    total, squares = 0.5, 0.25
    for i in range(x.size):
        t = i + 1
        scale = horizon if horizon > 0 else t * math.log(t + 1)
        lam[i] = math.sqrt(2 * threshold / (squares / t * scale))
        total += x[i]
        squares += (x[i] - total / (t + 1)) ** 2
    return lam


@compiled
def log_wealth(x: Floats, bets: Floats, m: float, risk: float) -> float:
    """Greatest log wealth at any time of one who bets that the mean lies below m (WSR, eq. 22–24).

    Its exponential exceeds 1/α with probability at most α when the conditional means are ≥ m (Ville); it grows
    with m. For the other side use 1 − x and 1 − m; ``risk`` is the largest share of the wealth in one bet.
    """
    most, wealth = 0.0, 0.0
    cap = risk / (1 - m) if m < 1 else math.inf
    for t in range(x.size):
        lam = min(bets[t], cap)
        wealth += math.log1p(lam * (m - x[t]))
        most = max(most, wealth)
    return most


@compiled
def _betting_upper(x: Floats, bets: Floats, threshold: float) -> float:
    lo, hi = 0.0, 1.0
    for _ in range(50):
        mid = (lo + hi) / 2
        if log_wealth(x, bets, mid, SAMPLE_RISK) >= threshold:
            hi = mid
        else:
            lo = mid
    return hi


@compiled
def _betting_ends(x: Floats, bets: Floats, threshold: float, grid_points: int) -> Any:
    """Find the ends of the running intersection on the grid 0, 1/g, … 1, rounded outwards."""
    above, below = np.zeros(grid_points + 1), np.zeros(grid_points + 1)
    first, last = 0, grid_points  # means 0 … first and last … 1 are rejected, but for the very ends
    lo, hi = np.empty(x.size), np.empty(x.size)
    for t in range(x.size):
        for k in range(grid_points + 1):
            m = k / grid_points
            if k > first:
                above[k] += math.log1p(min(bets[t], SEQUENCE_RISK / m) * (x[t] - m))
            if k < last:
                below[k] += math.log1p(min(bets[t], SEQUENCE_RISK / (1 - m)) * (m - x[t]))
        while first < grid_points and above[first + 1] >= threshold:
            first += 1
        while last > 0 and below[last - 1] >= threshold:
            last -= 1
        lo[t], hi[t] = first / grid_points, last / grid_points
    return lo, hi


def _sequence(x: Floats, lo: Floats, hi: Floats, confidence: float, method: str) -> ConfidenceSequence:
    mean = np.cumsum(x) / np.arange(1, x.size + 1)
    return ConfidenceSequence(lo=lo, hi=hi, mean=mean, confidence=confidence, method=method)


def _unit(x: ArrayLike) -> Floats:
    values = np.ascontiguousarray(x, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"observations must be one-dimensional and not empty, have shape {values.shape}")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"observations must lie in [0, 1], span {values.min()} to {values.max()}")
    return values


def _alpha(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), is {confidence}")
    return 1 - confidence
