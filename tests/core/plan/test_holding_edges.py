"""Verify at its edges: steady rounds without noise, so that each limit is where the arithmetic says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from example_plan import met_plan
from search_examples import BASE, FP32, INT8, est, evaluated, measured, objective

from farthing.core.plan.holding import TOLERANCE_FRAC, Remeasured, held, yardsticks
from farthing.nouns import Candidate, Check, Estimate, Measurement, Plan

ROUNDS = 8
MS, RPS = est(16.0, 15.84, 16.16), est(1000.0, 990.0, 1010.0)


def plan(bound_ms: float | None = 50.0, **chosen: object) -> Plan:
    """INT8 in batches of eight beside the baseline at 60 requests/s and FP32 at 300; canary 10 ms."""
    fields: dict[str, object] = {"status": "chosen", "capacity_rps": RPS, "service_ms": ((1, est(3.0)), (8, MS))}
    mine = evaluated(INT8, **{**fields, **chosen})
    base = evaluated(BASE, status="baseline", capacity_rps=est(60.0))
    fp32 = evaluated(FP32, capacity_rps=est(300.0), ratio=est(5.0))
    return replace(
        met_plan(),
        objective=objective(bound_ms),
        chosen=mine,
        baseline=base,
        evaluations=(base, fp32, mine),
        canary_ms=est(10.0),
    )


def again(
    *, service: float = 1.0, capacity: float = 1.0, beside: Mapping[Candidate, float] | None = None,
    canary: float | None = 1.0, busy: int = 0, server: Measurement | None = None,
) -> Remeasured:  # fmt: skip
    """Steady rounds, everything as a factor on the plan's figure."""
    then = {BASE: 60.0, FP32: 300.0}
    speeds = {BASE: 1.0, FP32: 1.0} if beside is None else beside
    return Remeasured(
        service_ms=(16.0 * service,) * ROUNDS,
        capacity_rps=(1000.0 * capacity,) * ROUNDS,
        beside_rps={c: (then[c] * f,) * ROUNDS for c, f in speeds.items()},
        canary_ms=() if canary is None else (10.0 / canary,) * ROUNDS if canary else (0.0,) * ROUNDS,
        contended=(True,) * busy + (False,) * (ROUNDS - busy),
        server=server,
    )


def checks(seen: Remeasured, of: Plan | None = None) -> tuple[Check, ...]:
    return held(of or plan(), seen, "abc").checks


# --- yardsticks -----------------------------------------------------------------------------------------------


def test_the_best_fp32_yardstick_was_proven_and_is_neither_of_the_two() -> None:
    here = plan()
    quick = evaluated(replace(FP32, max_batch=8), capacity_rps=est(400.0), ratio=est(6.0))
    more = (
        quick,
        evaluated(replace(FP32, engine="a"), capacity_rps=est(900.0)),  # never raced
        evaluated(replace(FP32, engine="b"), ratio=est(9.0)),  # no capacity
        evaluated(replace(FP32, engine="c", precision="bf16"), capacity_rps=est(900.0), ratio=est(9.0)),
        evaluated(replace(BASE, max_batch=4), capacity_rps=est(900.0), ratio=est(9.0)),  # the baseline's own build
    )
    assert yardsticks(replace(here, evaluations=(*here.evaluations, *more))) == (BASE, quick.candidate)
    assert yardsticks(replace(here, evaluations=())) == (BASE,)
    chose_fp32 = replace(here, chosen=evaluated(replace(FP32, max_batch=2), status="chosen"))
    assert yardsticks(chose_fp32) == (BASE,)
    assert yardsticks(replace(here, chosen=None)) == (BASE, FP32)


def test_the_machines_speed_is_the_median_of_its_yardsticks() -> None:
    speed = held(plan(), again(beside={BASE: 0.7, FP32: 1.1}, canary=1.2), "abc").machine_speed
    assert (speed.lo, speed.value, speed.hi) == pytest.approx((1.1, 1.1, 1.1))
    assert speed.method.startswith("median of baseline 0.70 ×, best FP32 1.10 ×, canary kernel 1.20 ×; t on 8")


@pytest.mark.parametrize(("apart", "contradict"), [(1.09, False), (1.11, True)])
def test_two_yardsticks_contradict_each_other_beyond_the_tolerance(apart: float, contradict: bool) -> None:
    speed = held(plan(), again(beside={BASE: apart, FP32: 1.0}, canary=None), "abc").machine_speed
    middle = math.sqrt(apart)
    assert speed.value == pytest.approx(middle)
    assert speed.lo == pytest.approx(1.0 if contradict else middle)
    assert speed.hi == pytest.approx(apart if contradict else middle)


