"""Lives of replicas by hand: lags, order of giving up, drains, kills, preemptions, what happens to their requests."""

from __future__ import annotations

import math

import pytest
from simulated_fleets import endings, run, setup_of

from farthing.core.simulation.outcomes import Observation, ReplicaLife
from farthing.core.simulation.setup import BatchingServer, Disruption, Pool
from farthing.core.simulation.simulate import Controller

SPOT = Pool(name="spot", initial=2)
BOTH = ["compiled", "reference"]


def wanting(*numbers: int, pool: str = "on_demand") -> Controller:
    """One number after the other, then the last one for ever."""
    left = list(numbers)
    return lambda _: {pool: left.pop(0) if len(left) > 1 else left[0]}


def preempted(at_s: float, notice_s: float, count: int = 1) -> tuple[Disruption, ...]:
    return (Disruption(at_s=at_s, pool="spot", count=count, notice_s=notice_s),)


def test_a_wanted_replica_starts_loads_and_gets_ready() -> None:
    pool = Pool(name="on_demand", initial=1, start_s=10, load_s=5)
    found = run([], wanting(2), pools=(pool,), control_s=20)
    life = found.lives[1]
    assert (life.requested_s, life.started_s, life.ready_s, life.draining_s, life.gone_s) == (20, 30, 35, None, None)
    assert life.seconds(100) == {"requested": 10, "loading": 5, "ready": 65, "draining": 0}
    assert found.replica_s() == {"on_demand": {"requested": 10, "loading": 5, "ready": 165, "draining": 0}}
    steps = [(event.at_s, event.kind, event.reason) for event in found.events if event.replica == 1]
    assert steps == [(20, "requested", "wanted"), (30, "loading", ""), (35, "ready", "")]


def test_without_lags_it_is_ready_at_once() -> None:
    found = run([10.0, 10.0], wanting(2), control_s=10)
    assert endings(found, 2) == [("answered", 11.0), ("answered", 11.0)]


def test_it_takes_requests_that_arrive_at_the_instant_at_which_it_is_ready() -> None:
    pool = Pool(name="on_demand", start_s=1, load_s=2)
    found = run([12.9, 13.0], wanting(1), pools=(pool,), control_s=10)
    assert endings(found, 2) == [("refused", 12.9), ("answered", 14.0)]


@pytest.mark.parametrize("queues", BOTH)
def test_a_replica_that_is_given_up_ends_what_it_has(queues: str) -> None:
    arrivals_s = [9.5, 9.5, 9.5, 9.5, 10.0]
    found = run(arrivals_s, wanting(1), queues=queues, pools=(Pool(name="on_demand", initial=2),), control_s=10)
    assert endings(found, 5) == [("answered", t) for t in (10.5, 10.5, 11.5, 11.5, 12.5)]
    assert found.records.replica[:5].tolist() == [0, 1, 0, 1, 0]
    life = found.lives[1]
    assert (life.draining_s, life.gone_s, life.reason) == (10, 11.5, "scaled in")
    assert life.seconds(100)["draining"] == 1.5


def test_an_idle_one_is_gone_at_once() -> None:
    found = run([], wanting(0), control_s=10)
    assert (found.lives[0].draining_s, found.lives[0].gone_s) == (10, 10)


def test_what_is_not_drained_in_time_is_lost() -> None:
    slow = BatchingServer(service_s=(10.0,))
    found = run([9.5, 9.6], wanting(0), server=slow, control_s=10, drain_limit_s=2)
    assert endings(found, 2) == [("lost", 12.0), ("lost", 12.0)]
    assert found.lives[0].gone_s == 12
    assert found.totals.busy_s == pytest.approx(2.5)


def test_given_up_are_first_the_requested_then_the_loading_then_the_newest_ready() -> None:
    pool = Pool(name="on_demand", initial=2, start_s=15, load_s=10)
    found = run([], wanting(3, 4, 2, 1), pools=(pool,), control_s=10)
    gone = [(event.replica, event.at_s) for event in found.events if event.kind == "gone"]
    assert gone == [(3, 30.0), (2, 30.0), (1, 40.0)]
    assert (found.lives[3].started_s, found.lives[2].started_s, found.lives[2].ready_s) == (None, 25, None)
    assert found.lives[0].gone_s is None


def test_a_request_that_was_cancelled_never_starts() -> None:
    pool = Pool(name="on_demand", start_s=25, load_s=10)
    found = run([], wanting(1, 0), pools=(pool,), control_s=10)
    life = found.lives[0]
    assert (life.started_s, life.ready_s, life.gone_s) == (None, None, 20)
    assert life.seconds(100) == {"requested": 10, "loading": 0, "ready": 0, "draining": 0}


