"""Queues, balancing, deadlines and draws of a fleet that does not change, by hand and by their laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from simulated_fleets import endings, run

from farthing.core.simulation.arrival_blocks import poisson_blocks
from farthing.core.simulation.setup import BatchingServer, Pool, Promise, Setup, Shedding, Window
from farthing.core.simulation.simulate import simulate
from farthing.core.traffic.service_curve import ServiceCurve

THREE = (Pool(name="on_demand", initial=3),)
IN_PAIRS = BatchingServer(service_s=(1.0, 1.5))


def test_what_waits_is_the_next_batch() -> None:
    found = run([0.0, 0.1, 0.2, 0.3], server=IN_PAIRS)
    assert endings(found, 4) == [("answered", t) for t in (1.0, 2.5, 2.5, 3.5)]
    assert found.records.batch[:4].tolist() == [0, 1, 1, 2]
    assert found.totals.batches == 3


def test_what_arrives_at_one_instant_goes_together() -> None:
    assert endings(run([0.0, 0.0], server=IN_PAIRS), 2) == [("answered", 1.5)] * 2


def test_a_request_that_arrives_as_a_batch_ends_is_in_the_next_one() -> None:
    assert endings(run([0.0, 0.5, 1.0], server=IN_PAIRS), 3) == [("answered", t) for t in (1.0, 2.5, 2.5)]


def test_workers_of_a_replica_share_its_queue() -> None:
    server = BatchingServer(service_s=(1.0, 1.5), instances=2)
    found = run([0.0, 0.1, 0.2, 0.3], server=server)
    assert endings(found, 4) == [("answered", t) for t in (1.0, 1.1, 2.5, 2.5)]


def test_the_queue_has_a_limit() -> None:
    server = BatchingServer(service_s=(1.0,), queue_limit=2)
    found = run([0.0, 0.1, 0.2, 0.3, 1.01], server=server)
    assert endings(found, 5) == [
        ("answered", 1.0),
        ("answered", 2.0),
        ("answered", 3.0),
        ("refused", 0.3),
        ("answered", 4.0),
    ]


@pytest.mark.parametrize("queues", ["compiled", "reference"])
def test_round_robin_goes_round(queues: str) -> None:
    found = run([0.1 * k for k in range(7)], queues=queues, pools=THREE, balancing="round_robin")
    assert found.records.replica[:7].tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_least_outstanding_goes_to_the_first_of_the_least_loaded() -> None:
    found = run([0.0, 0.1, 0.2, 0.3, 1.05, 1.06, 1.15, 1.25], pools=THREE, balancing="least_outstanding")
    # at 1.05 each has one; at 1.15 the second has only what came at 1.06; at 1.25 the third is idle
    assert found.records.replica[:8].tolist() == [0, 1, 2, 0, 0, 1, 1, 2]


def test_random_takes_each_ready_replica_alike() -> None:
    server = BatchingServer(service_s=(1e-4,))
    setup = Setup(server=server, pools=THREE, horizon_s=60.0, balancing="random", record=Window(count=5000))
    found = simulate(setup, poisson_blocks(100, 1))
    seen = np.bincount(found.records.replica[:5000])
    assert seen == pytest.approx([5000 / 3] * 3, abs=4 * math.sqrt(5000 * 2 / 9))


def test_who_waited_past_the_deadline_is_not_run_and_who_is_late_counts_as_late() -> None:
    found = run([0.0, 0.1, 0.2], promise=Promise(latency_s=1.0, deadline_s=1.5))
    assert endings(found, 3) == [("answered", 1.0), ("answered", 2.0), ("expired", 2.0)]
    assert (found.totals.within_promise, found.totals.late, found.totals.expired) == (1, 1, 1)
    assert found.attainment_frac == pytest.approx(1 / 3)


def test_a_latency_of_exactly_the_promise_keeps_it_and_of_exactly_the_deadline_is_in_time() -> None:
    found = run([0.0, 0.0, 0.0], promise=Promise(latency_s=2.0, deadline_s=2.0))
    assert endings(found, 3) == [("answered", 1.0), ("answered", 2.0), ("answered", 3.0)]
    assert (found.totals.within_promise, found.totals.late) == (2, 1)


def test_expired_requests_make_room_in_the_batch() -> None:
    server = BatchingServer(service_s=(4.0, 4.0))
    found = run([0.0, 0.5, 3.0, 3.5], server=server, promise=Promise(deadline_s=2.0))
    assert endings(found, 4) == [("answered", 4.0), ("expired", 4.0), ("answered", 8.0), ("answered", 8.0)]


def test_shedding_refuses_whose_predicted_answer_is_late() -> None:
    promise = Promise(deadline_s=1.5, shedding=Shedding(margin=1.0))
    found = run([0.0, 0.1, 0.6], promise=promise)  # predicted after 1.9 s and 1.4 s
    assert endings(found, 3) == [("answered", 1.0), ("refused", 0.1), ("answered", 2.0)]


def test_the_margin_of_shedding_grows_with_what_is_refused() -> None:
    quick = Shedding(margin=1.5, overloaded_frac=0.5, memory_requests=1)
    found = run([0.0, 0.1, 0.6], promise=Promise(deadline_s=1.5, shedding=quick))  # 1.4 s is 2.1 s with the margin
    assert endings(found, 3)[1:] == [("refused", 0.1), ("refused", 0.6)]


def test_shedding_counts_the_full_batches_in_front() -> None:
    promise = Promise(deadline_s=4.0, shedding=Shedding(margin=1.0))
    found = run([0.0, 0.0, 0.5, 0.5, 0.5], server=IN_PAIRS, promise=promise)
    # at 0.5 the pair in work has 1 s to go: 1 + 1, 1 + 1.5 and 1 + 1.5 + 1.5 s are predicted
    assert [outcome for outcome, _ in endings(found, 5)] == ["answered"] * 5
    tight = Promise(deadline_s=3.0, shedding=Shedding(margin=1.0))
    found = run([0.0, 0.0, 0.5, 0.5, 0.5], server=IN_PAIRS, promise=tight)
    assert [outcome for outcome, _ in endings(found, 5)] == ["answered"] * 4 + ["refused"]


@pytest.mark.parametrize("queues", ["compiled", "reference"])
def test_service_longer_than_the_deadline_leaves_nothing_in_time(queues: str) -> None:
    server = BatchingServer(service_s=(2.0, 2.0))
    promise = Promise(latency_s=1.0, deadline_s=1.0)
    found = run(list(np.arange(0, 90, 0.4)), queues=queues, server=server, promise=promise)
    totals = found.totals
    assert (totals.within_promise, found.attainment_frac) == (0, 0)
    assert totals.late == totals.answered > 0 and totals.expired > 0


@pytest.mark.parametrize("blocks", [[], [[]], [[], []]])
@pytest.mark.parametrize("queues", ["compiled", "reference"])
def test_no_traffic_costs_replicas_and_answers_nobody(blocks: list[list[float]], queues: str) -> None:
    setup = Setup(server=IN_PAIRS, pools=THREE, horizon_s=50.0, control_s=10.0)
    found = simulate(setup, blocks, lambda seen: {"on_demand": 3}, queues=queues)  # type: ignore[arg-type]
    assert found.totals.arrived == found.latencies.n == 0
    assert math.isnan(found.percentile_s(0.99)) and math.isnan(found.attainment_frac)
    assert found.replica_s()["on_demand"]["ready"] == 150


def test_the_horizon_ends_it() -> None:
    found = run([98.5, 99.0, 99.75, 100.0, 101.0])
    assert [outcome for outcome, _ in endings(found, 3)] == ["answered", "unfinished", "unfinished"]
    assert np.isnan(found.records.end_s[1:]).all()
    assert (found.totals.arrived, found.totals.in_flight, found.totals.waiting) == (3, 2, 1)
    assert found.totals.busy_s == pytest.approx(1.5)


def test_a_batch_that_ends_at_the_horizon_is_answered() -> None:
    assert endings(run([99.0]), 1) == [("answered", 100.0)]


def test_an_endless_stream_is_read_up_to_the_horizon_only() -> None:
    setup = Setup(server=IN_PAIRS, pools=THREE, horizon_s=50.0)
    assert simulate(setup, poisson_blocks(10, 3, block=7)).totals.arrived == pytest.approx(500, abs=100)


def test_time_in_flight_is_the_sum_of_latencies_when_all_are_answered() -> None:
    found = run(list(np.sort(np.random.default_rng(4).uniform(0, 60, 150))), pools=THREE)
    assert found.totals.answered == 150
    assert found.totals.in_flight_s == pytest.approx(found.totals.latency_s)
    assert found.totals.busy_s == pytest.approx(150)
    assert found.totals.latency_s == pytest.approx(found.totals.wait_s + 150)


def test_the_same_seed_is_the_same_run_and_another_is_not() -> None:
    server = BatchingServer(service_s=(0.4, 0.5), sigma=0.3)
    arrivals_s = list(np.sort(np.random.default_rng(4).uniform(0, 60, 150)))
    first, again, other = (run(arrivals_s, server=server, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.records.end_s, again.records.end_s)
    assert first.totals == again.totals
    assert first.totals.latency_s != other.totals.latency_s


def test_two_fleets_of_one_seed_draw_alike_for_the_same_batch_of_the_same_replica() -> None:
    server = BatchingServer(service_s=(0.4,), sigma=0.3)
    arrivals_s = list(np.sort(np.random.default_rng(4).uniform(0, 60, 150)))
    found = [run(arrivals_s, server=server, pools=(Pool(name="p", initial=k),)).records for k in (2, 3)]
    drawn = [{(r, b): e - s for r, b, s, e in zip(f.replica, f.batch, f.start_s, f.end_s) if b >= 0} for f in found]
    both = drawn[0].keys() & drawn[1].keys()
    assert len(both) > 80
    assert [drawn[0][k] for k in both] == pytest.approx([drawn[1][k] for k in both], abs=1e-12)


@pytest.mark.parametrize("seed", [2**63, 2**64 - 1])
def test_large_seeds(seed: int) -> None:
    server = BatchingServer(service_s=(0.4,), sigma=0.3)
    a, b = (run([0.0, 0.1], queues=q, server=server, seed=seed, balancing="random") for q in ("compiled", "reference"))
    np.testing.assert_array_equal(a.records.end_s, b.records.end_s)


def test_a_server_is_made_of_what_was_measured() -> None:
    curve = ServiceCurve.exact(sizes=(1, 4), seconds=(0.01, 0.025), sigma=0.1)
    server = BatchingServer.of(curve, instances=2, max_batch=4)
    assert server.service_s == pytest.approx((0.01, 0.015, 0.02, 0.025))
    assert (server.sigma, server.instances, server.max_batch) == (0.1, 2, 4)


@pytest.mark.parametrize("rho", [0.5, 0.8])
def test_mean_wait_of_mmc(rho: float) -> None:
    c = 4
    a = c * rho
    queued = a**c / math.factorial(c) / (1 - rho)
    erlang_c = queued / (sum(a**i / math.factorial(i) for i in range(c)) + queued)
    server = BatchingServer(service_s=(1.0,), spread="exponential", instances=c, queue_limit=100_000)
    setup = Setup(server=server, pools=(Pool(name="p", initial=1),), horizon_s=300_000.0, seed=1)
    totals = simulate(setup, poisson_blocks(a, 2)).totals
    assert totals.wait_s / totals.answered == pytest.approx(erlang_c / (c - a), rel=0.05)
