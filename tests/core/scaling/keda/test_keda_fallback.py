"""Values in place of failing ones."""

from __future__ import annotations

import pytest

from farthing.core.scaling.keda.fallback import PLACEHOLDER_M, Fallback, Health, Reading, step

STATIC = Fallback(failure_threshold=3, replicas=10)
FAILED = Reading(value_m=None, target=2.5, current_replicas=4, ready_replicas=2)


def value_m(behavior: str, reading: Reading = FAILED) -> int | None:
    return step(Fallback(failure_threshold=0, replicas=10, behavior=behavior), Health(), reading)[1].value_m


def test_as_many_failures_as_the_threshold_are_borne() -> None:
    health = Health()
    for failures in (1, 2, 3):
        health, told = step(STATIC, health, FAILED)
        assert (health.failures, told.value_m, told.condition) == (failures, None, False)
    health, told = step(STATIC, health, FAILED)
    assert (told.value_m, told.falling_back, told.condition) == (25_000, True, True)


def test_a_value_resets_failures() -> None:
    health, told = step(STATIC, Health(failures=9, failing=True), Reading(value_m=7, target=1))
    assert (health.failures, health.failing, told.value_m, told.condition) == (0, False, 7, False)


def test_another_triggers_failure_is_seen_in_the_condition() -> None:
    _, told = step(STATIC, Health(), Reading(value_m=7, target=1), [Health(failures=4, failing=True)])
    assert told.condition is True


def test_without_a_valid_fallback_health_is_left_alone() -> None:
    for fallback in (None, Fallback(failure_threshold=-1, replicas=1), Fallback(failure_threshold=1, replicas=-1)):
        health, told = step(fallback, Health(failures=2, failing=True), FAILED)
        assert (health, told.value_m, told.condition) == (Health(failures=2, failing=True), None, None)


def test_replicas_by_behavior() -> None:
    assert value_m("static") == value_m("") == 25_000
    assert value_m("currentReplicas") == 10_000
    assert value_m("currentReplicasIfHigher") == 25_000
    assert value_m("currentReplicasIfLower") == 10_000
    assert value_m("scalingModifiers") == PLACEHOLDER_M == -1000


def test_a_total_is_shared_among_ready_replicas() -> None:
    total = Reading(value_m=None, target=2.5, per_pod=False, current_replicas=4, ready_replicas=4)
    assert value_m("static", total) == 6250
    assert value_m("static", Reading(value_m=None, target=2.5, per_pod=False, ready_replicas=0)) is None


def test_behaviors_that_look_at_replicas_need_them() -> None:
    uncounted = Reading(value_m=None, target=2.5)
    assert value_m("currentReplicas", uncounted) is None
    assert value_m("static", uncounted) == 25_000


def test_an_unknown_behavior_is_refused() -> None:
    with pytest.raises(ValueError, match="behaviour"):
        Fallback(failure_threshold=1, replicas=1, behavior="Static")
