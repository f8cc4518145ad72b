"""What rules scale by, as it can be seen of a fleet."""

from __future__ import annotations

from typing import Literal, get_args

from farthing.nouns import FleetSeen

__all__ = ["QUANTITIES", "Quantity", "total"]

Quantity = Literal["cpu", "requests_per_second", "in_flight", "waiting"]
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
"""``cpu`` in cores, requests that came in a second, requests that wait or run, requests in no batch yet."""


def total(quantity: Quantity, seen: FleetSeen, cores: float) -> float:
    """Of the whole fleet, averaged over the interval but for ``waiting``, which is of now.

    Args:
        quantity: Which.
        seen: The fleet.
        cores: That one busy replica keeps busy, > 0.
    """
    match quantity:
        case "cpu":
            return seen.busy_frac * seen.ready * cores
        case "requests_per_second":
            return seen.arrived_rps
        case "in_flight":
            return seen.mean_in_flight
        case "waiting":
            return float(seen.waiting)
