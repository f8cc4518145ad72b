"""Honest controls for a router: every tier alone, the best fixed split, a random router of equal cost, the oracle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from farthing.core.route.outcomes import OutcomeMatrix

__all__ = ["Hull", "hull_of", "needed_frac", "oracle", "random_router_quality"]

_EQUAL = 1e-12

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


def _turns_down(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Whether b lies above the line from a to c."""
    return (b[1] - a[1]) * (c[0] - a[0]) > (c[1] - a[1]) * (b[0] - a[0])
