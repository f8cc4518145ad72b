"""Calm and panic: when one begins and ends, and how many pods each wants."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.scaling.knative.decider import Observation, Scale, Spec, State, start, step

CALM = Spec(target_value=10, max_scale_up_rate=10, max_scale_down_rate=10, target_burst_capacity=0)


def at(
    state: State, t_s: float, ready: int, stable: float, panic: float | None = None, spec: Spec = CALM
) -> tuple[State, Scale]:
    panic = stable if panic is None else panic
    return step(spec, state, Observation(ready_pods=ready, stable_value=stable, panic_value=panic), t_s)


def panics(spec: Spec, ready: int, panic: float) -> bool:
    state, _ = at(State(), 0.0, ready, 0.0, panic, spec)
    return state.panic_since_s is not None


def test_the_panic_threshold_sees_whole_pods_before_any_rate() -> None:
    assert panics(replace(CALM, max_scale_up_rate=1.5), 2, 100)
    assert panics(CALM, 1, 11)
    assert not panics(CALM, 1, 10)
    assert panics(CALM, 0, 15)
    assert not panics(CALM, 0, 10)


def test_a_panic_ends_only_past_the_stable_window() -> None:
    state, _ = at(State(), 0.0, 1, 0.0, 100)
    state, scale = at(state, 60.0, 10, 10)
    assert (state.panic_since_s, scale.replicas) == (0.0, 10)
    state, scale = at(state, 60.001, 10, 10)
    assert (state.panic_since_s, state.max_panic_pods, scale.replicas) == (None, 0, 1)


def test_a_new_panic_does_not_remember_the_last_ones_highest() -> None:
    state, scale = at(State(), 0.0, 1, 0.0, 100)
    assert scale.replicas == 10
    state, _ = at(state, 100.0, 2, 10)
    state, scale = at(state, 110.0, 2, 10, 40)
    assert state.panic_since_s == 110.0
    assert scale.replicas == 4


def test_in_panic_pods_only_grow() -> None:
    state, _ = at(State(), 0.0, 5, 0.0, 200)
    _, scale = at(state, 2.0, 20, 0.0, 50)
    assert scale.replicas == 20


def test_a_decider_made_with_pods_ready_starts_in_panic() -> None:
    assert start(CALM, 2, 5.0) == State(panic_since_s=5.0, max_panic_pods=2)
    assert start(CALM, 1, 5.0) == State(max_panic_pods=1)
    assert start(CALM, None, 5.0) == State()


def test_rates_are_rounded_in_favour_of_change() -> None:
    slow = replace(CALM, max_scale_up_rate=1.1, max_scale_down_rate=2, panic_threshold=100)
    assert at(State(), 0.0, 2, 1000, spec=slow)[1].replicas == 3
    assert at(State(), 0.0, 5, 0, spec=slow)[1].replicas == 2
    assert at(State(), 0.0, 5, 0, spec=replace(slow, reachable=False))[1].replicas == 0


def test_one_wanted_pod_becomes_the_activation_scale() -> None:
    of = replace(CALM, activation_scale=3)
    assert at(State(), 0.0, 1, 5, spec=of)[1].replicas == 3
    assert at(State(), 0.0, 1, 0, spec=of)[1].replicas == 0
    assert at(State(), 0.0, 4, 50, 50, spec=of)[1].replicas == 5


def test_a_lower_number_waits_for_the_delay_unless_unreachable() -> None:
    of = replace(CALM, scale_down_delay_s=20)
    state, scale = at(start(of, 0, 0.0), 0.0, 4, 40, spec=of)
    state, scale = at(state, 18.0, 4, 10, spec=of)
    assert scale.replicas == 4
    assert at(state, 19.0, 4, 10, spec=replace(of, reachable=False))[1].replicas == 1
    assert at(state, 20.0, 4, 10, spec=of)[1].replicas == 1


def test_excess_burst_capacity() -> None:
    def excess(capacity: float, ready: int = 3, panic: float = 12.5) -> int:
        of = replace(CALM, target_burst_capacity=capacity, total_value=10)
        return at(State(), 0.0, ready, 0.0, panic, of)[1].excess_burst_capacity

    assert excess(0) == 0
    assert excess(-1) == -1
    assert excess(10) == 7
    assert excess(100) == -83


def test_without_pods_or_data_nothing_is_decided() -> None:
    for seen in (
        Observation(ready_pods=None, stable_value=1, panic_value=1),
        Observation(ready_pods=1, stable_value=None, panic_value=1),
        Observation(ready_pods=1, stable_value=1, panic_value=None),
    ):
        state, scale = step(CALM, State(max_panic_pods=4), seen, 0.0)
        assert (state, scale.valid, scale.replicas) == (State(max_panic_pods=4), False, 0)


@given(ready=st.integers(0, 50), value=st.floats(0, 1000), more=st.floats(0, 1000))
def test_more_load_never_gives_fewer_pods_and_rates_are_kept(ready: int, value: float, more: float) -> None:
    less = at(State(), 0.0, ready, value)[1].replicas
    assert at(State(), 0.0, ready, value + more)[1].replicas >= less
    assert max(1, ready) // 10 <= less <= 10 * max(1, ready)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="> 0"):
        Spec(target_value=0)
    with pytest.raises(ValueError, match="> 0"):
        Spec(max_scale_down_rate=0)
    with pytest.raises(ValueError, match="> 0"):
        Spec(max_scale_up_rate=0)
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="≥ 0"):
            Observation(ready_pods=1, stable_value=bad, panic_value=0.0)
    with pytest.raises(ValueError, match="≥ 0"):
        Observation(ready_pods=-1, stable_value=0.0, panic_value=0.0)


def test_defaults_are_those_of_knative() -> None:
    usual = Spec()
    assert (usual.target_value, usual.total_value, usual.target_burst_capacity) == (70, 100, 211)
    assert (usual.panic_threshold, usual.max_scale_up_rate, usual.max_scale_down_rate) == (2, 1000, 2)
    assert (usual.stable_window_s, usual.tick_interval_s) == (60, 2)
    assert (usual.reachable, usual.activation_scale, usual.scale_down_delay_s) == (True, 0, 0)
