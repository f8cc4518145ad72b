"""KEDA at work: triggers switch a workload on and off, the autoscaler that it makes does the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from farthing.core.scaling.hpa.behavior import Behavior
from farthing.core.scaling.hpa.reconcile import Controller, Metric
from farthing.core.scaling.hpa.reconcile import Spec as HpaSpec
from farthing.core.scaling.keda import activation
from farthing.core.scaling.scalers.hpa import SYNC_S, HpaScaler, PodCpu
from farthing.core.scaling.scalers.quantities import Quantity, total
from farthing.nouns import FleetSeen, ScalingDecision

__all__ = ["KedaScaler", "Trigger"]

POLLING_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One trigger of a ScaledObject.

    Attributes:
        quantity: What its query returns, of the whole fleet.
        threshold: Of one replica (``AverageValue``) or of all (``Value``), in the quantity's unit, > 0.
        activation_threshold: Above it the trigger is active.
        per_replica: Whether the threshold is an average.
    """

    quantity: Quantity
    threshold: float
    activation_threshold: float = 0.0
    per_replica: bool = True

    def __post_init__(self) -> None:
        if not self.threshold > 0:
            raise ValueError(f"a trigger's threshold must be > 0: {self}")


class KedaScaler:
    """See :class:`farthing.ports.Scaler`.

    Args:
        triggers: At least one.
        max_replicas: Upper bound, ≥ 1.
        spec: Of the ScaledObject, as far as it concerns zero and idle.
        pod: A replica as a pod.
        polling_s: Between looks at the triggers while the workload is off.
        behavior: ``advanced.horizontalPodAutoscalerConfig.behavior``; None without it.

    Raises:
        ValueError: when there is no trigger.
    """

    name = "keda"
    interval_s = SYNC_S
    assumed = HpaScaler.assumed

    def __init__(
        self,
        triggers: Sequence[Trigger],
        max_replicas: int,
        spec: activation.Spec,
        pod: PodCpu,
        *,
        polling_s: float = POLLING_S,
        behavior: Behavior | None = None,
    ) -> None:
        if not triggers:
            raise ValueError("a ScaledObject needs a trigger")
        self._triggers, self._spec, self._pod, self._polling_s = tuple(triggers), spec, pod, polling_s
        metrics = tuple(
            Metric(
                kind="external",
                target_type="average_value" if t.per_replica else "value",
                target=max(1, round(t.threshold * 1000)),
            )
            for t in self._triggers
        )
        self._hpa_spec = HpaSpec(
            max_replicas=max_replicas,
            min_replicas=max(1, spec.min_replicas or 0),
            metrics=metrics,
            behavior=behavior,
            controller=Controller(),
        )
        self._hpa = self._new_hpa()
        self._last_active_s: float | None = None
        self._polled_s: float | None = None

    def _new_hpa(self) -> HpaScaler:
        return HpaScaler(self._hpa_spec, [t.quantity for t in self._triggers], self._pod)

    def decide(self, seen: FleetSeen) -> ScalingDecision:
        """Look at the triggers when that is due, and let the autoscaler decide while the workload is on."""
        off = seen.replicas == 0
        if self._polled_s is None or seen.at_s - self._polled_s >= self._polling_s:
            self._polled_s = seen.at_s
            switched = self._switch(seen)
            if switched.replicas != seen.replicas:
                self._hpa = self._new_hpa()
                return switched
        if off:
            return ScalingDecision(replicas=0, reason="off until a trigger is active")
        return self._hpa.decide(seen)

    def _switch(self, seen: FleetSeen) -> ScalingDecision:
        amounts = [(t, total(t.quantity, seen, self._pod.cores)) for t in self._triggers]
        active = any(amount > t.activation_threshold for t, amount in amounts)
        observed = activation.Observation(replicas=seen.replicas, active=active)
        self._last_active_s, found = activation.step(self._spec, self._last_active_s, observed, seen.at_s)
        return ScalingDecision(replicas=found.replicas, reason=found.reason)
