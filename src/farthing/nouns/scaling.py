"""What an autoscaling rule is shown, and what it decides."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["FleetSeen", "ScalingDecision"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingDecision:
    """A number of replicas with its reason.

    Attributes:
        replicas: Wanted from now on, ≥ 0.
        reason: Why, in a sentence without a full stop.
    """

    replicas: int
    reason: str

    def __post_init__(self) -> None:
        if self.replicas < 0:
            raise ValueError(f"replicas must be ≥ 0: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSeen:
    """A fleet as its autoscaler sees it: an interval that ends now, and the replicas now.

    Attributes:
        at_s: Now, since the start.
        interval_s: Length of the interval, > 0.
        arrived: Requests that came in it.
        answered: Requests answered in it.
        within_promise: Of those, as quickly as promised.
        failed: Requests refused, given up or lost in it.
        in_flight: Requests that wait or run now.
        waiting: Of those, in no batch yet.
        mean_in_flight: Average of ``in_flight`` over the interval.
        busy_frac: Share of the ready replicas' time spent on batches, in [0, 1]; 0 where none was ready.
        ready: Replicas that take requests.
        starting: Replicas that were asked for and are not ready yet.
    """

    at_s: float
    interval_s: float
    arrived: int
    answered: int
    within_promise: int
    failed: int
    in_flight: int
    waiting: int
    mean_in_flight: float
    busy_frac: float
    ready: int
    starting: int

    def __post_init__(self) -> None:
        if not (self.interval_s > 0 and math.isfinite(self.at_s)):
            raise ValueError(f"FleetSeen: interval_s must be > 0, at_s finite: {self}")
        if not 0 <= self.busy_frac <= 1 or self.mean_in_flight < 0:
            raise ValueError(f"FleetSeen: busy_frac must lie in [0, 1], mean_in_flight be ≥ 0: {self}")
        if min(self.arrived, self.answered, self.failed, self.in_flight, self.ready, self.starting) < 0:
            raise ValueError(f"FleetSeen: counts must be ≥ 0: {self}")

    @property
    def replicas(self) -> int:
        """That are there or asked for."""
        return self.ready + self.starting

    @property
    def arrived_rps(self) -> float:
        """Rate at which requests came."""
        return self.arrived / self.interval_s
