"""Families of policies that share scores and tiers and differ in thresholds, and the means of a whole grid at once.

For every family of at most two thresholds the mean loss, its variance and the mean cost of all pairs of thresholds
come from matrix products of accept masks: with A (rows: first threshold) and B (second), the mean of a quantity that
is u where the first tier answers, v where the second does and r where the last does is
``mean(r) + A·(u − r)/n + (1 − A)·diag(v − r)·Bᵀ/n``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from farthing.core.route.outcomes import OutcomeMatrix
from farthing.core.route.policies import Cascade, FixedTier, Policy, PreRoute

__all__ = ["Family", "GridMeans", "families_of", "grid_means"]

ONE_THRESHOLD = 64
"""Quantiles of the score that are tried where one threshold decides."""
TWO_THRESHOLDS = 20
"""The same for each of two thresholds."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Policies of one form.

    Attributes:
        kind: ``fixed``, ``pre_route`` or ``cascade``.
        tiers: One tier for fixed, else two or three, the last takes the rest.
        scores: None for fixed, one for pre_route, one a tier but the last for cascade.
    """

    kind: Literal["fixed", "pre_route", "cascade"]
    tiers: tuple[str, ...]
    scores: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wanted = {"fixed": (1, 0), "pre_route": (len(self.tiers), 1), "cascade": (len(self.tiers), len(self.tiers) - 1)}
        most = 1 if self.kind == "fixed" else 3
        least = 1 if self.kind == "fixed" else 2
        if not least <= len(self.tiers) <= most or (len(self.tiers), len(self.scores)) != wanted[self.kind]:
            raise ValueError(f"Family: {self.kind} of {least} to {most} tiers with their scores wanted: {self!r}")

    @property
    def name(self) -> str:
        """For tables: form, scores, tiers."""
        by = f" by {', '.join(self.scores)}" if self.scores else ""
        return f"{self.kind.replace('_', '-')} {' → '.join(self.tiers)}{by}"

    def policy(self, thresholds: Sequence[float]) -> Policy:
        """The member with these thresholds."""
        if self.kind == "fixed":
            return FixedTier(tier=self.tiers[0])
        if self.kind == "pre_route":
            return PreRoute(tiers=self.tiers, score=self.scores[0], thresholds=tuple(thresholds))
        return Cascade(tiers=self.tiers, scores=self.scores, thresholds=tuple(thresholds))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GridMeans:
    """A family's members and what they do on average.

    Attributes:
        family: Which.
        thresholds: Shape ``(members, tiers − 1)``.
        loss_frac: Mean quality of the reference − the member's, shape ``(members,)``.
        loss_std_frac: Standard deviation of that loss over requests, shape ``(members,)``.
        cost_usd: Mean cost, shape ``(members,)``.
    """

    family: Family
    thresholds: Floats
    loss_frac: Floats
    loss_std_frac: Floats
    cost_usd: Floats


def families_of(matrix: OutcomeMatrix, *, reference: str) -> tuple[Family, ...]:
    """All forms worth comparing: every tier alone, and every pair and triple of tiers that ends at the reference.

    A pre-routing score needs no tier; a cascade judges each tier by the scores that need its answer. Tiers named
    after the reference are only tried alone.

    Raises:
        ValueError: when the reference is no tier.
    """
    below = matrix.tiers[: matrix.tier(reference)]
    found = [Family(kind="fixed", tiers=(tier,)) for tier in matrix.tiers]
    for size in (1, 2):
        for chain in combinations(below, size):
            tiers = (*chain, reference)
            found += [
                Family(kind="pre_route", tiers=tiers, scores=(name,))
                for name, score in matrix.scores.items()
                if not score.needs
            ]
            found += [Family(kind="cascade", tiers=tiers, scores=names) for names in _judges(matrix, chain)]
    return tuple(found)


def _judges(matrix: OutcomeMatrix, chain: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Every choice of one score a tier that needs this tier's answer."""
    if not chain:
        yield ()
        return
    for name, score in matrix.scores.items():
        if chain[0] in score.needs:
            for rest in _judges(matrix, chain[1:]):
                yield (name, *rest)


