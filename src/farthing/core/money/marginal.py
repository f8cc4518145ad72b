"""The one function that says what the next request costs, shared by planning, routing and autoscaling.

Cost of an hour at a rate of ``r`` requests/s, with whole replicas::

    C(r) = Σ paid pools count·usd_per_hour                     paid whether used or not
         + new_on_demand(r)·usd_per_hour(on demand)            a step for each new replica
         + new_spot(r)·effective(spot)                         discount, less the risk of preemption

    new(r)  = max(0, ⌈(r − Σ count·sla_rps) / sla_rps⌉)
    spot    = min(new, ⌊max_spot_frac · all replicas⌋)          0 when spot is not cheaper or its risk unknown

The marginal cost of a request is the slope of ``C`` between two rates: ≈ 0 on replicas that are already paid
for, the step divided by the requests that cause it when a replica must be added. A month is the sum of its
hours (``trace_cost`` and ``commitments`` call :func:`usd_per_hour_at`), so that integrating the marginal cost
over a load gives exactly the difference of two costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from farthing.core.money.price import usd_per_hour
from farthing.nouns import Offer

__all__ = [
    "FleetState",
    "PaidReplicas",
    "SpotRisk",
    "effective_spot_usd_per_hour",
    "marginal_usd_per_request",
    "new_replicas",
    "spot_refusal",
    "unused_usd_per_hour",
    "usd_per_hour_at",
    "whole_replicas",
]

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotRisk:
    """What one preemption costs beyond its price: assumptions of the plan, to be declared with it.

    Attributes:
        lost_work_s: Replica-seconds of work that are lost and done again, start-up of the successor included.
        replacement_s: How long an on-demand replica stands in until spot capacity is back.
    """

    lost_work_s: float = 120.0
    replacement_s: float = 900.0

    def __post_init__(self) -> None:
        if not (0 <= self.lost_work_s < math.inf and 0 <= self.replacement_s < math.inf):
            raise ValueError(f"SpotRisk: seconds must be finite and ≥ 0: {self!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidReplicas:
    """Replicas that are paid for in this hour whatever the load: committed, owned, or running on demand.

    Attributes:
        offer: Their price by the hour.
        count: Whole replicas, ≥ 0.
        sla_rps: Rate that one of them sustains within the latency bound, > 0.
    """

    offer: Offer
    count: int
    sla_rps: float

    def __post_init__(self) -> None:
        if self.count < 0 or not self.sla_rps > 0:
            raise ValueError(f"PaidReplicas: count ≥ 0 and sla_rps > 0 wanted: {self!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetState:
    """Declared replicas and how more of them would be bought.

    Attributes:
        on_demand: Offer of a new replica.
        sla_rps: Rate that a new replica sustains within the latency bound, > 0.
        paid: Replicas already paid for, cheapest use first.
        spot: Offer of a new replica on spot, None for no spot.
        max_spot_frac: Largest share of all replicas that may be spot, in [0, 1].
        risk: What a preemption costs.
    """

    on_demand: Offer
    sla_rps: float
    paid: tuple[PaidReplicas, ...] = ()
    spot: Offer | None = None
    max_spot_frac: float = 0.0
    risk: SpotRisk = field(default_factory=SpotRisk)

    def __post_init__(self) -> None:
        if not self.sla_rps > 0 or not 0 <= self.max_spot_frac <= 1:
            raise ValueError(f"FleetState: sla_rps > 0 and max_spot_frac in [0, 1] wanted: {self!r}")

    @property
    def paid_rps(self) -> float:
        """Rate that the paid replicas sustain."""
        return math.fsum(pool.count * pool.sla_rps for pool in self.paid)

    @property
    def paid_usd_per_hour(self) -> float:
        """Cost of the paid replicas, used or not."""
        return math.fsum(pool.count * usd_per_hour(pool.offer) for pool in self.paid)


def whole_replicas(rate_rps: ArrayLike, sla_rps: float) -> NDArray[np.int64]:
    """``⌈rate / sla_rps⌉``, where an excess of less than 10⁻⁹ replica is rounding and adds none.

    Raises:
        ValueError: when ``sla_rps`` is not > 0.
    """
    if not sla_rps > 0:
        raise ValueError(f"sla_rps must be > 0, is {sla_rps}")
    need = np.ceil(np.asarray(rate_rps, dtype=np.float64) / sla_rps - _ROUNDING)
    return np.maximum(need, 0).astype(np.int64)


def effective_spot_usd_per_hour(spot: Offer, on_demand: Offer, risk: SpotRisk) -> float:
    """Price of a spot replica for an hour with its expected preemptions, in USD.

    ``spot + interruptions_per_hour · (lost_work_s + replacement_s)/3600 · on_demand``: what was lost is done
    again and a stand-in runs, both on demand, while the spot price is paid on (an upper estimate).

    Raises:
        PriceError: when one of the offers has no price by the hour.
        ValueError: when the interruption rate is unknown (ask :func:`spot_refusal` first).
    """
    if spot.interruptions_per_hour is None:
        raise ValueError(f"{spot.key}: no source states its interruption rate")
    lost_h = (risk.lost_work_s + risk.replacement_s) / 3600
    return usd_per_hour(spot) + spot.interruptions_per_hour * lost_h * usd_per_hour(on_demand)


def spot_refusal(state: FleetState) -> str | None:
    """Why no replica of this state would be spot, in one sentence; None when spot is used."""
    if state.spot is None:
        return "no spot offer"
    if state.max_spot_frac == 0:
        return "spot not allowed (largest share 0)"
    if state.spot.interruptions_per_hour is None:
        return f"spot excluded: no source states how often {state.spot.key} is interrupted"
    effective = effective_spot_usd_per_hour(state.spot, state.on_demand, state.risk)
    if effective >= usd_per_hour(state.on_demand):
        return (
            f"spot excluded: with its preemptions it costs ${effective:.4f} an hour, "
            f"on demand ${usd_per_hour(state.on_demand):.4f}"
        )
    return None


def new_replicas(state: FleetState, rate_rps: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Replicas to buy beyond the paid ones at each rate: ``(on_demand, spot)``, of the shape of ``rate_rps``.

    Args:
        state: Declared replicas.
        rate_rps: Requests/s that must be served within the latency bound, ≥ 0.

    Raises:
        ValueError: when a rate is negative or not finite.
    """
    rate = np.asarray(rate_rps, dtype=np.float64)
    if not np.isfinite(rate).all() or (rate < 0).any():
        raise ValueError(f"rate_rps must be finite and ≥ 0, is {rate_rps!r}")
    new = whole_replicas(np.maximum(rate - state.paid_rps, 0), state.sla_rps)
    if spot_refusal(state) is not None:
        return new, np.zeros_like(new)
    total = new + sum(pool.count for pool in state.paid)
    spot = np.minimum(new, np.floor(state.max_spot_frac * total + _ROUNDING).astype(np.int64))
    return new - spot, spot


