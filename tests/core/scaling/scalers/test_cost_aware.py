"""Replicas by money: what is covered, when one more pays, when one fewer does."""

from __future__ import annotations

import math

import numpy as np
import pytest

from farthing.core.scaling.scalers.cost_aware import CostAwarePolicy, CostAwareScaler, protected_frac
from farthing.nouns import FleetSeen, Trace


def policy(**more: object) -> CostAwarePolicy:
    usual: dict[str, object] = {"rate_rps": 10.0, "lag_s": 45.0, "protected_frac": 0.95, "max_replicas": 100}
    return CostAwarePolicy(**(usual | more))  # type: ignore[arg-type]


def wants(p: CostAwarePolicy, rates: np.ndarray, seed: int | None = None) -> list[int]:
    """Decisions at Poisson counts of these rates, or at the rates themselves."""
    rng = None if seed is None else np.random.default_rng(seed)
    scaler, ready, found = CostAwareScaler(p), 1, []
    for k, rate in enumerate(rates, start=1):
        mean = rate * p.interval_s
        arrived = round(mean) if rng is None else int(rng.poisson(mean))
        shown = FleetSeen(
            at_s=k * p.interval_s, interval_s=p.interval_s, arrived=arrived, answered=arrived, within_promise=arrived,
            failed=0, in_flight=0, waiting=0, mean_in_flight=0.0, busy_frac=0.5, ready=ready, starting=0,
        )  # fmt: skip
        ready = scaler.decide(shown).replicas
        found.append(ready)
    return found


def test_one_more_pays_while_what_it_saves_is_dearer() -> None:
    """$0.36 an hour is $0.0001 a second; 10 requests/s at $0.001 each are $0.01: worth it down to 1 %."""
    assert protected_frac(0.36, 10.0, 0.001) == pytest.approx(0.99)
    assert protected_frac(0.36, 10.0, 1e-6) == 0.0
    with pytest.raises(ValueError, match="must be > 0"):
        protected_frac(0.36, 10.0, 0.0)


def test_steady_traffic_needs_no_more_than_it_is() -> None:
    assert wants(policy(), np.full(200, 35.0))[-1] == 4


@pytest.mark.parametrize("protected", [0.5, 0.9, 0.99])
def test_the_rate_to_come_is_covered_as_often_as_is_asked_for(protected: float) -> None:
    """On traffic whose rate wanders, over what it had not seen; with fractions of replicas, so that none is rounded up."""
    rng = np.random.default_rng(7)
    rates = np.exp(np.cumsum(rng.normal(0, 0.03, 6_000)) * 0.3 + 4)
    p = policy(rate_rps=0.01, protected_frac=protected, max_replicas=10**9, hold_s=0.0)
    found = wants(p, rates, seed=3)
    counted = np.random.default_rng(3).poisson(rates * p.interval_s) / p.interval_s
    h = p.steps_ahead
    highest = np.array([counted[k + 1 : k + 1 + h].max() for k in range(1_000, 5_900)])
    covered = np.mean(np.array(found[1_000:5_900]) * p.rate_rps >= highest)
    assert covered == pytest.approx(protected, abs=0.03)


def test_a_season_is_looked_ahead_of() -> None:
    """Rates double at once in the middle of a period; a replica that takes 45 s must be asked for before."""
    counts = np.repeat([20.0, 40.0], 30)  # a minute each: half an hour of 20, half of 40 in some unit
    season = Trace(name="week", step_s=60.0, counts=counts)
    rates = np.repeat([20.0, 40.0], 120)
    blind = wants(policy(protected_frac=0.5, hold_s=0.0), rates)
    ahead = wants(policy(protected_frac=0.5, hold_s=0.0, season=season), rates)
    last_before = 118  # at 1,785 s; the rate doubles at 1,800 s
    assert blind[last_before] == 2
    assert ahead[last_before] == 4


def test_a_replica_is_held_and_then_given_up() -> None:
    rates = np.concatenate([np.full(100, 80.0), np.full(200, 10.0)])
    found = wants(policy(hold_s=60.0, protected_frac=0.5), rates)
    assert found[99] == 8
    assert found[102] == 8
    assert found[-1] <= 2


def test_a_backlog_is_worked_off() -> None:
    scaler = CostAwareScaler(policy(protected_frac=0.5, hold_s=0.0))
    facts = {"answered": 0, "within_promise": 0, "failed": 0, "mean_in_flight": 0.0, "busy_frac": 1.0, "starting": 0}
    for k in range(1, 60):
        calm = scaler.decide(
            FleetSeen(at_s=15.0 * k, interval_s=15.0, arrived=300, waiting=0, in_flight=0, ready=2, **facts)  # type: ignore[arg-type]
        )
    jammed = scaler.decide(
        FleetSeen(at_s=900.0, interval_s=15.0, arrived=300, waiting=602, in_flight=610, ready=2, **facts)  # type: ignore[arg-type]
    )
    assert calm.replicas == 2
    assert jammed.replicas == 3  # 600 in 60 s are 10/s more


def test_bounds_hold_and_no_traffic_wants_the_fewest() -> None:
    assert wants(policy(max_replicas=3), np.full(50, 500.0))[-1] == 3
    assert wants(policy(min_replicas=2), np.zeros(50))[-1] == 2
    assert wants(policy(min_replicas=0), np.zeros(50))[-1] <= 1


@pytest.mark.parametrize(
    "wrong",
    [{"rate_rps": 0.0}, {"lag_s": -1.0}, {"lag_s": math.inf}, {"protected_frac": 1.0}, {"min_replicas": 101}, {"hold_s": -1.0}],
)  # fmt: skip
def test_a_policy_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="CostAwarePolicy"):
        policy(**wrong)
