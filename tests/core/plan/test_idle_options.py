"""Where one replica idles: what it could be bought as, by hand; and the verdict says why no model saves anything."""

from __future__ import annotations

from dataclasses import replace

import pytest
from search_examples import BASE, INT8, curve, est, facts, findings, hours, market, objective, offer, planned, workload

from farthing.core.plan.assemble import assemble
from farthing.core.plan.idle_options import idle_options, idling, options_at
from farthing.core.plan.pricing import Pricing
from farthing.core.plan.repricing import reprice
from farthing.nouns import Estimate, Hardware, IdleOption, Offer, Plan, Trace

ONE = replace(INT8, max_batch=1)
MONTH = 0.1 * 730
HALF = offer("aws/half", usd_per_hour=0.05, vcpus=1)
TINY = offer("aws/tiny", usd_per_hour=0.01, vcpus=0.02)
SERVERLESS = replace(
    offer("aws/function", "serverless", None), usd_per_gib_s=1e-5, hardware=Hardware(name="aws/function", memory_gib=2)
)


def pricing(trace: Trace, least: int = 1, **more: object) -> Pricing:
    found = findings(curves={ONE: curve({1: est(20.0)})}, facts={ONE: facts(400.0)})
    asked = workload(objective(min_replicas=least))
    small = more.pop("small", (HALF, TINY, SERVERLESS))
    return Pricing(workload=asked, found=found, market=market(small=small, **more), trace=trace)


def test_a_replica_is_idle_below_half_of_its_rate() -> None:
    """INT8 takes 100 requests/s; two replicas twice that."""
    for peak, least, busy in ((50.0, 1, 0.5), (51.0, 1, None), (100.0, 2, 0.5), (1.0, 1, 0.01)):
        seen = idling(pricing(hours(peak, 0.1), least), INT8, 100.0)
        assert (seen.busy_frac if seen else None) == (None if busy is None else pytest.approx(busy))
    assert idling(pricing(hours(1.0)), INT8, None) is None


def test_the_ways_to_buy_it() -> None:
    """One request a second: a processor of two carries 25/s at half its share, 0.02 of one only 0.5/s: too small."""
    p = pricing(hours(1.0, 0.001))
    idle = idling(p, INT8, 100.0)
    assert idle is not None
    seen = {o.name: o for o in idle_options(p, idle, 100.0)}
    assert seen["smaller offer"].offer == HALF
    assert seen["smaller offer"].cost_usd_per_month.value == pytest.approx(0.05 * 730)
    requests = p.trace.requests_per_month()
    each = 1e-6 + 0.02 * 2 * 1e-5
    assert seen["serverless"].cost_usd_per_month.value == pytest.approx(requests * each)
    assert seen["serverless"].cost_usd_per_month.hi == pytest.approx(requests * (1e-6 + 0.04 * 2 * 1e-5))
    to_zero = seen["scale to zero"]
    assert to_zero.offer == p.market.bill_offer
    assert 0.4 * MONTH < to_zero.cost_usd_per_month.value < 0.9 * MONTH
    assert "wait for a start" in to_zero.rule
    costs = [o.cost_usd_per_month.value for o in idle_options(p, idle, 100.0)]
    assert costs == sorted(costs)
    assert all(c < MONTH for c in costs)


def test_only_what_is_cheaper_fits_and_was_imported() -> None:
    p = pricing(hours(30.0, 30.0), small=(offer("aws/dear", usd_per_hour=0.2, vcpus=1),))
    idle = idling(p, INT8, 100.0)
    assert idle is not None
    assert idle_options(p, idle, 100.0) == ()  # always up, nothing smaller, no serverless price
    cramped = replace(HALF, hardware=Hardware(name="aws/half", vcpus=1, memory_gib=0.25))
    assert idle_options(pricing(hours(1.0), small=(cramped,)), idle, 100.0) == ()
    two = pricing(hours(1.0), 2, small=(HALF,))
    pair = idling(two, INT8, 100.0)
    assert pair is not None
    (only,) = idle_options(two, pair, 100.0)  # two must run at all times: nothing goes to zero
    assert (only.name, only.cost_usd_per_month.value) == ("smaller offer", pytest.approx(2 * 0.05 * 730))


