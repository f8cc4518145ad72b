"""A plan at another day's prices, by hand: costs move, the bill and the saving stay."""

from __future__ import annotations

import pytest
from search_examples import findings, offer, planned

from farthing.core.plan.repricing import reprice

REPLICA = 0.1 * 730 / 2
"""A replica at ten cents for one of the two hours, all month."""
RESERVED = offer(term="reserved_1y", usd_per_hour=0.06)


def test_at_twice_the_price_costs_double_and_the_bill_and_the_saving_stay() -> None:
    plan = planned()
    again = reprice(plan, offer(usd_per_hour=0.2), (offer(usd_per_hour=0.2),))
    assert again.baseline_usd_per_month.value == pytest.approx(22 * REPLICA)
    assert again.planned_usd_per_month is not None
    assert again.planned_usd_per_month.value == pytest.approx(4 * REPLICA)
    assert (again.bill_usd_per_month, again.saving_frac) == (1000, plan.saving_frac)
    assert again.hourly.baseline_usd == pytest.approx((2.0, 0.2))
    assert again.hourly.planned_usd == pytest.approx((0.2, 0.2))
    values = [part.usd_per_month and part.usd_per_month.value for part in again.parts]
    assert values[:3] == pytest.approx([1000 - 22 * REPLICA, 16 * REPLICA, 2 * REPLICA], abs=1e-5)
    assert values[3] is None  # no other terms were read
    assert again.chosen is not None
    assert again.chosen.cost_usd_per_month is not None
    assert again.chosen.cost_usd_per_month.value == pytest.approx(4 * REPLICA)
    assert again.baseline.cost_usd_per_month is not None
    assert again.baseline.cost_usd_per_month.value == pytest.approx(22 * REPLICA)
    for before, after in zip(plan.evaluations, again.evaluations):
        assert before.usd_per_million is not None
        assert after.usd_per_million is not None
        assert after.usd_per_million.value == pytest.approx(2 * before.usd_per_million.value)


def test_commitments_are_chosen_anew_at_the_new_prices() -> None:
    again = reprice(planned(), offer(), (offer(), RESERVED))
    assert again.planned_usd_per_month is not None
    assert again.planned_usd_per_month.value == pytest.approx(2 * REPLICA * 0.6)
    assert (again.hourly.committed_replicas, again.hourly.committed_term) == (1, "reserved_1y")
    assert again.parts[3].usd_per_month.value == pytest.approx(2 * REPLICA * 0.4, abs=1e-5)
    assert again.offers == (offer(), RESERVED)
    back = reprice(again, offer(), (offer(),))
    assert back.planned_usd_per_month is not None
    assert back.planned_usd_per_month.value == pytest.approx(2 * REPLICA)


def test_the_notes_of_the_old_terms_are_replaced() -> None:
    again = reprice(planned(elsewhere=(offer("aws/large"),)), offer(usd_per_hour=0.2), (offer(usd_per_hour=0.2),))
    assert again.elsewhere == ()
    assert again.assumptions[0] == "priced again with the price of 2026-07-20 (made up for tests)"
    assert again.assumptions[1] == "this machine stands for aws/small"
    assert [a.startswith("purchase terms:") for a in again.assumptions] == [False, False, True]


def test_batchings_interval_is_carried_over() -> None:
    """Unbatched is what was planned and batching's own part, end by end."""
    plan = planned()
    again = reprice(plan, offer(usd_per_hour=0.2), (offer(usd_per_hour=0.2),))
    batching, efficiency = plan.parts[2].usd_per_month, again.parts[1].usd_per_month
    assert plan.chosen is not None
    cost = plan.chosen.cost_usd_per_month
    assert cost is not None
    base = again.baseline_usd_per_month
    assert efficiency.lo == pytest.approx(base.lo - 2 * (cost.hi + batching.hi), abs=1e-4)
    assert efficiency.hi == pytest.approx(base.hi - 2 * (cost.lo + batching.lo), abs=1e-4)


def test_a_plan_that_chose_nothing_is_repriced_as_its_baseline() -> None:
    again = reprice(planned(findings(chosen=None)), offer(usd_per_hour=0.2), (offer(usd_per_hour=0.2),))
    assert again.baseline_usd_per_month.value == pytest.approx(22 * REPLICA)
    assert (again.planned_usd_per_month, again.parts, again.chosen) == (None, (), None)
    assert not any(a.startswith("purchase terms:") for a in again.assumptions)


@pytest.mark.parametrize("other", [{"name": "aws/other"}, {"region": "there"}, {"term": "reserved_1y"}])
def test_another_offer_is_no_new_price(other: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="the plan is priced as aws/small@here:on_demand, not"):
        reprice(planned(), offer(**other), ())  # type: ignore[arg-type]
