"""Money at its edges: bounds met exactly, one replica more or fewer, rounding that must not buy anything."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest

from farthing.core.money.attribution import Carry, allocation_nanodollars, busy_core_s, usage_nanodollars, whole
from farthing.core.money.commitments import commitment_split
from farthing.core.money.frontier import FrontierPoint, frontier
from farthing.core.money.marginal import (
    FleetState,
    PaidReplicas,
    SpotRisk,
    effective_spot_usd_per_hour,
    marginal_usd_per_request,
    new_replicas,
    spot_refusal,
    unused_usd_per_hour,
    usd_per_hour_at,
    whole_replicas,
)
from farthing.core.money.request_cost import usd_at_capacity, usd_of_service
from farthing.core.money.routed_saving import routed_saving
from farthing.core.money.saving import on_grid_usd, saving_frac, waterfall
from farthing.core.money.trace_cost import (
    cost_at_trace,
    hour_lengths_h,
    replicas_by_hour,
)
from farthing.core.money.utilisation import paid_replicas, trace_at
from farthing.errors import InputError
from farthing.nouns import Estimate, Offer, Trace

OfferMaker = Callable[..., Offer]


def state(offer: OfferMaker, count: int = 2, **fields: object) -> FleetState:
    paid = (PaidReplicas(offer=offer("reserved_1y", 0.06), count=count, sla_rps=10.0),)
    return FleetState(on_demand=offer(), sla_rps=10.0, paid=paid, **fields)  # type: ignore[arg-type]


# --- whole replicas -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "count"),
    [(0.0, 0), (1e-12, 0), (0.1, 1), (10.0, 1), (10 * (1 + 5e-10), 1), (10 * (1 + 2e-9), 2), (20.1, 3), (-5.0, 0)],
)
def test_an_excess_of_a_thousand_millionth_is_rounding(rate: float, count: int) -> None:
    assert whole_replicas(rate, 10.0) == count


def test_a_replica_that_serves_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="sla_rps must be > 0, is 0"):
        whole_replicas(1.0, 0.0)


def test_what_is_paid_is_used_up_before_anything_is_bought(offer: OfferMaker) -> None:
    s = state(offer)
    assert (s.paid_rps, s.paid_usd_per_hour) == (20, pytest.approx(0.12))
    on_demand, spot = new_replicas(s, [0.0, 20.0, 20.1, 30.0, 30.1])
    assert on_demand.tolist() == [0, 0, 1, 1, 2]
    assert spot.tolist() == [0] * 5
    assert usd_per_hour_at(s, [20.0, 30.1]) == pytest.approx([0.12, 0.12 + 0.2])


@pytest.mark.parametrize("rate", [-0.1, math.inf, math.nan])
def test_rates_are_finite_and_not_negative(offer: OfferMaker, rate: float) -> None:
    for ask in (new_replicas, unused_usd_per_hour):
        with pytest.raises(ValueError, match="rate_rps must be finite"):
            ask(state(offer), rate)  # type: ignore[operator]


# --- spot -----------------------------------------------------------------------------------------------------


def test_spot_that_costs_as_much_as_on_demand_is_refused(offer: OfferMaker) -> None:
    def refused(usd: float) -> str | None:
        return spot_refusal(state(offer, spot=offer("spot", usd, interruptions_per_hour=0.0), max_spot_frac=0.5))

    assert refused(0.0999) is None
    assert refused(0.1) == "spot excluded: with its preemptions it costs $0.1000 an hour, on demand $0.1000"


def test_the_risk_assumed_by_default(offer: OfferMaker) -> None:
    """Two minutes of lost work and a quarter of an hour on demand: 0.2833 hours for each interruption."""
    spot = offer("spot", 0.03, interruptions_per_hour=0.2)
    assert effective_spot_usd_per_hour(spot, offer(), SpotRisk()) == pytest.approx(0.03 + 0.2 * (1020 / 3600) * 0.1)


@pytest.mark.parametrize("seconds", [(-1.0, 0.0), (0.0, -1.0), (math.inf, 0.0), (0.0, math.inf)])
def test_each_of_the_risks_seconds_is_checked(seconds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="SpotRisk"):
        SpotRisk(lost_work_s=seconds[0], replacement_s=seconds[1])
    assert SpotRisk(lost_work_s=0, replacement_s=0).lost_work_s == 0


def test_the_largest_share_of_spot_counts_paid_replicas_and_rounds_down(offer: OfferMaker) -> None:
    """29 % of 100 replicas, two of them paid, is 29 although 0.29 · 100 < 29 in floats; 29 % of 99 is 28."""
    spot = offer("spot", 0.03, interruptions_per_hour=0.1)
    s = state(offer, spot=spot, max_spot_frac=0.29)
    on_demand, bought = new_replicas(s, [1000.0, 990.0])
    assert bought.tolist() == [29, 28]
    assert on_demand.tolist() == [69, 69]
    everything = state(offer, spot=spot, max_spot_frac=1.0)
    assert new_replicas(everything, 40.0)[1] == 2  # of four, two are paid


def test_states_at_the_ends_of_their_domains(offer: OfferMaker) -> None:
    assert PaidReplicas(offer=offer(), count=0, sla_rps=1.0).count == 0
    assert FleetState(on_demand=offer(), sla_rps=1.0, max_spot_frac=1.0).max_spot_frac == 1
    assert FleetState(on_demand=offer(), sla_rps=1.0).max_spot_frac == 0
    for sla_rps, share in ((0.0, 0.5), (-1.0, 0.5), (1.0, -0.01), (1.0, 1.01)):
        with pytest.raises(ValueError, match="FleetState"):
            FleetState(on_demand=offer(), sla_rps=sla_rps, max_spot_frac=share)
    for count, sla_rps in ((-1, 1.0), (1, 0.0), (1, -1.0)):
        with pytest.raises(ValueError, match="PaidReplicas"):
            PaidReplicas(offer=offer(), count=count, sla_rps=sla_rps)


# --- marginal cost --------------------------------------------------------------------------------------------


def test_a_request_costs_its_share_of_the_step_it_causes(offer: OfferMaker) -> None:
    """Five more a second for an hour on full replicas: $0.10 / 18,000; twenty-five: three replicas / 90,000."""
    s = state(offer)
    assert marginal_usd_per_request(s, 20.0, 5.0) == pytest.approx(0.1 / 18_000)
    assert marginal_usd_per_request(s, 20.0, 25.0) == pytest.approx(0.3 / 90_000)
    assert marginal_usd_per_request(s, 15.0, 5.0) == 0


def test_unused_replicas_by_pool(offer: OfferMaker) -> None:
    """Two small owned replicas, then three reserved ones; each rate leaves whole replicas over."""
    pools = (
        PaidReplicas(offer=offer("owned", 0.01), count=2, sla_rps=5.0),
        PaidReplicas(offer=offer("reserved_1y", 0.06), count=3, sla_rps=10.0),
    )
    s = FleetState(on_demand=offer(), sla_rps=10.0, paid=pools)
    seen = [unused_usd_per_hour(s, rate) for rate in (0.0, 5.0, 5.1, 10.0, 10.1, 20.0, 20.1, 40.0, 99.0)]
    assert seen == pytest.approx([0.20, 0.19, 0.18, 0.18, 0.12, 0.12, 0.06, 0.0, 0.0])


# --- where a saving comes from --------------------------------------------------------------------------------


def usd(value: float, lo: float | None = None, hi: float | None = None, n: int = 8) -> Estimate:
    lo, hi = value if lo is None else lo, value if hi is None else hi
    return Estimate(value=value, lo=lo, hi=hi, n=n, method="test", source=f"{value:g}", confidence=0.9)


def gap_note(bill: float, baseline: float) -> str:
    return waterfall(
        bill_usd_per_month=bill, baseline=usd(baseline), unbatched=usd(1), batched=usd(1), with_terms=usd(1)
    )[0].note


@pytest.mark.parametrize(
    ("bill", "baseline", "words"),
    [
        (10_000, 7_999, "over-provisioning: 20 % of the bill"),
        (10_000, 8_000, "bill against what the baseline needs"),
        (10_000, 12_000, "bill against what the baseline needs"),
        (10_000, 12_001, "the bill is 20 % less than the baseline needs"),
        (10_000, 2_500, "over-provisioning: 75 % of the bill"),
        (10_000, 25_000, "the bill is 150 % less"),
        (0, 500, "bill against what the baseline needs"),
    ],
)
def test_a_gap_of_a_fifth_is_the_last_that_is_not_flagged(bill: float, baseline: float, words: str) -> None:
    assert gap_note(bill, baseline).startswith(words)


def test_a_parts_interval_is_the_difference_of_the_ends() -> None:
    """Baseline 900 [800, 1,050], unbatched 300 [250, 400]: 600 from 400 to 800; what comes after is its source."""
    found = waterfall(
        bill_usd_per_month=1000,
        baseline=usd(900, 800, 1050, n=24),
        unbatched=usd(300, 250, 400, n=12),
        batched=usd(200, 150, 240, n=30),
        with_terms=usd(100),
    )
    spans = [(p.usd_per_month.lo, p.usd_per_month.value, p.usd_per_month.hi) for p in found]
    assert spans == [(-50, 100, 200), (400, 600, 800), (10, 100, 250), (50, 100, 140)]
    assert [p.usd_per_month.n for p in found] == [24, 24, 30, 30]
    assert [p.usd_per_month.source for p in found] == ["900", "300", "200", "100"]
    assert found[1].usd_per_month.confidence == 0.9


def test_amounts_lie_on_a_grid_of_a_millionth() -> None:
    assert on_grid_usd(1 / 3) == 349_525 / 2**20
    assert on_grid_usd(-1 / 3) == -349_525 / 2**20
    assert on_grid_usd(2.0**33 - 1) == 2.0**33 - 1
    for beyond in (2.0**33, -(2.0**33), math.nan):
        with pytest.raises(ValueError, match="8,589,934,592 USD"):
            on_grid_usd(beyond)


def test_saving_of_one_hour_by_hand(offer: OfferMaker) -> None:
    """100 requests/s on replicas of 10 are ten; at 2.5 times the rate four: 60 % saved; at 2.0 five, at 4.0 three."""
    hour = Trace(name="hour", step_s=3600, counts=np.array([360_000.0]))
    ratio = Estimate(value=2.5, lo=2.0, hi=4.0, n=12, method="t", source="race", confidence=0.9)
    seen = saving_frac(hour, 10.0, ratio, offer())
    assert (seen.lo, seen.value, seen.hi) == pytest.approx((0.5, 0.6, 0.7))
    assert (seen.n, seen.confidence) == (12, 0.9)
    at_least_four = saving_frac(hour, 10.0, ratio, offer(), 4)
    assert (at_least_four.lo, at_least_four.value, at_least_four.hi) == pytest.approx((0.5, 0.6, 0.6))
    none = saving_frac(hour, 10.0, Estimate(value=0.5, lo=0.0, hi=1.0, n=1, method="t"), offer())
    assert (none.lo, none.value, none.hi) == (-math.inf, pytest.approx(-1), pytest.approx(0))


def test_one_replica_is_the_fewest_unless_said(offer: OfferMaker) -> None:
    """An idle second hour still costs a replica: of 10 + 1 replica-hours 1 + 1 are left."""
    hours = Trace(name="hours", step_s=3600, counts=np.array([360_000.0, 0.0]))
    seen = saving_frac(hours, 10.0, Estimate(value=10.0, lo=10.0, hi=10.0, n=1, method="t"), offer())
    assert seen.value == pytest.approx(1 - 2 / 11)


# --- requests -------------------------------------------------------------------------------------------------


def test_a_request_by_hand() -> None:
    """$3.60 an hour is a tenth of a cent a second: two seconds on one of four cores; ten requests a second."""
    share = usd_of_service(2.0, usd_per_hour=3.6, worker_cores=1.0, replica_cores=4.0)
    assert share == pytest.approx(0.0005)
    assert usd_at_capacity(3.6, 10.0) == pytest.approx(0.0001)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf, math.nan])
@pytest.mark.parametrize("name", ["service_s", "usd_per_hour", "worker_cores", "replica_cores"])
def test_each_quantity_of_a_request_is_positive(name: str, bad: float) -> None:
    quantities = {"service_s": 1.0, "usd_per_hour": 1.0, "worker_cores": 1.0, "replica_cores": 1.0, name: bad}
    with pytest.raises(ValueError, match=f"{name} must be finite and > 0"):
        usd_of_service(quantities.pop("service_s"), **quantities)
    for pair in ((bad, 1.0), (1.0, bad)):
        with pytest.raises(ValueError, match="must be finite and > 0"):
            usd_at_capacity(*pair)


def test_a_batch_is_shared_by_rows_and_nothing_ran_is_nothing() -> None:
    """Two seconds on two cores for three of four rows; a batch of no rows keeps nobody busy, be there rows or not."""
    seen = busy_core_s(np.full(4, 2.0), np.array([3.0, 1.0, 0.0, 5.0]), np.array([4.0, 4.0, 0.0, 0.0]), np.full(4, 2.0))
    assert seen.tolist() == [3.0, 1.0, 0.0, 0.0]


def test_short_times_share_the_interval_as_long_ones_do() -> None:
    """0.3 and 0.1 core-seconds bear three and one quarters of ten seconds at $3.60 an hour; who failed bears none."""
    price, answered = np.full(3, 3.6), np.array([True, True, False])
    seen = allocation_nanodollars(10.0, price, np.array([0.3, 0.1, 9.0]), answered)
    assert seen == pytest.approx([7_500_000, 2_500_000, 0])
    unmeasured = allocation_nanodollars(10.0, price, np.zeros(3), answered)
    assert unmeasured == pytest.approx([5_000_000, 5_000_000, 0])
    assert allocation_nanodollars(10.0, price, np.ones(3), np.zeros(3, dtype=bool)).tolist() == [0, 0, 0]


def test_use_is_priced_by_the_core_second() -> None:
    seen = usage_nanodollars(np.array([3.6, np.nan]), np.array([0.5, 0.5]), np.array([4.0, 4.0]))
    assert seen[0] == pytest.approx(125_000)  # a quarter of a tenth of a cent, half a second
    assert np.isnan(seen[1])


def test_parts_of_a_nanodollar_are_carried() -> None:
    """0.4 carried, then 0.5, 0.5, nothing known, 1.2: the running sums are 0.9, 1.4, 1.4, 2.6."""
    written, carry = whole(np.array([0.5, 0.5, np.nan, 1.2]), 0.4)
    assert written.tolist() == [0, 1, 0, 1]
    assert carry == pytest.approx(0.6)
    assert whole(np.zeros(0), 0.4)[1] == 0.4
    assert (Carry().allocation, Carry().usage) == (0, 0)


def test_a_route_without_idle_replicas_pays_for_work_alone() -> None:
    seen = routed_saving(
        rows=10,
        reference_usd_per_row=0.01,
        tiers_usd={"small": 0.02, "large": 0.03},
        scores_usd=0.004,
        audits_usd=0.005,
    )
    assert (seen.idle_nusd, seen.actual_nusd, seen.saved_nusd) == (0, 59_000_000, 41_000_000)
    assert (seen.busy_nusd, seen.saved_busy_nusd) == (59_000_000, 41_000_000)
    assert routed_saving(rows=0, reference_usd_per_row=0, tiers_usd={}, scores_usd=0, audits_usd=0).saved_nusd == 0
    for rows, amount in ((-1, 0.0), (1, -1e-9), (1, math.nan), (1, math.inf)):
        with pytest.raises(ValueError, match="must be"):
            routed_saving(rows=rows, reference_usd_per_row=0.0, tiers_usd={}, scores_usd=amount, audits_usd=0.0)


# --- a trace and its bill -------------------------------------------------------------------------------------


def test_hours_of_steps_of_a_second_and_of_an_hour() -> None:
    seconds = Trace(name="s", step_s=1.0, counts=np.ones(3601))
    assert hour_lengths_h(seconds) == pytest.approx([1.0, 1 / 3600])
    whole_hours = Trace(name="h", step_s=3600.0, counts=np.ones(3))
    assert hour_lengths_h(whole_hours).tolist() == [1, 1, 1]


def test_what_was_priced_cannot_be_changed(offer: OfferMaker) -> None:
    cost = cost_at_trace(Trace(name="h", step_s=3600.0, counts=np.ones(2)), 1.0, offer())
    for array in (cost.replicas, cost.usd_by_hour):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 5


def test_a_bill_pays_for_half_a_replica_less_than_the_fewest_and_no_less(offer: OfferMaker) -> None:
    assert paid_replicas(73 * 4.4, offer()) == pytest.approx(4.4)
    assert paid_replicas(36.5, offer()) == pytest.approx(0.5)
    assert paid_replicas(73 * 2.5, offer(), 3) == pytest.approx(2.5)
    for replicas, fewest in ((0.49, 1), (2.49, 3)):
        with pytest.raises(
            InputError, match=rf"pays for {replicas} replicas .*\(\$73\.00 each\); the minimum is {fewest}"
        ):
            paid_replicas(73 * replicas, offer(), fewest)


def test_a_volume_keeps_the_replicas_busy_to_a_share() -> None:
    """Four replicas of 10 requests/s at 30 %: 12 requests/s on average, whatever the shape."""
    shape = Trace(name="s", step_s=3600.0, counts=np.array([1.0, 3.0]) * 3600)
    seen = trace_at(shape, 0.3, 4.0, 10.0)
    assert (seen.counts / 3600).tolist() == pytest.approx([6.0, 18.0])
    assert seen.inferred
    assert (trace_at(shape, 1.0, 1.0, 1.0).counts / 3600).mean() == pytest.approx(1.0)
    for bad in ((0.0, 1.0, 1.0), (1.01, 1.0, 1.0), (0.5, 0.0, 1.0), (0.5, 1.0, 0.0)):
        with pytest.raises(ValueError, match="must"):
            trace_at(shape, *bad)


def test_replicas_by_hour_are_at_least_the_fewest() -> None:
    assert replicas_by_hour(np.array([0.0, 25.0]), 10.0, 2).tolist() == [2, 3]
    with pytest.raises(ValueError, match="min_replicas must be ≥ 1, is 0"):
        replicas_by_hour(np.array([1.0]), 1.0, 0)


# --- what cannot be told apart --------------------------------------------------------------------------------


def at(cost: Estimate, drop: Estimate) -> FrontierPoint:
    """A point whose latency is 10 ms, whatever that field is called."""
    names = (each.name for each in fields(FrontierPoint))
    return FrontierPoint(**dict(zip(names, ("x", cost, drop, usd(10.0)))))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cost", "drop", "joined"),
    [
        (usd(110.0), usd(0.0), True),  # [90, ∞) around 100 is taken as [90, 110]
        (usd(110.5), usd(0.0), False),
        (usd(130.0, -math.inf, 150.0), usd(0.0), True),  # (−∞, 150] around 130 is taken as [110, 150]
        (usd(131.0, -math.inf, 150.0), usd(0.0), False),  # [112, 150]
        (usd(150.0, -math.inf, math.inf), usd(0.0), True),
        (usd(105.0), usd(0.5), False),
    ],
)
def test_the_missing_side_of_an_interval_is_as_long_as_the_other(cost: Estimate, drop: Estimate, joined: bool) -> None:
    groups = frontier([at(usd(100.0, 90.0, math.inf), usd(0.0)), at(cost, drop)])
    assert [(g.leader, g.tied) for g in groups] == [(0, (1,) if joined else ())]


def test_a_split_that_was_priced_cannot_be_changed(offer: OfferMaker) -> None:
    split = commitment_split(np.array([1, 2]), (offer(),))
    for array in (split.on_demand_replicas, split.spot_replicas, split.usd_by_hour):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 5
