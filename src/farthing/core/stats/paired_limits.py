"""Limits of the difference of two paired proportions: exact unconditional, and Tango's score limit.

Notation: of n pairs, w are worse (baseline right, candidate wrong), b better (the reverse). Under the model
(w, b, n − w − b) is trinomial with p_w, p_b; δ = p_w − p_b is the drop and p_b the nuisance parameter.

The exact limit is Buehler's (Lloyd & Kabaila, Aust. N. Z. J. Stat. 45, 2003): order the outcomes by Tango's upper
limit (Statist. Med. 17, 1998, eq. 4–6), let R be all outcomes at or below the observed one, and report the largest
δ for which sup over p_b of P(R) exceeds α. The supremum is taken over a Clopper–Pearson interval of p_b of
confidence 1 − γ and α is reduced by γ = α / 1000 (Berger & Boos, JASA 89, 1994), which keeps the guarantee for
every p_b. Since that interval moves with b, one more better answer may raise the limit by a fraction of a percent of
its distance from the estimate.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from farthing.core.stats.compiled import compiled

__all__ = ["exact_upper", "miss_probability", "region", "region_probability", "tango_upper", "tango_z"]

_GAMMA_SHARE = 1e-3
_GRID_STEP = 0.02
_NEGLIGIBLE = 1e-16
_TIE = 1e-9

Ints = NDArray[np.int64]


@compiled
def tango_z(w: float, b: float, n: float, delta: float) -> float:
    """Tango's score statistic of drop ``delta``; increasing in w, decreasing in b and delta."""
    B = -w - b + (2 * n - w + b) * delta
    C = -b * delta * (1 - delta)
    p_b = (math.sqrt(max(B * B - 8 * n * C, 0.0)) - B) / (4 * n)
    variance = n * (2 * p_b + delta * (1 - delta))
    gap = w - b - n * delta
    if variance <= 0:
        return 0.0 if gap == 0 else math.copysign(math.inf, gap)
    return gap / math.sqrt(variance)


@compiled
def _tango_root(w: float, b: float, n: float, z: float) -> float:
    """Smallest drop with a score at or below −z, by bisection."""
    lo, hi = (w - b) / n, 1.0
    for _ in range(60):
        mid = (lo + hi) / 2
        if tango_z(w, b, n, mid) > -z:
            lo = mid
        else:
            hi = mid
    return hi


@compiled
def region(w: int, b: int, n: int, delta: float, z: float, size: int) -> Ints:
    """Largest w of the outcomes ordered at or below (w, b), for 0, 1, … size − 1 better; −1 where there is none."""
    most = np.empty(size, np.int64)
    at = -1
    for other in range(size):
        if other == b:
            at = max(at, w)
        while at + 1 + other <= n and tango_z(at + 1, other, n, delta) <= -z * (1 - _TIE):
            at += 1
        most[other] = at
    return most


@compiled
def _log_binomial(k: int, n: int, p: float) -> float:
    if p <= 0.0:
        return 0.0 if k == 0 else -math.inf
    if p >= 1.0:
        return 0.0 if k == n else -math.inf
    log_choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return log_choose + k * math.log(p) + (n - k) * math.log1p(-p)


@compiled
def _binomial_cdf(k: int, n: int, p: float) -> float:
    """P(X ≤ k), summed downwards from k until the rest is negligible."""
    if k < 0:
        return 0.0
    if k >= n or p <= 0.0:
        return 1.0
    if p >= 1.0:
        return 0.0
    mean = n * p
    if k > mean + 9 * math.sqrt(mean) + 40:
        return 1.0
    odds = (1 - p) / p
    term, total, i = math.exp(_log_binomial(k, n, p)), 0.0, k
    while True:
        total += term
        if i == 0 or (i < mean and term < _NEGLIGIBLE):
            return min(total, 1.0)
        term *= i / (n - i + 1) * odds
        i -= 1


@compiled
def region_probability(most: Ints, n: int, p_w: float, p_b: float) -> float:
    """P(w ≤ most[b]) for trinomial (w, b)."""
    if p_b >= 1.0:
        return 1.0 if most.size > n and most[n] >= 0 else 0.0
    ratio = min(p_w / (1 - p_b), 1.0)
    mean = n * p_b
    spread = 9 * math.sqrt(mean) + 40
    first = max(0, int(mean - spread))
    last = min(min(n, most.size - 1), int(mean + spread))
    weight, total = math.exp(_log_binomial(first, n, p_b)), 0.0
    for b in range(first, last + 1):
        if weight > _NEGLIGIBLE:
            total += weight * _binomial_cdf(most[b], n - b, ratio)
        weight *= (n - b) / (b + 1) * p_b / (1 - p_b)
    return total