def test_a_canary_that_took_no_time_and_a_plan_without_one_are_left_out() -> None:
    for of, seen in ((plan(), again(canary=0.0, beside={})), (replace(plan(), canary_ms=None), again(beside={}))):
        assert held(of, seen, "abc").machine_speed.n == 0
    alone = held(plan(), again(beside={}, canary=0.8), "abc").machine_speed
    assert alone.value == pytest.approx(0.8)
    assert (alone.lo, alone.hi) == pytest.approx((0.8, 0.8))


# --- within the tolerance -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "outcome"),
    [
        (1.0, "met"),
        (1.0999, "met"),
        (1.105, "unproven"),  # less the plan's own 1 %: 1.094
        (1.12, "not_met"),  # 1.109
        (0.895, "met"),  # quicker is no failure
        (0.1, "met"),
    ],
)
def test_a_batch_may_take_a_tenth_longer_and_any_time_less(factor: float, outcome: str) -> None:
    assert TOLERANCE_FRAC == 0.10
    service = checks(again(service=factor))[0]
    assert service.outcome == outcome
    signed = f"{100 * (factor - 1):+.1f}".replace("-", "−").replace("+0.0", "0.0")
    assert service.limit == f"at most 10 % more, is {signed} %"
    assert service.worse_frac is not None
    assert service.worse_frac.value == pytest.approx(factor - 1)
    assert service.worse_frac.lo == pytest.approx(factor / 1.01 - 1, abs=1e-3)
    assert ("better than planned" in service.note) == (factor < 0.9)


@pytest.mark.parametrize(
    ("factor", "outcome"),
    [
        (1.0, "met"),
        (0.9001, "met"),
        (0.895, "unproven"),  # more by the plan's own 1 %: 0.904
        (0.88, "not_met"),  # 0.889
        (1.12, "met"),
        (10.0, "met"),  # more is no failure
    ],
)
def test_a_replica_may_serve_a_tenth_less_and_any_more(factor: float, outcome: str) -> None:
    capacity = checks(again(capacity=factor))[1]
    assert capacity.outcome == outcome
    assert capacity.limit.startswith("at most 10 % less, is ")
    assert capacity.worse_frac is not None
    assert capacity.worse_frac.value == pytest.approx(1 - factor)
    assert capacity.worse_frac.lo == pytest.approx(1 - factor * 1.01, abs=1e-3 * factor)
    assert capacity.limit_frac == 0.10


@pytest.mark.parametrize(("tolerance", "outcome"), [(0.3, "met"), (0.1, "not_met"), (0.0, "not_met")])
def test_the_tolerance_can_be_chosen(tolerance: float, outcome: str) -> None:
    service = held(plan(), again(service=1.25), "abc", tolerance).checks[0]
    assert (service.outcome, service.limit_frac) == (outcome, tolerance)
    assert service.limit == f"at most {100 * tolerance:g} % more, is +25.0 %"


def test_service_time_goes_with_the_inverse_of_the_machines_speed() -> None:
    """A machine of 0.8: batches take 1.25 times as long and the capacity is 0.8 of the plan's."""
    slow = again(service=1.25, capacity=0.8, beside={BASE: 0.8, FP32: 0.8}, canary=0.8)
    service, capacity = checks(slow)
    assert (service.outcome, capacity.outcome) == ("met", "met")
    assert service.planned is not None
    assert capacity.planned is not None
    assert (service.planned.value, capacity.planned.value) == pytest.approx((20.0, 800.0))
    assert service.note == "raw +25.0 %, corrected for the machine's speed 0.0 %"
    assert capacity.note == "raw −20.0 %, corrected for the machine's speed 0.0 %"
    assert (service.name, service.unit) == ("service time of a batch of 8", "ms")
    assert (capacity.name, capacity.unit) == ("throughput of a replica, flat out", "requests/s")


@pytest.mark.parametrize(
    ("lo", "outcome"), [(990.0, "not_met"), (850.0, "not_met"), (0.0, "unproven"), (-1.0, "unproven")]
)
def test_a_plans_interval_that_reaches_zero_counts_as_half(lo: float, outcome: str) -> None:
    """0.7 of the planned rate: it takes a lower end below 0.7/0.9 of the plan's value to reach it."""
    wide = plan(capacity_rps=est(1000.0, lo, 1010.0))
    assert checks(again(capacity=0.7), wide)[1].outcome == outcome
    if lo <= 0:
        halves = [checks(again(capacity=factor), wide)[1].outcome for factor in (0.46, 0.44)]  # twice that: 0.92, 0.88
        assert halves == ["unproven", "not_met"]


def test_yardsticks_that_contradict_widen_what_was_seen() -> None:
    """Speeds 1 and 1.44, the middle 1.2: at 1.2 of it either way nothing is proven, at 1.5 it is."""
    torn = {BASE: 1.44, FP32: 1.0}
    assert checks(again(capacity=1.0, beside=torn, canary=None))[1].outcome == "unproven"
    assert checks(again(capacity=0.6, beside=torn, canary=None))[1].outcome == "not_met"


