"""One pass of the Horizontal Pod Autoscaler: bounds, metrics, stabilisation, rate, and what it says of itself.

Source: Kubernetes, ``pkg/controller/podautoscaler/horizontal.go``; scaling to zero as its newest version has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from farthing.core.scaling.hpa.behavior import (
    Behavior,
    Limited,
    ScaleEvent,
    limit_rate,
    limit_without_behavior,
    record_event,
)
from farthing.core.scaling.hpa.pods import Failure, Pod, Readiness, Sample
from farthing.core.scaling.hpa.replicas import (
    Proposal,
    Tolerance,
    external_average_value,
    external_value,
    object_average_value,
    object_value,
    pods_average_value,
    resource_utilization,
)
from farthing.core.scaling.hpa.stabilization import Recommendation, stabilize, stabilize_downscale

__all__ = ["Controller", "Metric", "Observation", "Outcome", "Reading", "Spec", "State", "reconcile"]

_REASONS = {
    "resource": "FailedGetResourceMetric",
    "container_resource": "FailedGetContainerResourceMetric",
    "pods": "FailedGetPodsMetric",
    "object": "FailedGetObjectMetric",
    "external": "FailedGetExternalMetric",
}
Conditions = dict[str, tuple[bool, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """Flags and feature gates of the controller manager, with Kubernetes' defaults.

    Attributes:
        tolerance: Ratios that change nothing.
        readiness: When a starting pod's CPU is believed.
        downscale_stabilization_s: How far back recommendations hold up a scale-down.
        scale_up_limit_factor: Of the present replicas in one step, without ``spec.behavior``.
        scale_up_limit_minimum: Replicas that one step may reach in any case, without ``spec.behavior``.
        configurable_tolerance: Whether tolerances of ``spec.behavior`` count.
        scale_to_zero: Whether the workload may be scaled to zero and back.
    """

    tolerance: Tolerance = field(default_factory=Tolerance)
    readiness: Readiness = field(default_factory=Readiness)
    downscale_stabilization_s: float = 300.0
    scale_up_limit_factor: float = 2.0
    scale_up_limit_minimum: float = 4.0
    configurable_tolerance: bool = True
    scale_to_zero: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric of the specification.

    Attributes:
        kind: ``resource``, ``container_resource``, ``pods``, ``object`` or ``external``; of any other the pass says
            that it does not know it.
        target_type: ``utilization``, ``average_value`` or ``value``.
        target: In percent of a utilisation, in thousandths of the metric's unit otherwise.
        resource: Name of the resource; only ``cpu`` looks at readiness.
    """

    kind: str
    target_type: str = ""
    target: int = 0
    resource: str = "cpu"

    def __post_init__(self) -> None:
        if self.target_type and self.target <= 0:
            raise ValueError(f"a metric's target must be > 0: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the query of one metric returned.

    Attributes:
        samples: By pod name, for metrics of pods.
        values_m: In thousandths, for objects and external metrics.
        failed: Whether the query failed.
    """

    samples: Mapping[str, Sample] = field(default_factory=dict)
    values_m: tuple[int, ...] = ()
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What the autoscaler was told.

    Attributes:
        max_replicas: Upper bound, ≥ 1.
        metrics: The highest of their proposals is taken.
        min_replicas: Lower bound, ≥ 0.
        behavior: ``spec.behavior`` with its defaults filled in; None without it.
        controller: Flags of the controller manager.
    """

    max_replicas: int
    metrics: tuple[Metric, ...]
    min_replicas: int = 1
    behavior: Behavior | None = None
    controller: Controller = field(default_factory=Controller)

    def __post_init__(self) -> None:
        if not self.metrics:
            raise ValueError(f"an autoscaler needs a metric: {self}")
        if not (0 <= self.min_replicas <= self.max_replicas and self.max_replicas >= 1):
            raise ValueError(f"replicas must be 0 ≤ min ≤ max and max ≥ 1: {self}")

    @property
    def tolerance(self) -> Tolerance:
        """The controller's, or what ``behavior`` says where that counts."""
        usual = self.controller.tolerance
        if self.behavior is None or not self.controller.configurable_tolerance:
            return usual
        down, up = self.behavior.scale_down.tolerance, self.behavior.scale_up.tolerance
        return Tolerance(down=usual.down if down is None else down, up=usual.up if up is None else up)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the controller remembers of a workload.

    Attributes:
        recommendations: Before stabilisation; None before the first pass, which notes the present replicas as one.
        scale_ups: Changes upwards, kept with ``spec.behavior`` only.
        scale_downs: Changes downwards.
        scaled_to_zero: Whether it was the controller that scaled the workload to zero.
    """

    recommendations: tuple[Recommendation, ...] | None = None
    scale_ups: tuple[ScaleEvent, ...] = ()
    scale_downs: tuple[ScaleEvent, ...] = ()
    scaled_to_zero: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a pass sees.

    Attributes:
        spec_replicas: That the workload is to have.
        status_replicas: That it has.
        pods: Of the workload.
        readings: One for each metric of the specification, in its order.
    """

    spec_replicas: int
    status_replicas: int
    pods: tuple[Pod, ...]
    readings: tuple[Reading, ...]

    def __post_init__(self) -> None:
        if min(self.spec_replicas, self.status_replicas) < 0:
            raise ValueError(f"replicas must be ≥ 0: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a pass decides.

    Attributes:
        replicas: Wanted from now on; the present ones where nothing could be decided.
        reason: Why, in a sentence without a full stop.
        scaled: Whether the workload's number is changed.
        error: The first metric's failure; None without one. It does not always stop the pass.
        conditions: By type, whether it holds and its reason.
        utilizations_pct: By metric; None of those without.
        asked: Replicas that each metric asks for, before stabilisation, rates and bounds; None of one that cannot be
            read. Empty where the pass did not look at metrics.
    """

    replicas: int
    reason: str
    scaled: bool
    error: Failure | None
    conditions: Mapping[str, tuple[bool, str]]
    utilizations_pct: tuple[int | None, ...]
    asked: tuple[int | None, ...] = ()


def reconcile(spec: Spec, state: State, seen: Observation, now_s: float) -> tuple[State, Outcome]:
    """One pass.

    Args:
        spec: What the autoscaler was told.
        state: After the pass before.
        seen: Now.
        now_s: Now; passes are 15 s apart by default.

    Raises:
        ValueError: when there is not one reading for each metric.
    """
    if len(seen.readings) != len(spec.metrics):
        raise ValueError(f"{len(spec.metrics)} metrics need as many readings, there are {len(seen.readings)}")
    if state.recommendations is None:
        state = replace(state, recommendations=(Recommendation(replicas=seen.spec_replicas, at_s=now_s),))
    conditions: Conditions = {"AbleToScale": (True, "SucceededGetScale")}
    current = seen.spec_replicas
    if current == 0 and not _may_leave_zero(spec, state):
        return _disabled(spec, state, conditions)
    change = partial(_changed, spec, state, seen, now_s=now_s)
    if current > spec.max_replicas:
        return change(spec.max_replicas, "more replicas than the maximum", conditions)
    if 0 < current < spec.min_replicas:
        return change(spec.min_replicas, "fewer replicas than the minimum", conditions)
    return _by_metrics(spec, state, seen, conditions, now_s)


def _may_leave_zero(spec: Spec, state: State) -> bool:
    ours = spec.controller.scale_to_zero and state.scaled_to_zero
    return ours and (spec.min_replicas != 0 or _beyond_pods(spec))


def _beyond_pods(spec: Spec) -> bool:
    return any(metric.kind in ("object", "external") for metric in spec.metrics)


def _disabled(spec: Spec, state: State, conditions: Conditions) -> tuple[State, Outcome]:
    conditions["ScalingActive"] = (False, "ScalingDisabled")
    kept = replace(state, scaled_to_zero=state.scaled_to_zero and spec.controller.scale_to_zero)
    reason = "scaling is off while the workload is at zero"
    return kept, _outcome(0, reason, conditions)


def _by_metrics(
    spec: Spec, state: State, seen: Observation, conditions: Conditions, now_s: float
) -> tuple[State, Outcome]:
    results = [_proposal(spec, metric, reading, seen) for metric, reading in zip(spec.metrics, seen.readings)]
    proposals = [result for result in results if isinstance(result, Proposal)]
    wanted = max((proposal.replicas for proposal in proposals), default=0)
    failed = next((k for k, result in enumerate(results) if isinstance(result, Failure)), None)
    if failed is not None and (not proposals or wanted < seen.spec_replicas):
        why = _REASONS.get(spec.metrics[failed].kind, "InvalidMetricSourceType")
        conditions["ScalingActive"] = (False, why)
        told = f"the metric {spec.metrics[failed].kind} cannot be read and the others would not scale up"
        return state, _outcome(seen.spec_replicas, told, conditions, results=results)
    conditions["ScalingActive"] = (True, "ValidMetricFound")
    state, limited, note = _normalized(spec, state, seen.spec_replicas, max(wanted, 0), conditions, now_s)
    reason = f"metrics ask for {wanted}{note}"
    return _changed(spec, state, seen, limited, reason, conditions, now_s=now_s, results=results)


def _failure(results: Sequence[Proposal | Failure]) -> Failure | None:
    return next((result for result in results if isinstance(result, Failure)), None)


def _proposal(spec: Spec, metric: Metric, reading: Reading, seen: Observation) -> Proposal | Failure:
    if metric.kind not in _REASONS:
        return Failure(code="unknown_metric")
    if reading.failed:
        return Failure(code="query_failed")
    if metric.kind in ("object", "external"):
        return _of_values(metric, reading.values_m, seen, spec.tolerance)
    average = metric.target_type == "average_value"
    if not average and (metric.kind == "pods" or metric.target_type != "utilization"):
        return Failure(code="no_target")
    resource = "" if metric.kind == "pods" else metric.resource
    common = (seen.spec_replicas, metric.target, seen.pods, reading.samples)
    tolerance, readiness = spec.tolerance, spec.controller.readiness
    if average:
        return pods_average_value(*common, resource=resource, tolerance=tolerance, readiness=readiness)
    return resource_utilization(*common, resource=resource, tolerance=tolerance, readiness=readiness)


def _of_values(metric: Metric, values_m: Sequence[int], seen: Observation, tolerance: Tolerance) -> Proposal | Failure:
    if metric.target_type not in ("value", "average_value"):
        return Failure(code="no_target")
    if not values_m:
        return Failure(code="no_metrics_returned")
    per_pod, external = metric.target_type == "average_value", metric.kind == "external"
    if per_pod and external:
        return external_average_value(seen.status_replicas, metric.target, values_m, tolerance=tolerance)
    if per_pod:
        return object_average_value(seen.status_replicas, metric.target, sum(values_m), tolerance=tolerance)
    if external:
        return external_value(seen.spec_replicas, metric.target, values_m, seen.pods, tolerance=tolerance)
    return object_value(seen.spec_replicas, metric.target, sum(values_m), seen.pods, tolerance=tolerance)


def _normalized(
    spec: Spec, state: State, current: int, wanted: int, conditions: Conditions, now_s: float
) -> tuple[State, int, str]:
    """Stabilise, limit the rate, keep within bounds; say what held the change back."""
    stable, log = _stabilized(spec, state, current, wanted, now_s)
    limited = _limited(spec, state, current, stable, now_s)
    up = spec.behavior is not None and wanted >= current
    held = "ScaleUpStabilized" if up else "ScaleDownStabilized"
    conditions["AbleToScale"] = (True, held if stable != wanted else "ReadyForNewScale")
    conditions["ScalingLimited"] = (limited.replicas != stable, limited.reason)
    replicas = limited.replicas
    if current == 0 and replicas < spec.min_replicas:
        replicas = spec.min_replicas
    note = f", stabilised to {stable}" if stable != wanted else ""
    note += f", limited to {replicas} ({limited.reason})" if replicas != stable else ""
    return replace(state, recommendations=log), replicas, note


def _stabilized(
    spec: Spec, state: State, current: int, wanted: int, now_s: float
) -> tuple[int, tuple[Recommendation, ...]]:
    log, usual_s = state.recommendations or (), spec.controller.downscale_stabilization_s
    if spec.behavior is None:
        return stabilize_downscale(log, wanted, usual_s, now_s)
    up_s, down_s = spec.behavior.scale_up.stabilization_s, spec.behavior.scale_down.stabilization_s
    down_s = float(int(usual_s)) if down_s is None else down_s
    return stabilize(log, current, wanted, up_s=up_s or 0.0, down_s=down_s, now_s=now_s)


def _limited(spec: Spec, state: State, current: int, stable: int, now_s: float) -> Limited:
    least, most = spec.min_replicas, spec.max_replicas
    if spec.behavior is not None:
        events = (state.scale_ups, state.scale_downs)
        return limit_rate(current, stable, least, most, spec.behavior, *events, now_s=now_s)
    c = spec.controller
    return limit_without_behavior(
        current, stable, least, most, factor=c.scale_up_limit_factor, minimum=c.scale_up_limit_minimum
    )


def _changed(
    spec: Spec,
    state: State,
    seen: Observation,
    replicas: int,
    reason: str,
    conditions: Conditions,
    *,
    now_s: float,
    results: Sequence[Proposal | Failure] = (),
) -> tuple[State, Outcome]:
    current = seen.spec_replicas
    if replicas == current:
        return state, _outcome(current, reason, conditions, results=results)
    conditions["AbleToScale"] = (True, "SucceededRescale")
    to_zero = replicas == 0 == spec.min_replicas and _beyond_pods(spec) and spec.controller.scale_to_zero
    if spec.controller.scale_to_zero:
        conditions["ScaledToZero"] = (to_zero, "ScaledToZero" if to_zero else "NotScaledToZero")
    state = replace(_with_event(spec, state, replicas - current, now_s), scaled_to_zero=to_zero)
    return state, _outcome(replicas, reason, conditions, scaled=True, results=results)


def _with_event(spec: Spec, state: State, change: int, now_s: float) -> State:
    if spec.behavior is None:
        return state
    if change > 0:
        return replace(state, scale_ups=record_event(state.scale_ups, change, spec.behavior.scale_up, now_s))
    return replace(state, scale_downs=record_event(state.scale_downs, -change, spec.behavior.scale_down, now_s))


def _outcome(
    replicas: int,
    reason: str,
    conditions: Conditions,
    *,
    scaled: bool = False,
    results: Sequence[Proposal | Failure] = (),
) -> Outcome:
    return Outcome(
        replicas=replicas,
        reason=reason,
        scaled=scaled,
        error=_failure(results),
        conditions=dict(conditions),
        utilizations_pct=tuple(r.utilization_pct if isinstance(r, Proposal) else None for r in results),
        asked=tuple(r.replicas if isinstance(r, Proposal) else None for r in results),
    )
