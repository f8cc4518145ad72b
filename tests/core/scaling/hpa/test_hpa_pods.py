"""Which pods count, and what they ask for."""

from __future__ import annotations

import pytest

from farthing.core.scaling.fixed_width import MAX_INT64
from farthing.core.scaling.hpa.pods import (
    Container,
    Failure,
    Pod,
    Readiness,
    Sample,
    group,
    per_pod_usage_m,
    pod_request_m,
    ready_count,
)

ONE = Sample(value_m=1)
TIMING = Readiness(cpu_initialization_period_s=120, initial_readiness_delay_s=10)


def kind(pod: Pod, sample: Sample | None = ONE, resource: str = "cpu") -> str:
    samples = {} if sample is None else {pod.name: sample}
    groups = group([pod], samples, resource=resource, readiness=TIMING)
    found = {"ready"} if groups.ready_count else set()
    found |= {name for name in ("unready", "missing", "ignored") if pod.name in getattr(groups, name)}
    (one,) = found
    return one


def pod(**facts: object) -> Pod:
    usual: dict[str, object] = {"name": "a", "ready": True, "start_age_s": 1000, "ready_transition_age_s": 990}
    return Pod(**(usual | facts))  # type: ignore[arg-type]


def test_pods_that_end_are_ignored_even_with_a_sample() -> None:
    assert kind(pod(deleting=True)) == "ignored"
    assert kind(pod(phase="Failed")) == "ignored"
    assert kind(pod(phase="Succeeded", deleting=True)) == "ignored"


def test_a_pending_pod_is_unready_with_and_without_a_sample() -> None:
    assert kind(pod(phase="Pending")) == "unready"
    assert kind(pod(phase="Pending"), None, "memory") == "unready"


def test_readiness_matters_for_cpu_alone() -> None:
    unready = pod(ready=False, ready_transition_age_s=1000)
    assert kind(unready) == "unready"
    assert kind(unready, resource="memory") == "ready"


def test_a_starting_pod_needs_a_whole_window_since_it_became_ready() -> None:
    starting = pod(start_age_s=100, ready_transition_age_s=90)
    assert kind(starting, Sample(value_m=1, age_s=30, window_s=60)) == "ready"
    assert kind(starting, Sample(value_m=1, age_s=31, window_s=60)) == "unready"
    assert kind(pod(start_age_s=100, ready=False), Sample(value_m=1)) == "unready"


def test_the_initialisation_period_ends_at_its_length() -> None:
    late = Sample(value_m=1, age_s=2000)
    assert kind(pod(start_age_s=119), late) == "unready"
    assert kind(pod(start_age_s=120), late) == "ready"


def test_a_pod_that_was_ready_once_keeps_counting() -> None:
    assert kind(pod(ready=False, ready_transition_age_s=990)) == "ready"
    assert kind(pod(ready=False, ready_transition_age_s=991)) == "unready"


def test_without_a_condition_or_a_start_a_pod_is_unready() -> None:
    assert kind(pod(ready=None)) == "unready"
    assert kind(pod(start_age_s=None)) == "unready"


def test_ready_pods_are_counted_while_they_end() -> None:
    assert ready_count([pod(), pod(deleting=True), pod(ready=False), pod(ready=None), pod(phase="Pending")]) == 2


def test_a_share_is_rounded_up() -> None:
    assert per_pod_usage_m(10, 3) == 4
    assert per_pod_usage_m(9, 3) == 3
    assert per_pod_usage_m(MAX_INT64, 1000) == MAX_INT64
    assert per_pod_usage_m(5, 0) == 0


def test_requests_of_containers_and_sidecars_are_summed() -> None:
    plain = [Container(name="a", request_m=100), Container(name="b", request_m=50)]
    side = [Container(name="s", request_m=7, restart_always=True), Container(name="i", request_m=9)]
    assert pod_request_m(plain, side) == 157
    assert pod_request_m(plain, side, pod_level_m=800) == 800
    assert pod_request_m(plain, side, container="b", pod_level_m=800) == 50
    assert pod_request_m(plain, side, container="i") == Failure(code="container_not_found")


def test_a_container_without_a_request_is_missing_only_where_it_counts() -> None:
    some = [Container(name="a", request_m=None), Container(name="b", request_m=50)]
    assert pod_request_m(some) == Failure(code="missing_request")
    assert pod_request_m(some, container="a") == Failure(code="missing_request")
    assert pod_request_m(some, container="b") == 50


def test_defaults_are_those_of_kubernetes() -> None:
    assert Sample(value_m=1) == Sample(value_m=1, age_s=0, window_s=60)
    assert Readiness() == Readiness(cpu_initialization_period_s=300, initial_readiness_delay_s=30)


def test_a_phase_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="phase"):
        Pod(name="a", phase="running")
