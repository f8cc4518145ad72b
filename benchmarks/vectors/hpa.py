"""Vectors of Kubernetes' Horizontal Pod Autoscaler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from farthing.core.scaling.hpa.behavior import (
    Behavior,
    Policy,
    Rules,
    ScaleEvent,
    change_in_period,
    limit_rate,
    limit_without_behavior,
    record_event,
    scale_down_limit,
    scale_up_limit,
)
from farthing.core.scaling.hpa.pods import (
    Container,
    Failure,
    Pod,
    Readiness,
    Sample,
    group,
    per_pod_usage_m,
    pod_request_m,
)
from farthing.core.scaling.hpa.reconcile import Controller, Metric, Observation, Reading, Spec, State, reconcile
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

__all__ = ["SUITES"]

NOW_S = 0.0
Case = Mapping[str, Any]


def _pods(rows: Sequence[Case]) -> tuple[Pod, ...]:
    return tuple(
        Pod(
            name=row["name"],
            phase=row["phase"],
            deleting=row["deleting"],
            ready=row["ready"],
            start_age_s=row.get("start_age_s"),
            ready_transition_age_s=row.get("ready_transition_age_s"),
            request_m=row.get("request_m"),
        )
        for row in rows
    )


def _samples(rows: Sequence[Case], unmatched_m: Sequence[int], key: str = "usage_m") -> dict[str, Sample]:
    known = {
        row["name"]: Sample(value_m=row[key], age_s=row["sample_age_s"], window_s=row["sample_window_s"])
        for row in rows
        if row[key] is not None
    }
    return known | {f"(no pod {k})": Sample(value_m=value) for k, value in enumerate(unmatched_m)}


def _readiness(row: Case) -> Readiness:
    if "cpu_initialization_period_s" not in row:
        return Readiness()
    return Readiness(
        cpu_initialization_period_s=row["cpu_initialization_period_s"],
        initial_readiness_delay_s=row["initial_readiness_delay_s"],
    )


def _replicas(case: Case) -> Case:
    row = case["input"]
    result = _proposal(row, _pods(row["pods"]))
    if isinstance(result, Failure):
        return {"error": result.code}
    got = {"replicas": result.replicas, "utilization_pct": result.utilization_pct}
    return got | {"usage_m": result.usage_m, "raw_average_m": result.usage_m}


def _proposal(row: Case, pods: tuple[Pod, ...]) -> Proposal | Failure:
    kind, current = row["metric"], row["current_replicas"]
    tolerance = Tolerance(down=row["tolerance_down"], up=row["tolerance_up"])
    target, values_m = row.get("target_m", row.get("target_pct")), row.get("values_m", [])
    if kind in ("resource_utilization", "pods_average_value"):
        compute = resource_utilization if kind == "resource_utilization" else pods_average_value
        samples, resource = _samples(row["pods"], row["unmatched_usage_m"]), row.get("resource", "")
        readiness = _readiness(row)
        return compute(current, target, pods, samples, resource=resource, tolerance=tolerance, readiness=readiness)
    if kind == "external_value":
        return external_value(current, target, values_m, pods, tolerance=tolerance)
    if kind == "external_average_value":
        return external_average_value(current, target, values_m, tolerance=tolerance)
    if not values_m:
        return Failure(code="no_metrics_returned")
    if kind == "object_value":
        return object_value(current, target, sum(values_m), pods, tolerance=tolerance)
    if kind == "object_average_value":
        return object_average_value(current, target, sum(values_m), tolerance=tolerance)
    raise ValueError(f"no such metric: {kind}")


def _group_pods(row: Case) -> Case:
    samples = {
        pod["name"]: Sample(value_m=0, age_s=pod["sample_age_s"], window_s=pod["sample_window_s"])
        for pod in row["pods"]
        if pod["sample_present"]
    }
    groups = group(_pods(row["pods"]), samples, resource=row["resource"], readiness=_readiness(row))
    named = {"unready": groups.unready, "missing": groups.missing, "ignored": groups.ignored}
    order = [pod["name"] for pod in row["pods"]]
    return {"ready_count": groups.ready_count} | {key: sorted(names, key=order.index) for key, names in named.items()}


def _per_pod_usage(row: Case) -> Case:
    return {"usage_m": per_pod_usage_m(row["usage_m"], row["status_replicas"])}


def _pod_request(row: Case) -> Case:
    def containers(rows: Sequence[Case]) -> list[Container]:
        return [
            Container(name=c["name"], request_m=c["request_m"], restart_always=c.get("restart_always", False))
            for c in rows
        ]

    found = pod_request_m(
        containers(row["containers"]),
        containers(row["init_containers"]),
        container=row["container"],
        pod_level_m=row["pod_level_request_m"] if row["pod_level_resources_enabled"] else None,
    )
    return {"error": found.code} if isinstance(found, Failure) else {"request_m": found}


def _rules(row: Case) -> Rules:
    policies = tuple(Policy(kind=p["type"], value=p["value"], period_s=p["period_s"]) for p in row["policies"])
    told = {"stabilization_s": row["stabilization_s"], "tolerance": row.get("tolerance")}
    return Rules(policies=policies, select=row["select"], **told)


def _behavior(row: Case) -> Behavior:
    return Behavior(scale_up=_rules(row["scale_up"]), scale_down=_rules(row["scale_down"]))


def _events(rows: Sequence[Case]) -> tuple[ScaleEvent, ...]:
    return tuple(
        ScaleEvent(change=row["change"], at_s=NOW_S - row["age_s"], outdated=row.get("outdated", False)) for row in rows
    )


def _recommendations(rows: Sequence[Case]) -> tuple[Recommendation, ...]:
    return tuple(Recommendation(replicas=row["replicas"], at_s=NOW_S - row["age_s"]) for row in rows)


def _without_behavior(row: Case) -> Case:
    bounds = (row["current_replicas"], row["desired_replicas"], row["min_replicas"], row["max_replicas"])
    factor, minimum = row["scale_up_limit_factor"], row["scale_up_limit_minimum"]
    limited = limit_without_behavior(*bounds, factor=factor, minimum=minimum)
    return {"replicas": limited.replicas, "reason": limited.reason}


def _policy_limit(row: Case) -> Case:
    compute = scale_up_limit if row["direction"] == "up" else scale_down_limit
    events = (_events(row["scale_up_events"]), _events(row["scale_down_events"]))
    return {"limit": compute(row["current_replicas"], *events, _rules(row["rules"]), NOW_S)}


def _rate_limit(row: Case) -> Case:
    bounds = (row["current_replicas"], row["desired_replicas"], row["min_replicas"], row["max_replicas"])
    events = (_events(row["scale_up_events"]), _events(row["scale_down_events"]))
    limited = limit_rate(*bounds, _behavior(row), *events, now_s=NOW_S)
    return {"replicas": limited.replicas, "reason": limited.reason}


def _stabilized_down(row: Case) -> Case:
    log, window_s = _recommendations(row["recommendations"]), row["downscale_stabilization_s"]
    replicas, kept = stabilize_downscale(log, row["desired_replicas"], window_s, NOW_S)
    return {"replicas": replicas, "log_length": len(kept), "log": [r.replicas for r in kept]}


def _stabilized(row: Case, expected: Case) -> Case:
    replicas, kept = stabilize(
        _recommendations(row["recommendations"]),
        row["current_replicas"],
        row["desired_replicas"],
        up_s=row["scale_up_stabilization_s"],
        down_s=row["scale_down_stabilization_s"],
        now_s=NOW_S,
    )
    log = None if expected.get("log") is None else [r.replicas for r in kept]
    return {"replicas": replicas, "log": log, "log_length": len(kept)}


def _scale_events(row: Case) -> Case:
    before = _events(row["previous_events"])
    rules = None if row["rules"] is None else _rules(row["rules"])
    stored = record_event(before, row["replica_change"], rules, NOW_S)
    return {
        "change_in_window_before": change_in_period(before, row["window_s"], NOW_S),
        "stored_events": [{"change": event.change, "outdated": event.outdated} for event in stored],
    }


def _behaviors(case: Case) -> Case:
    row, kind = case["input"], case["group"]
    if kind == "stabilize_with_behavior":
        return _stabilized(row, case["expected"])
    return {
        "limits_without_behavior": _without_behavior,
        "policy_limit": _policy_limit,
        "rate_limit": _rate_limit,
        "stabilize_without_behavior": _stabilized_down,
        "scale_events": _scale_events,
    }[kind](row)


def _groups(case: Case) -> Case:
    kinds = {"group_pods": _group_pods, "per_pod_usage": _per_pod_usage, "pod_request": _pod_request}
    return kinds[case["group"]](case["input"])


def _spec(row: Case) -> Spec:
    controller = Controller(
        tolerance=Tolerance(down=row["tolerance_down"], up=row["tolerance_up"]),
        readiness=_readiness(row),
        downscale_stabilization_s=row["downscale_stabilization_s"],
        scale_up_limit_factor=row["scale_up_limit_factor"],
        scale_up_limit_minimum=row["scale_up_limit_minimum"],
        configurable_tolerance=row["configurable_tolerance_enabled"],
        scale_to_zero=bool(row["scale_to_zero_enabled"]),
    )
    return Spec(
        min_replicas=1 if row["min_replicas"] is None else row["min_replicas"],
        max_replicas=row["max_replicas"],
        metrics=tuple(_metric(metric) for metric in row["metrics"]),
        behavior=None if row["behavior"] is None else _behavior(row["behavior"]),
        controller=controller,
    )


def _metric(row: Case) -> Metric:
    target = row.get("target_pct", row.get("target_m", 0))
    return Metric(
        kind=row["type"],
        target_type=row.get("target_type", ""),
        target=target,
        resource=row.get("resource", "cpu"),
    )


def _reading(metric: Case, row: Case) -> Reading:
    key = "custom_m" if metric["type"] == "pods" else "usage_m"
    of_pods = metric["type"] in ("pods", "resource", "container_resource")
    return Reading(
        samples=_samples(row["pods"], row["unmatched_usage_m"], key) if of_pods else {},
        values_m=tuple(metric.get("values_m", ())),
        failed=metric.get("failed", False),
    )


def _reconciled(case: Case) -> Case:
    row = case["input"]
    known = row["recommendations"]
    state = State(
        recommendations=None if known is None else _recommendations(known),
        scale_ups=_events(row["scale_up_events"]),
        scale_downs=_events(row["scale_down_events"]),
        scaled_to_zero=row["scaled_to_zero_condition"],
    )
    seen = Observation(
        spec_replicas=row["spec_replicas"],
        status_replicas=row["status_replicas"],
        pods=_pods(row["pods"]),
        readings=tuple(_reading(metric, row) for metric in row["metrics"]),
    )
    _, outcome = reconcile(_spec(row), state, seen, NOW_S)
    percents = [percent for percent in outcome.utilizations_pct if percent is not None]
    return {
        "desired_replicas": outcome.replicas,
        "scaled": outcome.scaled,
        "error": outcome.error is not None,
        "cpu_utilization_pct": percents[0] if percents else None,
        "conditions": {kind: list(condition) for kind, condition in outcome.conditions.items()},
    }


SUITES = {
    "hpa_replicas": _replicas,
    "hpa_pod_groups": _groups,
    "hpa_behavior": _behaviors,
    "hpa_reconcile": _reconciled,
}