def test_busy_rounds_widen_to_the_range_and_are_counted() -> None:
    rounds = (16.0, *(19.2,) * (ROUNDS - 1))
    seen = replace(again(busy=3), service_ms=rounds)
    quiet = replace(again(), service_ms=rounds)
    assert checks(seen)[0].note.endswith("; cores busy in 3 of 8 rounds")
    assert checks(seen)[0].outcome == "unproven"
    assert "busy" not in checks(quiet)[0].note
    bare = replace(again(busy=1, beside={}, canary=None), service_ms=(19.2,) * ROUNDS)
    assert checks(bare)[0].note == "cores busy in 1 of 8 rounds"
    assert checks(bare)[0].outcome == "not_met"
    assert checks(replace(again(busy=1), service_ms=(16.0, *(20.8,) * 7)))[0].outcome == "unproven"


@pytest.mark.parametrize(("busy", "outcome"), [(0, "not_met"), (1, "not_met"), (2, "unproven"), (8, "unproven")])
def test_on_a_busy_machine_nothing_is_not_met(busy: int, outcome: str) -> None:
    """From a quarter of contended rounds on; the verdict says why first."""
    verdict = held(plan(), again(service=1.5, capacity=0.5, busy=busy), "abc").verdict
    assert verdict.outcome == outcome
    said = verdict.reasons[0].startswith(f"the machine was busy: its cores in {busy} of 8 rounds")
    assert said == (outcome == "unproven")


def test_a_busy_machine_that_keeps_the_plan_keeps_it() -> None:
    assert held(plan(), again(busy=8), "abc").verdict.outcome == "met"


# --- p99 under load -------------------------------------------------------------------------------------------


def server(value: float, lo: float, *, answered: float | None = None, busy: bool = False) -> Measurement:
    run = measured(INT8, 1.0, 2.0, 3.0)
    metrics = {**run.metrics, "latency_p99_ms": est(value, lo, value * 1.1)}
    if answered is not None:
        metrics["answered_frac"] = est(answered)
    return replace(run, scenario="Server", metrics=metrics, contended=busy)


@pytest.mark.parametrize(
    ("value", "lo", "outcome"),
    [(50.0, 45.0, "met"), (50.1, 45.0, "unproven"), (60.0, 50.0, "unproven"), (60.0, 50.1, "not_met")],
)
def test_the_bound_itself_is_kept(value: float, lo: float, outcome: str) -> None:
    check = checks(again(server=server(value, lo)))[2]
    assert (check.outcome, check.limit) == (outcome, "at most 50 ms")
    assert checks(again(server=server(value, lo)), plan(None))[2].outcome == "met"
    assert checks(again(server=server(value, lo)), plan(None))[2].limit == "no bound"


@pytest.mark.parametrize(
    ("answered", "note"),
    [(None, ""), (1.0, ""), (0.995, "0.5 % of the requests were not answered in time")],
)
def test_requests_without_an_answer_in_time_are_said(answered: float | None, note: str) -> None:
    assert checks(again(server=server(40.0, 39.0, answered=answered)))[2].note == note


def test_the_plans_own_latency_stands_beside() -> None:
    check = checks(again(server=server(40.0, 39.0)), plan(at_peak_ms=est(33.0)))[2]
    assert check.planned == est(33.0)
    assert check.seen is not None
    assert check.seen.value == 40.0
    assert len(checks(again())) == 2


# --- the verdict ----------------------------------------------------------------------------------------------


def test_the_worst_check_decides_and_failures_are_said_first() -> None:
    good = held(plan(), again(), "abc").verdict
    assert (good.outcome, good.reasons, good.hint) == ("met", ("no figure of the plan is worse than planned",), "")
    open_ = held(plan(), again(service=1.105), "abc").verdict
    assert (open_.outcome, len(open_.reasons)) == ("unproven", 1)
    both = held(plan(), again(service=1.105, capacity=0.5), "abc").verdict
    assert both.outcome == "not_met"
    assert [r.split(":")[0] for r in both.reasons] == [
        "throughput of a replica, flat out",
        "service time of a batch of 8",
    ]
    assert "500 requests/s, planned 1000 (at most 10 % less, is −50.0 %)" in both.reasons[0]
    assert "on a quiet machine" in both.hint


def test_a_choice_without_a_capacity_cannot_be_verified() -> None:
    with pytest.raises(ValueError, match="chose nothing that could be verified"):
        held(plan(capacity_rps=None), again(), "abc")


def test_what_was_seen_is_the_mean_of_the_rounds() -> None:
    rounds = tuple(np.linspace(15.0, 17.0, ROUNDS))
    seen = checks(replace(again(), service_ms=rounds))[0].seen
    assert isinstance(seen, Estimate)
    assert (seen.value, seen.n) == (pytest.approx(16.0), ROUNDS)
