"""Vectors of Knative's pod autoscaler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from farthing.core.scaling.knative import bucket_average, decider, max_window

__all__ = ["SUITES"]

START_S = 0.0
Case = Mapping[str, Any]


def _spec(row: Case) -> decider.Spec:
    return decider.Spec(**{key: value for key, value in row.items() if key != "scaling_metric"})


def _started(row: Case, spec: decider.Spec) -> decider.State:
    state = decider.start(spec, row["ready_pods"], START_S)
    if row["panic_since_s"] is not None:
        state = replace(state, panic_since_s=row["panic_since_s"])
    if row["max_panic_pods"] is not None:
        state = replace(state, max_panic_pods=row["max_panic_pods"])
    return state


def _seen(step: Case) -> decider.Observation:
    uncounted, silent = step.get("ready_pods_error", False), step.get("no_data", False)
    return decider.Observation(
        ready_pods=None if uncounted else step["ready_pods"],
        stable_value=None if silent else step["stable_value"],
        panic_value=None if silent else step["panic_value"],
    )


def _decided(case: Case) -> Case:
    row, expected = case["input"], case["expected"]["steps"]
    told = dict(row["spec"])
    state = _started(row["start"], _spec(told))
    after = {"panic_mode": state.panic_since_s is not None, "max_panic_pods": state.max_panic_pods}
    got = []
    for step, want in zip(row["steps"], expected, strict=True):
        told |= step.get("spec_update", {})
        state, scale = decider.step(_spec(told), state, _seen(step), step["t_s"])
        excess = scale.excess_burst_capacity
        near = abs(excess - want.get("excess_burst_capacity", excess)) <= 1
        got.append(
            {
                "valid": scale.valid,
                "desired_pods": scale.replicas,
                "excess_burst_capacity": want.get("excess_burst_capacity") if near else excess,
                "panic_mode": state.panic_since_s is not None,
                "panic_since_s": state.panic_since_s,
            }
        )
    return {"steps": got, "after_start": after}


def _averages(row: Case, expected: Case) -> Case:
    buckets = bucket_average.buckets(row["window_s"], row["granularity_s"])
    average = bucket_average.weighted_average if row["averaging"] == "weighted" else bucket_average.linear_average
    found: dict[int, Any] = {}
    for k, op in enumerate(row["ops"]):
        kind, t_s = op["op"], op.get("t_s", START_S)
        if kind == "record":
            buckets = bucket_average.record(buckets, t_s, op["value"])
        elif kind == "resize":
            buckets = bucket_average.resized(buckets, op["window_s"], t_s)
        elif kind == "average":
            value = average(buckets, t_s)
            found[k] = bucket_average.rounded(value, op["round_digits"]) if "round_digits" in op else value
        elif kind == "is_empty":
            found[k] = bucket_average.is_empty(buckets, t_s)
        elif kind == "bucket_count":
            found[k] = len(buckets.values)
        else:
            found[k] = _contents(kind, bucket_average.newest_first(buckets, t_s))
    return {"results": [{"op_index": r["op_index"], "value": found.get(r["op_index"])} for r in expected["results"]]}


def _contents(kind: str, newest_first: Any) -> Any:
    if kind == "sum":
        return sum(value for _, value in newest_first)
    if kind == "nonzero_buckets":
        return [{"t_s": t_s, "value": value} for t_s, value in sorted(newest_first) if value > 0]
    raise ValueError(f"no such operation: {kind}")


def _coefficient(row: Case, expected: Case) -> Case:
    found = bucket_average.smoothing_coefficient(row["buckets"], row["weight_precision"], row["min_exponent"])
    near = abs(found - expected["coefficient"]) <= expected["abs_tolerance"]
    return dict(expected) | ({} if near else {"coefficient": found})


def _maxima(row: Case, expected: Case) -> Case:
    window = max_window.max_window(row["window_s"], row["granularity_s"])
    found = []
    for record in row["records"]:
        window = max_window.record(window, record["t_s"], record["value"])
        found.append(window.highest)
    wanted = expected["maxima"]
    asserted = [None if want is None else had for want, had in zip(wanted, found)]
    return {"maxima": asserted if len(wanted) == len(found) else found}


def _windows(case: Case) -> Case:
    row, expected, kind = case["input"], case["expected"], case["group"]
    if kind == "round":
        return {"value": bucket_average.rounded(row["value"], row["digits"])}
    return {"average": _averages, "smoothing_coefficient": _coefficient, "maximum": _maxima}[kind](row, expected)


SUITES = {"knative_decider": _decided, "knative_windows": _windows}
