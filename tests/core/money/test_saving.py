"""The parts of a saving add up exactly, and its interval follows the capacity ratio through whole replicas."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farthing.core.money.saving import on_grid_usd, saving_frac, unsplit, waterfall
from farthing.core.money.trace_cost import cost_at_trace
from farthing.core.money.utilisation import trace_at
from farthing.core.traffic.shapes import day_night
from farthing.nouns import Estimate, Offer, SavingPart, Trace

OfferMaker = Callable[..., Offer]
FAST = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
amounts = st.floats(0, 5e9)


def usd(value: float, spread: float = 0.0) -> Estimate:
    return Estimate(value=value, lo=value * (1 - spread), hi=value * (1 + spread), n=8, method="test")


def parts(a: float, b: float, c: float, d: float, e: float, spread: float = 0.0) -> tuple[SavingPart, ...]:
    return waterfall(
        bill_usd_per_month=a,
        baseline=usd(b, spread),
        unbatched=usd(c, spread),
        batched=usd(d, spread),
        with_terms=usd(e, spread),
    )


@FAST
@given(levels=st.tuples(amounts, amounts, amounts, amounts, amounts), spread=st.floats(0, 0.5))
def test_parts_add_up_exactly(levels: tuple[float, ...], spread: float) -> None:
    a, b, c, d, e = levels
    found = parts(a, b, c, d, e, spread)
    total = sum((Fraction(p.usd_per_month.value) for p in found), Fraction(0))
    assert total == Fraction(on_grid_usd(a)) - Fraction(on_grid_usd(e))
    assert sum(p.usd_per_month.value for p in found) == on_grid_usd(a) - on_grid_usd(e)  # in floats, too
    claimed = sum((Fraction(p.usd_per_month.value) for p in found if p.claimed), Fraction(0))
    assert claimed == Fraction(on_grid_usd(b)) - Fraction(on_grid_usd(e))


@given(x=amounts)
def test_grid_moves_nothing_by_more_than_half_a_millionth(x: float) -> None:
    assert abs(Fraction(on_grid_usd(x)) - Fraction(x)) <= Fraction(1, 2**21)


def test_names_order_and_claims() -> None:
    found = parts(10_000, 9_990, 1_120, 590, 400)
    assert [(p.name, p.usd_per_month.value, p.claimed) for p in found] == [
        ("right-sizing", 10.0, False),
        ("efficiency", 8_870.0, True),
        ("batching", 530.0, True),
        ("purchase terms", 190.0, True),
    ]
    assert "over-provisioning" not in found[0].note


def test_terms_that_nobody_priced_have_no_amount() -> None:
    """“0” would say that purchase terms were looked at and do not pay."""
    found = waterfall(
        bill_usd_per_month=10_000, baseline=usd(9_990), unbatched=usd(1_120), batched=usd(590), with_terms=None
    )
    assert found[3].usd_per_month is None
    assert "not priced" in found[3].note
    assert sum(p.usd_per_month.value for p in found if p.usd_per_month) == 10_000 - 590


@FAST
@given(bill=amounts, planned=amounts, terms=st.none() | amounts)
def test_a_saving_that_is_not_split_adds_up_and_is_not_credited(
    bill: float, planned: float, terms: float | None
) -> None:
    last = planned if terms is None else terms
    found = unsplit(
        bill_usd_per_month=bill,
        batched=usd(planned, 0.1),
        with_terms=None if terms is None else usd(terms),
        note="nobody knows the traffic",
    )
    assert sum(p.usd_per_month.value for p in found if p.usd_per_month) == on_grid_usd(bill) - on_grid_usd(last)
    assert [p.name for p in found] == ["saving", "purchase terms"]
    assert not found[0].claimed
    assert (found[1].usd_per_month is None) == (terms is None)


def test_gaps_beyond_a_fifth_are_flagged_and_never_credited() -> None:
    over = parts(10_000, 7_900, 1_000, 500, 500)[0]
    assert not over.claimed
    assert "over-provisioning: 21 %" in over.note
    under = parts(10_000, 12_100, 1_000, 500, 500)[0]
    assert under.usd_per_month.value == -2_100
    assert "21 % less than the baseline needs" in under.note
    assert "not credited" in parts(10_000, 8_100, 1, 1, 1)[0].note


def test_intervals_hold_the_value_and_all_ends() -> None:
    efficiency = parts(10_000, 10_000, 1_000, 500, 500, spread=0.1)[1].usd_per_month
    assert (efficiency.lo, efficiency.value, efficiency.hi) == pytest.approx((9_000 - 1_100, 9_000, 11_000 - 900))


def test_amounts_beyond_the_grid_are_refused() -> None:
    for bad in (math.inf, math.nan, 2.0**33):
        with pytest.raises(ValueError, match="finite and below"):
            on_grid_usd(bad)


def ratio(value: float, lo: float, hi: float) -> Estimate:
    return Estimate(value=value, lo=lo, hi=hi, n=12, method="t on 12 log ratios", source="race", confidence=0.95)


def test_saving_of_the_demo_kind(offer: OfferMaker) -> None:
    trace = trace_at(day_night(), 0.8, 10_000.0 / 73, 37.0)
    saving = saving_frac(trace, 37.0, ratio(17.0, 16.0, 18.0), offer())
    assert 0.9 < saving.lo <= saving.value <= saving.hi < 1 - 1 / 18
    baseline, planned = (cost_at_trace(trace, r, offer()).usd_per_month for r in (37.0, 37.0 * 17))
    assert saving.value == pytest.approx(1 - planned / baseline)
    assert (saving.n, saving.source, saving.confidence) == (12, "race", 0.95)
    assert "t on 12 log ratios" in saving.method


@FAST
@given(
    rates=st.lists(st.floats(0, 500), min_size=1, max_size=12).filter(lambda r: max(r) > 0.01),
    sla_rps=st.floats(0.5, 50),
    ends=st.lists(st.floats(0.05, 30), min_size=3, max_size=3).map(sorted),
    least=st.integers(1, 3),
)
def test_interval_covers_every_ratio_inside(
    offer: OfferMaker, rates: list[float], sla_rps: float, ends: list[float], least: int
) -> None:
    trace = Trace(name="test", step_s=3600, counts=np.array(rates) * 3600)
    lo, value, hi = ends
    saving = saving_frac(trace, sla_rps, ratio(value, lo, hi), offer(), least)
    for r in np.linspace(lo, hi, 7):
        inside = saving_frac(trace, sla_rps, ratio(r, r, r), offer(), least).value
        assert saving.lo - 1e-12 <= inside <= saving.hi + 1e-12


def test_equal_capacity_saves_nothing_and_less_costs(offer: OfferMaker) -> None:
    trace = day_night().scaled(1000)
    assert saving_frac(trace, 37.0, ratio(1, 1, 1), offer()).value == 0
    assert saving_frac(trace, 37.0, ratio(0.5, 0.5, 0.5), offer()).value < -0.9


def test_one_sided_and_impossible_ratios(offer: OfferMaker) -> None:
    trace = day_night().scaled(1000)
    one_sided = saving_frac(trace, 37.0, ratio(2.0, -math.inf, math.inf), offer())
    assert one_sided.lo == -math.inf
    assert 0.4 < one_sided.value < one_sided.hi < 1
    with pytest.raises(ValueError, match="must be > 0"):
        saving_frac(trace, 37.0, ratio(0.0, 0.0, 1.0), offer())


def test_minimum_replicas_limit_the_saving(offer: OfferMaker) -> None:
    trace = day_night().scaled(100)
    free, bound = (saving_frac(trace, 10.0, ratio(50, 50, 50), offer(), least).value for least in (1, 4))
    assert bound < free
