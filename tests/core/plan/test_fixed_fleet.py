"""A fleet that does not scale, by hand: its busiest step decides for all hours; how many can go, and at what latency."""

from __future__ import annotations

from dataclasses import replace

import pytest
from search_examples import BASE, INT8, curve, est, findings, hours, market, measured, objective, workload

from farthing.core.money.trace_cost import cost_at_trace
from farthing.core.plan.fixed_fleet import fixed_fleet
from farthing.core.plan.pricing import Pricing
from farthing.nouns import NEVER_MS, Bill

ONE = replace(INT8, max_batch=1)
MONTH = 0.1 * 730


def fleet(peak_rps: float = 100.0, **more: object) -> Pricing:
    served = measured(INT8, 4.0, 6.0, 33.0)
    served = replace(served, metrics={**served.metrics, "offered_rps": est(90.0)})
    found = findings(
        curves={ONE: curve({1: est(15.0), 4: est(40.0), 8: est(64.0)}), BASE: curve({1: est(170.0)})},
        server={INT8: served},
        kept_rps={INT8: est(110.0, 99.0, 121.0)},
    )
    asked = workload(objective(**more) if more else objective())  # type: ignore[arg-type]
    asked = replace(asked, bill=Bill(offer="aws/small", replicas=12, fixed_fleet=True))
    return Pricing(
        workload=asked, found=found, market=market(bill_usd_per_month=12 * MONTH), trace=hours(peak_rps, 10.0)
    )


def test_every_hour_pays_for_the_busiest_one() -> None:
    from search_examples import offer

    scaled, fixed = (cost_at_trace(hours(100.0, 10.0), 10.0, offer(), fixed=f) for f in (False, True))
    assert list(scaled.replicas) == [10, 1]
    assert list(fixed.replicas) == [10, 10]
    assert fixed.usd_per_month == pytest.approx(10 * MONTH)


def test_how_many_can_go() -> None:
    """100 requests/s at the peak: 10 of the baseline at 10 each, 1 of INT8 at 100; twelve are paid for."""
    seen = fixed_fleet(fleet())
    assert seen is not None
    assert (seen.today, seen.baseline, seen.planned) == (12, 10, 1)
    sizes = {s.replicas: s for s in seen.sizes}
    assert {1, 2, 10, 12} <= set(sizes)
    assert sizes[12].usd_per_month == pytest.approx(12 * MONTH)
    assert "baseline" not in sizes[1].held
    assert sizes[1].baseline is not None
    assert sizes[1].baseline.ms.value == NEVER_MS
    tails = [s.planned.ms.value for s in seen.sizes if s.planned]
    assert tails == sorted(tails, reverse=True)  # more replicas, less waiting
    assert sizes[12].planned is not None
    assert sizes[12].planned.ms.hi <= 50
    assert "planned" in sizes[2].held


def test_the_baseline_is_not_said_to_hold_what_it_breaks() -> None:
    """A request of 170 ms takes longer than the promised 50 ms in a fleet of any size."""
    seen = fixed_fleet(fleet())
    assert seen is not None
    assert not any("baseline" in s.held for s in seen.sizes)
    loose = fixed_fleet(fleet(bound_ms=5000.0))
    assert loose is not None
    assert {s.replicas for s in loose.sizes if "baseline" in s.held} >= {12}


def test_the_saving_is_that_of_whole_fleets() -> None:
    p = fleet()
    saving, _ = p.savings()
    assert saving is not None
    assert saving.value == pytest.approx(1 - 1 / 10)
    parts = [part.usd_per_month.value for part in p.priced().parts if part.usd_per_month]
    assert parts[0] == pytest.approx(2 * MONTH, abs=1e-5)  # two of twelve were never needed
    assert sum(parts) == pytest.approx(11 * MONTH, abs=1e-5)
    assert p.priced().hourly.planned_replicas == (1, 1)


def test_a_fleet_that_is_too_small_today_says_so() -> None:
    seen = fixed_fleet(fleet(1000.0))
    assert seen is not None
    assert (seen.today, seen.baseline, seen.planned) == (12, 100, 10)
    assert max(s.replicas for s in seen.sizes) == 100


def test_a_fleet_that_scales_has_no_such_table() -> None:
    p = fleet()
    scaled = replace(p, workload=replace(p.workload, bill=replace(p.workload.bill, fixed_fleet=False)))
    assert fixed_fleet(scaled) is None
    nothing = fixed_fleet(replace(p, found=replace(p.found, chosen=None)))
    assert nothing is not None
    assert nothing.planned is None
    assert all(s.planned is None for s in nothing.sizes)
