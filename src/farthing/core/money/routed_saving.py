"""What a route has saved: baseline = actual + saved, exactly, in whole nano-dollars.

*Baseline*: the reference answers every one of the same rows, each at the price of a row at capacity; no idle time, so
that it is the cheapest honest baseline. *Actual*: everything that was paid because of the route: calls of all tiers,
those whose answer was not taken included, scores, audits, and the idle time of the replicas that the tiers run on.
*Saved* is the difference, whatever its sign: on a replica that mostly idles it is negative.

Real amounts become integers once; every sum and difference after that is one of integers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.core.money.attribution import NANODOLLARS_PER_USD

__all__ = ["RoutedSaving", "of_ledger", "routed_saving"]

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedSaving:
    """A route's bill beside that of its reference alone.

    Attributes:
        rows: Answered.
        baseline_nusd: Of the reference for all of them.
        tiers_nusd: Of calls, by tier; audits left out.
        scores_nusd: Of scores.
        audits_nusd: Of asking the reference for comparison only.
        idle_nusd: Of replicas' time in which they did nothing; 0 where every call is charged by itself.
    """

    rows: int
    baseline_nusd: int
    tiers_nusd: Mapping[str, int]
    scores_nusd: int
    audits_nusd: int
    idle_nusd: int

    @property
    def busy_nusd(self) -> int:
        """What is paid for work: calls, scores, audits."""
        return sum(self.tiers_nusd.values()) + self.scores_nusd + self.audits_nusd

    @property
    def actual_nusd(self) -> int:
        """All that is paid."""
        return self.busy_nusd + self.idle_nusd

    @property
    def saved_nusd(self) -> int:
        """``baseline_nusd − actual_nusd``; negative when the route costs more."""
        return self.baseline_nusd - self.actual_nusd

    @property
    def saved_busy_nusd(self) -> int:
        """``baseline_nusd − busy_nusd``: of work alone, as calibration promised it."""
        return self.baseline_nusd - self.busy_nusd


def routed_saving(
    *,
    rows: int,
    reference_usd_per_row: float,
    tiers_usd: Mapping[str, float],
    scores_usd: float,
    audits_usd: float,
    idle_usd: float = 0.0,
) -> RoutedSaving:
    """The bill of sums that were counted.

    Args:
        rows: Answered, ≥ 0.
        reference_usd_per_row: What the reference costs at capacity, ≥ 0.
        tiers_usd: Of calls by tier, audits left out, ≥ 0.
        scores_usd: ≥ 0.
        audits_usd: ≥ 0.
        idle_usd: ≥ 0.

    Raises:
        ValueError: when an amount is unknown (NaN), infinite or negative: a missing price is never 0.
    """
    if rows < 0:
        raise ValueError(f"rows must be ≥ 0, are {rows}")
    return RoutedSaving(
        rows=rows,
        baseline_nusd=_whole("reference_usd_per_row · rows", reference_usd_per_row * rows),
        tiers_nusd={name: _whole(f"calls of {name}", usd) for name, usd in tiers_usd.items()},
        scores_nusd=_whole("scores_usd", scores_usd),
        audits_nusd=_whole("audits_usd", audits_usd),
        idle_nusd=_whole("idle_usd", idle_usd),
    )


def of_ledger(
    *,
    rows: Ints,
    tier: NDArray[Any],
    usage_nusd: Ints,
    allocation_nusd: Ints,
    is_audit: NDArray[np.bool_],
    reference_usd_per_row: float,
) -> RoutedSaving:
    """The bill of a route's rows in the ledger; its actual cost is their allocation column to the nano-dollar.

    Scores and calls whose answer was not taken are part of the rows' cost and come under the tier that answered.

    Args:
        rows: Samples of each ledger row, shape ``(n,)``.
        tier: Who answered, shape ``(n,)``.
        usage_nusd: Column ``cost_usage_nusd``, shape ``(n,)``.
        allocation_nusd: Column ``cost_allocation_nusd``; where that is null (charged by other end points alone) the
            usage again, shape ``(n,)``.
        is_audit: Column ``audit``, shape ``(n,)``.
        reference_usd_per_row: What the reference costs at capacity, ≥ 0.

    Raises:
        ValueError: when shapes differ or the price is unknown.
    """
    sizes = {len(column) for column in (rows, tier, usage_nusd, allocation_nusd, is_audit)}
    if len(sizes) > 1:
        raise ValueError(f"columns of a ledger are of one length, not {sorted(sizes)}")
    clients = ~np.asarray(is_audit, dtype=bool)
    used = np.asarray(usage_nusd, dtype=np.int64)
    answered = int(np.asarray(rows)[clients].sum())
    names = [str(name) for name in np.unique(np.asarray(tier)[clients])] if answered else []
    return RoutedSaving(
        rows=answered,
        baseline_nusd=_whole("reference_usd_per_row · rows", reference_usd_per_row * answered),
        tiers_nusd={name: int(used[clients & (np.asarray(tier) == name)].sum()) for name in names},
        scores_nusd=0,
        audits_nusd=int(used[~clients].sum()),
        idle_nusd=int(np.asarray(allocation_nusd, dtype=np.int64).sum()) - int(used.sum()),
    )


def _whole(name: str, usd: float) -> int:
    if not 0 <= usd < math.inf:
        raise ValueError(f"{name} must be known, finite and ≥ 0, is {usd}")
    return round(usd * NANODOLLARS_PER_USD)
