"""The commitment split against brute force, a mixed-integer program and the newsvendor quantile."""

from __future__ import annotations

from collections.abc import Callable

import highspy
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from farthing.core.money.commitments import commitment_split
from farthing.core.money.marginal import SpotRisk, effective_spot_usd_per_hour
from farthing.core.money.trace_cost import cost_at_trace
from farthing.core.traffic.shapes import day_night
from farthing.errors import PriceError
from farthing.nouns import HOURS_PER_MONTH, Offer

OfferMaker = Callable[..., Offer]
FAST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
loads = st.lists(st.integers(0, 30), min_size=1, max_size=40)


def cost_by_hand(
    load: NDArray[np.int64], n: int, on_demand: float, committed: float, spot: float | None, share: float
) -> float:
    total = 0.0
    for need in load.tolist():
        rest = max(0, need - n)
        bought_spot = 0 if spot is None or spot >= on_demand else min(rest, int(share * max(need, n) + 1e-9))
        total += committed * n + on_demand * (rest - bought_spot) + (spot or 0.0) * bought_spot
    return total


@FAST
@given(
    load=loads,
    committed=st.floats(0.005, 0.15),
    spot=st.none() | st.floats(0.005, 0.15),
    share=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
)
def test_no_count_is_cheaper(
    offer: OfferMaker, load: list[int], committed: float, spot: float | None, share: float
) -> None:
    offers = [offer(), offer("reserved_1y", committed)]
    effective = None
    if spot is not None:
        offers.append(offer("spot", spot, interruptions_per_hour=0.02))
        effective = effective_spot_usd_per_hour(offers[-1], offers[0], SpotRisk())
    split = commitment_split(np.array(load), offers, max_spot_frac=share)
    every = [cost_by_hand(np.array(load), n, 0.1, committed, effective, share) for n in range(max(load) + 2)]
    assert split.usd_by_hour.sum() == pytest.approx(min(every), abs=1e-9)
    assert split.usd_per_month == pytest.approx(min(every) / len(load) * HOURS_PER_MONTH, abs=1e-6)


@settings(FAST, max_examples=15)
@given(
    load=st.lists(st.integers(0, 12), min_size=1, max_size=24),
    prices=st.tuples(st.floats(0.02, 0.09), st.floats(0.01, 0.09)),
)
def test_a_mixed_integer_program_finds_the_same_cost(
    offer: OfferMaker, load: list[int], prices: tuple[float, float]
) -> None:
    """min Σ_h (c₁·n₁ + c₃·n₃ + 0.1·d_h) with n₁ + n₃ + d_h ≥ load_h, all whole: both terms may be mixed."""
    h = highspy.Highs()
    h.silent()
    n1, n3 = (h.addIntegral(lb=0, ub=20, obj=price * len(load)) for price in prices)
    for need in load:
        h.addConstr(n1 + n3 + h.addIntegral(lb=0, ub=20, obj=0.1) >= need)
    h.run()
    assert h.getModelStatus() == highspy.HighsModelStatus.kOptimal
    offers = (offer(), offer("reserved_1y", prices[0]), offer("reserved_3y", prices[1]))
    split = commitment_split(np.array(load), offers)
    assert split.usd_by_hour.sum() == pytest.approx(h.getInfo().objective_function_value, abs=1e-7)


@FAST
@given(load=loads, committed=st.floats(0.005, 0.0999))
def test_count_is_the_newsvendor_quantile(offer: OfferMaker, load: list[int], committed: float) -> None:
    split = commitment_split(np.array(load), (offer(), offer("reserved_3y", committed)))
    needed_frac = [(np.array(load) > n).mean() for n in range(max(load) + 1)]
    assert split.committed_replicas == next(n for n, share in enumerate(needed_frac) if share <= committed / 0.1 + 1e-9)


def test_by_hand(offer: OfferMaker) -> None:
    load = np.array([2] * 12 + [6] * 12)
    split = commitment_split(load, (offer(), offer("reserved_1y", 0.06), offer("reserved_3y", 0.04)))
    assert (split.committed_replicas, split.committed_term) == (6, "reserved_3y")
    assert split.usd_by_hour.tolist() == pytest.approx([0.24] * 24)
    assert split.unused_usd_per_month == pytest.approx(4 * 0.04 * 365)
    dearer = commitment_split(load, (offer(), offer("reserved_1y", 0.06)))
    assert (dearer.committed_replicas, dearer.committed_term) == (2, "reserved_1y")
    assert dearer.on_demand_replicas.tolist() == [0] * 12 + [4] * 12
    assert dearer.unused_usd_per_month == 0
    assert [o.term for o in dearer.offers] == ["reserved_1y", "on_demand"]
    assert "2 committed (reserved_1y at $0.0600 an hour against $0.1000 on demand)" in dearer.note


