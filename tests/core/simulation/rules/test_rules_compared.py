"""Rules on a simulated fleet: what they see is what is, what they want is bought, the cheapest that keeps is found."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from farthing.core.scaling.scalers.fixed import FixedScaler
from farthing.core.simulation.replica import MeasuredReplica
from farthing.core.simulation.rules.compared import Fleet, RuleRun, judge, paired, run_rule
from farthing.core.simulation.rules.families import Family, Lookback, ReplicaFacts, Setting, families
from farthing.core.simulation.rules.study import lookback_of, study
from farthing.core.simulation.rules.tuning import rank, tune
from farthing.core.simulation.rules.written import RULES
from farthing.core.simulation.setup import BatchingServer, Promise
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


class Swinging:
    """Wants two and one in turn."""

    name, interval_s, assumed = "swinging", 30.0, ()

    def __init__(self) -> None:
        self.wanted = 1

    def decide(self, seen: FleetSeen) -> ScalingDecision:
        self.wanted = 3 - self.wanted
        return ScalingDecision(replicas=self.wanted, reason="in turn")


def test_how_often_a_rule_turns_and_what_is_missed_while_nothing_is_busy() -> None:
    swung = run_rule(fleet(1_800.0, start_s=0.0, load_s=0.0), Swinging(), Replayed(trace=steps(8.0)).blocks(1), 1)
    assert swung.turns_per_hour == pytest.approx(2 * 58, abs=2)
    burst = np.concatenate([60.0 * k + np.linspace(0, 0.05, 90) for k in range(30)])  # idle for most of each minute
    idle = run_rule(fleet(1_800.0), FixedScaler(1), [burst], 1)
    assert idle.turns_per_hour == 0.0
    assert idle.missed_unbusy_frac == pytest.approx(1 - idle.attainment_frac, abs=0.04)  # but for the last minute
    assert idle.missed_unbusy_frac > 0.5


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
    size = Setting(name="replicas", said="{} replicas", values=(1.0, 2.0, 3.0, 4.0), first=1.0)
    family = Family(name="fixed", settings=(size,), make=lambda v: FixedScaler(int(v["replicas"])))
    arrivals = Replayed(trace=steps(35.0))
    found = tune(fleet(1_800.0, initial=2), family, arrivals.blocks, attainment_frac=0.95, seed=0)
    assert found.keeps
    assert found.values["replicas"] == min(v["replicas"] for v, run in found.tried if run.attainment_frac >= 0.96)
    assert found.said == f"{found.values['replicas']:g} replicas"
    never = tune(fleet(1_800.0, initial=1, start_s=1e5), family, arrivals.blocks, attainment_frac=0.95, seed=0)
    assert not never.keeps


@pytest.mark.slow
def test_every_rule_of_the_field_runs_and_the_best_is_said() -> None:
    replica = MeasuredReplica(server=SERVER, rate_rps=20.0, planned_rps=17.0, slower=1.0)
    whole = Replayed(trace=steps(20.0, 60.0, 30.0, 20.0, 60.0, 30.0, minutes=10))
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
    assert found.clairvoyant is not None
    assert found.clairvoyant.usd_per_month.value < dollars[0]
    assert found.above_clairvoyant_frac(keeping[0]) == pytest.approx(
        dollars[0] / found.clairvoyant.usd_per_month.value - 1
    )
    assert found.requests == pytest.approx(sum((20.0, 60.0, 30.0)) * 600)


def test_a_rule_that_follows_is_cheaper_than_one_that_does_not_where_traffic_changes() -> None:
    replica = MeasuredReplica(server=SERVER, rate_rps=20.0, planned_rps=17.0, slower=1.0)
    whole = Replayed(trace=steps(10.0, 100.0, 10.0, 10.0, 100.0, 10.0, minutes=40))
    found = study(
        fleet(whole.length_s), replica, whole.halves(), attainment_frac=0.95, seeds=(0, 1), only=("fixed", "cost-aware"),
        tell=lambda *_: None,
    )  # fmt: skip
    assert [one.outcome.name for one in found.judged] == ["cost-aware", "fixed"]
    assert found.judged[0].keeps


def test_a_rule_that_nobody_knows_is_named() -> None:
    replica = MeasuredReplica(server=SERVER, rate_rps=20.0, planned_rps=17.0, slower=1.0)
    whole = Replayed(trace=steps(20.0, 20.0))
    with pytest.raises(ValueError, match="no such rule: HPA; there are fixed, HPA on CPU"):
        study(fleet(whole.length_s), replica, whole.halves(), attainment_frac=0.95, only=["HPA"], tell=lambda *_: None)


def test_settings_are_tuned_one_after_the_other_and_each_once() -> None:
    """The cheapest pair is off the first values of both; a run is never made twice."""
    made: list[tuple[float, float]] = []

    def make(v: dict[str, float]) -> FixedScaler:
        made.append((v["a"], v["b"]))
        return FixedScaler(int(v["a"] + v["b"]))

    settings = tuple(
        Setting(name=n, said=f"{n} {{}}", values=values, first=values[0]) for n, values in (("a", (4.0, 2.0)), ("b", (2.0, 0.0)))
    )  # fmt: skip
    found = tune(
        fleet(1_800.0, initial=2),
        Family(name="sum", settings=settings, make=make),  # type: ignore[arg-type]
        Replayed(trace=steps(20.0)).blocks,
        attainment_frac=0.95,
        seed=0,
    )
    assert (found.values, found.keeps, found.said) == ({"a": 2.0, "b": 0.0}, True, "a 2, b 0")
    assert len(made) == len(set(made)) == 4


def test_settings_that_only_just_keep_where_they_are_tuned_come_second() -> None:
    def run(missed_frac: float, usd: float) -> RuleRun:
        return RuleRun(
            usd=usd, attainment_frac=1 - missed_frac, p99_ms=1.0, replica_h=1.0, busy_frac=0.5, fewest=1, most=1,
            requests=100, changes=(),
        )  # fmt: skip

    runs = [run(0.02, 1.0), run(0.0099, 2.0), run(0.008, 3.0), run(0.0, 4.0)]
    assert sorted(runs, key=lambda r: rank(r, 0.99)) == [runs[2], runs[3], runs[1], runs[0]]


def test_families_need_a_replica_that_can_be() -> None:
    facts = ReplicaFacts(rate_rps=10.0, in_flight=4.0, cores=1.0, lag_s=60.0, max_replicas=9, busiest_replicas=8)
    assert [f.name for f in families(facts)] == [n for n in RULES if n not in ("fixed", "AWS predictive")]
    assert families(facts, fixed=(1, 2))[0].settings[0].values == (1.0, 2.0)
    assert families(facts)[0].settings[2].values == (1.0, 2.0, 4.0)
    assert [f.name for f in families(facts, fixed=(1,), lookback=Lookback(season=steps(1.0)))] == list(RULES)
    with pytest.raises(ValueError, match="ReplicaFacts"):
        ReplicaFacts(rate_rps=0.0, in_flight=4.0, cores=1.0, lag_s=60.0, max_replicas=9)


@pytest.mark.parametrize("name", RULES)
def test_each_rule_takes_its_settings(name: str) -> None:
    """The first and the last values of each: what is held at least is held, and every setting has words."""
    facts = ReplicaFacts(rate_rps=10.0, in_flight=4.0, cores=1.0, lag_s=60.0, max_replicas=40, busiest_replicas=8)
    family = next(f for f in families(facts, fixed=(5,), lookback=Lookback(season=steps(1.0))) if f.name == name)
    wanted = {}
    for which in (0, -1):
        values = {s.name: s.values[which] for s in family.settings}
        wanted[which] = run_rule(
            fleet(3_600.0, initial=4, max_replicas=40),
            family.make(values),
            Replayed(trace=steps(60.0, 6.0)).blocks(1),
            1,
        )
        assert wanted[which].requests > 100_000
        if "least" in values:
            last = wanted[which].changes[-1].replicas if wanted[which].changes else 4
            assert last >= values["least"]
    assert family.words({s.name: s.first for s in family.settings})


def test_the_season_is_that_of_the_clock() -> None:
    """A day that rises at 9:00; the second half begins at noon, so 21 hours pass until it does again."""
    counts = np.full(2_880, 60.0)
    counts[540:720] = counts[1_980:2_160] = 1_200.0
    whole = Replayed(trace=Trace(name="d", step_s=60.0, counts=counts, start=datetime(2026, 11, 23, tzinfo=UTC)))
    first, second = whole.halves()
    at_start, later = lookback_of(first, None), lookback_of(first, second)
    assert at_start.season is not None and at_start.rates_rps is None
    assert at_start.season_s == later.season_s % 86_400 == 0.0
    assert later.rates_rps is not None and later.rates_rps.size == 5_760
    assert later.rates_rps.mean() == pytest.approx(first.requests / first.length_s)
    assert lookback_of(Replayed(trace=steps(1.0)), None).season is None
