"""AWS target tracking at work, once a minute."""

from __future__ import annotations

from farthing.core.scaling.scalers.quantities import Quantity, total
from farthing.core.scaling.target_tracking import ASSUMED, Policy, State, step
from farthing.nouns import FleetSeen, ScalingDecision

__all__ = ["TargetTrackingScaler"]


class TargetTrackingScaler:
    """See :class:`farthing.ports.Scaler`.

    Args:
        policy: The rule; its target is the quantity of one replica.
        quantity: Such as ``requests_per_second`` (SageMaker's invocations of an instance in a minute, over 60) or
            ``cpu`` in cores.
        cores: That one busy replica keeps busy, > 0.
    """

    name = "target-tracking"
    interval_s = 60.0
    assumed = (f"AWS target tracking: {ASSUMED}",)

    def __init__(self, policy: Policy, *, quantity: Quantity = "requests_per_second", cores: float = 1.0) -> None:
        self._policy, self._quantity, self._cores = policy, quantity, cores
        self._state = State()

    def decide(self, seen: FleetSeen) -> ScalingDecision:
        """Take in one minute; without a ready replica there is no metric."""
        metric = total(self._quantity, seen, self._cores) / seen.ready if seen.ready else None
        self._state, decided = step(self._policy, self._state, seen.replicas, metric, seen.at_s)
        return decided
