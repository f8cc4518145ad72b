"""Beside the verdict: the cost without the promise, the baseline held to it, fleets that idle or do not scale."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from example_plan import HOSTILE, PLANS, est, met_plan, not_met_plan

from farthing.nouns import (
    NEVER_MS,
    FixedFleet,
    FleetSize,
    HeldBaseline,
    IdleOption,
    Latency,
    Plan,
    WithoutPromise,
)
from farthing.render.json import document
from farthing.render.plan import terminal
from farthing.render.plan.report import plan_html, report_html
from farthing.render.screen import console, say

FOLDER = Path("demo")


def shown(plan: Plan) -> str:
    stream = io.StringIO()
    say(console(stream), terminal.plan_block(plan, FOLDER))
    return stream.getvalue()


def p99(ms: float) -> Latency:
    return Latency(percentile=0.99, ms=est(ms, 0.01))


def failed() -> Plan:
    plan = not_met_plan()
    assert plan.nearest is not None
    parts = met_plan().parts
    without = WithoutPromise(
        candidate=plan.nearest.candidate, rate_rps=400.0, replicas=(20, 40), cost_usd_per_month=est(2200.0),
        saving_frac=est(0.73, 0.01), parts=parts[:3],
    )  # fmt: skip
    return replace(plan, without_promise=without)


def test_a_promise_that_nobody_keeps_has_a_cost_table_all_the_same() -> None:
    said = shown(failed())
    assert "nearest" in said
    assert "≈ $2,200" in said
    assert "73.0 % cheaper" in said
    assert "the promise not kept" in said
    assert "efficiency −$" in said
    assert "20–40 by hour" in said
    assert "what the baseline needs hour by hour" in said
    page = report_html(failed())
    assert ">nearest</th>" in page
    assert "$2,200" in page
    assert "nearest" in plan_html(failed())


def test_without_any_candidate_the_baselines_need_is_said() -> None:
    said = shown(replace(not_met_plan(), nearest=None, without_promise=None))
    assert "needed today" in said
    assert report_html(replace(not_met_plan(), nearest=None, without_promise=None))


def test_the_baseline_that_breaks_the_promise() -> None:
    plan = met_plan()
    idle = replace(plan, held_baseline=HeldBaseline(alone=p99(204.0), breaks_idle=True))
    assert (
        "baseline       it breaks p99 ≤ 50 ms even when idle (p99 204 ms one at a time): no number of replicas keeps it"
    ) in shown(idle)
    kept = HeldBaseline(alone=p99(40.0), breaks_idle=False, rate_rps=12.0, cost_usd_per_month=est(31_000.0))
    assert "if it had to keep p99 ≤ 50 ms: ≈ $31,000" in shown(replace(plan, held_baseline=kept))
    assert "  baseline  " not in shown(plan)


def options() -> tuple[IdleOption, ...]:
    plan = met_plan()
    assert plan.chosen is not None
    c, offer = plan.chosen.candidate, plan.offers[0]
    names = ("serverless", "scale to zero", "smaller offer")
    return tuple(
        IdleOption(name=n, offer=offer, candidate=c, cost_usd_per_month=est(float(k), 0.0), rule=f"rule of {n}")
        for k, n in enumerate(names, 3)
    )


def test_ways_to_buy_what_idles() -> None:
    said = shown(replace(met_plan(), idle_options=options()))
    assert (
        "idle           serverless aws/m7i.large (on demand, price of 2026-07-20): ≈ $3.00 a month; rule of serverless"
        in said
    )
    assert "scale to zero: ≈ $4.00 a month; rule of scale to zero" in said
    assert document("plan", replace(met_plan(), idle_options=options()))["idle_options"][2]["name"] == "smaller offer"


def fleet(planned: int | None = 2) -> FixedFleet:
    sizes = (
        FleetSize(replicas=2, usd_per_month=147.0, baseline=p99(NEVER_MS), planned=p99(31.0), held=("planned",)),
        FleetSize(replicas=8, usd_per_month=589.0, baseline=p99(144.0), planned=p99(9.0), held=("baseline", "planned")),
        FleetSize(replicas=12, usd_per_month=883.0, baseline=p99(60.0), planned=None),
    )
    return FixedFleet(today=12, baseline=8, planned=planned, sizes=sizes)


def test_how_many_of_a_fixed_fleet_can_go() -> None:
    said = shown(replace(met_plan(), fixed_fleet=fleet()))
    assert "fleet          12 replicas run all month: 8 suffice as it is, 2 as planned, so 10 can go" in said
    rows = [line.split() for line in said.splitlines() if line.strip().startswith(("2 ", "8 ", "12 "))]
    assert rows[0][:4] == ["2", "10", "$147", "unbounded"]
    assert rows[0][4] == "✘"
    assert rows[1][1] == "4"
    page = report_html(replace(met_plan(), fixed_fleet=fleet()))
    assert "A fleet of one size" in page
    assert "A fleet of one size" not in report_html(met_plan())
    short = replace(fleet(None), baseline=15)
    assert "as it is 15 would be needed in the busiest hour, so 0 can go" in shown(
        replace(met_plan(), fixed_fleet=short)
    )


def test_names_in_them_are_harmless() -> None:
    plan = PLANS["hostile"]()
    rule = replace(options()[0], rule=HOSTILE)
    page = report_html(replace(plan, idle_options=(rule,), fixed_fleet=fleet()))
    assert "<script>alert" not in page