def test_what_a_level_allows_to_wait_is_said() -> None:
    """A request an hour: nearly every one waits for a start, and 1 % may."""
    p = pricing(hours(1 / 3600))
    idle = idling(p, INT8, 100.0)
    assert idle is not None
    to_zero = next(o for o in idle_options(p, idle, 100.0) if o.name == "scale to zero")
    assert "more than p99 allows" in to_zero.rule


def quiet(**more: object) -> Plan:
    from search_examples import provenance

    found = findings(curves={ONE: curve({1: est(20.0)})}, facts={ONE: facts(400.0)}, **more)
    return assemble(
        workload(), found, market(small=(HALF,)), hours(1.0, 0.5), provenance(), splits={}, assumptions=(), description="",
    )  # fmt: skip


def test_the_verdict_says_that_one_replica_idles_and_how_to_buy_it() -> None:
    plan = quiet()
    assert plan.verdict.outcome == "not_met"
    assert plan.verdict.reasons[0].startswith("one replica is enough, today and as planned (busy 1.0 %")
    assert plan.verdict.hint.startswith("smaller offer aws/half: about $36.50 a month")
    assert [o.name for o in plan.idle_options] == ["smaller offer"]
    assert plan.parts[0].usd_per_month is not None
    assert plan.parts[0].usd_per_month.value == pytest.approx(1000 - MONTH, abs=1e-5)  # what can be saved is said


def test_with_nothing_chosen_the_options_stand_all_the_same() -> None:
    plan = quiet(chosen=None)
    assert plan.chosen is None
    assert [o.name for o in plan.idle_options] == ["smaller offer"]
    assert planned().idle_options == ()
    assert BASE not in {o.candidate for o in planned().idle_options}


FUNCTION = replace(SERVERLESS, usd_per_request=2e-7)


def at_day(plan: Plan, own_usd: float, *others: Offer) -> Plan:
    priced = offer(usd_per_hour=own_usd)
    return reprice(plan, priced, (priced,), others)


def test_at_the_same_prices_nothing_of_a_plan_is_lost() -> None:
    """Its idle lines were: a plan priced again for its own day no longer said how to buy what idles."""
    plan = quiet()
    again = at_day(plan, 0.1, HALF, FUNCTION)
    left = {"assumptions", "parts", "hourly"}  # which say that they were priced again
    assert {k for k in Plan.__slots__ if getattr(again, k) != getattr(plan, k)} <= left
    assert again.idle_options == plan.idle_options != ()


def test_at_other_prices_the_options_and_the_hint_move_with_them() -> None:
    plan = quiet()
    again = at_day(plan, 0.1, replace(HALF, usd_per_hour=0.08))
    assert again.verdict.hint.startswith("smaller offer aws/half: about $58.40 a month")
    assert again.idle_options[0].cost_usd_per_month.value == pytest.approx(0.08 * 730)
    dear, gone = at_day(plan, 0.1, replace(HALF, usd_per_hour=0.11)), at_day(plan, 0.1)
    for other in (dear, gone):
        assert other.idle_options == ()
        assert other.verdict.hint == "keep what runs now"
    loud = planned()
    assert at_day(loud, 0.2, HALF).verdict == loud.verdict


def test_where_parts_of_a_price_changed_differently_the_interval_holds_both() -> None:
    cost = Estimate(value=4.0, lo=2.0, hi=8.0, n=0, method="x")
    option = IdleOption(name="serverless", offer=FUNCTION, candidate=INT8, cost_usd_per_month=cost, rule="")
    now = replace(FUNCTION, usd_per_request=4e-7, usd_per_gib_s=1e-5)
    (moved,) = options_at([option], [now], 100.0)
    assert (moved.cost_usd_per_month.value, moved.cost_usd_per_month.lo, moved.cost_usd_per_month.hi) == (
        6.0,
        2.0,
        16.0,
    )
