"""Money at its edges: bounds met exactly, one replica more or fewer, rounding that must not buy anything."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

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
from farthing.core.money.saving import on_grid_usd, saving_frac, waterfall
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
        (10_000, 7_999, "over-provisioning: 20% of the bill"),
        (10_000, 8_000, "bill against what the baseline needs"),
        (10_000, 12_000, "bill against what the baseline needs"),
        (10_000, 12_001, "the bill is 20% less than the baseline needs"),
        (10_000, 2_500, "over-provisioning: 75% of the bill"),
        (10_000, 25_000, "the bill is 150% less"),
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
