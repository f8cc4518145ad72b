"""Which candidates are worth a look: the non-dominated ones, and those that cannot be told from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farthing.nouns import Estimate, Evaluation

__all__ = ["FrontierGroup", "FrontierPoint", "frontier", "non_dominated", "point_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierPoint:
    """A candidate in the three dimensions that are traded; less is better in each.

    Attributes:
        label: Candidate's label.
        cost_usd_per_month: At the trace.
        drop_frac: Baseline's accuracy − candidate's; may be negative.
        tail_ms: Latency at one level, the same for all points.
    """

    label: str
    cost_usd_per_month: Estimate
    drop_frac: Estimate
    tail_ms: Estimate

    @property
    def axes(self) -> tuple[Estimate, Estimate, Estimate]:
        """Cost, drop and latency."""
        return (self.cost_usd_per_month, self.drop_frac, self.tail_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierGroup:
    """A point of the frontier with those that cannot be told apart from it.

    Attributes:
        leader: Index of the non-dominated point.
        tied: Indices of points whose intervals overlap the leader's on every axis, cheapest first.
    """

    leader: int
    tied: tuple[int, ...] = ()


def non_dominated(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Rows that no other row beats: as small on every axis and smaller on one.

    Args:
        values: Shape ``(n, axes)``; less is better. Equal rows do not beat each other.

    Returns:
        Shape ``(n,)``.

    Raises:
        ValueError: when ``values`` is not two-dimensional or holds NaN.
    """
    if values.ndim != 2 or np.isnan(values).any():
        raise ValueError(f"values must be of shape (n, axes) without NaN, is {values!r}")
    no_worse = (values[:, None, :] <= values[None, :, :]).all(axis=2)
    better = (values[:, None, :] < values[None, :, :]).any(axis=2)
    beaten = (no_worse & better).any(axis=0)
    return np.asarray(~beaten, dtype=np.bool_)


def frontier(points: Sequence[FrontierPoint]) -> tuple[FrontierGroup, ...]:
    """Group the frontier, cheapest leader first.

    Leaders are non-dominated by their values. A point joins the first leader whose intervals overlap its own
    on all three axes; a non-dominated point that joins an earlier leader leads no group itself. Overlap is with
    the leader, never through a chain. Of a one-sided interval the missing side is taken as long as the other.
    Dominated points that can be told apart from every leader are in no group.
    """
    if not points:
        return ()
    values = np.array([[axis.value for axis in point.axes] for point in points])
    kept = non_dominated(values)
    order = sorted(range(len(points)), key=lambda i: (*values[i], points[i].label))
    tied: dict[int, list[int]] = {}
    for i in order:
        if kept[i] and _leader(points, tied, i) is None:
            tied[i] = []
    for i in order:
        leader = None if i in tied else _leader(points, tied, i)
        if leader is not None:
            tied[leader].append(i)
    return tuple(FrontierGroup(leader=i, tied=tuple(members)) for i, members in tied.items())


def point_of(evaluation: Evaluation, percentile: float) -> FrontierPoint | None:
    """Take the evaluation as a point, None when it lacks a cost, an accuracy or a latency at that level.

    The baseline is what accuracy is compared with: its drop is 0. Latency is the one at the plan's peak rate
    where that is known, else that of a single stream.
    """
    tail = evaluation.tail_at(percentile)
    if evaluation.accuracy is not None:
        drop = evaluation.accuracy.drop_frac
    elif evaluation.status == "baseline":
        drop = Estimate(value=0.0, lo=0.0, hi=0.0, n=0, method="by definition")
    else:
        return None
    if tail is None or evaluation.cost_usd_per_month is None:
        return None
    return FrontierPoint(
        label=evaluation.candidate.label,
        cost_usd_per_month=evaluation.cost_usd_per_month,
        drop_frac=drop,
        tail_ms=tail.ms,
    )


def _leader(points: Sequence[FrontierPoint], leaders: dict[int, list[int]], i: int) -> int | None:
    return next((leader for leader in leaders if _overlap(points[leader], points[i])), None)


def _overlap(a: FrontierPoint, b: FrontierPoint) -> bool:
    ends = [(*_two_sided(x), *_two_sided(y)) for x, y in zip(a.axes, b.axes)]
    return all(a_lo <= b_hi and b_lo <= a_hi for a_lo, a_hi, b_lo, b_hi in ends)


def _two_sided(estimate: Estimate) -> tuple[float, float]:
    lo, hi = estimate.lo, estimate.hi
    if math.isinf(lo) and math.isfinite(hi):
        lo = estimate.value - (hi - estimate.value)
    elif math.isinf(hi) and math.isfinite(lo):
        hi = estimate.value + (estimate.value - lo)
    return lo, hi