def grid_means(
    family: Family, matrix: OutcomeMatrix, *, reference: str, rows: NDArray[np.bool_] | None = None
) -> GridMeans:
    """Means of every member on a grid of quantiles of its scores, the last one −inf.

    Members that leave a tier without requests are left out: they are members of a smaller family, or a tier alone
    at a higher cost.

    Args:
        family: Which members.
        matrix: Outcomes; thresholds are taken from the scores of all its requests.
        reference: Tier that losses are counted against.
        rows: Mask of the requests that means are over, shape ``(n,)``; None for all.

    Raises:
        ValueError: when the matrix lacks a tier or a score, or no row is left.
    """
    chosen = np.ones(matrix.n, dtype=bool) if rows is None else rows
    if not chosen.any():
        raise ValueError("no request is left to take means over")
    columns = [matrix.tier(name) for name in family.tiers]
    drop = matrix.quality[:, [matrix.tier(reference)]] - matrix.quality[:, columns]
    tables = [table[chosen] for table in (drop, drop**2, _costs(family, matrix))]
    if family.kind == "fixed":
        return _means(family, np.zeros((1, 0)), [table.mean(axis=0) for table in tables])
    names = family.scores if family.kind == "cascade" else family.scores * (len(columns) - 1)
    values = [matrix.scores[name].values for name in names]
    grids = [_quantiles(x, ONE_THRESHOLD if len(values) == 1 else TWO_THRESHOLDS) for x in values]
    masks = [(x[None, :] >= grid[:, None]).astype(np.float64) for x, grid in zip(values, grids)]
    thresholds = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1).reshape(-1, len(grids))
    kept = _divides(masks, matrix.n)
    if family.kind == "pre_route" and len(grids) == 2:
        kept &= thresholds[:, 0] >= thresholds[:, 1]
    masks = [mask[:, chosen] for mask in masks]
    return _means(family, thresholds[kept], [_mean_table(masks, table)[kept] for table in tables])


def _costs(family: Family, matrix: OutcomeMatrix) -> Floats:
    """Cost of a request by the tier of the family that answers it, shape ``(n, tiers)``."""
    columns = [matrix.tier(name) for name in family.tiers]
    found = np.empty((matrix.n, len(columns)))
    for place, column in enumerate(columns):
        ran, extra = {column}, 0.0
        asked = place + 1 if family.kind == "cascade" else 1
        if family.kind == "cascade":
            ran |= set(columns[: place + 1])
        for name in family.scores[:asked]:
            score = matrix.scores[name]
            ran |= {matrix.tier(tier) for tier in score.needs}
            extra += score.cost_usd
        found[:, place] = matrix.cost_usd[:, sorted(ran)].sum(axis=1) + extra
    return found


def _mean_table(masks: Sequence[Floats], by_tier: Floats) -> Floats:
    """Mean over requests of a quantity given by answering tier, for every combination of thresholds, flat."""
    n, last = by_tier.shape[0], by_tier[:, -1]
    first = masks[0] @ (by_tier[:, 0] - last) / n
    if len(masks) == 1:
        return np.asarray(last.mean() + first)
    second = ((1 - masks[0]) * (by_tier[:, 1] - last)) @ masks[1].T / n
    return np.asarray((last.mean() + first[:, None] + second).ravel())


def _divides(masks: Sequence[Floats], n: int) -> NDArray[np.bool_]:
    """Where every tier but the last answers something and the first not all: what else there is, is another family."""
    first = masks[0].sum(axis=1)
    some = (first > 0) & (first < n)
    if len(masks) == 1:
        return np.asarray(some)
    return np.asarray((some[:, None] & ((1 - masks[0]) @ masks[1].T > 0)).ravel())


def _quantiles(values: Floats, count: int) -> Floats:
    inner = np.quantile(values, np.linspace(0, 1, count)[1:-1], method="higher")
    return np.concatenate([np.unique(inner)[::-1], [-np.inf]])


def _means(family: Family, thresholds: Floats, means: Sequence[Floats]) -> GridMeans:
    loss, square, cost = means
    return GridMeans(
        family=family,
        thresholds=thresholds,
        loss_frac=loss,
        loss_std_frac=np.sqrt(np.maximum(square - loss**2, 0.0)),
        cost_usd=cost,
    )
