"""Thresholds move with the marginal cost of the tiers, only along certified policies."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.money.marginal import FleetState, PaidReplicas
from farthing.core.route.calibrating import certification
from farthing.core.route.policies import FixedTier
from farthing.core.route.steering import marginal_prices, steer, usd_per_hour_of
from farthing.nouns import Estimate, Hardware, Offer

TIERS = ("small", "large")
MACHINE = Offer(
    name="test/machine",
    provider="test",
    region="here",
    term="on_demand",
    hardware=Hardware(name="test/machine", vcpus=2),
    dated=date(2026, 7, 20),
    source="made up for tests",
    usd_per_hour=0.1,
)


def rung(large_frac: float, score_cost_usd: float = 0.0) -> certification.Tested:
    return certification.Tested(
        policy=FixedTier(tier="large"),
        certified=True,
        loss_frac=Estimate(value=0, lo=0, hi=0, n=1, method="made up"),
        cost_usd=1.0,
        answered_frac=np.array([1 - large_frac, large_frac]),
        called_frac=np.array([1.0, large_frac]),
        score_cost_usd=score_cost_usd,
        failed=(),
        n_needed=None,
    )


LADDER = [rung(0.6), rung(0.4), rung(0.2)]


def fleet(count: int, sla_rps: float) -> FleetState:
    return FleetState(
        on_demand=MACHINE, sla_rps=sla_rps, paid=(PaidReplicas(offer=MACHINE, count=count, sla_rps=sla_rps),)
    )


PRICES = {"small": fleet(1, 1000.0), "large": fleet(2, 10.0)}


def test_idle_large_replicas_are_used_and_peaks_fall_to_the_small_tier() -> None:
    assert steer(LADDER, TIERS, PRICES, rate_rps=20) == 0
    assert steer(LADDER, TIERS, PRICES, rate_rps=45) == 1
    assert steer(LADDER, TIERS, PRICES, rate_rps=90) == 2
    assert [steer(LADDER, TIERS, PRICES, rate_rps=r, current=2) for r in (90, 20)] == [2, 0]


def test_prices_by_request_always_favour_the_cheapest_rung() -> None:
    prices = {"small": 0.0, "large": 0.001}
    assert steer(LADDER, TIERS, prices, rate_rps=5) == 2
    usd = usd_per_hour_of([rung(0.5, 1e-4)], TIERS, prices, rate_rps=2.0)
    assert usd[0] == pytest.approx(3600 * 2 * (0.5 * 0.001 + 1e-4))


def test_a_small_gain_does_not_switch() -> None:
    prices = {"small": 0.001, "large": 0.0001}
    near = [rung(0.20), rung(0.199)]
    assert steer(near, TIERS, prices, rate_rps=5) == 1
    assert steer(near, TIERS, prices, rate_rps=5, current=0) == 0
    assert steer(near, TIERS, prices, rate_rps=5, current=0, least_gain_frac=0.0) == 1


@given(st.floats(0, 500), st.integers(0, 2))
def test_the_choice_is_never_dearer_than_the_least_gain_allows(rate, current) -> None:
    usd = usd_per_hour_of(LADDER, TIERS, PRICES, rate_rps=rate)
    assert usd[steer(LADDER, TIERS, PRICES, rate_rps=rate)] <= usd.min() * (1 + 1e-9)
    assert usd[steer(LADDER, TIERS, PRICES, rate_rps=rate, current=current)] * 0.98 <= usd.min() * (1 + 1e-9)


def test_marginal_prices_are_zero_while_paid_replicas_have_room() -> None:
    assert marginal_prices(LADDER[1], TIERS, PRICES, rate_rps=20, extra_rps=1) == {"small": 0, "large": 0}
    full = marginal_prices(LADDER[1], TIERS, PRICES, rate_rps=50, extra_rps=1)
    assert full["large"] == pytest.approx(0.1 / 3600)
    assert marginal_prices(LADDER[0], TIERS, {"small": 1e-5, "large": 2.0}, rate_rps=0, extra_rps=1) == {
        "small": 1e-5,
        "large": 2.0,
    }


def test_steering_refuses() -> None:
    with pytest.raises(ValueError, match="'large' has no price; there are prices of small"):
        steer(LADDER, TIERS, {"small": 0.1}, rate_rps=1)
    with pytest.raises(ValueError, match="finite and ≥ 0"):
        steer(LADDER, TIERS, {"small": -0.1, "large": 1.0}, rate_rps=1)
    with pytest.raises(ValueError, match="no certified policy"):
        steer([], TIERS, PRICES, rate_rps=1)
    with pytest.raises(ValueError, match="rate_rps"):
        steer(LADDER, TIERS, PRICES, rate_rps=-1)
    with pytest.raises(ValueError, match="current must lie"):
        steer(LADDER, TIERS, PRICES, rate_rps=1, current=3)
