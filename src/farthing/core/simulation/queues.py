"""What the life cycle needs of the queues, whichever way they are computed."""

from __future__ import annotations

from typing import Protocol

from farthing.core.simulation.latency_histogram import LatencyHistogram
from farthing.core.simulation.outcomes import RequestRecords, Totals

__all__ = ["Queues"]


class Queues(Protocol):
    """The balancer and the queues of all replicas; places are small numbers that replicas have while they are there."""

    def advance(self, until_s: float) -> None:
        """Run through all batches that end up to an instant and all arrivals before it."""
        ...

    def open(self, place: int, replica: int) -> None:
        """A replica is ready at a place and takes requests, those that the balancer held first."""
        ...

    def close(self, place: int) -> None:
        """A place takes no further requests; what it has goes on."""
        ...

    def evict(self, place: int, *, running: bool, requeue: bool) -> None:
        """Take from a closed place what waits, and break off what runs if ``running``.

        Requests go through the balancer again if ``requeue``, else they are lost.
        """
        ...

    def emptied_s(self, place: int) -> float | None:
        """When a closed place had nothing left; None while it has."""
        ...

    def totals(self) -> Totals:
        """Sums up to now."""
        ...

    def latencies(self) -> LatencyHistogram:
        """Of the answered requests up to now."""
        ...

    def records(self) -> RequestRecords:
        """Of the requests of the window."""
        ...
