"""How many replicas to commit to, how many to buy on demand, and whether spot pays.

A commitment is paid 730 hours a month, used or not. With ``n`` committed at ``c`` USD an hour, an hour that
needs ``r`` replicas costs ``c·n + g(r − n)``, where ``g`` buys the rest on demand at ``p``, up to the allowed
share on spot. The sum over hours is convex in ``n``, so the first ``n`` whose successor does not pay is the
cheapest. Without spot this is the newsvendor quantile of the load-duration curve (Arrow, Harris and Marschak
1951): commit replica ``n + 1`` while it is needed in more than the share ``c/p`` of all hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from farthing.core.money.marginal import (
    FleetState,
    PaidReplicas,
    SpotRisk,
    new_replicas,
    spot_refusal,
    unused_usd_per_hour,
    usd_per_hour_at,
)
from farthing.core.money.price import usd_per_hour
from farthing.errors import PriceError
from farthing.nouns import HOURS_PER_MONTH, Offer, Term

__all__ = ["COMMITMENT_TERMS", "CommitmentSplit", "commitment_split", "terms_priced"]

COMMITMENT_TERMS: tuple[Term, ...] = ("owned", "reserved_1y", "reserved_3y")
"""Terms that are paid whether used or not."""


def terms_priced(offers: Sequence[Offer]) -> bool:
    """Whether a price was read under which less than the bill's term could be paid; without one nothing is known.

    Args:
        offers: All of one name and region. Spot does not count: a plan uses none unless that is allowed.
    """
    return any(offer.term in COMMITMENT_TERMS for offer in offers)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CommitmentSplit:
    """The cheapest way to buy a load of whole replicas.

    Attributes:
        committed_replicas: Bought under ``committed_term``, paid in every hour.
        committed_term: None when nothing is committed.
        offers: The offers that are used.
        on_demand_replicas: In each hour, shape ``(n_hours,)``.
        spot_replicas: In each hour, shape ``(n_hours,)``.
        usd_by_hour: Cost of each hour, all terms included, shape ``(n_hours,)``.
        usd_per_month: For 730 hours like these.
        unused_usd_per_month: Part of it paid for committed replicas in hours that do not need them.
        note: What was decided and why, for the report.
    """

    committed_replicas: int
    committed_term: Term | None
    offers: tuple[Offer, ...]
    on_demand_replicas: NDArray[np.int64]
    spot_replicas: NDArray[np.int64]
    usd_by_hour: NDArray[np.float64]
    usd_per_month: float
    unused_usd_per_month: float
    note: str

    def __post_init__(self) -> None:
        for array in (self.on_demand_replicas, self.spot_replicas, self.usd_by_hour):
            array.setflags(write=False)


def commitment_split(
    replicas_by_hour: NDArray[np.int64],
    offers: Sequence[Offer],
    *,
    hour_lengths_h: NDArray[np.float64] | None = None,
    terms: Iterable[Term] = COMMITMENT_TERMS,
    max_spot_frac: float = 0.0,
    risk: SpotRisk | None = None,
) -> CommitmentSplit:
    """Choose the committed count, its term and the spot share that make the load cheapest.

    Args:
        replicas_by_hour: Whole replicas needed, ≥ 0, shape ``(n_hours,)``; taken as typical of the whole term.
        offers: All of one name and region. Terms not among them are not considered; without an on-demand offer
            (owned hardware) the peak hour's replicas are committed.
        hour_lengths_h: Length of each hour (the last may be incomplete), None for 1 each.
        terms: Commitments that may be chosen.
        max_spot_frac: Largest share of the replicas of any hour that may be spot, in [0, 1].
        risk: What a preemption costs; None for the defaults of :class:`SpotRisk`.

    Raises:
        PriceError: when there is neither an on-demand offer nor a commitment, or one has no price by the hour.
        ValueError: when the load is empty or negative, or the offers are of different things.
    """
    load, lengths = _load(replicas_by_hour, hour_lengths_h)
    _one_thing(offers)
    on_demand, commitment = _cheapest(offers, ("on_demand",)), _cheapest(offers, tuple(terms))
    if on_demand is None:
        return _peak_committed(load, lengths, commitment, offers)
    market = FleetState(
        on_demand=on_demand,
        sla_rps=1.0,  # rates below are whole replicas
        spot=_cheapest(offers, ("spot",)),
        max_spot_frac=max_spot_frac,
        risk=risk or SpotRisk(),
    )
    count = 0 if commitment is None else _count(load, lengths, market, commitment)
    return _split(load, lengths, market, commitment if count else None, count, _why(market, commitment, count))


def _load(
    replicas: NDArray[np.int64], hour_lengths_h: NDArray[np.float64] | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    load = np.asarray(replicas, dtype=np.int64)
    lengths = np.ones(load.shape) if hour_lengths_h is None else np.asarray(hour_lengths_h, dtype=np.float64)
    if load.ndim != 1 or load.size == 0 or (load < 0).any() or lengths.shape != load.shape:
        raise ValueError(f"replicas_by_hour must be one-dimensional, not empty and ≥ 0, is {load!r}")
    return load, lengths


def _one_thing(offers: Sequence[Offer]) -> None:
    things = sorted({(offer.name, offer.region) for offer in offers})
    if len(things) > 1:
        raise ValueError(f"offers must be of one name and region, are of {things}")


def _peak_committed(
    load: NDArray[np.int64], lengths: NDArray[np.float64], commitment: Offer | None, offers: Sequence[Offer]
) -> CommitmentSplit:
    """Without an hourly market (owned hardware) the peak hour's replicas are paid all month."""
    if commitment is None:
        raise PriceError(
            f"neither an on-demand price nor a commitment among {', '.join(o.key for o in offers) or 'no offers'}",
            hint="what a commitment does not cover is bought on demand: import its price",
        )
    peak = int(load.max())
    note = (
        f"all {peak} replicas of the peak hour paid all month ({commitment.term} at ${usd_per_hour(commitment):.4f} "
        "an hour): there is no on-demand price to buy some by the hour"
    )
    market = FleetState(on_demand=commitment, sla_rps=1.0)
    return _split(load, lengths, market, commitment, peak, note)


