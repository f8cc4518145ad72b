"""How fast replicas change, and what holds a change back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from farthing.core.scaling.hpa.stabilization import Recommendation, stabilize, stabilize_downscale

NOW_S = 1000.0


def percent(value: int, period_s: float = 60) -> Policy:
    return Policy(kind="Percent", value=value, period_s=period_s)


def pods(value: int, period_s: float = 60) -> Policy:
    return Policy(kind="Pods", value=value, period_s=period_s)


def rules(*policies: Policy, select: str = "Max") -> Rules:
    return Rules(policies=policies, select=select, stabilization_s=0)


def log(*pairs: tuple[int, float]) -> list[Recommendation]:
    return [Recommendation(replicas=replicas, at_s=NOW_S - age_s) for replicas, age_s in pairs]


def events(*pairs: tuple[int, float]) -> list[ScaleEvent]:
    return [ScaleEvent(change=change, at_s=NOW_S - age_s) for change, age_s in pairs]


def test_a_percentage_down_is_truncated_and_up_rounded_up() -> None:
    assert scale_down_limit(15, [], [], rules(percent(50)), NOW_S) == 7
    assert scale_down_limit(1, [], [], rules(percent(10)), NOW_S) == 0
    assert scale_up_limit(15, [], [], rules(percent(50)), NOW_S) == 23
    assert scale_up_limit(1, [], [], rules(percent(1)), NOW_S) == 2


def test_the_largest_or_the_smallest_change_is_allowed_or_none() -> None:
    both = (pods(4), percent(100))
    assert scale_up_limit(2, [], [], rules(*both), NOW_S) == 6
    assert scale_up_limit(2, [], [], rules(*both, select="Min"), NOW_S) == 4
    assert scale_up_limit(2, [], [], rules(*both, select="Disabled"), NOW_S) == 2
    assert scale_down_limit(10, [], [], rules(*both), NOW_S) == 0
    assert scale_down_limit(10, [], [], rules(*both, select="Min"), NOW_S) == 6
    assert scale_down_limit(10, [], [], rules(*both, select="Disabled"), NOW_S) == 10


def test_changes_younger_than_the_period_count_against_it() -> None:
    ups, downs = events((3, 59), (100, 60)), events((1, 10))
    assert change_in_period(ups, 60, NOW_S) == 3
    assert scale_up_limit(10, ups, downs, rules(pods(5)), NOW_S) == 10 - 3 + 1 + 5
    assert scale_down_limit(10, ups, downs, rules(pods(5)), NOW_S) == 10 - 3 + 1 - 5


def test_a_used_up_rate_holds_but_does_not_turn_around() -> None:
    behavior = Behavior(scale_up=rules(pods(2)), scale_down=rules(pods(2)))
    used = events((5, 10))
    up = limit_rate(10, 20, 1, 100, behavior, used, [], now_s=NOW_S)
    down = limit_rate(10, 2, 1, 100, behavior, [], used, now_s=NOW_S)
    assert (up.replicas, up.reason) == (10, "ScaleUpLimit")
    assert (down.replicas, down.reason) == (10, "ScaleDownLimit")


def test_the_controllers_own_rate_starts_at_four_and_doubles() -> None:
    assert limit_without_behavior(1, 100, 1, 50).replicas == 4
    assert limit_without_behavior(3, 100, 1, 50).replicas == 6
    assert limit_without_behavior(3, 0, 1, 50).reason == "TooFewReplicas"
    assert limit_without_behavior(3, 100, 1, 5).reason == "TooManyReplicas"


def test_a_recommendation_as_old_as_the_window_counts_only_without_behavior() -> None:
    assert stabilize_downscale(log((9, 300)), 3, 300, NOW_S)[0] == 9
    assert stabilize_downscale(log((9, 300.1)), 3, 300, NOW_S)[0] == 3
    assert stabilize(log((9, 300)), 9, 3, up_s=0, down_s=300, now_s=NOW_S)[0] == 3
    assert stabilize(log((9, 299.9)), 9, 3, up_s=0, down_s=300, now_s=NOW_S)[0] == 9


def test_the_last_outdated_recommendation_is_replaced() -> None:
    _, kept = stabilize_downscale(log((1, 900), (2, 800), (3, 10)), 5, 300, NOW_S)
    assert [r.replicas for r in kept] == [1, 5, 3]
    _, kept = stabilize(log((1, 900), (2, 200)), 5, 5, up_s=0, down_s=300, now_s=NOW_S)
    assert [r.replicas for r in kept] == [5, 2]


def test_up_goes_to_the_lowest_and_down_to_the_highest_recent_recommendation() -> None:
    recent = log((4, 100), (8, 50))
    assert stabilize(recent, 2, 10, up_s=300, down_s=0, now_s=NOW_S)[0] == 4
    assert stabilize(recent, 20, 3, up_s=0, down_s=300, now_s=NOW_S)[0] == 8
    assert stabilize(recent, 6, 6, up_s=300, down_s=300, now_s=NOW_S)[0] == 6


def test_an_event_takes_the_place_of_the_last_outdated_one() -> None:
    stored = record_event(events((1, 61), (2, 70), (3, 60)), 7, rules(pods(1, 60), pods(1, 15)), NOW_S)
    assert [(e.change, e.outdated) for e in stored] == [(1, True), (7, False), (3, False)]
    assert record_event(events((1, 500)), 7, None, NOW_S) == tuple(events((1, 500)))


def test_defaults_are_those_of_kubernetes() -> None:
    usual = Behavior()
    assert limit_rate(10, 500, 1, 1000, usual, now_s=NOW_S).replicas == 20
    assert limit_rate(2, 500, 1, 1000, usual, now_s=NOW_S).replicas == 6
    assert limit_rate(100, 0, 1, 1000, usual, now_s=NOW_S).replicas == 1
    assert usual.scale_down.stabilization_s is None


@given(
    current=st.integers(1, 50),
    desired=st.integers(0, 200),
    least=st.integers(0, 20),
    extra=st.integers(0, 40),
    values=st.tuples(st.integers(0, 200), st.integers(0, 200)),
    select=st.sampled_from(["Max", "Min", "Disabled"]),
    used=st.lists(st.tuples(st.integers(1, 9), st.floats(0, 200)), max_size=3),
)
def test_limits_lie_between_what_there_is_and_what_is_desired(
    current: int,
    desired: int,
    least: int,
    extra: int,
    values: tuple[int, int],
    select: str,
    used: list[tuple[int, float]],
) -> None:
    most = max(least + extra, 1)
    current = min(max(current, least), most)
    both = rules(pods(values[0]), percent(values[1]), select=select)
    behavior = Behavior(scale_up=both, scale_down=both)
    found = limit_rate(current, desired, least, most, behavior, events(*used), events(*used), now_s=NOW_S).replicas
    assert min(current, max(desired, least)) <= found <= max(current, min(desired, most)) or found == desired
    if desired != current:
        assert least <= found <= most


def test_rules_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="kind"):
        Policy(kind="pods", value=1, period_s=15)
    with pytest.raises(ValueError, match="period"):
        Policy(kind="Pods", value=1, period_s=0)
    with pytest.raises(ValueError, match="select"):
        Rules(policies=(), select="max")
    with pytest.raises(ValueError, match="≥ 0"):
        Rules(policies=(), stabilization_s=-1)
    with pytest.raises(ValueError, match="≥ 0"):
        Rules(policies=(), tolerance=float("nan"))


def test_without_policies_nothing_is_allowed_that_a_policy_would_have_to_allow() -> None:
    assert scale_up_limit(5, [], [], rules(), NOW_S) == -(2**31)
    assert scale_up_limit(5, [], [], rules(select="Min"), NOW_S) == 2**31 - 1
    assert scale_down_limit(5, [], [], rules(), NOW_S) == 2**31 - 1
    assert scale_down_limit(5, [], [], rules(select="Min"), NOW_S) == -(2**31)
    held = Behavior(scale_up=rules(), scale_down=rules())
    assert limit_rate(5, 9, 1, 20, held, now_s=NOW_S).replicas == 5
    assert limit_rate(5, 1, 1, 20, held, now_s=NOW_S).replicas == 5
