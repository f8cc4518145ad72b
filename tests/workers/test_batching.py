"""What waits, what goes together, what is refused: decisions as pure functions, then a queue with a made-up runner."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import numpy as np
import pytest
from driven_pool import run
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.testing import FakeClock
from farthing.wire.requests import Answer, Problem, Request
from farthing.workers.batching import Batch, BatchQueue, Outcome
from farthing.workers.curve import Curve, predicted_wait_s, sizes_to_time
from farthing.workers.lanes import AGEING_S, Lanes
from farthing.workers.restarts import SOLO_DEATHS, Death

OUTSIDE = Death(how="SIGKILL", own=False)
CRASH = Death(how="SIGSEGV", own=True)


def request(**fields: Any) -> Request:
    return Request(model=None, reply=lambda *_: None, **fields)  # type: ignore[arg-type]


def filled(requests: list[Request], max_rows: int = 4) -> Lanes:
    lanes = Lanes(max_rows)
    for one in requests:
        lanes.add(one)
    return lanes


def everything(lanes: Lanes, now_s: float = 0.0) -> list[list[Request]]:
    batches = []
    while lanes.requests:
        batch, _ = lanes.take(now_s)
        batches.append(batch)
    return batches


# — lanes ——————————————————————————————————————————————————————————————————————————————————————————


def test_first_come_first_served_in_full_batches() -> None:
    requests = [request(arrived_s=k) for k in range(10)]
    batches = everything(filled(requests))
    assert [len(b) for b in batches] == [4, 4, 2]
    assert [r for b in batches for r in b] == requests


def test_requests_of_several_rows_fill_a_batch_but_never_overfill_it() -> None:
    requests = [request(arrived_s=k, rows=rows) for k, rows in enumerate([3, 3, 1, 4, 1])]
    batches = everything(filled(requests))
    assert [[r.rows for r in b] for b in batches] == [[3, 1], [3, 1], [4]]


def test_shapes_and_payloads_do_not_mix() -> None:
    requests = [
        request(arrived_s=0, shape_key=(3,)),
        request(arrived_s=1, shape_key=(4,)),
        request(arrived_s=2, shape_key=(3,)),
        request(arrived_s=3, payloads=["x"], shape_key=(3,)),
    ]
    batches = everything(filled(requests))
    assert [[requests.index(r) for r in b] for b in batches] == [[0, 2], [1], [3]]


def test_priorities_go_first_but_age() -> None:
    plain, low = request(arrived_s=10.0), request(arrived_s=10.0, priority=9)
    high = request(arrived_s=10.0 + AGEING_S, priority=1)
    later = request(arrived_s=10.0 + 5 * AGEING_S)
    lanes = filled([low, plain, high, later], max_rows=1)
    assert [b[0] for b in everything(lanes)] == [high, plain, low, later]
    beyond = filled([request(arrived_s=0.0, priority=1000), request(arrived_s=0.1)], max_rows=1)
    assert everything(beyond)[0][0].priority == 0


def test_short_texts_do_not_wait_in_the_batch_of_long_ones() -> None:
    lengths = [500, 20, 22, 480, 18, 510, 25, 5]
    requests = [request(arrived_s=k, length=length) for k, length in enumerate(lengths)]
    batches = everything(filled(requests))
    assert [[r.length for r in b] for b in batches] == [[500, 510, 480], [20, 22, 18, 25], [5]]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 600), st.integers(0, 9), st.integers(0, 2)), max_size=60),
    st.booleans(),
)
def test_each_request_leaves_exactly_once_and_the_oldest_leads(specs: list[Any], varied: bool) -> None:
    requests = [
        request(arrived_s=k * 0.01, rows=rows, length=length if varied else 0, priority=priority, shape_key=key)
        for k, (rows, length, priority, key) in enumerate(specs)
    ]
    lanes = filled(requests)
    assert (lanes.requests, lanes.rows) == (len(requests), sum(r.rows for r in requests))
    left = list(requests)
    while lanes.requests:
        first = min(left, key=lambda r: (r.arrived_s + AGEING_S * ((r.priority or 5) - 5), r.arrived_s))
        batch, late = lanes.take(0.0)
        assert first in batch
        assert not late
        assert sum(r.rows for r in batch) <= 4
        assert len({r.shape_key for r in batch}) == 1
        lengths = [max(r.length, 16) for r in batch]
        assert max(lengths) <= 2 * min(lengths)
        left = [r for r in left if not any(r is b for b in batch)]
        assert lanes.requests == len(left)
        assert lanes.rows == sum(r.rows for r in left)
    assert not left


def test_late_ones_are_handed_back_and_retried_ones_go_first_and_alone() -> None:
    requests = [request(arrived_s=k, deadline_s=5.0 if k % 2 else math.inf) for k in range(6)]
    retried = request(arrived_s=9, deaths=1)
    lanes = filled([*requests, retried])
    batch, late = lanes.take(6.0)
    assert (batch, late) == ([retried], [])
    batch, late = lanes.take(6.0)
    assert batch == requests[::2]
    assert late == requests[1::2]
    assert (lanes.requests, lanes.rows) == (0, 0)
    lanes = filled([*requests, request(deaths=1, deadline_s=1.0)])
    assert len(lanes.expire(6.0)) == 4
    assert lanes.requests == 3


# — curve ——————————————————————————————————————————————————————————————————————————————————————————


def test_a_curve_never_falls_and_follows_what_is_seen() -> None:
    curve = Curve(8, {1: 0.010, 4: 0.008, 8: 0.040})
    base = [curve.base_s(k) for k in range(1, 9)]
    assert base == sorted(base)
    assert base[0] == base[3] == 0.010
    assert base[7] == 0.040
    for _ in range(100):
        curve.observe(1, 0.020)
    assert curve.expected_s(8) == pytest.approx(0.080, rel=0.01)
    for _ in range(3):
        curve.observe(1, 100.0)
    assert curve.expected_s(1) < 0.1
    assert Curve(3, {}).expected_s(3) > 0
    assert sizes_to_time(12) == [1, 2, 4, 8, 12]
    assert sizes_to_time(1) == [1]


def test_waiting_grows_by_whole_batches_and_shrinks_with_instances() -> None:
    curve = Curve(4, {1: 0.01, 4: 0.04})
    waits = [
        predicted_wait_s(curve, rows_waiting=rows, max_rows=4, instances=1, soonest_s=0.02) for rows in (0, 3, 4, 9)
    ]
    assert waits == pytest.approx([0.02, 0.02, 0.06, 0.10])
    assert predicted_wait_s(curve, rows_waiting=8, max_rows=4, instances=2, soonest_s=0.0) == pytest.approx(0.04)


# — the queue with a runner that does what it is told ————————————————————————————————————————————————


class Hand:
    """Keeps its batch until told."""

    def __init__(self, inline: bool = False) -> None:
        self.inline = inline
        self.batches: list[Batch] = []

    def run(self, batch: Batch) -> None:
        self.batches.append(batch)


def outputs(batch: Batch) -> list[Any]:
    return [np.concatenate([np.asarray(r.tensors[0]) for r in batch.requests]) * 2]  # type: ignore[index]


class Scene:
    def __init__(self, **settings: Any) -> None:
        self.clock = FakeClock(100.0)
        known = {"max_rows": 4, "max_waiting": 100, "max_delay_s": 0.0, "curve": Curve(4, {1: 0.01, 4: 0.04})}
        self.queue = BatchQueue(clock=self.clock, **{**known, **settings})
        self.got: dict[int, list[Any]] = {}

    def ask(self, number: int, **fields: Any) -> None:
        array = np.full((fields.get("rows", 1), 2), number, dtype=np.float32)

        def reply(_: Request, outcome: Any) -> None:
            self.got.setdefault(number, []).append(outcome)

        self.queue.submit(
            Request(model=None, reply=reply, tensors=(array,), arrived_s=self.clock.now_s, **fields)  # type: ignore[arg-type]
        )

    def right(self, number: int) -> bool:
        (answer,) = self.got[number]
        return isinstance(answer, Answer) and bool((answer.outputs[0] == 2 * number).all())


def test_what_comes_in_one_turn_goes_together_and_what_comes_meanwhile_is_the_next_batch() -> None:
    async def main() -> None:
        scene, hand = Scene(), Hand()
        scene.queue.attach(hand)
        for k in range(3):
            scene.ask(k)
        assert not hand.batches
        await asyncio.sleep(0)
        assert [len(b.requests) for b in hand.batches] == [3]
        for k in range(3, 9):
            scene.ask(k)
        await asyncio.sleep(0)
        assert len(hand.batches) == 1
        assert scene.queue.waiting == 6
        for _ in range(3):
            batch = hand.batches[-1]
            scene.queue.finished(hand, Outcome(outputs=outputs(batch), service_s=0.01))
        assert [len(b.requests) for b in hand.batches] == [3, 4, 2]
        assert all(scene.right(k) for k in range(9))
        assert scene.queue.idle

    run(main())


def test_rows_go_to_whom_they_belong_around_those_that_failed() -> None:
    async def main() -> None:
        scene, hand = Scene(max_rows=10), Hand()
        scene.queue.attach(hand)
        for k, rows in enumerate([2, 1, 3, 1]):
            scene.ask(k, rows=rows)
        await asyncio.sleep(0)
        good = [outputs(hand.batches[0])[0][[0, 1, 3, 4, 5]]]
        bad = {1: Problem(400, "no"), 3: Problem(500, "no")}
        scene.queue.finished(hand, Outcome(outputs=good, service_s=0.1, bad=bad))
        assert scene.right(0)
        assert scene.right(2)
        assert [scene.got[k][0].status for k in (1, 3)] == [400, 500]
        assert scene.got[2][0].outputs[0].shape == (3, 2)

    run(main())


def test_a_batch_may_wait_to_fill_but_not_for_long() -> None:
    async def main() -> None:
        scene, hand = Scene(max_delay_s=0.02), Hand()
        scene.queue.attach(hand)
        scene.ask(0)
        await asyncio.sleep(0)
        assert not hand.batches
        for k in range(1, 4):
            scene.ask(k)
        await asyncio.sleep(0)
        assert len(hand.batches[0].requests) == 4
        scene.queue.finished(hand, Outcome(outputs=outputs(hand.batches[0]), service_s=0.0))
        scene.ask(9)
        await asyncio.sleep(0)
        assert len(hand.batches) == 1
        scene.clock.sleep(0.02)
        await asyncio.sleep(0.05)
        assert len(hand.batches) == 2

    run(main())


def test_late_requests_get_a_504_before_they_are_dispatched() -> None:
    async def main() -> None:
        scene, hand = Scene(), Hand()
        scene.queue.attach(hand)
        scene.ask(0)
        await asyncio.sleep(0)
        scene.ask(1, deadline_s=100.05)
        scene.ask(2)
        scene.clock.sleep(0.1)
        scene.queue.finished(hand, Outcome(outputs=outputs(hand.batches[0]), service_s=0.0))
        assert scene.got[1][0].status == 504
        assert [len(b.requests) for b in hand.batches] == [1, 1]
        scene.ask(3, deadline_s=100.3)
        scene.clock.sleep(1.0)
        scene.queue.expire(scene.clock.now_s)
        assert scene.got[3][0].status == 504
        assert scene.queue.waiting == 0

    run(main())


def test_what_cannot_be_answered_in_time_is_refused_on_its_head() -> None:
    async def main() -> None:
        scene, hand = Scene(), Hand()
        scene.queue.attach(hand)
        assert scene.queue.refuse(1, 100.001) is None, "an idle worker always tries"
        for k in range(12):
            scene.ask(k)
        await asyncio.sleep(0)
        assert scene.queue.wait_s() == pytest.approx(0.04 + 2 * 0.04)
        assert scene.queue.refuse(1, math.inf) is None
        assert scene.queue.refuse(1, 100.21) is None
        refused = scene.queue.refuse(1, 100.1)
        assert refused is not None
        assert refused.status == 503
        assert refused.retry_after_s is not None
        assert refused.retry_after_s >= 0.1
        full = scene.queue.refuse(93, math.inf)
        assert full is not None
        assert "8 rows wait already; the limit is 100" in full.message
        scene.queue.closed = "being unloaded"
        closed = scene.queue.refuse(1, math.inf)
        assert closed is not None
        assert (closed.status, closed.message) == (503, "being unloaded")
        scene.ask(50)
        assert scene.got[50][0].status == 503

    run(main())


@pytest.mark.parametrize("death", [CRASH, OUTSIDE])
def test_a_batch_is_split_once_and_only_the_culprit_is_given_up(death: Death) -> None:
    async def main() -> None:
        scene, first, second = Scene(), Hand(), Hand()
        scene.queue.attach(first)
        for k in range(3):
            scene.ask(k)
        await asyncio.sleep(0)
        scene.ask(7)
        scene.queue.lost(first, death)
        scene.queue.attach(second)
        await asyncio.sleep(0)
        deaths = 0
        while not scene.got.get(1):
            batch = second.batches[-1]
            assert len(batch.requests) == 1
            if np.asarray(batch.requests[0].tensors)[0, 0, 0] == 1:  # the culprit
                deaths += 1
                scene.queue.lost(second, death)
                second = Hand()
                scene.queue.attach(second)
                await asyncio.sleep(0)
            else:
                scene.queue.finished(second, Outcome(outputs=outputs(batch), service_s=0.0))
        while second.batches and scene.queue.busy(second):
            scene.queue.finished(second, Outcome(outputs=outputs(second.batches[-1]), service_s=0.0))
        assert scene.got[1][0].status == 500
        assert death.how in scene.got[1][0].message
        assert deaths == (1 if death.own else SOLO_DEATHS)
        assert all(scene.right(k) for k in (0, 2, 7))
        assert scene.queue.idle

    run(main())


def test_nothing_is_answered_twice_when_everything_is_abandoned() -> None:
    async def main() -> None:
        scene, hand = Scene(), Hand()
        scene.queue.attach(hand)
        for k in range(6):
            scene.ask(k)
        await asyncio.sleep(0)
        scene.queue.abandon("stopped")
        assert [len(got) for got in scene.got.values()] == [1] * 6
        assert {got[0].status for got in scene.got.values()} == {503}
        assert scene.queue.idle
        assert scene.queue.waiting == 0

    run(main())


@pytest.mark.parametrize("instances", [1, 3])
@pytest.mark.parametrize("load", [0.5, 2.0, 8.0])
def test_overload_is_shed_so_that_the_rest_keeps_its_deadline(instances: int, load: float) -> None:
    """Poisson arrivals in simulated time: accepted p99 ≤ deadline + one batch, goodput ≥ 90 % of what is possible."""
    deadline_s, batch_s, max_rows = 0.2, 0.02, 8
    rng = np.random.default_rng(7)
    capacity_rps = instances * max_rows / batch_s
    arrivals = 100.0 + np.cumsum(rng.exponential(1 / (load * capacity_rps), 6000))

    async def main() -> None:
        curve = Curve(max_rows, {1: 0.01, max_rows: batch_s})
        scene = Scene(max_rows=max_rows, max_waiting=10_000, curve=curve)
        hands = [Hand() for _ in range(instances)]
        ends: dict[int, float] = {}
        latency: dict[int, float] = {}
        for hand in hands:
            scene.queue.attach(hand)

        def begun() -> None:
            for k, hand in enumerate(hands):
                if k not in ends and scene.queue.busy(hand) is not None:
                    ends[k] = scene.clock.now_s + curve.base_s(hand.batches[-1].rows) * float(rng.lognormal(0, 0.1))

        async def finish(until_s: float) -> None:
            while ends and min(ends.values()) <= until_s:
                k = min(ends, key=ends.__getitem__)
                scene.clock.now_s = ends.pop(k)
                batch = hands[k].batches[-1]
                scene.queue.finished(hands[k], Outcome(outputs=outputs(batch), service_s=0.0))
                latency.update((id(r), scene.clock.now_s - r.arrived_s) for r in batch.requests)
                await asyncio.sleep(0)
                begun()

        for number, at in enumerate(arrivals):
            await finish(at)
            scene.clock.now_s = float(at)
            scene.ask(number, deadline_s=float(at) + deadline_s)
            await asyncio.sleep(0)
            begun()
        await finish(math.inf)
        assert len(scene.got) == len(arrivals)
        assert all(len(got) == 1 for got in scene.got.values())
        waits = np.array(list(latency.values()))
        assert np.quantile(waits, 0.99) <= deadline_s + batch_s
        possible = min(load, 1.0) * capacity_rps * (arrivals[-1] - 100.0)
        assert (waits <= deadline_s).sum() >= 0.9 * min(possible, len(arrivals))

    run(main())


def test_requests_that_cannot_be_sent_are_answered_and_the_worker_goes_on() -> None:
    class Clumsy(Hand):
        def run(self, batch: Batch) -> None:
            super().run(batch)
            if batch.requests[0].rows == 2:
                raise ValueError("they do not fit together")

    async def main() -> None:
        told: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        scene, hand = Scene(), Clumsy()
        scene.queue.attach(hand)
        scene.ask(0, rows=2)
        await asyncio.sleep(0)
        assert scene.got[0][0].status == 500
        scene.ask(1)
        await asyncio.sleep(0)
        scene.queue.finished(hand, Outcome(outputs=outputs(hand.batches[-1]), service_s=0.0))
        assert scene.right(1)
        assert len(told) == 1

    run(main())
