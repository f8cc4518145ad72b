"""Ray Serve's default policy at work."""

from __future__ import annotations

from collections import deque

from farthing.core.scaling.ray_serve import Observation, Policy, State, step
from farthing.nouns import FleetSeen, ScalingDecision

__all__ = ["RayServeScaler"]


class RayServeScaler:
    """See :class:`farthing.ports.Scaler`.

    Args:
        policy: ``autoscaling_config``.
        look_back_s: Over which requests in flight are averaged, > 0.
    """

    name = "ray-serve"
    interval_s = 1.0
    assumed = ("Ray Serve: asked once a second, where Ray asks every 0.1 s",)

    def __init__(self, policy: Policy, *, look_back_s: float = 30.0) -> None:
        self._policy, self._state = policy, State()
        self._ongoing: deque[float] = deque(maxlen=max(1, round(look_back_s / self.interval_s)))

    def decide(self, seen: FleetSeen) -> ScalingDecision:
        """Take in one second."""
        self._ongoing.append(seen.mean_in_flight)
        observed = Observation(
            running_replicas=seen.ready,
            target_replicas=seen.replicas,
            ongoing_requests=sum(self._ongoing) / len(self._ongoing),
        )
        self._state, decided = step(self._policy, self._state, observed, seen.at_s)
        return decided
