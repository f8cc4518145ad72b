"""Ray Serve's policy; the real one is asked by ``benchmarks/ray_policy.py``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.scaling.ray_serve import Observation, Policy, State, step

AT_ONCE = Policy(min_replicas=0, max_replicas=100, upscale_delay_s=0, downscale_delay_s=0)


def decided(policy: Policy, running: int, requests: float, target: int | None = None) -> int:
    target = running if target is None else target
    seen = Observation(running_replicas=running, target_replicas=target, ongoing_requests=requests)
    return step(policy, State(), seen, 0.0)[1].replicas


def test_replicas_follow_requests() -> None:
    assert decided(AT_ONCE, 4, 16) == 8
    assert decided(AT_ONCE, 4, 17) == 9
    assert decided(AT_ONCE, 4, 3) == 2
    assert decided(AT_ONCE, 4, 8) == 4


def test_factors_smooth_the_change_but_never_stop_a_scale_down() -> None:
    smooth = Policy(
        min_replicas=0,
        max_replicas=100,
        upscale_delay_s=0,
        downscale_delay_s=0,
        upscaling_factor=0.5,
        downscaling_factor=0.1,
    )
    assert decided(smooth, 4, 16) == 6
    assert decided(smooth, 4, 4) == 3
    assert decided(smooth, 4, 7.9) == 4


def test_zero_is_reached_from_one_alone() -> None:
    assert decided(AT_ONCE, 4, 0) == 1
    assert decided(AT_ONCE, 1, 0) == 0


def test_from_zero_requests_start_a_replica_at_once() -> None:
    slow = Policy(min_replicas=0, max_replicas=100)
    assert decided(slow, 0, 0.1) == 1
    assert decided(slow, 0, 0) == 0
    assert decided(slow, 0, 0, target=3) == 3
    assert decided(slow, 0, 5, target=3) == 3


def test_a_change_is_wanted_for_the_delay_before_it_is_made() -> None:
    policy, state = Policy(max_replicas=100, upscale_delay_s=30, downscale_delay_s=60), State()

    def at(now_s: float, requests: float) -> int:
        nonlocal state
        seen = Observation(running_replicas=4, target_replicas=4, ongoing_requests=requests)
        state, decision = step(policy, state, seen, now_s)
        return decision.replicas

    assert [at(0, 16), at(29.9, 16), at(30, 16)] == [4, 4, 8]
    assert [at(40, 16), at(50, 8), at(70, 16), at(99, 16), at(100, 20)] == [4, 4, 4, 4, 10]
    assert [at(110, 20), at(120, 2), at(140, 20), at(169, 20), at(170, 20)] == [4, 4, 4, 4, 10]
    assert [at(200, 2), at(259, 2), at(260, 2)] == [4, 4, 1]


def test_to_zero_may_have_a_delay_of_its_own() -> None:
    policy = Policy(min_replicas=0, max_replicas=9, downscale_delay_s=0, downscale_to_zero_delay_s=10)
    seen = Observation(running_replicas=1, target_replicas=1, ongoing_requests=0)
    state, decision = step(policy, State(), seen, 0.0)
    assert (state, decision.replicas) == (State(direction=-1, since_s=0.0), 1)
    assert step(policy, state, seen, 10.0)[1].replicas == 0


@given(
    running=st.integers(0, 50),
    target=st.integers(0, 50),
    requests=st.floats(0, 1e6),
    least=st.integers(0, 10),
    extra=st.integers(0, 10),
)
def test_bounds_are_kept(running: int, target: int, requests: float, least: int, extra: int) -> None:
    policy = Policy(min_replicas=least, max_replicas=least + extra, upscale_delay_s=0, downscale_delay_s=0)
    assert least <= decided(policy, running, requests, target) <= least + extra


@given(running=st.integers(1, 50), requests=st.floats(0, 1000), more=st.floats(0, 1000))
def test_more_requests_never_give_fewer_replicas(running: int, requests: float, more: float) -> None:
    assert decided(AT_ONCE, running, requests + more) >= decided(AT_ONCE, running, requests)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="min ≤ max"):
        Policy(max_replicas=1, min_replicas=2)
    with pytest.raises(ValueError, match="> 0"):
        Policy(max_replicas=1, target_ongoing_requests=0)
    for bad in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="≥ 0"):
            Observation(running_replicas=1, target_replicas=1, ongoing_requests=bad)


def test_defaults_are_those_of_ray() -> None:
    usual = Policy(max_replicas=9)
    assert (usual.min_replicas, usual.target_ongoing_requests) == (1, 2)
    assert (usual.upscaling_factor, usual.downscaling_factor) == (1, 1)
    assert (usual.upscale_delay_s, usual.downscale_delay_s, usual.downscale_to_zero_delay_s) == (30, 600, None)
