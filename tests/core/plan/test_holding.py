"""Verify corrects for the machine's speed, and tells a changed machine from a changed candidate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from example_plan import met_plan

from farthing.core.plan.holding import Remeasured, held, yardsticks
from farthing.nouns import Candidate, Estimate, Evaluation, LatencyBound, Measurement, Plan

BASE = Candidate(engine="pytorch", variant="torch-module", precision="fp32", instances=2)
CHOSEN = Candidate(engine="openvino", variant="int8-nncf", precision="int8", max_batch=8, instances=2)
FP32 = Candidate(engine="onnxruntime", variant="fp32", precision="fp32", max_batch=8, instances=2)
ROUNDS = 12
PLANNED_MS, PLANNED_RPS = 16.0, 1000.0


def est(value: float, half: float = 0.01) -> Estimate:
    return Estimate(value=value, lo=value * (1 - half), hi=value * (1 + half), n=12, method="t")


def evaluation(c: Candidate, rps: float, ratio: float | None, **more: object) -> Evaluation:
    return Evaluation(
        candidate=c,
        status="lost",
        capacity_rps=est(rps),
        ratio=None if ratio is None else est(ratio),
        **more,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def plan() -> Plan:
    chosen = evaluation(CHOSEN, PLANNED_RPS, 16.4, service_ms=((8, est(PLANNED_MS)),))
    base, fp32 = evaluation(BASE, 61.0, None), evaluation(FP32, 280.0, 4.6)
    slower = evaluation(replace(FP32, max_batch=1), 180.0, 3.0)
    return replace(
        met_plan(),
        chosen=chosen,
        baseline=base,
        evaluations=(base, chosen, slower, fp32),
        canary_ms=est(10.0),
    )


def noisy(value: float, seed: int, noise: float = 0.01) -> tuple[float, ...]:
    return tuple(value * np.exp(np.random.default_rng(seed).normal(0, noise, ROUNDS)))


def seen(
    *, speed: float = 1.0, changed: float = 1.0, base: float = 1.0, fp32: float = 1.0, canary: float = 1.0,
    busy: Sequence[int] = (), without: Sequence[str] = (), server: Measurement | None = None,
) -> Remeasured:  # fmt: skip
    """A machine at ``speed``; ``changed`` slows the candidate, the others say what each yardstick shows beside it."""
    beside = {BASE: noisy(61.0 * speed * base, 1), FP32: noisy(280.0 * speed * fp32, 2)}
    return Remeasured(
        service_ms=noisy(PLANNED_MS * changed / speed, 3),
        capacity_rps=noisy(PLANNED_RPS * speed / changed, 4),
        beside_rps={c: b for c, b in beside.items() if c.engine not in without},
        canary_ms=() if "canary" in without else noisy(10.0 / speed / canary, 5),
        contended=tuple(k in busy for k in range(ROUNDS)),
        server=server,
    )


def test_yardsticks_are_the_baseline_and_the_best_fp32(plan: Plan) -> None:
    assert yardsticks(plan) == (BASE, FP32)


@pytest.mark.parametrize("speed", [0.7, 1.0, 1.21, 1.5])
@pytest.mark.parametrize("without", [(), ("pytorch",), ("pytorch", "onnxruntime"), ("canary", "onnxruntime")])
def test_a_machine_of_another_speed_bears_the_plan_out(plan: Plan, speed: float, without: Sequence[str]) -> None:
    found = held(plan, seen(speed=speed, without=without), "abc")
    assert found.verdict.outcome == "met"
    assert found.machine_speed.value == pytest.approx(speed, rel=0.02)
    assert found.machine_speed.lo < speed * 1.02
    service = found.checks[0]
    assert service.planned is not None
    assert service.planned.value == pytest.approx(PLANNED_MS / speed, rel=0.02)
    raw, corrected = (float(x.replace("−", "-")) for x in re.findall(r"([+−]?[\d.]+) %", service.note))
    assert raw == pytest.approx(100 * (1 / speed - 1), abs=2)
    assert corrected == pytest.approx(0, abs=2)


@pytest.mark.parametrize(("changed", "outcome"), [(0.8, "met"), (1.25, "not_met")])
@pytest.mark.parametrize("speed", [0.8, 1.0, 1.3])
def test_a_slower_candidate_is_found_at_any_speed_and_a_quicker_one_is_welcome(
    plan: Plan, changed: float, outcome: str, speed: float
) -> None:
    found = held(plan, seen(speed=speed, changed=changed), "abc")
    assert [c.outcome for c in found.checks] == [outcome, outcome]


def test_one_yardstick_that_runs_off_is_outvoted(plan: Plan) -> None:
    """Seen on EfficientNet-Lite0: PyTorch at 0.8 × its speed while everything else ran as before."""
    found = held(plan, seen(base=0.8), "abc")
    assert found.verdict.outcome == "met"
    assert found.machine_speed.value == pytest.approx(1.0, abs=0.02)
    assert "baseline 0.80 ×" in found.machine_speed.method


def test_two_yardsticks_that_contradict_each_other_prove_nothing(plan: Plan) -> None:
    found = held(plan, seen(base=1.6, without=("onnxruntime",)), "abc")
    assert [c.outcome for c in found.checks] == ["unproven", "unproven"]
    assert found.machine_speed.lo < 1.02 < 1.58 < found.machine_speed.hi
    slower = held(plan, seen(base=0.6, without=("onnxruntime",)), "abc")
    assert [c.outcome for c in slower.checks] == ["met", "met"]  # as planned by one, better by the other


def test_without_any_yardstick_nothing_is_corrected(plan: Plan) -> None:
    found = held(replace(plan, canary_ms=None), seen(speed=0.8, without=("pytorch", "onnxruntime")), "abc")
    assert found.machine_speed.n == 0
    assert [c.outcome for c in found.checks] == ["not_met", "not_met"]
    assert not found.checks[0].note


def test_busy_rounds_widen_up_to_unproven(plan: Plan) -> None:
    spiky = seen(changed=1.2, busy=(0, 1))
    quick = (PLANNED_MS, PLANNED_MS, *spiky.service_ms[2:])
    found = held(plan, replace(spiky, service_ms=quick), "abc")
    assert found.checks[0].outcome == "unproven"
    assert "cores busy in 2 of 12 rounds" in found.checks[0].note


@pytest.mark.parametrize(
    ("value", "lo", "busy", "outcome"),
    [
        (40.0, 39.0, False, "met"),
        (40.0, 39.0, True, "met"),
        (52.0, 45.0, False, "unproven"),
        (80.0, 70.0, False, "not_met"),
        (80.0, 70.0, True, "unproven"),  # the machine was too busy to say
    ],
)
def test_p99_is_held_against_the_bound(plan: Plan, value: float, lo: float, busy: bool, outcome: str) -> None:
    from example_plan import measurements

    server = next(m for m in measurements() if m.scenario == "Server")
    p99 = Estimate(value=value, lo=lo, hi=value * 1.1, n=2000, method="order statistics")
    answered = Estimate(value=0.9, lo=0.9, hi=0.9, n=2000, method="one run")
    server = replace(
        server, metrics={**server.metrics, "latency_p99_ms": p99, "answered_frac": answered}, contended=busy
    )
    bound = replace(plan, objective=replace(plan.objective, latency=LatencyBound(ms=50.0)))
    check = held(bound, seen(server=server), "abc").checks[2]
    assert check.outcome == outcome
    assert ("cores busy during the run" in check.note) == busy
    assert "10.0 % of the requests" in check.note


def test_a_plan_that_chose_nothing_cannot_be_verified(plan: Plan) -> None:
    with pytest.raises(ValueError, match="chose nothing"):
        held(replace(plan, chosen=None), seen(), "abc")
