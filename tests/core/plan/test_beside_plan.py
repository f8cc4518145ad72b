"""A baseline that breaks the promise is compared as such, and its cost if it kept it stands beside; by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from search_examples import BASE, FP32, INT8, curve, est, facts, findings, hours, measured, objective, planned, pricing

from farthing.core.plan.beside_plan import held_baseline, without_promise
from farthing.core.plan.findings import Findings
from farthing.core.traffic.batch_queue import sla_rps

ONE = replace(INT8, max_batch=1)


def found(service_ms: float = 20.0, alone_ms: float = 25.0, **more: object) -> Findings:
    """A baseline of two workers; its stable rate is 85 % of saturation."""
    stable = 0.85 * 2 / (service_ms / 1000)
    return findings(
        **{
            "curves": {BASE: curve({1: est(service_ms)}), ONE: curve({1: est(5.0), 8: est(20.0)})},
            "facts": {ONE: facts()},
            "latency": {BASE: measured(BASE, service_ms, service_ms, alone_ms)},
            "sla_rps": {BASE: stable, INT8: 400.0, FP32: 100.0},
            **more,
        }
    )


def test_a_baseline_that_keeps_the_promise_only_when_less_is_asked() -> None:
    """Its stable rate has a p99 above 50 ms, at a lower rate it keeps it: more replicas, dearer."""
    p = pricing(found(), hours(10_000.0))
    held = held_baseline(p)
    assert held is not None
    assert not held.breaks_idle
    expected = sla_rps(curve({1: est(20.0)}), instances=2, max_batch=1, latency_s=0.05)
    assert held.rate_rps == pytest.approx(expected)
    assert held.rate_rps is not None
    assert held.rate_rps < 85
    now = p.cost(BASE)
    assert now is not None
    assert held.cost_usd_per_month is not None
    assert held.cost_usd_per_month.value > now.usd_per_month


def test_a_baseline_that_breaks_it_when_idle_has_no_such_cost() -> None:
    held = held_baseline(pricing(found(200.0, 204.0)))
    assert held is not None
    assert held.breaks_idle
    assert (held.rate_rps, held.cost_usd_per_month) == (None, None)
    assert held.alone.ms.value == 204


@pytest.mark.parametrize("case", ["kept", "no promise", "not measured", "other level"])
def test_where_there_is_nothing_to_hold(case: str) -> None:
    p = pricing(found())
    if case == "kept":
        p = pricing(found(1.0, 1.2))  # even its stable rate stays within 50 ms
    elif case == "no promise":
        p = pricing(found(), promise=objective(None))
    elif case == "not measured":
        p = pricing(found(latency={}))
    else:
        p = pricing(found(), promise=objective(50.0, 0.95))
    assert held_baseline(p) is None


def test_dearer_than_a_baseline_that_breaks_the_promise_is_said_as_that() -> None:
    """10 requests/s of INT8 within 30 ms against 25 of a baseline whose single requests take 204 ms."""
    slow = found(200.0, 204.0, sla_rps={BASE: 25.0, INT8: 10.0}, ratios={INT8: est(0.4, 0.39, 0.41)}, best_fp32=None)
    plan = planned(slow)
    assert plan.verdict.outcome == "not_met"
    first = plan.verdict.reasons[0]
    assert first.startswith(
        "keeping p99 ≤ 50 ms costs 2.20 × what the baseline costs, which breaks it (p99 204.0 ms one"
    )
    assert first.endswith("no number of its replicas keeps it")
    assert "nothing is cheaper" not in " ".join(plan.verdict.reasons)
    assert plan.held_baseline is not None
    assert plan.held_baseline.breaks_idle


def test_and_with_its_cost_within_the_promise_where_there_is_one() -> None:
    dear = found(20.0, 25.0, sla_rps={BASE: 85.0, INT8: 40.0}, ratios={INT8: est(0.5, 0.49, 0.51)}, best_fp32=None)
    plan = planned(dear)
    assert plan.held_baseline is not None
    cost = plan.held_baseline.cost_usd_per_month
    assert cost is not None
    assert plan.verdict.reasons[0].endswith(f"if it had to keep it, it would cost ${cost.value:,.0f}")


def test_the_nearest_at_its_stable_rate_where_nobody_keeps_the_promise() -> None:
    """Two workers, 5 ms each: 340 requests/s at 85 %, against 85 of the baseline: a quarter of the replicas."""
    near = found(chosen=None, latency={INT8: measured(INT8, 5.0, 6.0, 70.0), ONE: measured(ONE, 5.0, 6.0, 60.0)})
    p = pricing(near, hours(10_000.0))
    from farthing.core.plan.evaluations import evaluation

    seen = without_promise(p, evaluation(p, ONE))
    assert seen is not None
    assert seen.rate_rps == pytest.approx(340)
    assert seen.replicas == (30,)
    assert seen.saving_frac.value == pytest.approx(1 - 30 / 118)
    assert seen.saving_frac.lo < seen.saving_frac.value < seen.saving_frac.hi
    assert without_promise(p, evaluation(p, ONE), split=False).parts == ()  # type: ignore[union-attr]
    assert without_promise(p, None) is None
    assert without_promise(p, evaluation(p, FP32)) is None  # never timed


def test_a_plan_that_is_not_met_holds_a_cost() -> None:
    plan = planned(found(chosen=None, latency={ONE: measured(ONE, 5.0, 6.0, 60.0)}))
    assert plan.verdict.outcome == "not_met"
    assert plan.without_promise is not None
    assert plan.without_promise.candidate == ONE
    assert plan.without_promise.parts[0].name == "right-sizing"
