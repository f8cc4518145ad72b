"""The loop on a pool that only counts: what the rule is shown, what is said, written and paid."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from farthing.core.simulation.rules.live import LivePolicy
from farthing.core.simulation.rules.written import WrittenRule
from farthing.errors import InputError
from farthing.nouns import Candidate, FleetSeen, LocalModel, ScalingDecision
from farthing.serve.scaling.fleet_bill import FleetBill
from farthing.serve.scaling.loop import HOLDS_A_ROW, ScalingLoop
from farthing.serve.scaling.policy_clock import PolicyClock
from farthing.serve.scaling.scaled_model import ScaledModel, with_scaling
from farthing.wire.requests import LiveModel, Problem
from farthing.workers.pool import Pool
from farthing.workers.scaled_crew import Headcount, Roster
from farthing.workers.tally import Counted, Tally


class SetClock:
    """Time as it was set."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic_s(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class CountingPool:
    """Replicas are ready at once, as many as there is memory for."""

    def __init__(self, clock: SetClock, most: int = 99) -> None:
        self.clock, self.most, self.ready = clock, most, 1
        self.tally = Tally(promise_s=0.05, now_s=clock.now_s)
        self.tally.has_ready(1, clock.now_s)

    def headcount(self, model: LiveModel) -> Headcount:
        return Headcount(ready=self.ready, starting=0, leaving=0)

    def counted(self, model: LiveModel) -> Counted:
        return self.tally.counted(self.clock.now_s, 0.0)

    def scale(self, model: LiveModel, wanted: int) -> int:
        self.ready = min(wanted, self.most)
        self.tally.has_ready(self.ready, self.clock.now_s)
        return self.ready

    def turned_away(self, model: LiveModel) -> None:
        self.tally.turned_away()


class NoQueue:
    waiting = 0


class Rule:
    """Wants what it is told."""

    name, interval_s, assumed = "told", 10.0, ()

    def __init__(self, wanted: Callable[[FleetSeen], int]) -> None:
        self.wanted, self.seen = wanted, list[FleetSeen]()

    def decide(self, seen: FleetSeen) -> ScalingDecision:
        self.seen.append(seen)
        return ScalingDecision(replicas=self.wanted(seen), reason="told so")


class Watched:
    """A loop, its clock and pool, and what it wrote and said."""

    def __init__(self, wanted: Callable[[FleetSeen], int], *, most: int = 99, **said: Any) -> None:
        spec = LocalModel(
            name="m",
            path=Path(__file__),
            candidate=Candidate(
                engine="onnxruntime", variant="fp32", precision="fp32", max_batch=4, instances=1, threads=1
            ),
            deadline_s=0.05,
        )
        policy = LivePolicy(rule=WrittenRule(name="HPA on CPU"), **{"max_replicas": 2, **said})
        _, scaled = with_scaling((spec,), policy, cores=2)
        self.clock, self.rows, self.lines = SetClock(), list[tuple[str, Mapping[str, Any]]](), list[str]()
        self.loop = ScalingLoop(
            policy,
            scaled,
            self.clock,
            decided=lambda what, row: self.rows.append((what, row)),
            say=self.lines.append,
        )
        self.rule = Rule(wanted)
        self.loop.scaler = self.rule
        self.pool = CountingPool(self.clock, most)
        self.loop.attach(cast("Pool", self.pool))
        self.model = LiveModel(
            spec=scaled.spec, inputs=(), outputs=(), batched=True, queue=cast("Any", NoQueue()), state="ready"
        )
        self.loop.follow(self.model)
        self.loop.clock.begin(self.clock.now_s)

    def step(self, seconds: float = 10.0) -> None:
        self.clock.now_s += seconds
        self.loop.step()

    def of(self, what: str) -> list[Mapping[str, Any]]:
        return [row for name, row in self.rows if name == what]


