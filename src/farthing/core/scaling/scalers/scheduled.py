"""Bounds by the clock at work; alone, or around another rule."""

from __future__ import annotations

from farthing.core.scaling.scheduled import Schedule, step
from farthing.nouns import FleetSeen, ScalingDecision
from farthing.ports import Scaler

__all__ = ["ScheduledScaler"]


class ScheduledScaler:
    """See :class:`farthing.ports.Scaler`.

    Args:
        schedule: Its actions.
        start_s: Time of the period at which the fleet's clock starts (of the day, say).
        within: The rule that decides between the bounds; None to stay where the bounds allow.
    """

    name = "scheduled"

    def __init__(self, schedule: Schedule, *, start_s: float = 0.0, within: Scaler | None = None) -> None:
        self._schedule, self._start_s, self._within = schedule, start_s, within
        self.interval_s = 60.0 if within is None else within.interval_s
        self.assumed: tuple[str, ...] = () if within is None else within.assumed

    def decide(self, seen: FleetSeen) -> ScalingDecision:
        """Hold what the other rule wants, or what there is, to the bounds of now."""
        inner = None if self._within is None else self._within.decide(seen)
        wanted = seen.replicas if inner is None else inner.replicas
        decided = step(self._schedule, wanted, self._start_s + seen.at_s)
        if inner is not None and decided.replicas == wanted:
            return inner
        return decided
