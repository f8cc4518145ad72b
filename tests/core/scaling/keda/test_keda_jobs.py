"""Jobs to start."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from farthing.core.scaling.keda.jobs import (
    Jobs,
    ScalerReading,
    Strategy,
    decide,
    demand,
    effective_max_scale,
    target_average,
)


def reading(queue: float, target: float = 1, *, active: bool = True, failed: bool = False) -> ScalerReading:
    return ScalerReading(queue_length=queue, target_average=target, active=active, failed=failed)


def test_strategies() -> None:
    present = Jobs(running=4, pending=2)
    custom = Strategy(name="custom", queue_length_deduction=1, running_job_frac=0.4)
    assert effective_max_scale(Strategy(), 10, present, 20, 10) == (6, 10)
    assert effective_max_scale(custom, 10, present, 20, 10) == (8, 10)
    assert effective_max_scale(custom, 100, present, 20, 10) == (20, 10)
    assert effective_max_scale(Strategy(name="custom"), 10, present, 20, 10) == (6, 10)
    assert effective_max_scale(Strategy(name="accurate"), 10, present, 20, 10) == (8, 10)
    assert effective_max_scale(Strategy(name="accurate"), 10, present, 6, 10) == (2, 10)
    assert effective_max_scale(Strategy(name="eager"), 10, present, 20, 1) == (10, 20)
    assert effective_max_scale(Strategy(name="eager"), 10, present, 8, 1) == (2, 8)


def test_the_minimum_is_filled_first_and_then_out_of_sight() -> None:
    assert decide(Strategy(), 50, Jobs(running=1), 50, min_replicas=3) == (2, 2)
    assert decide(Strategy(), 5, Jobs(running=7), 5, min_replicas=3) == (1, 5)
    assert decide(Strategy(name="eager"), 500, Jobs(running=0), 5) == (100, 100)


def test_scalers_are_joined() -> None:
    scalers = [reading(20), reading(10, 2), reading(5, 3), reading(70, active=False), reading(90, failed=True)]
    for calculation, expected in {
        "min": (5, 2),
        "avg": (12, 9),
        "sum": (35, 27),
        "max": (20, 20),
        "": (20, 20),
    }.items():
        found = demand(scalers, calculation, max_replicas=100)
        assert (found.queue_length, found.max_value, found.active, found.error) == (*expected, True, True)


def test_an_empty_queue_is_active_only_with_a_minimum() -> None:
    assert not demand([reading(0)], max_replicas=9).active
    assert demand([reading(0)], min_replicas=1, max_replicas=9).active
    assert not demand([], "avg", max_replicas=9).active


def test_a_target_of_zero_asks_for_nothing() -> None:
    assert demand([reading(9, 0)], max_replicas=5).max_value == 0
    assert target_average([]) == 0
    assert target_average([1, 2]) == 1.5


@given(
    queues=st.lists(st.floats(0, 1e6), max_size=5),
    calculation=st.sampled_from(["min", "max", "avg", "sum"]),
    most=st.integers(0, 50),
)
def test_never_more_jobs_than_allowed(queues: list[float], calculation: str, most: int) -> None:
    assert demand([reading(queue) for queue in queues], calculation, max_replicas=most).max_value <= most
