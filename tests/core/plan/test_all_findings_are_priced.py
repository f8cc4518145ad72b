"""Whatever a run found, a plan is worked out from it: what is missing is missing in the plan, nothing falls over."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search_examples import (
    BASE,
    FP32,
    INT8,
    curve,
    est,
    evidence,
    facts,
    findings,
    hours,
    market,
    measured,
    objective,
    offer,
    provenance,
    workload,
)

from farthing.core.plan.assemble import assemble
from farthing.core.plan.findings import Findings
from farthing.nouns import Bill, Candidate, Estimate, Plan
from farthing.render.json import document
from farthing.render.plan.money_words import beside

ONE = replace(INT8, max_batch=1)
EVERY = (INT8, ONE, FP32, replace(FP32, max_batch=1), replace(INT8, max_batch=4))

rates = st.one_of(st.none(), st.floats(1e-3, 1e6))


@st.composite
def estimates(draw: st.DrawFn) -> Estimate:
    """Intervals as few and noisy blocks give them: below zero, without an end, or of no width."""
    value = draw(st.floats(1e-3, 1e4))
    lo = draw(st.sampled_from([value, value * 0.9, 0.0, -value, -math.inf]))
    hi = draw(st.sampled_from([value, value * 1.1, value * 100, math.inf]))
    return Estimate(value=value, lo=lo, hi=hi, n=draw(st.integers(0, 12)), method="drawn")


def some(draw: st.DrawFn, values: st.SearchStrategy[object]) -> dict[Candidate, object]:
    return {c: draw(values) for c in EVERY if draw(st.booleans())}


@st.composite
def found(draw: st.DrawFn) -> Findings:
    chosen = draw(st.sampled_from([None, INT8, ONE]))
    curves = {ONE: curve({1: est(4.0), 8: est(20.0, 10.0, 90.0)}), BASE: curve({1: est(30.0)})}
    return findings(
        chosen=chosen,
        curves={c: k for c, k in curves.items() if draw(st.booleans())},
        facts={c: facts() for c in (ONE, BASE) if draw(st.booleans())},
        sla_rps={BASE: draw(st.floats(1e-3, 1e5)), **some(draw, rates)},
        ratios=some(draw, estimates()),
        capacities_rps=some(draw, estimates()),
        confirm={chosen: evidence(draw(st.sampled_from(["met", "unproven", "not_met"])))} if chosen and draw(st.booleans()) else {},
        latency={c: measured(c, 3.0, 5.0, draw(st.floats(1.0, 500.0))) for c in (BASE, INT8) if draw(st.booleans())},
        server={INT8: measured(INT8, 3.0, 5.0, 9.0)} if draw(st.booleans()) else {},
        kept_rps={INT8: draw(estimates())} if draw(st.booleans()) else {},
        rate_ratio=draw(st.one_of(st.none(), estimates())),
        best_fp32=draw(st.sampled_from([None, FP32])),
        best_half=draw(st.sampled_from([None, FP32])),
    )  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(
    found(),
    st.lists(st.floats(0.0, 1e5), min_size=1, max_size=4).filter(lambda r: max(r) > 1e-6),
    st.sampled_from([None, 10.0, 1000.0]),
    st.booleans(),
)
def test_a_plan_comes_of_it(seen: Findings, rps: list[float], bound: float | None, unknown: bool) -> None:
    priced(seen, rps, bound, fixed=False, unknown=unknown)


@settings(max_examples=6, deadline=None)
@given(found(), st.sampled_from([None, 10.0, 1000.0]))
def test_of_a_fleet_that_does_not_scale_too(seen: Findings, bound: float | None) -> None:
    priced(seen, [100.0, 3.0], bound, fixed=True, unknown=False)


def priced(seen: Findings, rps: list[float], bound: float | None, *, fixed: bool, unknown: bool) -> None:
    asked = replace(workload(objective(bound)), bill=Bill(offer="aws/small", usd_per_month=1000.0, fixed_fleet=fixed))
    trace = hours(*rps)
    small = (offer("aws/half", usd_per_hour=0.05, vcpus=1),)
    plan = assemble(
        asked, seen, market(small=small), trace, provenance(), splits={}, assumptions=(), description="",
        by_utilisation={0.2: trace.scaled(0.25), 0.8: trace} if unknown else None,
    )  # fmt: skip
    assert isinstance(plan, Plan)
    assert plan.verdict.reasons
    document("plan", plan)
    beside(plan)
    if plan.parts and plan.planned_usd_per_month is not None:
        saved = sum(p.usd_per_month.value for p in plan.parts if p.usd_per_month)
        assert saved == pytest.approx(1000 - plan.planned_usd_per_month.value, rel=1e-6, abs=1e-2)
