"""Replicas by money: what came decides what is held, what is missed is steered, what a replica takes is learned."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from farthing.core.scaling.scalers.cost_aware import CostAwarePolicy, CostAwareScaler
from farthing.nouns import FleetSeen

T = 15.0
FLAT, STEEP = np.full(400, 35.0), np.tile(np.repeat([20.0, 80.0], 40), 8)


def policy(**more: object) -> CostAwarePolicy:
    usual: dict[str, object] = {"rate_rps": 10.0, "lag_s": 45.0, "max_replicas": 100}
    return CostAwarePolicy(**(usual | more))  # type: ignore[arg-type]


class Fluid:
    """A fleet that serves what its replicas take, each from its lag on, and refuses the rest."""

    def __init__(self, scaler: CostAwareScaler, *, lag_steps: int, takes_rps: float) -> None:
        self.scaler, self.lag, self.takes_rps = scaler, lag_steps, takes_rps
        self.wanted, self.missed, self.came = [1], 0.0, 0.0

    def run(self, rates: np.ndarray, on_step: Callable[[int], None] = lambda _: None) -> Fluid:
        for k, rate in enumerate(rates, start=1):
            ready = min(self.wanted[-1 - self.lag :])
            served = min(rate, ready * self.takes_rps)
            arrived, within = round(rate * T), round(served * T)
            self.missed, self.came = self.missed + arrived - within, self.came + arrived
            seen = FleetSeen(
                at_s=k * T, interval_s=T, arrived=arrived, answered=within, within_promise=within,
                failed=arrived - within, in_flight=0, waiting=0, mean_in_flight=0.0, busy_frac=0.5, ready=ready,
                starting=self.wanted[-1] - ready if self.wanted[-1] > ready else 0,
            )  # fmt: skip
            self.wanted.append(self.scaler.decide(seen).replicas)
            on_step(k)
        return self

    @property
    def cost(self) -> int:
        return sum(self.wanted)


def fluid(takes_rps: float = 10.0, **more: object) -> Fluid:
    return Fluid(CostAwareScaler(policy(**more)), lag_steps=3, takes_rps=takes_rps)


def test_steady_traffic_needs_no_more_than_it_is() -> None:
    assert fluid().run(FLAT).wanted[-1] == 4


def test_what_comes_back_sooner_than_a_replica_pays_is_held() -> None:
    """Ten minutes of 20 and ten of 80: to follow would miss 45 s of each rise, far more than one request in a hundred."""
    found = fluid().run(STEEP)
    assert min(found.wanted[200:]) == 8
    assert found.missed / found.came < 0.03


def test_where_more_may_be_missed_less_is_held() -> None:
    strict, loose = (fluid(attainment_frac=a).run(STEEP) for a in (0.99, 0.9))
    assert loose.cost < 0.85 * strict.cost
    assert loose.missed / loose.came <= 0.1


@pytest.mark.parametrize("seed", range(5))
def test_the_promise_is_kept_on_wandering_traffic(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wander = np.zeros(4_000)
    for k in range(1, 4_000):
        wander[k] = 0.995 * wander[k - 1] + rng.normal(0, 0.06)
    rates = rng.poisson(100 * np.exp(wander) * T) / T
    found = fluid().run(rates)
    perfect = sum(math.ceil(r / 10) for r in rates)
    assert found.missed / found.came < 0.0105
    assert found.cost < 1.6 * perfect


def test_what_was_before_is_known_at_the_start() -> None:
    new, old = (fluid(history_rps=h).run(STEEP[:80]) for h in (None, STEEP))
    assert old.missed < new.missed
    assert "the cheapest" in CostAwareScaler(policy(history_rps=STEEP)).decide(_calm(1)).reason
    assert "until more is known" in CostAwareScaler(policy()).decide(_calm(1)).reason


def _calm(k: int, **more: int) -> FleetSeen:
    usual = {"arrived": 150, "answered": 150, "within_promise": 150, "failed": 0, "waiting": 0, "in_flight": 0}
    return FleetSeen(at_s=k * T, interval_s=T, mean_in_flight=0.0, busy_frac=0.5, ready=2, starting=0, **(usual | more))  # type: ignore[arg-type]


def test_a_miss_that_is_dear_is_avoided_and_a_cheap_one_is_not() -> None:
    """$0.36 an hour is $0.0001 a second, in which a replica takes ten requests."""
    dear, cheap = (fluid(usd_per_miss=usd, usd_per_hour=0.36).run(STEEP) for usd in (0.01, 1e-7))
    assert dear.missed < 0.02 * dear.came
    assert cheap.cost < 0.7 * dear.cost


def test_misses_are_earned_back_and_a_surplus_is_spent() -> None:
    """The same traffic after hours in which a fleet of another's making missed a lot, or nothing."""
    bad, good = CostAwareScaler(policy()), CostAwareScaler(policy())
    for k, rate in enumerate(STEEP, start=1):
        arrived = round(rate * T)
        for scaler, failed in ((bad, arrived // 10), (good, 0)):
            within = arrived - failed
            scaler.decide(_calm(k, arrived=arrived, answered=within, within_promise=within, failed=failed))
    after_bad, after_good = (s.decide(_calm(len(STEEP) + 1)) for s in (bad, good))
    assert after_bad.replicas > after_good.replicas


def test_what_a_replica_takes_is_learned_where_requests_are_refused() -> None:
    """Told 10/s, really 7.5/s: without learning, the fleet would miss a quarter for ever."""
    found = fluid(takes_rps=7.5).run(np.full(2_000, 90.0))
    assert found.wanted[-1] == 12
    more = fluid(takes_rps=13.0).run(np.full(2_000, 90.0))
    assert more.wanted[-1] <= 9


def test_what_waits_counts_where_requests_are_late_rather_than_refused() -> None:
    late, refused = CostAwareScaler(policy()), CostAwareScaler(policy())
    for k in range(1, 60):
        late.decide(_calm(k))
        refused.decide(_calm(k))
    jam = {"arrived": 150, "answered": 150, "within_promise": 0, "waiting": 602, "in_flight": 602}
    for k in range(60, 64):
        jammed = late.decide(_calm(k, **jam))
        kept = refused.decide(_calm(k, **jam | {"within_promise": 150}))
    assert jammed.replicas >= kept.replicas + 1  # 600 in 60 s are 10/s more


def test_bounds_hold_and_no_traffic_wants_the_fewest() -> None:
    assert fluid(max_replicas=3).run(np.full(100, 500.0)).wanted[-1] == 3
    assert fluid(min_replicas=2).run(np.zeros(100)).wanted[-1] == 2
    assert fluid(min_replicas=0).run(np.zeros(100)).wanted[-1] == 0


@pytest.mark.parametrize(
    "wrong",
    [{"rate_rps": 0.0}, {"lag_s": -1.0}, {"lag_s": math.inf}, {"attainment_frac": 1.0}, {"aim_frac": 0.0},
     {"usd_per_miss": 0.0}, {"min_replicas": 101}],
)  # fmt: skip
def test_a_policy_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="CostAwarePolicy"):
        policy(**wrong)