@pytest.mark.parametrize(("start_s", "load_s"), [(math.inf, 0), (0, math.inf)])
def test_one_that_never_gets_ready_stays_where_it_is(start_s: float, load_s: float) -> None:
    pool = Pool(name="on_demand", start_s=start_s, load_s=load_s)
    found = run([50.0], wanting(1), pools=(pool,), control_s=10)
    assert found.lives[0].ready_s is None and len(found.lives) == 1
    assert found.totals.refused == 1


def test_more_replicas_than_places_are_not_asked_for_and_that_is_said() -> None:
    found = run([], wanting(5), control_s=40, max_replicas=3)
    assert len(found.lives) == 3
    assert [(e.at_s, e.replica) for e in found.events if e.kind == "no place"] == [(40, -1), (80, -1)]


def test_places_are_taken_again() -> None:
    found = run([], wanting(0, 1, 0, 1), control_s=10, max_replicas=1)
    assert [life.requested_s for life in found.lives] == [0, 20, 40]


@pytest.mark.parametrize("queues", BOTH)
def test_a_kill_loses_all_that_the_replica_holds(queues: str) -> None:
    kill = Disruption(at_s=0.75, pool="on_demand", kind="killed")
    found = run([0.0, 0.5, 0.75], queues=queues, disruptions=(kill,))
    assert endings(found, 3) == [("lost", 0.75), ("lost", 0.75), ("refused", 0.75)]
    assert (found.lives[0].gone_s, found.lives[0].reason, found.lives[0].draining_s) == (0.75, "killed", None)
    assert found.totals.busy_s == pytest.approx(0.75)


def test_a_batch_that_ends_at_the_instant_of_the_kill_is_answered() -> None:
    kill = Disruption(at_s=1.0, pool="on_demand", kind="killed")
    assert endings(run([0.0, 0.5], disruptions=(kill,)), 2) == [("answered", 1.0), ("lost", 1.0)]


@pytest.mark.parametrize("queues", BOTH)
def test_a_notice_sends_on_what_waits_and_lets_what_runs_end(queues: str) -> None:
    found = run([0.0, 0.1, 0.2], queues=queues, pools=(SPOT,), disruptions=preempted(0.5, 2))
    assert endings(found, 3) == [("answered", 1.0), ("answered", 1.1), ("answered", 2.1)]
    assert found.records.replica[:3].tolist() == [0, 1, 1]
    assert found.totals.requeued == 1
    assert (found.lives[0].draining_s, found.lives[0].gone_s, found.lives[0].reason) == (0.5, 1.0, "preempted")


@pytest.mark.parametrize("queues", BOTH)
def test_what_still_runs_when_the_notice_is_over_goes_to_others(queues: str) -> None:
    found = run([0.0, 0.1, 0.2], queues=queues, pools=(SPOT,), disruptions=preempted(0.5, 0.25))
    assert endings(found, 3) == [("answered", pytest.approx(t)) for t in (3.1, 1.1, 2.1)]
    assert found.totals.requeued == 2
    assert found.lives[0].gone_s == 0.75
    assert found.totals.busy_s == pytest.approx(3.75)
    assert found.totals.wait_s == pytest.approx(2.1 + 0 + 0.9)


@pytest.mark.parametrize(
    ("held_limit", "ends"), [(0, [("lost", 0.5)] * 2), (5, [("answered", 12.0), ("answered", 11.0)])]
)
def test_with_no_other_replica_they_are_held_or_lost(held_limit: int, ends: list[tuple[str, float]]) -> None:
    found = run(
        [0.0, 0.1],
        wanting(1, pool="spot"),
        pools=(Pool(name="spot", initial=1),),
        disruptions=preempted(0.5, 0),
        held_limit=held_limit,
        control_s=10,
    )
    assert endings(found, 2) == ends
    assert len(found.lives) == 2


def test_replicas_that_are_preempted_together_send_nothing_to_each_other() -> None:
    pools = (SPOT, Pool(name="on_demand", initial=1))
    found = run([0.0] * 6, pools=pools, disruptions=preempted(0.5, 2, count=2))
    assert found.records.replica[:6].tolist() == [0, 1, 2, 2, 2, 2]
    assert found.totals.requeued == 2


def test_disruptions_take_the_oldest_that_are_not_under_notice() -> None:
    slow = BatchingServer(service_s=(10.0,))
    twice = preempted(0.5, 30) + preempted(0.6, 30)
    found = run([0.0, 0.0], server=slow, pools=(SPOT,), disruptions=twice)
    assert [life.draining_s for life in found.lives] == [0.5, 0.6]


