"""Two alarms, two cool-downs, and steps in proportion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.scaling.target_tracking import Policy, State, step

POLICY = Policy(target=50, min_replicas=1, max_replicas=20)


def run(metrics: list[float | None], replicas: int, policy: Policy = POLICY) -> list[int]:
    state, found = State(), []
    for minute, metric in enumerate(metrics, start=1):
        state, decision = step(policy, state, replicas, metric, 60.0 * minute)
        replicas = decision.replicas
        found.append(replicas)
    return found


def test_out_after_three_minutes_above_the_target() -> None:
    assert run([75, 75, 75], 4) == [4, 4, 6]
    assert run([75, 75, 50, 75, 75], 4) == [4] * 5
    assert run([75, 75, None, 75, 75], 4) == [4] * 5


def test_in_after_fifteen_minutes_below_nine_tenths() -> None:
    assert run([20.0] * 15, 10) == [10] * 14 + [4]
    assert run([45.0] * 20, 10) == [10] * 20
    assert run([20.0] * 14 + [None] + [20.0] * 14, 10) == [10] * 29


def test_one_replica_fewer_must_not_be_above_the_target() -> None:
    assert run([44.0] * 20, 3) == [3] * 20
    assert run([33.0] * 15, 3) == [3] * 14 + [2]


def test_a_larger_scale_out_need_not_wait_for_the_cooldown() -> None:
    assert run([75.0] * 6 + [150.0], 4) == [4, 4, 6, 6, 6, 6, 12]
    assert run([75.0] * 8, 4) == [4, 4, 6, 6, 6, 6, 6, 9]


def test_a_scale_in_waits_for_its_own_cooldown_and_is_ended_by_a_scale_out() -> None:
    assert run([25.0] * 21, 16)[14:] == [8, 8, 8, 8, 8, 4, 4]
    found = run([25.0] * 15 + [100.0] * 3, 16)
    assert found[14:] == [8, 8, 8, 16]


def test_scaling_in_can_be_disabled() -> None:
    assert run([1.0] * 30, 10, Policy(target=50, max_replicas=20, disable_scale_in=True)) == [10] * 30


def test_replicas_outside_of_the_bounds_are_brought_in() -> None:
    assert run([None], 0) == [1]
    assert run([None], 30) == [20]


@given(st.lists(st.one_of(st.none(), st.floats(0, 500)), max_size=60), st.integers(1, 20))
def test_bounds_are_kept(metrics: list[float | None], replicas: int) -> None:
    assert all(1 <= found <= 20 for found in run(metrics, replicas))


@given(st.lists(st.floats(45, 50), max_size=60), st.integers(1, 20))
def test_nothing_changes_between_nine_tenths_and_the_target(metrics: list[float], replicas: int) -> None:
    assert set(run([*metrics], replicas)) <= {replicas}


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="target"):
        Policy(target=0, max_replicas=1)
    with pytest.raises(ValueError, match="min ≤ max"):
        Policy(target=1, max_replicas=1, min_replicas=2)
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="metric"):
            step(POLICY, State(), 1, bad, 0.0)


def test_defaults_are_those_of_sagemaker() -> None:
    usual = Policy(target=1, max_replicas=9)
    assert (usual.min_replicas, usual.scale_out_cooldown_s, usual.scale_in_cooldown_s) == (1, 300, 300)
    assert usual.disable_scale_in is False