def test_the_rule_is_shown_an_interval_of_its_own_clock_at_the_rates_there_are() -> None:
    watched = Watched(lambda seen: 1, time_lapse=60.0)
    tally, clock = watched.pool.tally, watched.clock
    for _ in range(30):
        tally.came(clock.now_s)
        tally.left(clock.now_s, 0.02)
    tally.came(clock.now_s)
    tally.left(clock.now_s, 0.2)
    tally.came(clock.now_s)
    tally.left(clock.now_s, None)
    tally.came(clock.now_s)
    tally.busy_s += 0.5
    watched.step(1.0)
    seen = watched.rule.seen[0]
    assert (seen.at_s, seen.interval_s, seen.arrived_rps) == (60.0, 60.0, 33.0)
    assert (seen.arrived, seen.answered, seen.within_promise, seen.failed) == (1980, 1860, 1800, 60)
    assert (seen.in_flight, seen.mean_in_flight, seen.busy_frac, seen.ready) == (1, 1.0, 0.5, 1)
    assert watched.loop.totals() == (33, 31, 30, 1)


def test_changes_have_a_row_each_and_holds_share_one() -> None:
    watched = Watched(lambda seen: 1 if seen.at_s < 10 * (HOLDS_A_ROW + 5) else 2)
    for _ in range(HOLDS_A_ROW + 6):
        watched.step()
    assert [row["decisions"] for row in watched.of("scaling_held")] == [HOLDS_A_ROW, 4]
    (row,) = watched.of("scaled")
    assert (row["from"], row["to"], row["reason"], row["rule"], row["model"]) == (1, 2, "told so", "HPA on CPU", "m")
    assert watched.lines == ["scaled m 1 → 2: told so"]
    assert watched.pool.ready == 2
    assert watched.loop.decisions == HOLDS_A_ROW + 6
    assert watched.loop.changed == 1


def test_the_policy_bounds_what_the_rule_wants() -> None:
    watched = Watched(lambda seen: 7)
    watched.step()
    assert watched.pool.ready == 2
    assert watched.of("scaled")[0]["reason"] == "told so; held to the policy's 1 to 2"


def test_memory_that_is_short_is_said_and_tried_again() -> None:
    watched = Watched(lambda seen: 2, most=1)
    watched.step()
    assert "memory is enough for 1" in watched.lines[0]
    watched.pool.most = 2
    watched.step()
    assert watched.pool.ready == 2
    assert len(watched.of("scaled")) == 1


def test_a_rule_that_fails_leaves_replicas_as_they_are_and_is_said_once() -> None:
    def fails(seen: FleetSeen) -> int:
        raise RuntimeError("no such metric")

    async def main(watched: Watched) -> None:
        watched.rule.interval_s = 0.01
        watched.loop.start()
        for _ in range(20):
            watched.clock.now_s += 0.01
            await asyncio.sleep(0.005)
        await watched.loop.stop()

    watched = Watched(fails)
    asyncio.run(main(watched))
    assert watched.lines == ["not scaled, replicas stay as they are: RuntimeError: no such metric"]
    assert len(watched.of("scaling_failed")) == 1
    assert watched.pool.ready == 1


def test_requests_that_were_turned_away_by_their_head_count() -> None:
    watched = Watched(lambda seen: 1)
    watched.loop.failed(watched.model, "http", Problem(503, "full"), None)
    watched.loop.failed(watched.model, "http", Problem(400, "no JSON"), None)
    watched.loop.failed(None, "http", Problem(503, "starting"), None)
    watched.step()
    assert (watched.rule.seen[0].arrived, watched.rule.seen[0].failed) == (1, 1)


def test_another_version_goes_on_where_the_last_one_was() -> None:
    watched = Watched(lambda seen: 2)
    watched.pool.tally.came(watched.clock.now_s)
    watched.pool.tally.left(watched.clock.now_s, 0.01)
    watched.step()
    newer = LiveModel(
        spec=watched.model.spec, inputs=(), outputs=(), batched=True, queue=cast("Any", NoQueue()), state="ready"
    )
    old = watched.pool.tally
    watched.pool.tally = Tally(now_s=watched.clock.now_s)
    watched.loop._past = (1, 1, 1, 0)
    watched.loop._model = None
    watched.loop.follow(newer)
    watched.step()
    assert watched.rule.seen[-1].arrived == 0
    assert watched.loop.totals() == (1, 1, 1, 0)
    assert old.counted(watched.clock.now_s, 0.0).arrived == 1