def test_one_that_drains_can_be_preempted_and_sends_on_what_waits() -> None:
    pools = (Pool(name="spot", initial=1), Pool(name="on_demand", initial=1))
    found = run(
        [9.0, 9.0, 9.0, 9.0], wanting(0, pool="spot"), pools=pools, control_s=9.5, disruptions=preempted(9.75, 9)
    )
    assert found.records.replica[:4].tolist() == [0, 1, 1, 1]
    assert (found.lives[0].draining_s, found.lives[0].gone_s, found.lives[0].reason) == (9.5, 10.0, "preempted")


@pytest.mark.parametrize("kind", ["killed", "preempted"])
def test_one_that_is_not_ready_is_gone_at_once(kind: str) -> None:
    pool = Pool(name="spot", start_s=1, load_s=5)
    taken = Disruption(at_s=13.0, pool="spot", kind=kind, notice_s=0 if kind == "killed" else 60)
    found = run([], wanting(1, pool="spot"), pools=(pool,), control_s=10, horizon_s=15.0, disruptions=(taken,))
    assert (found.lives[0].started_s, found.lives[0].ready_s, found.lives[0].gone_s) == (11, None, 13)


def test_a_taken_replica_is_replaced_when_the_controller_is_asked_next() -> None:
    pool = Pool(name="spot", initial=1)
    found = run([], wanting(1, pool="spot"), pools=(pool,), control_s=10, disruptions=preempted(13, 0))
    assert [life.requested_s for life in found.lives] == [0, 20]


def test_a_disruption_of_nobody_changes_nothing() -> None:
    pool = Pool(name="spot", initial=0)
    assert run([0.0], pools=(pool,), disruptions=preempted(0, 1, count=9)).lives == ()


def test_requests_held_for_a_ready_replica_go_in_their_order_and_what_it_does_not_take_is_refused() -> None:
    pool = Pool(name="on_demand", load_s=5)
    server = BatchingServer(service_s=(1.0,), queue_limit=2)
    found = run([1.0, 2.0, 3.0, 4.0], wanting(1), server=server, pools=(pool,), control_s=10, held_limit=3)
    assert endings(found, 4) == [("answered", 16.0), ("answered", 17.0), ("refused", 15.0), ("refused", 4.0)]


def test_the_controller_sees_its_interval_and_the_fleet() -> None:
    seen: list[Observation] = []

    def controller(observation: Observation) -> dict[str, int]:
        seen.append(observation)
        return {"on_demand": 2, "spot": 1}

    pools = (Pool(name="on_demand", initial=1), Pool(name="spot", start_s=3, load_s=4))
    run([0.5, 1.0, 9.5, 9.75, 11.0], controller, pools=pools, control_s=10, horizon_s=30.0)
    assert len(seen) == 2
    first, second = seen
    assert (first.start_s, first.at_s, second.start_s, second.at_s) == (0, 10, 10, 20)
    assert (first.arrived, first.answered, first.in_flight, first.waiting) == (4, 2, 2, 1)
    assert first.busy_s == pytest.approx(2.5)
    assert first.mean_in_flight == pytest.approx((1 + 1.5 + 0.5 + 0.25) / 10)
    assert first.replicas["on_demand"] == {"requested": 0, "loading": 0, "ready": 1, "draining": 0}
    assert (second.arrived, second.answered, second.in_flight) == (1, 3, 0)
    assert second.replicas["on_demand"]["ready"] == 2 and second.replicas["spot"]["ready"] == 1


def test_pools_that_the_controller_leaves_out_stay() -> None:
    found = run([], lambda _: {}, control_s=10)
    assert found.lives == (
        ReplicaLife(
            number=0, pool="on_demand", requested_s=0, started_s=0, ready_s=0, draining_s=None, gone_s=None, reason=""
        ),
    )


@pytest.mark.parametrize("wish", [{"on_demand": -1}, {"on_demand": 1.5}, {"on_demand": math.nan}, {"sopt": 1}])
def test_a_wish_that_makes_no_sense_is_refused(wish: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"at 10 s the controller wants .* of '(on_demand|sopt)'"):
        run([], lambda _: wish, control_s=10)  # type: ignore[arg-type,return-value]


def test_no_controller_is_asked_at_the_horizon_or_without_an_interval() -> None:
    asked: list[float] = []

    def controller(seen: Observation) -> dict[str, int]:
        asked.append(seen.at_s)
        return {}

    run([], controller, control_s=50)
    assert asked == [50]
    run([], controller, setup=setup_of())
    assert asked == [50]
