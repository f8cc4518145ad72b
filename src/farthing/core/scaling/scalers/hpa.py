"""The Horizontal Pod Autoscaler at work: pods and samples are made of what the fleet shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from farthing.core.scaling.hpa.pods import Pod, Sample
from farthing.core.scaling.hpa.reconcile import Metric, Observation, Reading, Spec, State, reconcile
from farthing.core.scaling.scalers.quantities import Quantity, total
from farthing.nouns import FleetSeen, ScalingDecision

__all__ = ["HpaScaler", "PodCpu", "ReadyPods"]

SYNC_S = 15.0
"""``--horizontal-pod-autoscaler-sync-period``, and the resolution of metrics-server."""
_MILLI = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class PodCpu:
    """A replica as a pod.

    Attributes:
        cores: That it keeps busy when it never rests, > 0.
        request_m: CPU that it requests, in thousandths of a core, ≥ 1.
    """

    cores: float
    request_m: int

    def __post_init__(self) -> None:
        if not (self.cores > 0 and self.request_m >= 1):
            raise ValueError(f"a pod needs cores > 0 and a request ≥ 1: {self}")


class ReadyPods:
    """Since when each replica is ready, where only their number is seen: the newest goes first."""

    def __init__(self) -> None:
        self._since_s: list[float] = []

    def at(self, seen: FleetSeen, request_m: int) -> tuple[Pod, ...]:
        """The fleet's pods now; those that are starting are pending.

        Args:
            seen: The fleet.
            request_m: CPU that each requests, in thousandths of a core.
        """
        first = not self._since_s and seen.at_s <= seen.interval_s
        since_s = seen.at_s - 3600.0 if first else seen.at_s  # those that a fleet begins with have long been ready
        self._since_s = [*self._since_s[: seen.ready], *[since_s] * (seen.ready - len(self._since_s))]
        ready = [
            Pod(
                name=f"ready-{k}",
                ready=True,
                start_age_s=seen.at_s - at_s + 1.0,
                ready_transition_age_s=seen.at_s - at_s,
                request_m=request_m,
            )
            for k, at_s in enumerate(self._since_s)
        ]
        pending = [Pod(name=f"starting-{k}", phase="Pending", request_m=request_m) for k in range(seen.starting)]
        return (*ready, *pending)


class HpaScaler:
    """See :class:`farthing.ports.Scaler`.

    Args:
        spec: What the autoscaler is told.
        quantities: What each of its metrics is of the fleet, in their order.
        pod: A replica as a pod.

    Raises:
        ValueError: when there is not one quantity for each metric.
    """

    name = "hpa"
    interval_s = SYNC_S
    assumed = (
        "HPA: every ready pod has the same share of a metric, and pods that start are pending until they are ready",
    )

    def __init__(self, spec: Spec, quantities: Sequence[Quantity], pod: PodCpu) -> None:
        if len(quantities) != len(spec.metrics):
            raise ValueError(f"{len(spec.metrics)} metrics need as many quantities, there are {len(quantities)}")
        self._spec, self._quantities, self._pod = spec, tuple(quantities), pod
        self._state, self._pods = State(), ReadyPods()
        self._wanted: int | None = None

    def decide(self, seen: FleetSeen) -> ScalingDecision:
        """One pass of the controller."""
        pods = self._pods.at(seen, self._pod.request_m)
        readings = tuple(self._reading(m, q, seen, pods) for m, q in zip(self._spec.metrics, self._quantities))
        wanted = seen.replicas if self._wanted is None else self._wanted
        observed = Observation(spec_replicas=wanted, status_replicas=seen.replicas, pods=pods, readings=readings)
        self._state, outcome = reconcile(self._spec, self._state, observed, seen.at_s)
        self._wanted = outcome.replicas
        return ScalingDecision(replicas=outcome.replicas, reason=outcome.reason)

    def _reading(self, metric: Metric, quantity: Quantity, seen: FleetSeen, pods: Sequence[Pod]) -> Reading:
        amount = total(quantity, seen, self._pod.cores)
        if metric.kind in ("object", "external"):
            return Reading(values_m=(round(amount * _MILLI),))
        each_m = round(amount * _MILLI / seen.ready) if seen.ready else 0
        sample = Sample(value_m=each_m, window_s=seen.interval_s)
        return Reading(samples={pod.name: sample for pod in pods if pod.ready})
