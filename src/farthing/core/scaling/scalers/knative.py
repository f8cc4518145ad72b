"""Knative's autoscaler at work: a stable and a panic window over requests in flight or per second."""

from __future__ import annotations

import math

from farthing.core.scaling.knative import bucket_average as windows
from farthing.core.scaling.knative.decider import Observation, Spec, State, start, step
from farthing.core.scaling.scalers.quantities import Quantity, total
from farthing.nouns import FleetSeen, ScalingDecision

__all__ = ["KnativeScaler"]

PANIC_WINDOW_FRAC = 0.1
"""``panic-window-percentage``."""


class KnativeScaler:
    """See :class:`farthing.ports.Scaler`.

    Args:
        spec: What the decider is told; ``target_value`` of one replica, in the quantity's unit.
        max_replicas: ``max-scale``, ≥ 1.
        min_replicas: ``min-scale``, ≥ 0.
        quantity: ``in_flight`` (concurrency) or ``requests_per_second``.

    Raises:
        ValueError: when the quantity is neither, or the bounds are not 0 ≤ min ≤ max.
    """

    name = "knative"
    assumed = ("Knative: each second's concurrency is the mean of the two that a step covers",)

    def __init__(
        self, spec: Spec, max_replicas: int, *, min_replicas: int = 0, quantity: Quantity = "in_flight"
    ) -> None:
        if quantity not in ("in_flight", "requests_per_second"):
            raise ValueError(f"Knative scales by in_flight or requests_per_second, not by {quantity}")
        if not 0 <= min_replicas <= max_replicas:
            raise ValueError(f"replicas must be 0 ≤ min ≤ max, are {min_replicas} and {max_replicas}")
        self._spec, self._quantity, self._bounds = spec, quantity, (min_replicas, max_replicas)
        self.interval_s = float(spec.tick_interval_s)
        self._stable = windows.buckets(spec.stable_window_s)
        self._panic = windows.buckets(max(1.0, spec.stable_window_s * PANIC_WINDOW_FRAC))
        self._state: State | None = None

    def decide(self, seen: FleetSeen) -> ScalingDecision:
        """Take in the interval second by second, then decide."""
        if self._state is None:
            self._state = start(self._spec, seen.ready, seen.at_s)
        amount = total(self._quantity, seen, 1.0)
        for t_s in range(math.floor(seen.at_s - seen.interval_s), math.floor(seen.at_s)):
            self._stable = windows.record(self._stable, t_s, amount)
            self._panic = windows.record(self._panic, t_s, amount)
        now_s = seen.at_s - 1.0  # the second that ended last
        observed = Observation(
            ready_pods=seen.ready,
            stable_value=windows.linear_average(self._stable, now_s),
            panic_value=windows.linear_average(self._panic, now_s),
        )
        self._state, scale = step(self._spec, self._state, observed, seen.at_s)
        least, most = self._bounds
        if not scale.valid:
            return ScalingDecision(replicas=max(least, min(most, seen.replicas)), reason=scale.reason)
        within = max(least, min(most, scale.replicas))
        reason = scale.reason if within == scale.replicas else f"{scale.reason}, held to the bounds"
        return ScalingDecision(replicas=within, reason=reason)