def usd_per_hour_at(state: FleetState, rate_rps: ArrayLike) -> NDArray[np.float64]:
    """Cost ``C(r)`` of an hour at each rate in USD, of the shape of ``rate_rps``; never falls with the rate.

    Raises:
        PriceError: when an offer has no price by the hour.
        ValueError: when a rate is negative or not finite.
    """
    on_demand, spot = new_replicas(state, rate_rps)
    usd = state.paid_usd_per_hour + on_demand * usd_per_hour(state.on_demand)
    if state.spot is not None and spot.any():
        usd = usd + spot * effective_spot_usd_per_hour(state.spot, state.on_demand, state.risk)
    return np.asarray(usd, dtype=np.float64)


def marginal_usd_per_request(state: FleetState, rate_rps: float, extra_rps: float) -> float:
    """Price each of ``extra_rps`` more requests on top of ``rate_rps``, in USD.

    ``(C(r + x) − C(r)) / (3600 · x)``: 0 while the paid replicas (or a new replica that is already needed) have
    room within the latency bound, a step when one more must be bought.

    Args:
        state: Declared replicas.
        rate_rps: Rate served now, ≥ 0.
        extra_rps: More of it, > 0, held for an hour.

    Raises:
        PriceError: when an offer has no price by the hour.
        ValueError: when a rate is outside its domain.
    """
    if not 0 < extra_rps < math.inf:
        raise ValueError(f"extra_rps must be finite and > 0, is {extra_rps}")
    before, after = usd_per_hour_at(state, np.array([rate_rps, rate_rps + extra_rps]))
    return float(after - before) / (3600 * extra_rps)


def unused_usd_per_hour(state: FleetState, rate_rps: float) -> float:
    """Cost of the whole paid replicas that the rate does not need, in USD an hour; pools are used in order.

    Raises:
        PriceError: when an offer has no price by the hour.
        ValueError: when the rate is negative or not finite.
    """
    if not 0 <= rate_rps < math.inf:
        raise ValueError(f"rate_rps must be finite and ≥ 0, is {rate_rps}")
    left_rps, unused = rate_rps, 0.0
    for pool in state.paid:
        used = min(pool.count, int(whole_replicas(left_rps, pool.sla_rps)))
        left_rps = max(0.0, left_rps - used * pool.sla_rps)
        unused += (pool.count - used) * usd_per_hour(pool.offer)
    return unused