def test_terms_can_be_narrowed(offer: OfferMaker) -> None:
    offers = (offer(), offer("reserved_1y", 0.06), offer("reserved_3y", 0.04))
    assert commitment_split(np.array([3]), offers, terms=("reserved_1y",)).committed_term == "reserved_1y"
    assert commitment_split(np.array([3]), offers, terms=()).committed_term is None


def test_without_commitments_it_is_cost_at_trace(offer: OfferMaker) -> None:
    trace = day_night().scaled(500)
    cost = cost_at_trace(trace, 43.6, offer())
    split = commitment_split(cost.replicas, (offer(),))
    assert split.usd_by_hour == pytest.approx(cost.usd_by_hour)
    assert split.usd_per_month == pytest.approx(cost.usd_per_month)
    assert split.committed_term is None
    assert "no price for a commitment was read" in split.note


def test_never_dearer_than_on_demand_and_dear_commitments_are_left(offer: OfferMaker) -> None:
    load = np.array([1, 5, 9])
    split = commitment_split(load, (offer(), offer("reserved_1y", 0.2)))
    assert split.committed_replicas == 0
    assert split.committed_term is None
    assert split.usd_by_hour.sum() == pytest.approx(1.5)
    assert "does not pay" in split.note


def test_spot_needs_a_known_risk(offer: OfferMaker) -> None:
    load = np.array([4, 8])
    silent = commitment_split(load, (offer(), offer("spot", 0.02)), max_spot_frac=0.5)
    assert silent.spot_replicas.tolist() == [0, 0]
    assert "no source states how often test/machine@here:spot is interrupted" in silent.note
    known = commitment_split(load, (offer(), offer("spot", 0.02, interruptions_per_hour=0.01)), max_spot_frac=0.5)
    assert known.spot_replicas.tolist() == [2, 4]
    assert known.usd_per_month < silent.usd_per_month
    assert "up to 50% spot" in known.note
    not_allowed = commitment_split(load, (offer(), offer("spot", 0.02, interruptions_per_hour=0.01)))
    assert not_allowed.spot_replicas.sum() == 0


def test_more_preemption_risk_never_costs_less(offer: OfferMaker) -> None:
    load = np.array([4, 8, 16])
    usd = [
        commitment_split(
            load, (offer(), offer("spot", 0.02, interruptions_per_hour=rate)), max_spot_frac=0.5
        ).usd_per_month
        for rate in (0.0, 0.01, 0.1, 1.0, 10.0)
    ]
    assert usd == sorted(usd)
    assert usd[-1] == pytest.approx(28 * 0.1 / 3 * 730)  # then it is all on demand


def test_incomplete_last_hour_weighs_what_it_is(offer: OfferMaker) -> None:
    offers = (offer(), offer("reserved_1y", 0.06))
    whole = commitment_split(np.array([1, 5]), offers)
    part = commitment_split(np.array([1, 5]), offers, hour_lengths_h=np.array([1.0, 9.0]))
    assert (whole.committed_replicas, part.committed_replicas) == (1, 5)
    assert part.usd_per_month == pytest.approx(5 * 0.06 * 730)


def test_owned_hardware_is_paid_for_the_peak(offer: OfferMaker) -> None:
    split = commitment_split(np.array([1, 4]), (offer("owned", 0.05),))
    assert (split.committed_replicas, split.committed_term) == (4, "owned")
    assert split.usd_by_hour.tolist() == pytest.approx([0.2, 0.2])
    assert split.unused_usd_per_month == pytest.approx(3 * 0.05 * 365)
    assert "there is no on-demand price" in split.note


def test_bad_input(offer: OfferMaker) -> None:
    with pytest.raises(PriceError, match="neither an on-demand price nor a commitment among test/machine@here:spot"):
        commitment_split(np.array([1]), (offer("spot", 0.02),))
    with pytest.raises(PriceError, match="no offers"):
        commitment_split(np.array([1]), ())
    with pytest.raises(ValueError, match="one name and region"):
        commitment_split(np.array([1]), (offer(), offer(name="test/other")))
    for load in (np.array([], dtype=np.int64), np.array([-1]), np.array([[1]])):
        with pytest.raises(ValueError, match="replicas_by_hour"):
            commitment_split(load, (offer(),))
    with pytest.raises(ValueError, match="max_spot_frac"):
        commitment_split(np.array([1]), (offer(),), max_spot_frac=2.0)


def test_a_year_of_hours_and_many_replicas(offer: OfferMaker) -> None:
    load = np.random.default_rng(1).poisson(20_000, 8760)
    split = commitment_split(load, (offer(), offer("reserved_1y", 0.06)))
    assert split.committed_replicas == pytest.approx(np.quantile(load, 0.4), abs=2)
