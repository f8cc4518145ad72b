"""What each answered request costs, on two bases, in whole nano-dollars that add up.

*Allocation*: the replica is paid for whether it works or idles, so all of the time since the last request that was
answered is shared over the requests answered since, in proportion to the core-seconds that they kept busy::

    a_i = price_i / 3600 · elapsed · w_i / Σ w        (equal shares when nothing was measured: Σ w = 0)

*Usage*: only the time that the request kept its worker's cores busy; a batch is shared by rows::

    w_i = service · rows_i / rows_of_batch · cores_of_worker        u_i = price_i / 3600 · w_i / cores_of_replica

Real amounts become integers by the differences of the floors of their running sum, the remainder carried into the
next interval: however small each request is, a sum over many is off by less than one nano-dollar. A price that is
unknown stays unknown: such a request takes its share of the time with it and has no cost, never a cost of 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "NANODOLLARS_PER_USD",
    "Attribution",
    "Carry",
    "allocation_nanodollars",
    "attribute",
    "busy_core_s",
    "usage_nanodollars",
    "whole",
]

NANODOLLARS_PER_USD = 1_000_000_000
_SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Carry:
    """Parts of a nano-dollar that are not written yet, each in [0, 1)."""

    allocation: float = 0.0
    usage: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attribution:
    """Costs of the requests of one interval.

    Attributes:
        allocation_nusd: Shape ``(n,)``; meaningless where not ``known``.
        usage_nusd: Shape ``(n,)``; meaningless where not ``known``.
        known: Where there is a price, shape ``(n,)``.
        carry: For the next interval.
    """

    allocation_nusd: NDArray[np.int64]
    usage_nusd: NDArray[np.int64]
    known: NDArray[np.bool_]
    carry: Carry


def busy_core_s(
    service_s: NDArray[np.float64],
    rows: NDArray[np.float64],
    batch_rows: NDArray[np.float64],
    cores: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Core-seconds that each request kept busy: its share of its batch, by rows.

    Args:
        service_s: Of the whole batch, ≥ 0, shape ``(n,)``.
        rows: Of the request, shape ``(n,)``.
        batch_rows: Of the batch, ≥ rows; 0 where nothing ran, shape ``(n,)``.
        cores: Of the worker that ran it, shape ``(n,)``.
    """
    share = np.divide(rows, batch_rows, out=np.zeros(len(rows)), where=batch_rows > 0)
    return np.asarray(service_s * share * cores, dtype=np.float64)


def allocation_nanodollars(
    elapsed_s: float, usd_per_hour: NDArray[np.float64], busy: NDArray[np.float64], answered: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Share of the replica's cost of an interval, as real nano-dollars.

    Args:
        elapsed_s: Length of the interval, idle time included, ≥ 0.
        usd_per_hour: Price of the whole replica as each request's model is priced, NaN when unknown, shape ``(n,)``.
        busy: Core-seconds of each request, shape ``(n,)``.
        answered: Requests that were not answered bear nothing, shape ``(n,)``.

    Returns:
        Shape ``(n,)``, NaN where the price is unknown; without any answered request all known ones are 0.
    """
    weight = np.where(answered, busy, 0.0)
    if not weight.sum() > 0:
        weight = answered.astype(np.float64)
    total = weight.sum()
    share = weight / total if total > 0 else weight
    return np.asarray(usd_per_hour / _SECONDS_PER_HOUR * elapsed_s * share * NANODOLLARS_PER_USD, dtype=np.float64)


def usage_nanodollars(
    usd_per_hour: NDArray[np.float64], busy: NDArray[np.float64], replica_cores: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Busy core-seconds at the price of one core-second, as real nano-dollars, NaN where the price is unknown.

    Args:
        usd_per_hour: Of the whole replica, NaN when unknown, shape ``(n,)``.
        busy: Core-seconds of each request, shape ``(n,)``.
        replica_cores: Cores that the price pays for, > 0, shape ``(n,)``.
    """
    per_core_s = usd_per_hour / _SECONDS_PER_HOUR / replica_cores
    return np.asarray(per_core_s * busy * NANODOLLARS_PER_USD, dtype=np.float64)


def whole(amounts: NDArray[np.float64], carry: float) -> tuple[NDArray[np.int64], float]:
    """Integers whose running sum is the floor of ``carry`` + the running sum of ``amounts``.

    Args:
        amounts: Real nano-dollars ≥ 0; NaN counts as 0, shape ``(n,)``.
        carry: Left over from before, in [0, 1).

    Returns:
        ``(integers, carry)``.
    """
    if not amounts.size:
        return np.zeros(0, dtype=np.int64), carry
    running = carry + np.cumsum(np.nan_to_num(amounts, nan=0.0))
    floors = np.floor(running)
    return np.diff(floors, prepend=0.0).astype(np.int64), float(running[-1] - floors[-1])


def attribute(
    elapsed_s: float,
    usd_per_hour: NDArray[np.float64],
    busy: NDArray[np.float64],
    replica_cores: NDArray[np.float64],
    answered: NDArray[np.bool_],
    carry: Carry,
) -> Attribution:
    """Both bases for the requests of one interval; arguments as in the functions above."""
    allocation, left_allocation = whole(
        allocation_nanodollars(elapsed_s, usd_per_hour, busy, answered), carry.allocation
    )
    usage, left_usage = whole(usage_nanodollars(usd_per_hour, busy, replica_cores), carry.usage)
    return Attribution(
        allocation_nusd=allocation,
        usage_nusd=usage,
        known=~np.isnan(usd_per_hour),
        carry=Carry(allocation=left_allocation, usage=left_usage),
    )
