"""What a router is worth: its quality × cost curve beside honest controls, with paired bootstrap bands.

One set of bootstrap weights per draw reweights the same requests for every policy, tier and control, so that what
they share cancels in every difference. Terms follow LLMRouterBench (Li et al., arXiv 2601.07206, 2026), where the
*best single* model is the one of the highest mean quality:

- **PerfGain**: how far the router's quality exceeds the best single tier's at most, here at no more than its cost.
- **CostSave**: the share of the best single tier's cost saved at a quality of at least that tier's.
- **ParetoDist** is replaced by the plain list of non-dominated points, since one router is judged, not ten.
- **Area under the curve**: mean of the router's non-decreasing hull over costs from its cheapest point (or tier, where
  that costs more) to the dearest tier (AIQ of RouterBench, Hu et al., 2024), in units of quality.

Points that were chosen on the same requests look better than they are: give a calibration's ladder or a path chosen
on other data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farthing.core.money.frontier import non_dominated
from farthing.core.route.controls import Hull, hull_of, oracle, random_router_quality
from farthing.core.route.outcomes import OutcomeMatrix
from farthing.core.route.policies import Policy, follow, label
from farthing.nouns import Estimate

__all__ = ["DRAWS", "CurvePoint", "RouterEvaluation", "evaluate"]

DRAWS = 1000
"""Of the bootstrap."""
_AREA_STEPS = 200
_ROWS_AT_ONCE = 4096

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """A policy, or a tier alone, on the same requests.

    Attributes:
        label: For tables.
        policy: None for a tier alone.
        quality: Mean.
        cost_usd: Mean of a request.
        over_split: Quality less that of the best fixed split of equal mean cost; beats it where lo > 0.
        over_random: Quality less that of the random router of equal mean cost; beats it where lo > 0.
        to_oracle: The oracle's quality less this one's, ≥ 0.
        pareto: No policy and no tier is as good and as cheap, and better in one.
    """

    label: str
    policy: Policy | None
    quality: Estimate
    cost_usd: Estimate
    over_split: Estimate
    over_random: Estimate
    to_oracle: Estimate
    pareto: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RouterEvaluation:
    """A router's operating points and what they come to.

    Attributes:
        points: One a policy, in the order given.
        tiers: One a tier alone, cheapest first.
        hull: Of the router's points.
        split: Of the tiers' points: the best fixed split at each cost.
        best_single: Tier of the highest quality (of equals the cheapest).
        oracle_quality: Mean quality of the oracle.
        oracle_cost_usd: Mean cost of a request of the oracle.
        cost_save_frac: CostSave, None when the router never reaches the best single tier's quality.
        perf_gain: PerfGain in units of quality, None when no point costs at most the best single tier's.
        area: Under the router's hull.
        split_area: Under the best fixed split over the same costs.
        area_gain: The difference, paired.
        n: Requests.
    """

    points: tuple[CurvePoint, ...]
    tiers: tuple[CurvePoint, ...]
    hull: Hull
    split: Hull
    best_single: str
    oracle_quality: Estimate
    oracle_cost_usd: Estimate
    cost_save_frac: Estimate | None
    perf_gain: Estimate | None
    area: Estimate
    split_area: Estimate
    area_gain: Estimate
    n: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Draws:
    """Means under every draw of weights; row 0 is the data as they are. Shapes ``(1 + draws, …)``."""

    quality: Floats
    cost_usd: Floats
    tier_quality: Floats
    tier_cost_usd: Floats
    oracle_quality: Floats
    oracle_cost_usd: Floats
    n: int
    confidence: float

    def estimate(self, values: Floats) -> Estimate:
        """Percentile interval of a column of draws, NaN draws left out."""
        drawn = values[1:][np.isfinite(values[1:])]
        side = (1 - self.confidence) / 2
        lo, hi = np.quantile(drawn, [side, 1 - side]) if drawn.size else (-np.inf, np.inf)
        value = float(values[0])
        return Estimate(
            value=value,
            lo=min(float(lo), value),
            hi=max(float(hi), value),
            n=self.n,
            method=f"paired bootstrap, {values.size - 1} draws",
            confidence=self.confidence,
        )


def evaluate(
    policies: Sequence[Policy],
    matrix: OutcomeMatrix,
    rng: np.random.Generator,
    *,
    draws: int = DRAWS,
    confidence: float = 0.95,
) -> RouterEvaluation:
    """Judge policies on requests that they were not chosen on.

    Args:
        policies: The router's operating points, at least one.
        matrix: Outcomes of every tier.
        rng: Source of the bootstrap weights.
        draws: Of the bootstrap, ≥ 100.
        confidence: Of every interval, in (0, 1).

    Raises:
        ValueError: when there is no policy, too few draws, or the matrix lacks a tier or a score.
    """
    if not policies or draws < 100 or not 0 < confidence < 1:
        raise ValueError(
            f"needs a policy, draws ≥ 100 and confidence in (0, 1): {len(policies)}, {draws}, {confidence}"
        )
    d = _drawn(policies, matrix, rng, draws, confidence)
    best = _best_single(d)
    saves, gains, areas, split_areas = (np.full(draws + 1, np.nan) for _ in range(4))
    for i in range(draws + 1):
        router, split = hull_of(d.cost_usd[i], d.quality[i]), hull_of(d.tier_cost_usd[i], d.tier_quality[i])
        saves[i], gains[i] = _save_and_gain(router, d.tier_cost_usd[i, best], d.tier_quality[i, best])
        ends = max(d.tier_cost_usd[i].min(), router.cost_usd[0]), d.tier_cost_usd[i].max()
        areas[i], split_areas[i] = _area(router, *ends), _area(split, *ends)
    points, tiers = _points(policies, matrix, d)
    return RouterEvaluation(
        points=points,
        tiers=tiers,
        hull=hull_of(d.cost_usd[0], d.quality[0]),
        split=hull_of(d.tier_cost_usd[0], d.tier_quality[0]),
        best_single=matrix.tiers[best],
        oracle_quality=d.estimate(d.oracle_quality),
        oracle_cost_usd=d.estimate(d.oracle_cost_usd),
        cost_save_frac=d.estimate(saves) if np.isfinite(saves[0]) else None,
        perf_gain=d.estimate(gains) if np.isfinite(gains[0]) else None,
        area=d.estimate(areas),
        split_area=d.estimate(split_areas),
        area_gain=d.estimate(areas - split_areas),
        n=matrix.n,
    )


def _drawn(
    policies: Sequence[Policy], matrix: OutcomeMatrix, rng: np.random.Generator, draws: int, confidence: float
) -> _Draws:
    routed = [follow(policy, matrix) for policy in policies]
    rows, known = np.arange(matrix.n), oracle(matrix)
    columns = np.column_stack(
        [r.quality for r in routed]
        + [r.cost_usd for r in routed]
        + [matrix.quality, matrix.cost_usd, matrix.quality[rows, known], matrix.cost_usd[rows, known]]
    )
    p, k = len(policies), len(matrix.tiers)
    means = np.empty((draws + 1, columns.shape[1]))
    means[0] = columns.mean(axis=0)
    step = max(1, _ROWS_AT_ONCE * 256 // matrix.n)
    for start in range(1, draws + 1, step):
        stop = min(start + step, draws + 1)
        weights = rng.multinomial(matrix.n, np.full(matrix.n, 1 / matrix.n), size=stop - start)
        means[start:stop] = weights @ columns / matrix.n
    parts = np.split(means, np.cumsum([p, p, k, k, 1]), axis=1)
    return _Draws(
        quality=parts[0],
        cost_usd=parts[1],
        tier_quality=parts[2],
        tier_cost_usd=parts[3],
        oracle_quality=parts[4][:, 0],
        oracle_cost_usd=parts[5][:, 0],
        n=matrix.n,
        confidence=confidence,
    )


def _best_single(d: _Draws) -> int:
    return int(np.lexsort((d.tier_cost_usd[0], -d.tier_quality[0]))[0])


def _save_and_gain(router: Hull, cost_usd: float, quality: float) -> tuple[float, float]:
    least = router.cost_at(quality)
    save = np.nan if least is None or cost_usd <= 0 else 1 - least / cost_usd
    return save, float(router.quality_at(cost_usd)) - quality


def _area(hull: Hull, lo_usd: float, hi_usd: float) -> float:
    """Mean quality of the hull over a range of costs that does not begin before its first corner."""
    if hi_usd <= lo_usd:
        return float(hull.quality[-1])
    at = lo_usd + (np.arange(_AREA_STEPS) + 0.5) / _AREA_STEPS * (hi_usd - lo_usd)
    return float(hull.quality_at(at).mean())


def _points(
    policies: Sequence[Policy], matrix: OutcomeMatrix, d: _Draws
) -> tuple[tuple[CurvePoint, ...], tuple[CurvePoint, ...]]:
    cost = np.column_stack([d.cost_usd, d.tier_cost_usd])
    quality = np.column_stack([d.quality, d.tier_quality])
    split, chance = np.empty_like(cost), np.empty_like(cost)
    for i in range(cost.shape[0]):
        tiers = hull_of(d.tier_cost_usd[i], d.tier_quality[i])
        split[i] = tiers.quality_at(np.maximum(cost[i], tiers.cost_usd[0]))
        chance[i] = random_router_quality(cost[i], d.tier_cost_usd[i], d.tier_quality[i])
    best = non_dominated(np.column_stack([cost[0], -quality[0]]))
    names = [label(policy) for policy in policies] + [f"always {tier}" for tier in matrix.tiers]
    given: list[Policy | None] = [*policies, *(None for _ in matrix.tiers)]
    points = tuple(
        CurvePoint(
            label=name,
            policy=policy,
            quality=d.estimate(quality[:, i]),
            cost_usd=d.estimate(cost[:, i]),
            over_split=d.estimate(quality[:, i] - split[:, i]),
            over_random=d.estimate(quality[:, i] - chance[:, i]),
            to_oracle=d.estimate(d.oracle_quality - quality[:, i]),
            pareto=bool(best[i]),
        )
        for i, (name, policy) in enumerate(zip(names, given))
    )
    return points[: len(policies)], points[len(policies) :]
