"""Families laid out on the choosing part: what each member is expected to lose, and how surely that will be proven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from farthing.core.route.calibrating.certification import LossLimit, groups_of
from farthing.core.route.calibrating.families import Family, GridMeans, grid_means
from farthing.core.route.outcomes import OutcomeMatrix

__all__ = ["Laid", "lay_out"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Laid:
    """A family on the choosing part: greatest ratios to the limits of its members' expected upper limits and losses."""

    family: Family
    ratio: Floats
    plain: Floats
    means: GridMeans


def lay_out(
    matrix: OutcomeMatrix, families: Sequence[Family], limit: LossLimit, reference: str, n_proving: int
) -> list[Laid]:
    """Every family with how far its members' expected upper limits reach.

    Args:
        matrix: The choosing part.
        families: Which.
        limit: What may be lost.
        reference: Tier that losses are counted against.
        n_proving: Requests that will certify.
    """
    z = -float(special.ndtri(1 - limit.confidence))
    groups = groups_of(matrix, limit)
    return [_laid_out(family, matrix, groups, reference, z, n_proving) for family in families]


def _laid_out(
    family: Family,
    matrix: OutcomeMatrix,
    groups: Sequence[tuple[str, NDArray[np.bool_], float]],
    reference: str,
    z: float,
    n_proving: int,
) -> Laid:
    """Greatest ratios to the groups' limits of every member's expected upper limit and of its loss; and its means."""
    whole = grid_means(family, matrix, reference=reference)
    ratio, plain = (np.full(whole.cost_usd.shape, -np.inf) for _ in range(2))
    for i, (_, rows, most) in enumerate(groups):
        means = whole if i == 0 else grid_means(family, matrix, reference=reference, rows=rows)
        share, seen = rows.mean(), rows.sum()
        spread = np.sqrt((means.loss_std_frac**2 + 1 / seen) / (share * n_proving))
        ratio = np.maximum(ratio, (means.loss_frac + z * spread) / most)
        plain = np.maximum(plain, means.loss_frac / most)
    return Laid(family=family, ratio=ratio, plain=plain, means=whole)
