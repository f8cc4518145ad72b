"""The shared marginal-cost function: free on paid replicas, a step for a new one, consistent with cost at a trace."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farthing.core.money.commitments import commitment_split
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
)
from farthing.core.money.trace_cost import cost_at_trace
from farthing.nouns import Offer, Trace

OfferMaker = Callable[..., Offer]
FAST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def state(offer: OfferMaker, count: int = 2, **fields: object) -> FleetState:
    paid = (PaidReplicas(offer=offer("reserved_1y", 0.06), count=count, sla_rps=10.0),)
    return FleetState(on_demand=offer(), sla_rps=10.0, paid=paid, **fields)


def test_free_within_what_is_paid_then_a_step(offer: OfferMaker) -> None:
    s = state(offer)
    assert marginal_usd_per_request(s, 0, 20) == 0
    assert marginal_usd_per_request(s, 19.5, 0.5) == 0
    assert marginal_usd_per_request(s, 20, 1) == pytest.approx(0.1 / 3600)
    assert marginal_usd_per_request(s, 21, 9) == 0  # the new replica has room
    assert marginal_usd_per_request(s, 20, 10) == pytest.approx(0.1 / 36_000)  # and full it costs its average


def test_unused_reservation_is_cost(offer: OfferMaker) -> None:
    s = state(offer)
    assert usd_per_hour_at(s, 0.0) == pytest.approx(0.12)
    assert unused_usd_per_hour(s, 0) == pytest.approx(0.12)
    assert unused_usd_per_hour(s, 10) == pytest.approx(0.06)
    assert unused_usd_per_hour(s, 10.1) == 0
    assert unused_usd_per_hour(s, 1000) == 0


def test_pools_are_used_in_order(offer: OfferMaker) -> None:
    pools = (
        PaidReplicas(offer=offer("owned", 0.01), count=1, sla_rps=5.0),
        PaidReplicas(offer=offer("reserved_1y", 0.06), count=2, sla_rps=10.0),
    )
    s = FleetState(on_demand=offer(), sla_rps=10.0, paid=pools)
    assert s.paid_rps == 25
    assert unused_usd_per_hour(s, 12) == pytest.approx(0.06)
    assert unused_usd_per_hour(s, 0) == pytest.approx(0.13)


def test_spot_is_a_discount_times_a_risk(offer: OfferMaker) -> None:
    spot = offer("spot", 0.03, interruptions_per_hour=0.1)
    risk = SpotRisk(lost_work_s=360, replacement_s=1440)
    assert effective_spot_usd_per_hour(spot, offer(), risk) == pytest.approx(0.03 + 0.1 * 0.5 * 0.1)
    s = state(offer, spot=spot, max_spot_frac=0.5, risk=risk)
    on_demand, bought_spot = new_replicas(s, [0.0, 25.0, 50.0, 100.0])
    assert on_demand.tolist() == [0, 0, 1, 3]
    assert bought_spot.tolist() == [0, 1, 2, 5]
    assert marginal_usd_per_request(s, 20, 10) == pytest.approx(0.035 / 36_000)


def test_spot_is_refused_with_a_reason(offer: OfferMaker) -> None:
    assert spot_refusal(state(offer)) == "no spot offer"
    cheap = offer("spot", 0.03, interruptions_per_hour=0.1)
    assert "not allowed" in str(spot_refusal(state(offer, spot=cheap)))
    unknown = state(offer, spot=offer("spot", 0.03), max_spot_frac=0.5)
    assert "no source states how often" in str(spot_refusal(unknown))
    assert new_replicas(unknown, 100.0)[1] == 0
    restless = offer("spot", 0.03, interruptions_per_hour=5.0)
    assert "with its preemptions" in str(spot_refusal(state(offer, spot=restless, max_spot_frac=0.5)))
    assert spot_refusal(state(offer, spot=cheap, max_spot_frac=0.5)) is None
    with pytest.raises(ValueError, match="interruption rate"):
        effective_spot_usd_per_hour(offer("spot", 0.03), offer(), SpotRisk())


@FAST
@given(
    cuts=st.lists(st.floats(0.01, 40), min_size=1, max_size=30),
    start=st.floats(0, 60),
    count=st.integers(0, 5),
    share=st.floats(0, 1),
)
def test_integrated_marginal_cost_is_the_difference_of_costs(
    offer: OfferMaker, cuts: list[float], start: float, count: int, share: float
) -> None:
    s = state(offer, count, spot=offer("spot", 0.03, interruptions_per_hour=0.1), max_spot_frac=share)
    rate, integral = start, 0.0
    for extra in cuts:
        step = marginal_usd_per_request(s, rate, extra)
        assert step >= 0
        integral += step * extra * 3600
        rate += extra
    assert integral == pytest.approx(float(usd_per_hour_at(s, rate) - usd_per_hour_at(s, start)), abs=1e-9)


@FAST
@given(
    rates=st.lists(st.floats(0, 300), min_size=1, max_size=12).filter(lambda r: max(r) > 0.01),
    sla_rps=st.floats(0.5, 50),
    least=st.integers(1, 4),
)
def test_integrated_over_a_trace_it_is_cost_at_trace(
    offer: OfferMaker, rates: list[float], sla_rps: float, least: int
) -> None:
    trace = Trace(name="test", step_s=3600, counts=np.array(rates) * 3600)
    always = PaidReplicas(offer=offer(), count=least, sla_rps=sla_rps)
    s = FleetState(on_demand=offer(), sla_rps=sla_rps, paid=(always,))
    usd = [
        float(usd_per_hour_at(s, 0.0)) + (marginal_usd_per_request(s, 0.0, r) * r * 3600 if r > 0 else 0.0)
        for r in trace.counts / 3600
    ]
    assert cost_at_trace(trace, sla_rps, offer(), least).usd_by_hour == pytest.approx(usd)


def test_commitments_price_hours_with_the_same_function(offer: OfferMaker) -> None:
    load = np.array([1, 2, 2, 3, 8])
    split = commitment_split(load, (offer(), offer("reserved_1y", 0.06)))
    assert split.committed_replicas == 2
    assert split.usd_by_hour == pytest.approx(usd_per_hour_at(state(offer, 2), load * 10.0))


@FAST
@given(rates=st.lists(st.floats(0, 1000), min_size=2, max_size=20), count=st.integers(0, 5), share=st.floats(0, 1))
def test_cost_never_falls_with_load(offer: OfferMaker, rates: list[float], count: int, share: float) -> None:
    s = state(offer, count, spot=offer("spot", 0.03, interruptions_per_hour=0.1), max_spot_frac=share)
    assert (np.diff(usd_per_hour_at(s, sorted(rates))) >= -1e-12).all()
    on_demand, spot = new_replicas(s, rates)
    assert (spot <= share * (on_demand + spot + count) + 1e-6).all()


@pytest.mark.parametrize(("rate", "extra"), [(-1.0, 1.0), (1.0, 0.0), (1.0, -1.0), (math.inf, 1.0), (1.0, math.inf)])
def test_bad_rates_are_refused(offer: OfferMaker, rate: float, extra: float) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        marginal_usd_per_request(state(offer), rate, extra)


def test_bad_states_are_refused(offer: OfferMaker) -> None:
    with pytest.raises(ValueError, match="PaidReplicas"):
        PaidReplicas(offer=offer(), count=-1, sla_rps=1.0)
    with pytest.raises(ValueError, match="FleetState"):
        FleetState(on_demand=offer(), sla_rps=0.0)
    with pytest.raises(ValueError, match="FleetState"):
        FleetState(on_demand=offer(), sla_rps=1.0, max_spot_frac=1.1)
    with pytest.raises(ValueError, match="SpotRisk"):
        SpotRisk(lost_work_s=-1)
    with pytest.raises(ValueError, match="must be finite"):
        unused_usd_per_hour(state(offer), -1.0)
