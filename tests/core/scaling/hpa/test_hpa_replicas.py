"""Replicas that one metric asks for: traps of the controller's arithmetic, and what holds in general."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.scaling.fixed_width import MAX_INT32, MAX_INT64
from farthing.core.scaling.hpa.pods import Failure, Pod, Readiness, Sample
from farthing.core.scaling.hpa.replicas import (
    Proposal,
    Tolerance,
    external_average_value,
    external_value,
    object_average_value,
    object_value,
    pods_average_value,
    resource_utilization,
)

TEN = Tolerance()
TIMING = Readiness()


def ready(count: int, first: int = 0, request_m: int | None = 1000) -> list[Pod]:
    return [
        Pod(name=f"p{k}", ready=True, start_age_s=9000, ready_transition_age_s=8990, request_m=request_m)
        for k in range(first, first + count)
    ]


def unready(count: int, first: int) -> list[Pod]:
    return [
        Pod(name=f"p{k}", ready=False, start_age_s=9000, ready_transition_age_s=9000, request_m=1000)
        for k in range(first, first + count)
    ]


def samples(*values_m: int) -> dict[str, Sample]:
    return {f"p{k}": Sample(value_m=value) for k, value in enumerate(values_m)}


def cpu(pods: list[Pod], *values_m: int, target_pct: int, current: int | None = None) -> int:
    current = len(pods) if current is None else current
    found = resource_utilization(current, target_pct, pods, samples(*values_m), tolerance=TEN, readiness=TIMING)
    assert isinstance(found, Proposal), found
    return found.replicas


def average(pods: list[Pod], *values_m: int, target_m: int, current: int | None = None) -> int:
    current = len(pods) if current is None else current
    found = pods_average_value(current, target_m, pods, samples(*values_m), tolerance=TEN, readiness=TIMING)
    assert isinstance(found, Proposal), found
    return found.replicas


def test_tolerance_is_inclusive_at_both_ends() -> None:
    assert cpu(ready(10), *[1100] * 10, target_pct=100) == 10
    assert cpu(ready(10), *[1110] * 10, target_pct=100) == 12
    assert cpu(ready(10), *[900] * 10, target_pct=100) == 10
    assert cpu(ready(10), *[890] * 10, target_pct=100) == 9
    assert TEN.holds(1.1)
    assert TEN.holds(0.9)


def test_from_ten_replicas_ten_percent_of_tolerance_never_adds_one() -> None:
    assert cpu(ready(10), *[1109] * 10, target_pct=100) == 10


def test_the_average_is_truncated_before_the_ratio() -> None:
    found = resource_utilization(3, 30, ready(3), samples(299, 299, 299), tolerance=TEN, readiness=TIMING)
    assert found == Proposal(replicas=3, usage_m=299, utilization_pct=29)
    exact = Tolerance(down=0.03, up=0.0)
    scaled = resource_utilization(30, 30, ready(30), samples(*[299] * 30), tolerance=exact, readiness=TIMING)
    assert isinstance(scaled, Proposal)
    assert scaled.replicas == 29


def test_missing_pods_count_nothing_when_scaling_up() -> None:
    assert cpu(ready(10), *[1500] * 5, target_pct=100) == 10
    assert average(ready(10), *[1500] * 5, target_m=1000) == 10
    assert cpu(ready(4), *[3000] * 3, target_pct=100) == 9


def test_missing_pods_count_their_request_when_scaling_down() -> None:
    assert cpu(ready(5), 100, 100, 100, target_pct=50) == 5
    assert cpu(ready(5), 100, 100, 100, 100, target_pct=50) == 3
    assert cpu(ready(5), 100, 100, 100, target_pct=300) == 3


def test_missing_pods_count_the_target_of_a_pods_metric_when_scaling_down() -> None:
    assert average(ready(5), 5000, 5000, 5000, target_m=20_000) == 3


def test_unready_pods_are_dropped_when_scaling_down() -> None:
    pods = ready(2) + unready(2, 2)
    assert cpu(pods, 470, 470, 0, 0, target_pct=50) == 4
    assert cpu(pods, 200, 200, 900, 900, target_pct=50) == 1


def test_unready_pods_count_nothing_when_scaling_up() -> None:
    pods = ready(2) + unready(2, 2)
    assert cpu(pods, 1000, 1000, 900, 900, target_pct=50) == 4
    assert cpu(pods, 2000, 2000, 900, 900, target_pct=50) == 8


def test_samples_of_no_pod_count_in_averages_but_have_no_request() -> None:
    extra = samples(1000, 1000) | {"gone": Sample(value_m=4000)}
    plain = pods_average_value(2, 1000, ready(2), extra, tolerance=TEN, readiness=TIMING)
    assert plain == Proposal(replicas=4, usage_m=2000)
    share = resource_utilization(2, 100, ready(2), extra, tolerance=TEN, readiness=TIMING)
    assert share == Proposal(replicas=2, usage_m=1000, utilization_pct=100)


@pytest.mark.parametrize(
    ("pods", "values", "code"),
    [
        (ready(2), samples(), "no_metrics_returned"),
        ([], samples(1), "no_pods"),
        (unready(1, 0), samples(1), "no_metrics_for_targeted_pods"),
        (ready(1) + ready(1, 1, None), samples(1), "missing_request"),
        (ready(1), {"gone": Sample(value_m=1)}, "no_metrics_matched_known_pods"),
        (ready(1, 0, 0), samples(1), "no_metrics_matched_known_pods"),
    ],
)
def test_what_is_missing_is_said(pods: list[Pod], values: dict[str, Sample], code: str) -> None:
    found = resource_utilization(1, 50, pods, values, tolerance=TEN, readiness=TIMING)
    assert found == Failure(code=code)


def test_a_value_is_proportional_to_ready_pods() -> None:
    pods = ready(2) + unready(3, 2)
    assert object_value(5, 1000, 3000, pods, tolerance=TEN) == Proposal(replicas=6, usage_m=3000)
    assert object_value(5, 1000, 1100, pods, tolerance=TEN) == Proposal(replicas=5, usage_m=1100)
    assert object_value(5, 1000, 3000, [], tolerance=TEN) == Failure(code="no_pods")


def test_from_zero_the_ratio_itself_is_taken_without_tolerance() -> None:
    assert object_value(0, 1000, 1001, [], tolerance=TEN) == Proposal(replicas=2, usage_m=1001)
    assert external_value(0, 1000, [0], [], tolerance=TEN) == Proposal(replicas=0, usage_m=0)


def test_shares_use_the_pods_that_there_are() -> None:
    assert object_average_value(3, 1000, 3301, tolerance=TEN) == Proposal(replicas=4, usage_m=1101)
    assert object_average_value(3, 1000, 3300, tolerance=TEN) == Proposal(replicas=3, usage_m=1100)
    assert object_average_value(0, 1000, 2500, tolerance=TEN) == Proposal(replicas=3, usage_m=0)


def test_sums_saturate() -> None:
    half = 2**62
    assert external_value(1, 1, [half, half], ready(1), tolerance=TEN) == Proposal(
        replicas=MAX_INT32, usage_m=MAX_INT64
    )
    assert external_average_value(1, 1, [half, half], tolerance=TEN) == Proposal(replicas=MAX_INT32, usage_m=MAX_INT64)
    assert external_value(1, 1, [half, half, -5], ready(1), tolerance=TEN).usage_m == MAX_INT64  # type: ignore[union-attr]
    assert external_average_value(1, 1, [half, half, -5], tolerance=TEN).usage_m == MAX_INT64  # type: ignore[union-attr]
    assert external_value(1, 10, [], ready(1), tolerance=TEN) == Failure(code="no_metrics_returned")
    assert external_average_value(1, 10, [], tolerance=TEN) == Failure(code="no_metrics_returned")


def test_a_negative_share_reads_as_an_overflow_and_a_negative_total_does_not() -> None:
    shared = external_average_value(3, 1000, [-5], tolerance=TEN)
    assert isinstance(shared, Proposal)
    assert shared.replicas == MAX_INT32
    total = external_value(3, 1000, [-5], ready(3), tolerance=TEN)
    assert isinstance(total, Proposal)
    assert total.replicas == 0


@given(
    values=st.lists(st.integers(0, 5000), min_size=1, max_size=8),
    more=st.integers(0, 3000),
    target_pct=st.integers(1, 200),
)
def test_more_usage_never_asks_for_fewer_replicas(values: list[int], more: int, target_pct: int) -> None:
    pods = ready(len(values))
    less = cpu(pods, *values, target_pct=target_pct)
    assert cpu(pods, *[value + more for value in values], target_pct=target_pct) >= less


@given(
    values=st.lists(st.one_of(st.none(), st.integers(0, 3000)), min_size=1, max_size=8),
    target_pct=st.integers(1, 200),
    down=st.floats(0, 0.9),
    up=st.floats(0, 3),
)
def test_nothing_changes_within_tolerance_nor_against_the_direction(
    values: list[int | None], target_pct: int, down: float, up: float
) -> None:
    pods, tolerance = ready(len(values)), Tolerance(down=down, up=up)
    known = {f"p{k}": Sample(value_m=value) for k, value in enumerate(values) if value is not None}
    found = resource_utilization(len(pods), target_pct, pods, known, tolerance=tolerance, readiness=TIMING)
    if isinstance(found, Failure):
        assert found.code == "no_metrics_returned"
        return
    assert found.utilization_pct is not None
    ratio = found.utilization_pct / target_pct
    if tolerance.holds(ratio):
        assert found.replicas == len(pods)
    elif ratio > 1:
        assert found.replicas >= len(pods)
    else:
        assert found.replicas <= len(pods)


def test_a_negative_tolerance_is_refused() -> None:
    with pytest.raises(ValueError, match="≥ 0"):
        Tolerance(down=-0.1)
    with pytest.raises(ValueError, match="≥ 0"):
        Tolerance(up=float("nan"))