@compiled
def _worse_rate(most: Ints, n: int, p_b: float, alpha: float, start: float) -> float:
    """Find the p_w at which the region's probability falls to alpha, ≥ start."""
    lo, hi = start, 1 - p_b
    if region_probability(most, n, hi, p_b) > alpha:
        return hi
    step = max(1 / n, start * 0.1)
    while lo + step < hi and region_probability(most, n, lo + step, p_b) > alpha:
        lo += step
        step *= 2
    hi = min(hi, lo + step)
    while hi - lo > 1e-9 + 1e-7 * hi:
        mid = (lo + hi) / 2
        if region_probability(most, n, mid, p_b) > alpha:
            lo = mid
        else:
            hi = mid
    return hi


@compiled
def _drop_where_all_differ(most: Ints, n: int, p_lo: float, p_hi: float, alpha: float, best: float) -> float:
    """Largest drop on the edge p_w + p_b = 1, where p_b ends between two points of the grid; at least ``best``.

    On the edge w is binomial and the region holds its smallest values, so that its probability rises with p_b.
    """
    lo, hi = p_lo, min(p_hi, (1 - best) / 2)
    if hi <= lo or region_probability(most, n, 1 - hi, hi) <= alpha:
        return best
    for _ in range(50):
        mid = (lo + hi) / 2
        if region_probability(most, n, 1 - mid, mid) > alpha:
            hi = mid
        else:
            lo = mid
    return 1 - 2 * lo


@compiled
def _largest_drop(most: Ints, n: int, p_lo: float, p_hi: float, alpha: float, start: float) -> float:
    """Largest p_w − p_b over p_b in [p_lo, p_hi], on a grid of sqrt(n p_b) that is refined around the best."""
    left, right = math.sqrt(n * p_lo), math.sqrt(n * p_hi)
    step = min(_GRID_STEP, (right - left) / 50)
    best, where = start, (left + right) / 2
    points = math.ceil((right - left) / step) + 1
    for level in range(4):
        centre = where
        for i in range(points if level == 0 else 9):
            root = left + i * step if level == 0 else centre + (i - 4) * step
            root = min(max(root, left), right)
            p_b = min(root * root / n, 1.0)
            p_w = best + p_b
            if p_w < 0 or (p_w <= 1 - p_b and region_probability(most, n, p_w, p_b) > alpha):
                best = _worse_rate(most, n, p_b, alpha, max(p_w, 0.0)) - p_b
                where = root
        step /= 4
    return _drop_where_all_differ(most, n, p_lo, p_hi, alpha, best)


def exact_upper(w: int, b: int, n: int, *, confidence: float) -> float:
    """Upper limit of the drop p_w − p_b, exact: missed with probability at most 1 − confidence, whatever p_b.

    Args:
        w: Pairs on which the candidate is worse.
        b: Pairs on which it is better.
        n: All pairs, ≥ w + b.
        confidence: One-sided, in (0.5, 1).

    Returns:
        The limit, in [−1, 1].
    """
    alpha = 1 - confidence
    gamma = alpha * _GAMMA_SHARE
    z = -float(special.ndtri(alpha))
    p_lo = float(special.betaincinv(b, n - b + 1, gamma / 2)) if b > 0 else 0.0
    p_hi = float(special.betainccinv(b + 1, n - b, gamma / 2)) if b < n else 1.0
    score_limit = _tango_root(w, b, n, z)
    size = min(n, int(n * p_hi + 9 * math.sqrt(n * p_hi) + 41)) + 1
    most = region(w, b, n, score_limit, z, size)
    return float(min(1.0, _largest_drop(most, n, p_lo, p_hi, alpha - gamma, (w - b) / n)))


def tango_upper(w: float, b: float, n: float, *, confidence: float) -> float:
    """Tango's score upper limit of the drop (1998, eq. 4–6); counts may be fractional, approximate for few pairs."""
    return float(_tango_root(w, b, n, -float(special.ndtri(1 - confidence))))


def miss_probability(n: int, p_w: float, p_b: float, *, confidence: float) -> float:
    """Probability that Tango's upper limit lies below the true drop, by enumeration of all outcomes.

    The reason for the exact limit while discordant pairs are few: see ``EXACT_DISCORDANT``.
    """
    z = -float(special.ndtri(1 - confidence))
    size = min(n, int(n * p_b + 9 * math.sqrt(n * p_b) + 41)) + 1
    return float(region_probability(region(-1, 0, n, p_w - p_b, z, size), n, p_w, p_b))
