"""Rules on a simulated fleet: what they see is what is, what they want is bought, the cheapest that keeps is found."""

from __future__ import annotations

import numpy as np
import pytest

from farthing.core.scaling.scalers.fixed import FixedScaler
from farthing.core.simulation.replica import MeasuredReplica
from farthing.core.simulation.rules.compared import Fleet, judge, paired, run_rule
from farthing.core.simulation.rules.families import Family, ReplicaFacts, families
from farthing.core.simulation.rules.study import study
from farthing.core.simulation.rules.tuning import tune
from farthing.core.simulation.setup import BatchingServer, Promise
from farthing.core.simulation.steering import Purchase
from farthing.core.traffic.arrivals.replayed import Replayed
from farthing.nouns import FleetSeen, ScalingDecision, Trace

SERVER = BatchingServer(service_s=(0.1, 0.12, 0.14, 0.16), sigma=0.1)


def fleet(length_s: float, **more: object) -> Fleet:
    usual: dict[str, object] = {
        "server": SERVER, "promise": Promise(latency_s=1.0), "length_s": length_s, "usd_per_hour": 0.36,
    }  # fmt: skip
    return Fleet(**(usual | more))  # type: ignore[arg-type]


def steps(*rates_rps: float, minutes: int = 30) -> Trace:
    return Trace(name="steps", step_s=60.0, counts=np.repeat(np.array(rates_rps) * 60.0, minutes))


class Watcher:
    """Notes what it is shown and wants two."""

    name, interval_s, assumed = "watcher", 30.0, ()

    def __init__(self) -> None:
        self.shown: list[FleetSeen] = []

    def decide(self, seen: FleetSeen) -> ScalingDecision:
        self.shown.append(seen)
        return ScalingDecision(replicas=2, reason="always two")


def test_a_rule_is_shown_the_fleet_and_gets_what_it_wants() -> None:
    trace = steps(8.0)
    watcher = Watcher()
    run = run_rule(fleet(1_800.0, start_s=40.0, load_s=10.0), watcher, Replayed(trace=trace).blocks(1), 1)
    assert [s.at_s for s in watcher.shown[:2]] == [30.0, 60.0]
    assert (watcher.shown[0].ready, watcher.shown[0].starting) == (1, 0)
    assert (watcher.shown[1].ready, watcher.shown[1].starting) == (1, 1)
    assert (watcher.shown[2].ready, watcher.shown[2].starting) == (2, 0)
    assert sum(s.arrived for s in watcher.shown) == pytest.approx(run.requests, rel=0.03)
    assert np.mean([s.busy_frac for s in watcher.shown[5:]]) == pytest.approx(run.busy_frac, abs=0.05)
    assert [(c.at_s, c.before, c.replicas, c.reason) for c in run.changes] == [(30.0, 1, 2, "always two")]
    assert (run.fewest, run.most) == (1, 2)


def test_replicas_are_paid_by_the_second_and_a_minute_at_least() -> None:
    run = run_rule(fleet(1_800.0, initial=3), FixedScaler(3), Replayed(trace=steps(8.0)).blocks(1), 1)
    assert run.usd == pytest.approx(3 * 0.5 * 0.36)
    assert run.replica_h == pytest.approx(1.5)


def test_too_few_miss_and_enough_keep() -> None:
    arrivals = Replayed(trace=steps(40.0))
    few, enough = (
        judge(fleet(1_800.0, initial=n), "fixed", lambda n=n: FixedScaler(n), arrivals.blocks, (1, 2)) for n in (1, 3)
    )
    assert few.attainment_frac.value < 0.7
    assert enough.attainment_frac.value > 0.999
    ratio = paired(few, enough)
    assert ratio.value == pytest.approx(1 / 3)
    assert "paired" in ratio.method


def test_two_rules_see_the_same_requests() -> None:
    arrivals = Replayed(trace=steps(10.0))
    one, two = (judge(fleet(1_800.0), "fixed", lambda n=n: FixedScaler(n), arrivals.blocks, (1, 2, 3)) for n in (1, 2))
    assert [r.requests for r in one.runs] == [r.requests for r in two.runs]


def test_tuning_takes_the_cheapest_that_keeps_or_the_nearest() -> None:
    family = Family(name="fixed", knob="replicas", values=(1.0, 2.0, 3.0, 4.0), make=lambda n: FixedScaler(int(n)))
    arrivals = Replayed(trace=steps(35.0))
    found = tune(fleet(1_800.0, initial=2), family, arrivals.blocks, attainment_frac=0.95, seed=0)
    assert found.keeps
    assert found.value == min(v for v, run in found.tried if run.attainment_frac >= 0.95)
    never = tune(fleet(1_800.0, initial=1, start_s=1e5), family, arrivals.blocks, attainment_frac=0.95, seed=0)
    assert not never.keeps


def test_floor_on_demand_and_the_rest_spot() -> None:
    purchase = Purchase(on_demand="on_demand", spot="spot", floor_frac=0.25)
    assert [purchase.split(n) for n in (0, 1, 4, 5)] == [
        {"on_demand": 0, "spot": 0},
        {"on_demand": 1, "spot": 0},
        {"on_demand": 1, "spot": 3},
        {"on_demand": 2, "spot": 3},
    ]
    with pytest.raises(ValueError, match="floor_frac"):
        Purchase(on_demand="on_demand", floor_frac=1.5)


def test_every_rule_of_the_field_runs_and_the_best_is_said() -> None:
    replica = MeasuredReplica(server=SERVER, rate_rps=20.0, planned_rps=17.0, slower=1.0)
    whole = Replayed(trace=steps(20.0, 60.0, 30.0, 20.0, 60.0, 30.0, minutes=20))
    found = study(
        fleet(whole.length_s), replica, whole.halves(), attainment_frac=0.95, seeds=(0, 1), tell=lambda *_: None
    )
    names = {one.outcome.name for one in found.judged}
    assert names == {
        "fixed", "HPA on CPU", "HPA on requests in flight", "KEDA on requests/s", "Knative on concurrency",
        "AWS target tracking", "Ray Serve", "cost-aware",
    }  # fmt: skip
    keeping = [one for one in found.judged if one.keeps]
    assert keeping
    assert found.best is keeping[0]
    dollars = [one.outcome.usd_per_month.value for one in keeping]
    assert dollars == sorted(dollars)
    assert found.clairvoyant_usd_per_month < dollars[0]
    assert found.requests == pytest.approx(sum((20.0, 60.0, 30.0)) * 1_200)


def test_a_rule_that_nobody_knows_is_named() -> None:
    replica = MeasuredReplica(server=SERVER, rate_rps=20.0, planned_rps=17.0, slower=1.0)
    whole = Replayed(trace=steps(20.0, 20.0))
    with pytest.raises(ValueError, match="no such rule: HPA; there are fixed, HPA on CPU"):
        study(fleet(whole.length_s), replica, whole.halves(), attainment_frac=0.95, only=["HPA"], tell=lambda *_: None)


def test_families_need_a_replica_that_can_be() -> None:
    facts = ReplicaFacts(rate_rps=10.0, in_flight=4.0, cores=1.0, lag_s=60.0, max_replicas=9)
    assert len(families(facts)) == 7
    assert families(facts, fixed=(1, 2))[0].values == (1.0, 2.0)
    with pytest.raises(ValueError, match="ReplicaFacts"):
        ReplicaFacts(rate_rps=0.0, in_flight=4.0, cores=1.0, lag_s=60.0, max_replicas=9)