def _cheapest(offers: Sequence[Offer], terms: tuple[Term, ...]) -> Offer | None:
    return min((offer for offer in offers if offer.term in terms), key=usd_per_hour, default=None)


def _with(market: FleetState, commitment: Offer | None, count: int) -> FleetState:
    if commitment is None:
        return market
    return replace(market, paid=(PaidReplicas(offer=commitment, count=count, sla_rps=market.sla_rps),))


def _count(load: NDArray[np.int64], lengths: NDArray[np.float64], market: FleetState, commitment: Offer) -> int:
    """Smallest count whose successor does not cost less: bisection on a convex sequence."""

    def total_usd(count: int) -> float:
        return float(usd_per_hour_at(_with(market, commitment, count), load) @ lengths)

    scale = 1e-12 * max(total_usd(0), 1e-300)  # differences below this are rounding
    low, high = 0, int(load.max())
    while low < high:
        middle = (low + high) // 2
        if total_usd(middle + 1) < total_usd(middle) - scale:
            low = middle + 1
        else:
            high = middle
    return low


def _split(
    load: NDArray[np.int64],
    lengths: NDArray[np.float64],
    market: FleetState,
    commitment: Offer | None,
    count: int,
    note: str,
) -> CommitmentSplit:
    state = _with(market, commitment, count)
    on_demand, spot = new_replicas(state, load)
    usd = usd_per_hour_at(state, load) * lengths
    unused = np.array([unused_usd_per_hour(state, float(need)) for need in load]) * lengths
    to_month = HOURS_PER_MONTH / float(lengths.sum())
    used = (
        commitment,
        market.on_demand if on_demand.any() else None,
        market.spot if spot.any() else None,
    )
    return CommitmentSplit(
        committed_replicas=count,
        committed_term=None if commitment is None else commitment.term,
        offers=tuple(offer for offer in used if offer is not None),
        on_demand_replicas=on_demand,
        spot_replicas=spot,
        usd_by_hour=usd,
        usd_per_month=float(usd.sum()) * to_month,
        unused_usd_per_month=float(unused.sum()) * to_month,
        note=note,
    )


def _why(market: FleetState, commitment: Offer | None, count: int) -> str:
    on_demand = usd_per_hour(market.on_demand)
    if commitment is None:
        committed = "nothing committed: no price for a commitment was read"
    else:
        price = f"{commitment.term} at ${usd_per_hour(commitment):.4f} an hour against ${on_demand:.4f} on demand"
        committed = f"{count} committed ({price})" if count else f"nothing committed: {price} does not pay"
    refusal = spot_refusal(market)
    if refusal is None:
        spot = (
            f"up to {market.max_spot_frac:.0%} spot, each preemption taken as {market.risk.lost_work_s:g} s of lost "
            f"work and {market.risk.replacement_s:g} s of an on-demand stand-in"
        )
    else:
        spot = refusal
    return f"{committed}; {spot}"
