"""An autoscaling rule as the controller of a simulated fleet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from farthing.core.simulation.outcomes import Observation
from farthing.nouns import FleetSeen, ScalingDecision
from farthing.ports import Scaler

__all__ = ["BUSY_FRAC", "ON_DEMAND", "Change", "OnePool", "Purchase", "Steering", "fleet_seen", "turns"]


ON_DEMAND = "on_demand"
"""Pool of replicas that are never taken back."""
BUSY_FRAC = 0.7
"""Below it nobody would call a fleet busy."""


class Purchase(Protocol):
    """In which pools replicas are bought."""

    def split(self, replicas: int, seen: Observation) -> Mapping[str, int]:
        """Replicas by pool, of what a rule wants and what there is."""
        ...


@dataclass(frozen=True, slots=True)
class OnePool:
    """All in one pool.

    Attributes:
        name: Of the pool.
    """

    name: str

    def split(self, replicas: int, seen: Observation) -> Mapping[str, int]:
        """All of them."""
        return {self.name: replicas}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A decision that changed the number wanted.

    Attributes:
        at_s: When.
        before: Replicas that were there or asked for.
        replicas: Wanted from then on.
        reason: The rule's.
    """

    at_s: float
    before: int
    replicas: int
    reason: str


def fleet_seen(seen: Observation, *, workers: int, ready_before: int) -> FleetSeen:
    """A simulation's observation as rules are shown it.

    Args:
        seen: Of one interval.
        workers: Of a replica, ≥ 1.
        ready_before: Replicas that were ready when the interval began.
    """
    states = seen.replicas.values()
    ready = sum(pool["ready"] for pool in states)
    ready_s = (ready + ready_before) / 2 * workers * (seen.at_s - seen.start_s)
    return FleetSeen(
        at_s=seen.at_s,
        interval_s=seen.at_s - seen.start_s,
        arrived=seen.arrived,
        answered=seen.answered,
        within_promise=seen.within_promise,
        failed=seen.refused + seen.expired + seen.lost,
        in_flight=seen.in_flight,
        waiting=seen.waiting + seen.held,
        mean_in_flight=max(0.0, seen.mean_in_flight),
        busy_frac=min(1.0, max(0.0, seen.busy_s / ready_s)) if ready_s else 0.0,
        ready=ready,
        starting=sum(pool["requested"] + pool["loading"] for pool in states),
    )


def turns(changes: Sequence[Change]) -> int:
    """How often decisions went from more to fewer replicas or back."""
    ups = [change.replicas > change.before for change in changes]
    return sum(a != b for a, b in pairwise(ups))


class Steering:
    """Asks a rule and buys what it wants; see :data:`farthing.core.simulation.simulate.Controller`.

    Args:
        scaler: The rule, new; the simulation is to ask it every ``scaler.interval_s``.
        purchase: Where its replicas are bought.
        workers: Of a replica, ≥ 1.
        initial: Replicas that are ready at the start, ≥ 0.

    Attributes:
        changes: Decisions that changed the number.
        missed: Requests that were refused, given up, lost or late.
        missed_unbusy: Of those, the ones of intervals in which replicas were busy for less than ``BUSY_FRAC``.
    """

    def __init__(self, scaler: Scaler, purchase: Purchase, *, workers: int, initial: int) -> None:
        self._scaler, self._purchase, self._workers = scaler, purchase, workers
        self._ready = initial
        self._wanted: int | None = None
        self.changes: list[Change] = []
        self.missed = self.missed_unbusy = 0

    def __call__(self, seen: Observation) -> Mapping[str, int]:
        """Replicas by pool."""
        shown = fleet_seen(seen, workers=self._workers, ready_before=self._ready)
        self._ready = shown.ready
        missed = shown.failed + shown.answered - shown.within_promise
        self.missed += missed
        self.missed_unbusy += missed if shown.busy_frac < BUSY_FRAC else 0
        decided: ScalingDecision = self._scaler.decide(shown)
        before = shown.replicas if self._wanted is None else self._wanted
        if decided.replicas != before:
            change = Change(at_s=seen.at_s, before=before, replicas=decided.replicas, reason=decided.reason)
            self.changes.append(change)
        self._wanted = decided.replicas
        return self._purchase.split(decided.replicas, seen)
