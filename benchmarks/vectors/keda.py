"""Vectors of KEDA."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from farthing.core.scaling.keda import activation, fallback, formula, jobs

__all__ = ["SUITES"]

NOW_S = 0.0
Case = Mapping[str, Any]
_SPEC = (
    "min_replicas",
    "idle_replicas",
    "fallback_replicas",
    "cooldown_s",
    "initial_cooldown_s",
    "paused",
    "pause_scale_in",
    "pause_scale_out",
    "force_activation",
)


def _activation(row: Case) -> Case:
    age_s = row["last_active_age_s"]
    _, decided = activation.step(
        activation.Spec(**{key: row[key] for key in _SPEC}),
        None if age_s is None else NOW_S - age_s,
        activation.Observation(
            replicas=row["current_replicas"],
            active=row["is_active"],
            error=row["is_error"],
            created_s=NOW_S - row["object_age_s"],
        ),
        NOW_S,
    )
    return {
        "replicas": decided.replicas,
        "active_condition": decided.active,
        "ready_condition": decided.ready,
        "last_active_time_set": decided.was_active,
    }


def _idle_or_min(row: Case) -> Case:
    spec = activation.Spec(idle_replicas=row["idle_replicas"], min_replicas=row["min_replicas"])
    idle, replicas = activation.idle_or_min(spec)
    return {"is_idle": idle, "replicas": replicas}


def _health(row: Case) -> fallback.Health:
    return fallback.Health(failures=row["failures"] or 0, failing=row["health"] == "Failing")


def _of_spec(row: Case | None) -> fallback.Fallback | None:
    return None if row is None else fallback.Fallback(**row)


def _fallback(row: Case) -> Case:
    health, told = fallback.step(
        _of_spec(row["fallback"]),
        _health(row),
        fallback.Reading(
            value_m=None if row["metric_error"] else int(row["metric_value"] * 1000),
            target=row["target_value"],
            per_pod=row["target_type"] == "average_value",
            current_replicas=row["current_replicas"],
            ready_replicas=row.get("ready_replicas"),
        ),
        [_health(other) for other in row["other_metrics"]],
    )
    return {
        "value": None if told.value_m is None else told.value_m / 1000,
        "error": told.value_m is None,
        "failures": health.failures,
        "health": "Failing" if health.failing else "Happy",
        "fallback_condition": bool(told.condition),
    }


def _strategy(row: Case) -> jobs.Strategy:
    share = None
    with suppress(TypeError, ValueError):
        share = float(row.get("running_job_percentage"))  # type: ignore[arg-type]
    deduction = row.get("queue_length_deduction")
    return jobs.Strategy(name=row["strategy"], queue_length_deduction=deduction, running_job_frac=share)


def _job_strategy(row: Case) -> Case:
    present = jobs.Jobs(running=row["running_jobs"], pending=row["pending_jobs"])
    asked, bound, wanted = row["max_scale"], row["max_replicas"], row["scale_to"]
    most, scale_to = jobs.effective_max_scale(_strategy(row), asked, present, bound, wanted)
    return {"max_scale": most, "scale_to": scale_to}


def _job_decision(row: Case) -> Case:
    present = jobs.Jobs(running=row["running_jobs"], pending=row["pending_jobs"])
    bounds = {"min_replicas": row["min_replicas"] or 0}
    bounds |= {"max_replicas": row["max_replicas"]} if row.get("max_replicas") is not None else {}
    most, scale_to = jobs.decide(_strategy(row), row["max_scale"], present, row["scale_to"], **bounds)
    return {"max_scale": most, "scale_to": scale_to}


def _job_state(row: Case) -> Case:
    readings = [
        jobs.ScalerReading(
            queue_length=scaler["queue_length"],
            target_average=scaler["target_average"],
            active=scaler["is_active"],
            failed=scaler.get("failed", False),
        )
        for scaler in row["scalers"]
    ]
    bounds = {"min_replicas": row["min_replicas"] or 0, "max_replicas": row["max_replicas"]}
    found = jobs.demand(readings, row["calculation"], **bounds)
    return {
        "is_active": found.active,
        "is_error": found.error,
        "queue_length": found.queue_length,
        "max_value": found.max_value,
    }


def _formula(row: Case) -> Case:
    value_m = formula.composite_m(
        formula.parse(row["formula"]),
        row["values_m"],
        failures=row["failures"],
        fallback=_of_spec(row["fallback"]),
        target=row["target"],
    )
    return {"value_m": value_m, "error": value_m is None}


def _keda(case: Case) -> Case:
    if case["group"] == "job_target_average":
        return {"target_average": jobs.target_average(case["input"]["targets"])}
    return {
        "activation": _activation,
        "idle_or_min": _idle_or_min,
        "fallback": _fallback,
        "job_strategy": _job_strategy,
        "job_decision": _job_decision,
        "job_state": _job_state,
        "modifier_formula": _formula,
    }[case["group"]](case["input"])


SUITES = {"keda": _keda}
