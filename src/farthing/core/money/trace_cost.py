"""Cost of serving a trace, hour by hour in whole replicas, and the trace that explains a bill.

An hour needs ``max(min_replicas, ⌈peak_rps / sla_rps⌉)`` replicas: the latency bound holds in its busiest step,
and the hour is paid whole. ``usd_per_month = Σ usd_by_hour / hours(trace) · 730``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farthing.core.money.marginal import FleetState, PaidReplicas, usd_per_hour_at, whole_replicas
from farthing.core.money.price import usd_per_month as offer_usd_per_month
from farthing.errors import InputError
from farthing.nouns import HOURS_PER_MONTH, Offer, Trace

__all__ = [
    "TraceCost",
    "cost_at_trace",
    "hour_lengths_h",
    "infer_trace",
    "infer_trace_from_replicas",
    "replicas_by_hour",
]

_HALVINGS = 60
_STEP_OVER = 4e-9


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


def replicas_by_hour(peak_rps: NDArray[np.float64], sla_rps: float, min_replicas: int = 1) -> NDArray[np.int64]:
    """Whole replicas that hold the latency bound at each hour's peak, shape as ``peak_rps``.

    Args:
        peak_rps: Rate of the busiest step of each hour, ≥ 0.
        sla_rps: Rate that one replica sustains within the bound, > 0.
        min_replicas: Fewest at any time, ≥ 1.

    Raises:
        ValueError: when an argument is outside its domain.
    """
    if min_replicas < 1:
        raise ValueError(f"min_replicas must be ≥ 1, is {min_replicas}")
    return np.maximum(whole_replicas(peak_rps, sla_rps), min_replicas)


def hour_lengths_h(trace: Trace) -> NDArray[np.float64]:
    """Length of each of the trace's hours in hours: 1, and the part that was seen for the last."""
    n_hours = trace.hourly_rps()[0].size
    per_hour = max(1, round(3600 / trace.step_s))
    steps = np.full(n_hours, per_hour)
    steps[-1] = trace.counts.size - per_hour * (n_hours - 1)
    return steps * trace.step_s / 3600


def cost_at_trace(trace: Trace, sla_rps: float, offer: Offer, min_replicas: int = 1) -> TraceCost:
    """Price a trace on an offer; more ``sla_rps`` never costs more.

    Args:
        trace: Arrivals.
        sla_rps: Rate that one replica sustains within the latency bound, > 0 (inf: the minimum always suffices).
        offer: Priced by the hour.
        min_replicas: Fewest at any time, ≥ 1.

    Raises:
        PriceError: when the offer is not priced by the hour.
        ValueError: when an argument is outside its domain.
    """
    _, peak_rps = trace.hourly_rps()
    replicas = replicas_by_hour(peak_rps, sla_rps, min_replicas)
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


def infer_trace(shape: Trace, sla_rps: float, offer: Offer, usd_per_month: float, min_replicas: int = 1) -> Trace:
    """Find the volume that explains a bill: ``shape`` scaled so that serving it hour by hour costs the bill.

    Cost is a staircase in the volume. The step closest to the bill is found exactly and the largest volume on
    it is taken: the most that this money serves, the choice that leaves a cheaper candidate the least saving.
    The cost differs from the bill by at most half a replica all month.

    Args:
        shape: Arrivals up to a factor.
        sla_rps: Rate that one replica of the baseline sustains within the latency bound, > 0.
        offer: What the bill is paid for, priced by the hour.
        usd_per_month: The bill, > 0.
        min_replicas: Fewest at any time, ≥ 1.

    Returns:
        The scaled trace, marked ``inferred``.

    Raises:
        InputError: when the bill pays for half a replica less than the minimum, or even less.
        PriceError: when the offer is not priced by the hour.
        ValueError: when ``min_replicas`` or ``sla_rps`` is outside its domain.
    """
    wanted = usd_per_month / offer_usd_per_month(offer, 1)
    if not wanted >= min_replicas - 0.5:
        raise InputError(
            f"a bill of ${usd_per_month:,.2f} a month pays for {wanted:.2f} replicas of {offer.key} "
            f"(${offer_usd_per_month(offer, 1):,.2f} each); the minimum is {min_replicas}",
            hint="check the bill, the offer and min_replicas",
        )
    steps = _Staircase(shape, sla_rps, min_replicas)
    below = steps.last_at_most(wanted)
    above = steps.end(below * (1 + _STEP_OVER))
    closer_above = abs(steps.mean(above) - wanted) < abs(steps.mean(below) - wanted)
    return shape.scaled(above if closer_above else below, inferred=True)


def infer_trace_from_replicas(shape: Trace, sla_rps: float, replicas: int) -> Trace:
    """Find the largest volume that a fixed number of replicas serves: the peak hour just fits.

    Args:
        shape: Arrivals up to a factor.
        sla_rps: Rate that one replica of the baseline sustains within the latency bound, > 0.
        replicas: Running all month, ≥ 1.

    Returns:
        The scaled trace, marked ``inferred``.

    Raises:
        ValueError: when an argument is outside its domain.
    """
    if replicas < 1 or not sla_rps > 0:
        raise ValueError(f"replicas ≥ 1 and sla_rps > 0 wanted, are {replicas} and {sla_rps}")
    _, peak_rps = shape.hourly_rps()
    return shape.scaled(replicas * sla_rps / float(peak_rps.max()), inferred=True)


class _Staircase:
    """Mean replicas over a shape as a function of the factor on its volume: a rising staircase."""

    def __init__(self, shape: Trace, sla_rps: float, min_replicas: int) -> None:
        self._peak_rps = shape.hourly_rps()[1]
        self._share = hour_lengths_h(shape) / shape.hours
        self._sla_rps = sla_rps
        self._min = min_replicas

    def _replicas(self, factor: float) -> NDArray[np.int64]:
        return replicas_by_hour(self._peak_rps * factor, self._sla_rps, self._min)

    def mean(self, factor: float) -> float:
        """Mean replicas at that factor."""
        return float(self._replicas(factor) @ self._share)

    def end(self, factor: float) -> float:
        """Largest factor with the same replicas in all hours."""
        busy = self._peak_rps > 0
        return float((self._replicas(factor)[busy] * self._sla_rps / self._peak_rps[busy]).min())

    def last_at_most(self, wanted: float) -> float:
        """Largest factor whose mean is at most ``wanted``; the end of the first step when none is."""
        low = self.end(0.0)
        high = 2 * low
        while self.mean(high) <= wanted:
            high *= 2
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.mean(middle) <= wanted else (low, middle)
        return self.end(low)