def test_whole_seconds_are_billed_from_the_machine_on_a_minute_at_least() -> None:
    clock, roster = PolicyClock(2.0), Roster()
    clock.begin(100.0)
    bill = FleetBill(roster, clock, minimum_s=60.0, usd_per_hour=3.6)
    roster.on_gone = bill.close
    first, second, never = roster.ask(90.0), roster.ask(110.0), roster.ask(110.0)
    first.started_s, second.started_s = 90.0, 115.0
    assert bill.seconds(100.0) == 60 + 60  # from the beginning of the policy's clock on
    assert bill.seconds(150.2) == 101 + 71
    roster.bury(second, 140.0, "scaled in")
    roster.bury(never, 140.0, "scaled in before it was ready")
    assert bill.seconds(200.0) == 200 + 60
    assert bill.usd(200.0) == pytest.approx(0.26)
    assert FleetBill(roster, clock, minimum_s=0.0, usd_per_hour=None).usd(200.0) is None


def local(name: str = "m", **more: Any) -> LocalModel:
    candidate = Candidate(
        engine="onnxruntime", variant="fp32", precision="fp32", max_batch=4, instances=2, threads=more.pop("threads", 1)
    )
    return LocalModel(name=name, path=Path(__file__), candidate=candidate, **more)


@pytest.mark.parametrize(
    ("rule", "said", "wrong"),
    [
        ("Ray Serve", {}, "its requests in flight is not known"),
        ("HPA on CPU", {"model": "other"}, r"scales other, and no such model runs here \(there are: a, b\)"),
        ("HPA on CPU", {}, "does not say which of 2 models is scaled"),
        ("HPA on CPU", {"model": "a", "max_replicas": 3}, "3 replicas of 1 threads need 3 cores; there are 2"),
        ("HPA on CPU", {"model": "a", "emulated": True}, "fit on the 2 cores of this machine"),
        ("HPA on CPU", {"model": "a", "emulated": True, "max_replicas": 3}, "a has no profiled service times"),
        ("HPA on CPU", {"model": "a", "min_replicas": 0}, "does not come back from 0 replicas"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused(rule: str, said: Mapping[str, Any], wrong: str) -> None:
    policy = LivePolicy(rule=WrittenRule(name=rule), **{"max_replicas": 2, **said})
    specs = (local("a"),) if rule == "Ray Serve" else (local("a"), local("b"))
    with pytest.raises(InputError, match=wrong):
        with_scaling(specs, policy, cores=2)


def test_several_versions_of_the_model_are_not_scaled() -> None:
    policy = LivePolicy(rule=WrittenRule(name="HPA on CPU"), max_replicas=2, model="a")
    with pytest.raises(InputError, match="several versions are served: 1, 2"):
        with_scaling((local("a"), local("a", version="2")), policy, cores=2)


def test_workers_of_several_threads_need_a_core_for_each() -> None:
    policy = LivePolicy(rule=WrittenRule(name="HPA on CPU"), max_replicas=2)
    with pytest.raises(InputError, match="2 replicas of 2 threads need 4 cores"):
        with_scaling((local(threads=2, service_ms={1: 5.0}),), policy, cores=2)
    assert with_scaling((local(threads=2),), policy, cores=2)[1].bounds.cores == 1.0  # nobody measured two threads


def test_a_plans_figures_are_shared_by_its_workers() -> None:
    spec = LocalModel(
        name="m",
        path=Path(__file__),
        candidate=Candidate(engine="openvino", variant="int8", precision="int8", max_batch=8, instances=2, threads=1),
        deadline_s=0.05,
        service_ms={1: 10.0, 8: 40.0},
        capacity_rps=200.0,
    )
    policy = LivePolicy(rule=WrittenRule(name="Ray Serve"), max_replicas=2)
    (loaded,), scaled = with_scaling((spec,), policy, cores=2)
    assert isinstance(scaled, ScaledModel)
    assert scaled.bounds.rate_rps == pytest.approx(200.0 * 1.15 / 2)
    assert scaled.bounds.in_flight == 16.0
    assert scaled.promise_s == 0.05
    assert (loaded.candidate.instances, loaded.inline, loaded.capacity_rps) == (1, "never", None)  # type: ignore[union-attr]
