"""A route's rate through a server whose queue is known: what is planned is what it keeps, and what breaks is not met."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from farthing.core.search import sustained
from farthing.core.traffic.batch_queue import simulated, sla_rps
from farthing.core.traffic.service_curve import ServiceCurve
from farthing.measure.route.rate import RouteLoad, plan_rate, prove_rate
from farthing.measure.served.live_server import LoadedRun
from farthing.measure.workbench import MeasureSettings
from farthing.nouns import Backend, LatencyBound

CURVE = ServiceCurve.exact(sizes=[1, 4], seconds=[0.004, 0.008], sigma=0.1)
BOUND_MS = 30.0


@dataclass
class Queue:
    """Stands for a server: a queue with batches of up to four, ``slower`` times as slow, ``aside_s`` beside it."""

    slower: float
    aside_s: float = 0.0
    answered: float = 1.0
    printed: str = "ready: http://127.0.0.1:1"
    asked: list[tuple[float, int]] = field(default_factory=list)

    def closed_loop(self, connections: int, seconds: float) -> float:
        b = min(4, connections // 2)
        return b / float(CURVE.scaled(self.slower).by_size_s(4)[b - 1])

    def open_loop(self, rate_rps: float, n: int, seed: int) -> LoadedRun:
        self.asked.append((rate_rps, seed))
        curve = CURVE.scaled(self.slower)
        ((latency_s,),) = simulated(curve, np.array([rate_rps]), runs=1, n=n, instances=1, max_batch=4, seed=seed)
        lost = np.random.default_rng(seed).random(n) >= self.answered
        return LoadedRun(
            latency_ms=np.where(lost, math.inf, 1000 * (latency_s + self.aside_s)), offered_rps=rate_rps,
            achieved_rps=rate_rps, generator_frac=0.04, front_frac=0.07,
        )  # fmt: skip

    def said(self) -> str:
        return self.printed


@dataclass
class Servers:
    """Hands out queues in the place of servers, one for each that is started."""

    queues: list[Any]
    patient: list[bool] = field(default_factory=list)

    @contextmanager
    def __call__(self, patient: bool) -> Iterator[Any]:
        self.patient.append(patient)
        yield self.queues[min(len(self.patient), len(self.queues)) - 1]


def load(*queues: Any, ms: float = BOUND_MS, percentile: float = 0.99) -> tuple[RouteLoad, Servers]:
    servers = Servers(list(queues))
    found = RouteLoad(
        bound=LatencyBound(ms=ms, percentile=percentile),
        backend=Backend(engine="route", variant="2-tiers", precision="fp32", max_batch=4),
        settings=MeasureSettings(),
        seed=0,
        start=servers,
        cores=(),
        canary=None,
        hardware="abc",
        tell=lambda *_: None,
    )
    return found, servers


def truth_rps(slower: float, ms: float = BOUND_MS) -> float:
    curve = CURVE.scaled(slower)
    found = sla_rps(curve, instances=1, max_batch=4, latency_s=ms / 1000, headroom=0.0, n_requests=400_000)
    assert found is not None
    return found


def test_the_plan_is_what_the_server_keeps_with_headroom() -> None:
    asked, servers = load(Queue(1.2))
    found = plan_rate(asked)
    assert found.verdict.outcome == "met"
    assert found.kept_rps is not None
    assert found.rate_rps is not None
    assert found.latency_ms is not None
    assert found.kept_rps.value == pytest.approx(truth_rps(1.2), rel=0.08)
    assert found.kept_rps.lo < truth_rps(1.2) < found.kept_rps.hi
    assert found.rate_rps.value == pytest.approx(found.kept_rps.value / sustained.HEADROOM)
    assert found.rate_rps.lo < found.rate_rps.value < found.rate_rps.hi
    assert found.latency_ms.hi <= BOUND_MS
    assert (found.proofs, found.runs, found.clients) == (1, 6, 8)
    assert found.generator_frac is not None
    assert found.generator_frac.value == pytest.approx(0.04)
    assert found.front_frac is not None
    assert found.front_frac.value == pytest.approx(0.07)
    assert found.capacity_rps == pytest.approx(4 / 0.008 / 1.2)
    assert servers.patient == [True, False]  # looked for without deadlines, proven as it is served


def test_the_proof_is_at_the_planned_rate_and_no_run_repeats_another() -> None:
    search, proof = Queue(1.0), Queue(1.0)
    found = plan_rate(load(search, proof)[0])
    assert found.rate_rps is not None
    assert proof.asked[-1][0] == found.rate_rps.value
    last = [seed for rate, seed in proof.asked if rate == found.rate_rps.value]
    assert len(last) == found.runs
    assert found.runs in (6, 12)  # as many again where six cannot tell
    assert 6 * found.proofs <= len(proof.asked) <= 12 * found.proofs
    seeds = [seed for queue in (search, proof) for _, seed in queue.asked]
    assert len(seeds) == len(set(seeds)) >= 1 + 2 + 8 + 6


def test_what_a_request_waits_for_beside_the_queue_is_not_taken_for_slow_tiers() -> None:
    """6 ms of protocol and scheduler on each request: the queue must keep 24 ms, not 30."""
    found = plan_rate(load(Queue(1.0, aside_s=0.006))[0])
    assert found.kept_rps is not None
    assert found.kept_rps.value == pytest.approx(truth_rps(1.0, 24.0), rel=0.08)
    assert found.verdict.outcome == "met"


def test_a_proof_that_fails_cuts_the_plan() -> None:
    """The server that is started for the proof is slower than the one that told the rate."""
    found = plan_rate(load(Queue(1.0), Queue(1.25), Queue(1.0))[0])
    assert found.verdict.outcome == "met"
    assert found.proofs == 2
    assert found.kept_rps is not None
    assert found.rate_rps is not None
    factor = found.kept_rps.value / sustained.HEADROOM / found.rate_rps.value
    assert sustained.LEAST_CUT < factor <= sustained.MOST_CUT  # as its own runs say
    assert found.rate_rps.hi == pytest.approx(found.kept_rps.hi / sustained.HEADROOM)  # a repeat may keep the first
    assert found.rate_rps.lo == pytest.approx(found.kept_rps.lo * found.rate_rps.value / found.kept_rps.value)


def test_an_overloaded_server_is_not_met_and_the_last_proof_is_the_evidence() -> None:
    slow = Queue(3.0)
    asked, servers = load(Queue(1.0), slow)
    found = plan_rate(asked)
    assert found.verdict.outcome == "not_met"
    assert not found.kept
    assert found.proofs == 3
    assert len(servers.patient) == 4
    assert found.rate_rps is not None
    assert found.rate_rps.value == slow.asked[-1][0]
    assert "promised 30 ms" in found.verdict.reasons[0]


def test_a_promise_that_is_kept_at_no_rate_is_not_met_without_a_proof() -> None:
    asked, servers = load(Queue(1.0), ms=2.0)  # one request alone takes 4 ms
    found = plan_rate(asked)
    assert found.verdict.outcome == "not_met"
    assert (found.rate_rps, found.kept_rps, found.latency_ms, found.proofs) == (None, None, None, 0)
    assert servers.patient == [True]
    assert "kept at no rate" in found.verdict.reasons[0]


def test_requests_without_an_answer_break_the_promise() -> None:
    """Two in a hundred are refused: 99 % are not answered within any time."""
    found = plan_rate(load(Queue(1.0), Queue(1.0, answered=0.98))[0])
    assert found.verdict.outcome != "met"


def test_another_level_is_another_rate() -> None:
    half = plan_rate(load(Queue(1.0), percentile=0.5)[0])
    tail = plan_rate(load(Queue(1.0))[0])
    assert half.kept_rps is not None
    assert tail.kept_rps is not None
    assert half.bound.name == "p50"
    assert half.kept_rps.value > 1.1 * tail.kept_rps.value


@pytest.mark.parametrize("when", [0, 1])
def test_a_route_that_falls_back_meanwhile_is_no_proof(when: int) -> None:
    queues = [Queue(1.0), Queue(1.0)]
    queues[when].printed += "\nroute fell back: route auto, reason too much is lost"
    found = plan_rate(load(*queues)[0])
    assert found.verdict.outcome == "unproven"
    assert "reason too much is lost" in found.verdict.reasons[0]


def test_a_proof_alone_takes_its_curve_from_the_same_server() -> None:
    """What ``farthing verify`` does: nothing is known of the server but the plan."""
    asked, servers = load(Queue(1.0))
    proof = prove_rate(asked, 0.85 * truth_rps(1.0), 2400, 8, "verify")
    assert servers.patient == [False]
    assert proof.latency(asked.bound.percentile).hi <= BOUND_MS
    assert proof.capacity_rps == pytest.approx(500.0)
    slow = prove_rate(load(Queue(1.5))[0], 0.85 * truth_rps(1.0), 2400, 8, "verify")
    assert slow.latency(asked.bound.percentile).lo > BOUND_MS


# — two tiers, each a queue of its own ————————————————————————————————————————————————————————————————————————————————

CHEAP_S, DEAR_S, PASSED_ON = 0.001, 0.020, 0.1


@dataclass
class Tandem:
    """Two tiers on cores of their own, one request at a time each: every tenth request goes on to the dear one."""

    asked: list[float] = field(default_factory=list)

    @staticmethod
    def latency_s(rate_rps: float, n: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        arrived = np.cumsum(rng.exponential(1 / rate_rps, n))
        left = _fifo(arrived, CHEAP_S * rng.lognormal(-0.02, 0.2, n))
        on = rng.random(n) < PASSED_ON
        left[on] = _fifo(left[on], DEAR_S * rng.lognormal(-0.005, 0.1, int(on.sum())))
        return left - arrived

    def closed_loop(self, connections: int, seconds: float) -> float:
        """Clients one after the other, earliest first; the dear tier is the narrow one."""
        rng = np.random.default_rng(connections)
        ready, free, n = [0.0] * connections, [0.0, 0.0], 5000
        for _ in range(n):
            client = int(np.argmin(ready))
            free[0] = max(free[0], ready[client]) + CHEAP_S
            ready[client] = free[0]
            if rng.random() < PASSED_ON:
                free[1] = max(free[1], free[0]) + DEAR_S
                ready[client] = free[1]
        return n / max(ready)

    def open_loop(self, rate_rps: float, n: int, seed: int) -> LoadedRun:
        self.asked.append(rate_rps)
        return LoadedRun(
            latency_ms=1000 * self.latency_s(rate_rps, n, seed), offered_rps=rate_rps, achieved_rps=rate_rps,
            generator_frac=0.04, front_frac=0.07,
        )  # fmt: skip

    def said(self) -> str:
        return ""


def _fifo(arrived: np.ndarray, service_s: np.ndarray) -> np.ndarray:
    left, free = np.empty_like(arrived), 0.0
    for k, (at, takes) in enumerate(zip(arrived.tolist(), service_s.tolist())):
        free = max(free, at) + takes
        left[k] = free
    return left


def tail_ms(rate_rps: float) -> float:
    """The long run's p99."""
    return float(1000 * np.quantile(Tandem.latency_s(rate_rps, 300_000, 7), 0.99))


def test_a_route_that_is_no_single_queue_is_planned_at_a_rate_that_it_keeps() -> None:
    """The curve of one server is fitted where the promise is about kept; what it gets wrong there is on the safe side."""
    ms = 60.0
    found = plan_rate(load(Tandem(), ms=ms)[0])
    assert found.verdict.outcome == "met"
    assert found.rate_rps is not None
    assert found.kept_rps is not None
    assert tail_ms(found.rate_rps.value) <= ms
    assert tail_ms(found.kept_rps.lo) <= ms
    assert tail_ms(1.5 * found.rate_rps.value) > ms
