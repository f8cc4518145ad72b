"""Which families of policies are worth laying out, and the policies that draw a router's quality × cost curve."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from farthing.core.money.frontier import non_dominated
from farthing.core.route.calibrating.families import Family, families_of, grid_means
from farthing.core.route.controls import hull_of
from farthing.core.route.outcomes import OutcomeMatrix
from farthing.core.route.policies import Policy

__all__ = ["MANY_TIERS", "curve_policies", "sensible_families"]

MANY_TIERS = 6
"""Up to so many tiers below the reference all their pairs and triples are laid out."""
POINTS = 24
"""Points of a curve, at most."""


def sensible_families(matrix: OutcomeMatrix, *, reference: str) -> tuple[tuple[Family, ...], str]:
    """The families to compare.

    A predictor of one tier judges only policies that ask this tier first. With more than six tiers below the
    reference only six take part: the best of those from which a fixed split would choose on these requests, then the
    best of those that no other beats in cost and quality; the rest are tried alone.

    Args:
        matrix: The choosing part.
        reference: Tier that losses are counted against.

    Returns:
        The families, and what was left out in one sentence, empty when nothing was.

    Raises:
        ValueError: when the reference is no tier.
    """
    below = matrix.tiers[: matrix.tier(reference)]
    kept = set(below)
    said = ""
    if len(below) > MANY_TIERS:
        kept = _best(matrix, below)
        said = (
            f"of {len(below)} tiers cheaper than {reference} the policies that route use {len(kept)} "
            f"({', '.join(t for t in below if t in kept)}); the others are beaten by these or by a split between them"
        )
    found = [
        family
        for family in families_of(matrix, reference=reference)
        if family.kind == "fixed" or (set(family.tiers[:-1]) <= kept and _fits(family))
    ]
    return tuple(found), said


def _best(matrix: OutcomeMatrix, below: Sequence[str]) -> set[str]:
    columns = [matrix.tier(name) for name in below]
    quality, cost = matrix.quality[:, columns].mean(axis=0), matrix.cost_usd[:, columns].mean(axis=0)
    corners = hull_of(cost, quality)
    first = [
        k for k in range(len(below)) if (corners.cost_usd == cost[k]).any() and (corners.quality == quality[k]).any()
    ]
    front = np.flatnonzero(non_dominated(np.column_stack([cost, -quality])))
    rest = [int(k) for k in front[np.argsort(-quality[front])] if k not in first]
    best = sorted(first, key=lambda k: -quality[k])
    return {below[k] for k in [*best, *rest][:MANY_TIERS]}


def _fits(family: Family) -> bool:
    """Whether a pre-routing score that was fitted for one tier stands before that tier."""
    if family.kind != "pre_route" or not family.scores[0].endswith(")"):
        return True
    return family.scores[0].partition("(")[2].removesuffix(")") == family.tiers[0]


def curve_policies(matrix: OutcomeMatrix, families: Sequence[Family], *, reference: str) -> tuple[Policy, ...]:
    """Policies that no other beats in cost and quality on these requests, cheapest first, at most 24 of them.

    Single tiers are left out: they are drawn beside the curve.

    Args:
        matrix: The choosing part; judge the policies on other requests.
        families: What to lay out.
        reference: Tier that losses are counted against.

    Raises:
        ValueError: when the matrix lacks a tier or a score.
    """
    costs, losses, members = [], [], []
    for family in families:
        if family.kind == "fixed":
            continue
        means = grid_means(family, matrix, reference=reference)
        costs.append(means.cost_usd)
        losses.append(means.loss_frac)
        members += [(family, row) for row in means.thresholds]
    if not members:
        return ()
    cost, loss = np.concatenate(costs), np.concatenate(losses)
    order = np.lexsort((loss, cost))
    best, front = math.inf, []
    for i in order:
        if loss[i] < best:
            best = loss[i]
            front.append(int(i))
    places = np.unique(np.linspace(0, len(front) - 1, min(POINTS, len(front))).round().astype(int))
    return tuple(members[front[k]][0].policy([float(x) for x in members[front[k]][1]]) for k in places)
