"""What the autoscaler knows of pods: which count, which do not yet, and what they asked for.

Source: Kubernetes, ``pkg/controller/podautoscaler/replica_calculator.go``. Ages are seconds before now.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from farthing.core.scaling.fixed_width import MAX_INT64

__all__ = [
    "LONG_AGO_S",
    "Container",
    "Failure",
    "Groups",
    "Pod",
    "Readiness",
    "Sample",
    "group",
    "per_pod_usage_m",
    "pod_request_m",
    "ready_count",
]

LONG_AGO_S = 1e9
"""Age of a time that was never set."""
_PHASES = ("Pending", "Running", "Succeeded", "Failed", "Unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why no number of replicas could be computed.

    Attributes:
        code: ``no_metrics_returned``, ``no_pods``, ``no_metrics_for_targeted_pods``, ``missing_request``,
            ``no_metrics_matched_known_pods``, ``container_not_found``, ``no_target``, ``query_failed`` or
            ``unknown_metric``.
    """

    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One pod's value of one metric.

    Attributes:
        value_m: In thousandths of the metric's unit (of a core for CPU).
        age_s: Of the time it stands for.
        window_s: Over which it was averaged.
    """

    value_m: int
    age_s: float = 0.0
    window_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod of the scaled workload.

    Attributes:
        name: Unique among the workload's pods.
        phase: ``Pending``, ``Running``, ``Succeeded``, ``Failed`` or ``Unknown``.
        deleting: Whether it has been told to end.
        ready: Its Ready condition; None while it has none.
        start_age_s: Since it was started; None before that.
        ready_transition_age_s: Since ``ready`` last changed; None reads as long ago.
        request_m: What its containers in scope request of the resource, in thousandths; None when one requests nothing.
    """

    name: str
    phase: str = "Running"
    deleting: bool = False
    ready: bool | None = None
    start_age_s: float | None = None
    ready_transition_age_s: float | None = None
    request_m: int | None = None

    def __post_init__(self) -> None:
        if self.phase not in _PHASES:
            raise ValueError(f"phase must be one of {', '.join(_PHASES)}: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """When a pod's CPU is believed, by flags of the controller.

    Attributes:
        cpu_initialization_period_s: Since its start; until then only samples of a pod that has been ready throughout.
        initial_readiness_delay_s: Since its start; unready since before then means that it never was ready.
    """

    cpu_initialization_period_s: float = 300.0
    initial_readiness_delay_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """Pods by what is done with their samples.

    Attributes:
        ready_count: Pods whose sample counts.
        unready: Names of those whose sample is set aside: pending, or CPU of a pod that is starting.
        missing: Names of those without a sample.
        ignored: Names of those that end or have ended.
    """

    ready_count: int
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


def group(pods: Sequence[Pod], samples: Mapping[str, Sample], *, resource: str, readiness: Readiness) -> Groups:
    """Sort pods into those that count and those that do not.

    Args:
        pods: Of the workload.
        samples: By pod name; names of other pods are allowed.
        resource: ``cpu`` has a pod's readiness looked at; of all else only pending pods are unready.
        readiness: When a starting pod's CPU is believed.
    """
    kinds = {pod.name: _kind(pod, samples.get(pod.name), resource == "cpu", readiness) for pod in pods}

    def named(kind: str) -> frozenset[str]:
        return frozenset(name for name, k in kinds.items() if k == kind)

    return Groups(
        ready_count=sum(k == "ready" for k in kinds.values()),
        unready=named("unready"),
        missing=named("missing"),
        ignored=named("ignored"),
    )


def _kind(pod: Pod, sample: Sample | None, looks_at_readiness: bool, readiness: Readiness) -> str:
    if pod.deleting or pod.phase in ("Failed", "Succeeded"):
        return "ignored"
    if pod.phase == "Pending":
        return "unready"
    if sample is None:
        return "missing"
    return "unready" if looks_at_readiness and _starting(pod, sample, readiness) else "ready"


def _starting(pod: Pod, sample: Sample, readiness: Readiness) -> bool:
    if pod.ready is None or pod.start_age_s is None:
        return True
    changed_s = LONG_AGO_S if pod.ready_transition_age_s is None else pod.ready_transition_age_s
    if pod.start_age_s < readiness.cpu_initialization_period_s:
        return not pod.ready or sample.age_s > changed_s - sample.window_s
    return not pod.ready and pod.start_age_s - readiness.initial_readiness_delay_s < changed_s


def ready_count(pods: Sequence[Pod]) -> int:
    """Pods that run and are ready, ending ones included."""
    return sum(pod.phase == "Running" and pod.ready is True for pod in pods)


def per_pod_usage_m(usage_m: int, status_replicas: int) -> int:
    """A total's share of one pod, rounded up; 0 of no pods, 2⁶³ − 1 of a total that large.

    Args:
        usage_m: Total, in thousandths.
        status_replicas: Pods that there are.
    """
    if float(usage_m) >= float(MAX_INT64):
        return MAX_INT64
    return math.ceil(usage_m / status_replicas) if status_replicas else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container of a pod.

    Attributes:
        name: Unique within the pod.
        request_m: What it requests of the resource, in thousandths; None when nothing.
        restart_always: Of an init container: whether it runs beside the others (a sidecar).
    """

    name: str
    request_m: int | None
    restart_always: bool = False


def pod_request_m(
    containers: Sequence[Container],
    init_containers: Sequence[Container] = (),
    *,
    container: str | None = None,
    pod_level_m: int | None = None,
) -> int | Failure:
    """What a pod requests, in thousandths of the resource.

    Args:
        containers: Of the pod.
        init_containers: Of the pod; only sidecars among them count.
        container: Count this one alone; its own request then comes before the pod's.
        pod_level_m: Request of the pod as a whole, in place of its containers'; None when there is none.

    Returns:
        The request, or ``missing_request`` or ``container_not_found``.
    """
    if container is None and pod_level_m is not None:
        return pod_level_m
    running = [*containers, *(c for c in init_containers if c.restart_always)]
    counted = [c for c in running if container is None or c.name == container]
    if container is not None and not counted:
        return Failure(code="container_not_found")
    requests = [c.request_m for c in counted]
    known = [request for request in requests if request is not None]
    return sum(known) if len(known) == len(requests) else Failure(code="missing_request")
