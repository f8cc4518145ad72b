"""Honest controls for a router: every tier alone, the best fixed split, a random router of equal cost, the oracle."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from farthing.core.route.outcomes import OutcomeMatrix
from farthing.nouns import Estimate

__all__ = [
    "AgainstCoin",
    "Hull",
    "against_coin",
    "beyond_coin",
    "hull_of",
    "needed_frac",
    "oracle",
    "random_router_quality",
]

AgainstCoin = Literal["better", "not told apart", "worse"]
"""What a comparison with a coin of equal mean cost shows."""
_EQUAL = 1e-12
_ROUNDING = 1e-9
"""Of a difference of mean qualities."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hull:
    """Best quality at a mean cost when policies may be mixed at random: concave, never falling.

    Attributes:
        cost_usd: Corners, rising, shape ``(m,)``.
        quality: At the corners, rising, shape ``(m,)``.
    """

    cost_usd: Floats
    quality: Floats

    def quality_at(self, cost_usd: ArrayLike) -> Floats:
        """Best quality for at most this mean cost: flat after the last corner, NaN before the first."""
        cost = np.asarray(cost_usd, dtype=np.float64)
        found = np.interp(cost, self.cost_usd, self.quality)
        return np.asarray(np.where(cost < self.cost_usd[0] - _EQUAL, np.nan, found))

    def cost_at(self, quality: float) -> float | None:
        """Least mean cost at which the quality is reached, None when it never is."""
        if quality > self.quality[-1] + _EQUAL:
            return None
        return float(np.interp(quality, self.quality, self.cost_usd))


def hull_of(cost_usd: ArrayLike, quality: ArrayLike) -> Hull:
    """Upper concave hull of points, cut where quality stops rising (the non-decreasing hull of RouterBench).

    Hu et al., "RouterBench", 2024, section 3: any point between two policies is reached by tossing a coin.

    Args:
        cost_usd: Mean costs, shape ``(m,)``, m ≥ 1.
        quality: Mean qualities, same shape.

    Raises:
        ValueError: when shapes differ or there is no point.
    """
    x, y = np.asarray(cost_usd, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or x.size == 0:
        raise ValueError(f"a hull needs as many costs as qualities, has shapes {x.shape} and {y.shape}")
    corners: list[tuple[float, float]] = []
    for i in np.lexsort((-y, x)):
        point = (float(x[i]), float(y[i]))
        if corners and point[1] <= corners[-1][1]:
            continue
        while len(corners) > 1 and not _turns_down(corners[-2], corners[-1], point):
            corners.pop()
        corners.append(point)
    return Hull(cost_usd=np.array([c for c, _ in corners]), quality=np.array([q for _, q in corners]))


def oracle(matrix: OutcomeMatrix) -> Ints:
    """Tier that a router with full knowledge takes: the cheapest of those with the request's best quality, ``(n,)``.

    No policy has a higher mean quality, and none of equal quality on every request costs less.
    """
    best = matrix.quality >= matrix.quality.max(axis=1, keepdims=True)
    return np.asarray(np.where(best, matrix.cost_usd, np.inf).argmin(axis=1))


def needed_frac(matrix: OutcomeMatrix, tier: str) -> float:
    """Share of requests on which every other tier does worse than this one."""
    column = matrix.tier(tier)
    others = np.delete(matrix.quality, column, axis=1)
    if not others.size:
        return 1.0
    return float((matrix.quality[:, column] > others.max(axis=1)).mean())


def random_router_quality(cost_usd: Floats, tier_cost_usd: Floats, tier_quality: Floats) -> Floats:
    """Expected quality of sending a random share to the dearest tier, the rest to the cheapest, at equal mean cost.

    Args:
        cost_usd: Mean cost to match, any shape; beyond the two tiers' costs the nearer one is meant.
        tier_cost_usd: Mean costs by tier, shape ``(k,)``.
        tier_quality: Mean qualities by tier, shape ``(k,)``.
    """
    low = int(tier_cost_usd.argmin())
    high = tier_cost_usd.size - 1 - int(tier_cost_usd[::-1].argmax())  # of equally dear ones the last
    span = tier_cost_usd[high] - tier_cost_usd[low]
    share = np.clip((cost_usd - tier_cost_usd[low]) / span, 0, 1) if span > 0 else np.ones_like(cost_usd)
    return np.asarray(tier_quality[low] + share * (tier_quality[high] - tier_quality[low]))


def against_coin(beyond: Estimate) -> AgainstCoin:
    """What an interval of the quality beyond a coin's shows: one that lies on one side of 0 decides.

    Args:
        beyond: Quality less that of a coin of equal mean cost; differences of rounding count as none.
    """
    if beyond.lo > _ROUNDING:
        return "better"
    return "worse" if beyond.hi < -_ROUNDING else "not told apart"


def beyond_coin(quality: Floats, cost_usd: Floats, matrix: OutcomeMatrix, *, confidence: float) -> Estimate:
    """Mean quality of a policy less that of the best fixed split of equal mean cost, on the same requests.

    With tiers a and b next to each other on the split's hull and β the slope of quality over cost between them, the
    difference is the mean of ``q − q_a − β (c − c_a)``; its interval takes the slope's own error along (delta method).

    Args:
        quality: Of the policy's answers, expected, shape ``(n,)``.
        cost_usd: Of the policy's requests, expected, shape ``(n,)``.
        matrix: Outcomes of the tiers.
        confidence: Of the interval, in (0, 1).
    """
    a, b = _neighbours_on_hull(float(cost_usd.mean()), matrix)
    q_a, c_a = matrix.quality[:, a], matrix.cost_usd[:, a]
    step_q, step_c = matrix.quality[:, b] - q_a, matrix.cost_usd[:, b] - c_a
    span = float(step_c.mean())
    slope = float(step_q.mean()) / span if span > 0 else 0.0
    share = float((cost_usd - c_a).mean()) / span if span > 0 else 0.0
    each = quality - q_a - slope * (cost_usd - c_a) - share * ((step_q - step_q.mean()) - slope * (step_c - span))
    half = -float(special.ndtri((1 - confidence) / 2)) * float(each.std()) / math.sqrt(matrix.n)
    value = float(each.mean())
    return Estimate(
        value=value,
        lo=value - half,
        hi=value + half,
        n=matrix.n,
        method=f"beyond the best fixed split of equal cost, delta method, {matrix.n} requests",
        confidence=confidence,
    )


def _neighbours_on_hull(cost_usd: float, matrix: OutcomeMatrix) -> tuple[int, int]:
    """Tiers between which the best fixed split of that mean cost tosses its coin; one tier twice beyond its ends."""
    cost, quality = matrix.cost_usd.mean(axis=0), matrix.quality.mean(axis=0)
    hull = hull_of(cost, quality)
    corners = [int(np.flatnonzero((cost == c) & (quality == q))[0]) for c, q in zip(hull.cost_usd, hull.quality)]
    place = int(np.searchsorted(hull.cost_usd, cost_usd))
    if place == 0 or place == len(corners):
        end = corners[0 if place == 0 else -1]
        return end, end
    return corners[place - 1], corners[place]


def _turns_down(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Whether b lies above the line from a to c."""
    return (b[1] - a[1]) * (c[0] - a[0]) > (c[1] - a[1]) * (b[0] - a[0])
