"""Replicas that one metric asks for, by the kind of its target.

Source: Kubernetes, ``pkg/controller/podautoscaler/replica_calculator.go`` and ``metrics/utilization.go``. Averages are
integers: they are truncated before the ratio to the target is taken, so that 29.9 % of a target of 30 % is 29 / 30.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from farthing.core.scaling.fixed_width import MAX_INT64, ceil_int32, quotient, ratio, wrap
from farthing.core.scaling.hpa.pods import (
    Failure,
    Groups,
    Pod,
    Readiness,
    Sample,
    group,
    per_pod_usage_m,
    ready_count,
)

__all__ = [
    "Proposal",
    "Tolerance",
    "external_average_value",
    "external_value",
    "object_average_value",
    "object_value",
    "pods_average_value",
    "resource_utilization",
]

_Values = dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """Ratios of usage to target that change nothing.

    Attributes:
        down: Below 1, a fraction.
        up: Above 1, a fraction.
    """

    down: float = 0.1
    up: float = 0.1

    def __post_init__(self) -> None:
        if not (self.down >= 0 and self.up >= 0):
            raise ValueError(f"tolerances must be ≥ 0: {self}")

    def holds(self, usage_ratio: float) -> bool:
        """Whether ``usage_ratio`` lies within, both ends included; never of NaN."""
        return 1.0 - self.down <= usage_ratio <= 1.0 + self.up


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What one metric asks for.

    Attributes:
        replicas: Before bounds, stabilisation and rates.
        usage_m: As the controller reports it, in thousandths: the average over pods that count, or a total.
        utilization_pct: Usage over requests in whole percent; None where the target is no utilisation.
    """

    replicas: int
    usage_m: int
    utilization_pct: int | None = None


@dataclass(frozen=True, slots=True)
class _Usage:
    ratio: float
    average_m: int
    percent: int | None = None


def resource_utilization(
    current_replicas: int,
    target_pct: int,
    pods: Sequence[Pod],
    samples: Mapping[str, Sample],
    *,
    resource: str = "cpu",
    tolerance: Tolerance,
    readiness: Readiness,
) -> Proposal | Failure:
    """Replicas that bring usage to ``target_pct`` percent of what pods request.

    A pod without a sample counts as using nothing when scaling up, and all that it requests (or the target, where that
    is above 100 %) when scaling down. Unready pods count as using nothing when scaling up and are left out otherwise.

    Args:
        current_replicas: Of the specification.
        target_pct: In percent.
        pods: Of the workload.
        samples: Usage by pod name.
        resource: Its name; only ``cpu`` looks at readiness.
        tolerance: Ratios that change nothing.
        readiness: When a starting pod's CPU is believed.
    """
    counted = _counted(pods, samples, resource, readiness)
    if isinstance(counted, Failure):
        return counted
    values, groups = counted
    requests = {pod.name: pod.request_m for pod in pods if pod.request_m is not None}
    if len(requests) < len(pods):
        return Failure(code="missing_request")
    if not sum(requests.get(name, 0) for name in values):
        return Failure(code="no_metrics_matched_known_pods")

    def usage(of: _Values) -> _Usage:
        return _utilization(of, requests, target_pct)

    full_pct = max(100, target_pct)
    missing = {name: quotient(wrap(requests[name] * full_pct), 100) for name in groups.missing}
    replicas = _balanced(current_replicas, values, groups, tolerance, usage, missing)
    first = usage(values)
    return Proposal(replicas=replicas, usage_m=first.average_m, utilization_pct=first.percent)


def pods_average_value(
    current_replicas: int,
    target_m: int,
    pods: Sequence[Pod],
    samples: Mapping[str, Sample],
    *,
    resource: str = "",
    tolerance: Tolerance,
    readiness: Readiness,
) -> Proposal | Failure:
    """Replicas that bring the pods' average to ``target_m``.

    As :func:`resource_utilization`, but a pod without a sample counts as using exactly the target when scaling down.

    Args:
        current_replicas: Of the specification.
        target_m: Average of a pod, in thousandths.
        pods: Of the workload.
        samples: Values by pod name.
        resource: ``cpu`` where the metric is CPU, for which readiness is looked at.
        tolerance: Ratios that change nothing.
        readiness: When a starting pod's CPU is believed.
    """
    counted = _counted(pods, samples, resource, readiness)
    if isinstance(counted, Failure):
        return counted
    values, groups = counted

    def usage(of: _Values) -> _Usage:
        average_m = quotient(wrap(sum(of.values())), len(of))
        return _Usage(ratio(average_m, target_m), average_m)

    missing = dict.fromkeys(groups.missing, target_m)
    replicas = _balanced(current_replicas, values, groups, tolerance, usage, missing)
    return Proposal(replicas=replicas, usage_m=usage(values).average_m)


