"""Arrivals from how busy the replicas are that a bill pays for.

A bill says what is paid and nothing about what is asked: the same $10,000 pays for a fleet that is nearly idle and for
one that is full. With ``R = bill / price`` replicas on average over the month, each able to serve ``s`` requests/s,
a mean utilisation ``u`` means ``u · R · s`` requests/s on average. Where nobody says ``u``, every whole per cent from
20 to 80 is taken, and what holds for all of them is stated.
"""

from __future__ import annotations

from farthing.core.money.price import usd_per_month as offer_usd_per_month
from farthing.errors import InputError
from farthing.nouns import HOURS_PER_MONTH, Offer, Trace

__all__ = ["LEAST_FRAC", "MOST_FRAC", "PLAUSIBLE_FRAC", "paid_replicas", "trace_at"]

LEAST_FRAC, MOST_FRAC = 0.2, 0.8
PLAUSIBLE_FRAC = tuple(percent / 100 for percent in range(20, 81))
"""Utilisations that are taken where none is known, least first: below 20 % a fleet is seen to be idle, above 80 % on
average its busy hours are beyond what it can serve."""


def paid_replicas(usd_per_month: float, offer: Offer, min_replicas: int = 1) -> float:
    """Replicas that a bill pays for, on average over the month.

    Args:
        usd_per_month: The bill, > 0.
        offer: What it is paid for, priced by the hour.
        min_replicas: Fewest at any time, ≥ 1.

    Raises:
        InputError: when it pays for half a replica less than the minimum, or even less.
        PriceError: when the offer is not priced by the hour.
    """
    replicas = usd_per_month / offer_usd_per_month(offer, 1)
    if not replicas >= min_replicas - 0.5:
        raise InputError(
            f"a bill of ${usd_per_month:,.2f} a month pays for {replicas:.2f} replicas of {offer.key} "
            f"(${offer_usd_per_month(offer, 1):,.2f} each); the minimum is {min_replicas}",
            hint="check the bill, the offer and min_replicas",
        )
    return replicas


def trace_at(shape: Trace, utilisation_frac: float, replicas: float, capacity_rps: float) -> Trace:
    """The shape at the volume that keeps the replicas busy to that share, marked ``inferred``.

    Args:
        shape: Arrivals up to a factor.
        utilisation_frac: Mean utilisation, in (0, 1].
        replicas: On average over the month, > 0.
        capacity_rps: Highest stable rate of one replica, > 0.

    Raises:
        ValueError: when an argument is outside its domain.
    """
    if not 0 < utilisation_frac <= 1:
        raise ValueError(f"utilisation_frac must lie in (0, 1], is {utilisation_frac}")
    if not replicas > 0 or not capacity_rps > 0:
        raise ValueError(f"replicas and capacity_rps must be > 0, are {replicas} and {capacity_rps}")
    mean_rps = shape.requests_per_month() / HOURS_PER_MONTH / 3600
    return shape.scaled(utilisation_frac * replicas * capacity_rps / mean_rps, inferred=True)
