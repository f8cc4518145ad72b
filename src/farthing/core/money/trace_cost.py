"""Cost of serving a trace, hour by hour in whole replicas.

An hour needs ``max(min_replicas, ⌈peak_rps / sla_rps⌉)`` replicas: the latency bound holds in its busiest step,
and the hour is paid whole. ``usd_per_month = Σ usd_by_hour / hours(trace) · 730``. A fixed fleet has in every hour as
many as the busiest one needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farthing.core.money.marginal import FleetState, PaidReplicas, usd_per_hour_at, whole_replicas
from farthing.nouns import HOURS_PER_MONTH, Offer, Trace

__all__ = [
    "TraceCost",
    "cost_at_trace",
    "hour_lengths_h",
    "replicas_by_hour",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TraceCost:
    """What a trace costs on one offer.

    Attributes:
        replicas: Whole replicas in each hour, shape ``(n_hours,)``.
        usd_by_hour: Cost of each hour, shape ``(n_hours,)``; a last incomplete hour for the part that was seen.
        usd_per_month: For 730 hours like the trace's.
        usd_per_million: Cost of a million requests of the trace.
    """

    replicas: NDArray[np.int64]
    usd_by_hour: NDArray[np.float64]
    usd_per_month: float
    usd_per_million: float

    def __post_init__(self) -> None:
        self.replicas.setflags(write=False)
        self.usd_by_hour.setflags(write=False)


def replicas_by_hour(
    peak_rps: NDArray[np.float64], sla_rps: float, min_replicas: int = 1, *, fixed: bool = False
) -> NDArray[np.int64]:
    """Whole replicas that hold the latency bound at each hour's peak, shape as ``peak_rps``.

    Args:
        peak_rps: Rate of the busiest step of each hour, ≥ 0.
        sla_rps: Rate that one replica sustains within the bound, > 0.
        min_replicas: Fewest at any time, ≥ 1.
        fixed: The fleet does not scale: each hour has as many as the busiest one.

    Raises:
        ValueError: when an argument is outside its domain.
    """
    if min_replicas < 1:
        raise ValueError(f"min_replicas must be ≥ 1, is {min_replicas}")
    needed = np.maximum(whole_replicas(peak_rps, sla_rps), min_replicas)
    return np.full_like(needed, needed.max()) if fixed and needed.size else needed


def hour_lengths_h(trace: Trace) -> NDArray[np.float64]:
    """Length of each of the trace's hours in hours: 1, and the part that was seen for the last."""
    n_hours = trace.hourly_rps()[0].size
    per_hour = max(1, round(3600 / trace.step_s))
    steps = np.full(n_hours, per_hour)
    steps[-1] = trace.counts.size - per_hour * (n_hours - 1)
    return steps * trace.step_s / 3600


def cost_at_trace(
    trace: Trace, sla_rps: float, offer: Offer, min_replicas: int = 1, *, fixed: bool = False
) -> TraceCost:
    """Price a trace on an offer; more ``sla_rps`` never costs more.

    Args:
        trace: Arrivals.
        sla_rps: Rate that one replica sustains within the latency bound, > 0 (inf: the minimum always suffices).
        offer: Priced by the hour.
        min_replicas: Fewest at any time, ≥ 1.
        fixed: The fleet does not scale.

    Raises:
        PriceError: when the offer is not priced by the hour.
        ValueError: when an argument is outside its domain.
    """
    _, peak_rps = trace.hourly_rps()
    replicas = replicas_by_hour(peak_rps, sla_rps, min_replicas, fixed=fixed)
    # One replica sustains one unit of rate here, so that the hour's cost is that of the shared function.
    always = PaidReplicas(offer=offer, count=min_replicas, sla_rps=1.0)
    state = FleetState(on_demand=offer, sla_rps=1.0, paid=(always,))
    usd = usd_per_hour_at(state, replicas) * hour_lengths_h(trace)
    month = float(usd.sum()) / trace.hours * HOURS_PER_MONTH
    return TraceCost(
        replicas=replicas,
        usd_by_hour=usd,
        usd_per_month=month,
        usd_per_million=month / trace.requests_per_month() * 1e6,
    )