def _counted(
    pods: Sequence[Pod], samples: Mapping[str, Sample], resource: str, readiness: Readiness
) -> tuple[_Values, Groups] | Failure:
    """Values of pods that count and of names that are no pods, and how the pods were sorted."""
    if not samples:
        return Failure(code="no_metrics_returned")
    if not pods:
        return Failure(code="no_pods")
    groups = group(pods, samples, resource=resource, readiness=readiness)
    left_out = groups.ignored | groups.unready
    values = {name: sample.value_m for name, sample in samples.items() if name not in left_out}
    return (values, groups) if values else Failure(code="no_metrics_for_targeted_pods")


def _utilization(values: _Values, requests: Mapping[str, int], target_pct: int) -> _Usage:
    known = [name for name in values if name in requests]
    total, requested = wrap(sum(values[name] for name in known)), wrap(sum(requests[name] for name in known))
    percent = wrap(quotient(wrap(total * 100), requested), 32)
    return _Usage(ratio(percent, target_pct), quotient(total, len(known)), percent)


def _balanced(
    current_replicas: int,
    values: _Values,
    groups: Groups,
    tolerance: Tolerance,
    usage: Callable[[_Values], _Usage],
    missing_m: _Values,
) -> int:
    """Replicas, with pods that have no sample or are unready filled in against the direction of the change."""
    first = usage(values).ratio
    unready_count = bool(groups.unready) and first > 1.0
    if not unready_count and not groups.missing:
        return current_replicas if tolerance.holds(first) else ceil_int32(first * groups.ready_count)
    filled = dict(values)
    if first < 1.0:
        filled |= missing_m
    elif first > 1.0:
        filled |= dict.fromkeys(groups.missing, 0)
    if unready_count:
        filled |= dict.fromkeys(groups.unready, 0)
    then = usage(filled).ratio
    if tolerance.holds(then) or (first < 1.0 < then) or (then < 1.0 < first):
        return current_replicas
    wanted = ceil_int32(then * len(filled))
    turned = (then < 1.0 and wanted > current_replicas) or (then > 1.0 and wanted < current_replicas)
    return current_replicas if turned else wanted


def object_value(
    current_replicas: int, target_m: int, value_m: int, pods: Sequence[Pod], *, tolerance: Tolerance
) -> Proposal | Failure:
    """Replicas that bring a value of one object to ``target_m``, taken as proportional to the pods that are ready.

    Args:
        current_replicas: Of the specification; from 0 the ratio itself is taken, without tolerance.
        target_m: In thousandths.
        value_m: In thousandths.
        pods: Of the workload.
        tolerance: Ratios that change nothing.
    """
    usage_ratio = ratio(value_m, target_m)
    if not current_replicas:
        return Proposal(replicas=ceil_int32(usage_ratio), usage_m=value_m)
    if tolerance.holds(usage_ratio):
        return Proposal(replicas=current_replicas, usage_m=value_m)
    if not pods:
        return Failure(code="no_pods")
    return Proposal(replicas=ceil_int32(usage_ratio * ready_count(pods)), usage_m=value_m)


def external_value(
    current_replicas: int, target_m: int, values_m: Sequence[int], pods: Sequence[Pod], *, tolerance: Tolerance
) -> Proposal | Failure:
    """As :func:`object_value`, of the sum of what a query returns, at most 2⁶³ − 1.

    Args:
        current_replicas: Of the specification.
        target_m: In thousandths.
        values_m: In thousandths.
        pods: Of the workload.
        tolerance: Ratios that change nothing.
    """
    if not values_m:
        return Failure(code="no_metrics_returned")
    total_m = 0
    for value_m in values_m:
        if value_m > 0 and total_m > MAX_INT64 - value_m:
            total_m = MAX_INT64
            break
        total_m = wrap(total_m + value_m)
    return object_value(current_replicas, target_m, total_m, pods, tolerance=tolerance)


def object_average_value(status_replicas: int, target_m: int, value_m: int, *, tolerance: Tolerance) -> Proposal:
    """Replicas among which an object's value, shared out, is ``target_m`` each.

    Args:
        status_replicas: Pods that there are.
        target_m: Of one pod, in thousandths.
        value_m: In thousandths.
        tolerance: Ratios that change nothing.
    """
    within = tolerance.holds(ratio(value_m, float(target_m) * status_replicas))
    replicas = status_replicas if within else ceil_int32(ratio(value_m, target_m))
    return Proposal(replicas=replicas, usage_m=per_pod_usage_m(value_m, status_replicas))


def external_average_value(
    status_replicas: int, target_m: int, values_m: Sequence[int], *, tolerance: Tolerance
) -> Proposal | Failure:
    """As :func:`object_average_value`, of the sum of what a query returns.

    The controller takes a sum below zero for one that has overflowed, hence for 2⁶³ − 1.

    Args:
        status_replicas: Pods that there are.
        target_m: Of one pod, in thousandths.
        values_m: In thousandths.
        tolerance: Ratios that change nothing.
    """
    if not values_m:
        return Failure(code="no_metrics_returned")
    total_m = 0
    for value_m in values_m:
        total_m = wrap(total_m + value_m)
        if total_m < 0:
            total_m = MAX_INT64
            break
    return object_average_value(status_replicas, target_m, total_m, tolerance=tolerance)
