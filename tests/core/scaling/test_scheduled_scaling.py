"""Bounds by the clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.scaling.scheduled import Action, Schedule, action_at, step

NIGHT = Action(at_s=20 * 3600, min_replicas=1, max_replicas=2)
DAY = Action(at_s=8 * 3600, min_replicas=4, max_replicas=10)
DAILY = Schedule(actions=(DAY, NIGHT))


@pytest.mark.parametrize(
    ("hour", "action"), [(0, NIGHT), (7.99, NIGHT), (8, DAY), (19.99, DAY), (20, NIGHT), (32, DAY), (-3, NIGHT)]
)
def test_an_action_holds_until_the_next(hour: float, action: Action) -> None:
    assert action_at(DAILY, hour * 3600) == action


def test_replicas_follow_where_they_lie_outside() -> None:
    assert [step(DAILY, replicas, 9 * 3600).replicas for replicas in (1, 7, 30)] == [4, 7, 10]
    assert [step(DAILY, replicas, 21 * 3600).replicas for replicas in (0, 2, 30)] == [1, 2, 2]


@given(st.integers(0, 100), st.floats(-1e7, 1e7))
def test_bounds_are_those_of_some_action(replicas: int, now_s: float) -> None:
    found = step(DAILY, replicas, now_s).replicas
    assert any(action.min_replicas <= found <= action.max_replicas for action in DAILY.actions)


def test_schedules_that_cannot_be_are_refused() -> None:
    for actions in ((), (NIGHT, DAY), (DAY, DAY), (Action(at_s=-1, min_replicas=0, max_replicas=1),)):
        with pytest.raises(ValueError, match="rising times"):
            Schedule(actions=actions)
    with pytest.raises(ValueError, match="rising times"):
        Schedule(actions=(DAY,), period_s=3600)
    with pytest.raises(ValueError, match="rising times"):
        Schedule(actions=(DAY, NIGHT), period_s=9 * 3600)
    with pytest.raises(ValueError, match="min ≤ max"):
        Action(at_s=0, min_replicas=2, max_replicas=1)
    with pytest.raises(ValueError, match="min ≤ max"):
        Action(at_s=0, min_replicas=-1, max_replicas=1)
    with pytest.raises(ValueError, match="finite"):
        action_at(DAILY, float("nan"))
