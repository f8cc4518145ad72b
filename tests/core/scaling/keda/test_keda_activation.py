"""From zero and back to it, and when it waits."""

from __future__ import annotations

import pytest

from farthing.core.scaling.keda.activation import Activation, Observation, Spec, idle_or_min, step

NOW_S = 1000.0


def decided(
    spec: Spec, replicas: int, active: bool, *, error: bool = False, idle_s: float | None = None, age_s: float = 9e9
) -> Activation:
    last = None if idle_s is None else NOW_S - idle_s
    seen = Observation(replicas=replicas, active=active, error=error, created_s=NOW_S - age_s)
    return step(spec, last, seen, NOW_S)[1]


def test_activity_is_noted_and_its_absence_is_not() -> None:
    seen = Observation(replicas=3, active=True)
    assert step(Spec(), 1.0, seen, NOW_S)[0] == NOW_S
    assert step(Spec(), 1.0, Observation(replicas=3, active=False), NOW_S)[0] == 1.0
    assert step(Spec(), 1.0, Observation(replicas=3, active=True, error=True), NOW_S)[0] == 1.0


def test_from_zero_it_goes_to_the_minimum_or_one() -> None:
    assert decided(Spec(), 0, True).replicas == 1
    assert decided(Spec(min_replicas=3), 0, True).replicas == 3
    assert decided(Spec(min_replicas=3), 2, True).replicas == 2
    assert decided(Spec(min_replicas=3, idle_replicas=1), 2, True).replicas == 3


def test_the_cooldown_must_have_passed_entirely() -> None:
    assert decided(Spec(), 4, False, idle_s=300).replicas == 4
    assert decided(Spec(), 4, False, idle_s=300.5).replicas == 0
    first = Spec(initial_cooldown_s=60)
    assert decided(first, 4, False, age_s=60).replicas == 4
    assert decided(first, 4, False, age_s=61).replicas == 0


def test_idle_comes_before_the_minimum() -> None:
    both = Spec(min_replicas=5, idle_replicas=2)
    assert idle_or_min(both) == (True, 2)
    assert idle_or_min(Spec(min_replicas=5)) == (False, 5)
    assert idle_or_min(Spec()) == (False, 0)
    assert decided(both, 9, False).replicas == 2
    assert decided(both, 2, False).replicas == 2
    assert decided(Spec(min_replicas=5), 9, False).replicas == 9
    assert decided(Spec(min_replicas=5), 2, False).replicas == 5


def test_a_failing_trigger_keeps_replicas_that_would_go_to_zero() -> None:
    assert decided(Spec(), 4, False, error=True).ready == "False"
    assert decided(Spec(fallback_replicas=2), 4, False, error=True).replicas == 4
    assert decided(Spec(fallback_replicas=0), 4, False, error=True).replicas == 0
    assert decided(Spec(), 4, True, error=True).ready == "Unknown"


def test_pauses() -> None:
    assert decided(Spec(paused=True), 0, True) == Activation(replicas=0, reason="paused", active="Unknown")
    assert decided(Spec(pause_scale_in=True), 4, False).replicas == 4
    assert decided(Spec(pause_scale_out=True), 0, True).replicas == 0
    assert decided(Spec(force_activation=True), 0, False).active == "True"


def test_negative_replicas_are_refused() -> None:
    with pytest.raises(ValueError, match="≥ 0"):
        Spec(idle_replicas=-1)
    with pytest.raises(ValueError, match="≥ 0"):
        Observation(replicas=-1, active=True)
