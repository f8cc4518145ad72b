"""The compiled queues are the readable ones, event for event, whatever happens; every request ends exactly once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from farthing.core.simulation.outcomes import OUTCOMES, Observation, SimulationResult
from farthing.core.simulation.setup import BatchingServer, Disruption, Pool, Promise, Setup, Shedding, Window
from farthing.core.simulation.simulate import simulate
from farthing.core.traffic.batch_queue import latencies

CASES = 300
GRID_S = 0.125
"""Exact in binary: with it, many things happen at the same instant."""
HORIZON_S = 40.0


@dataclass
class Whims:
    """A controller that wants whatever its generator says, and keeps what it saw."""

    seed: int
    most: int
    seen: list[Observation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def __call__(self, seen: Observation) -> Mapping[str, int]:
        self.seen.append(seen)
        names = [name for name in seen.replicas if self.rng.random() < 0.7]
        return {name: int(self.rng.integers(0, self.most + 1)) for name in names}


def pick(rng: np.random.Generator, *options: object) -> object:
    return options[int(rng.integers(len(options)))]


def random_server(rng: np.random.Generator, on_grid: bool) -> BatchingServer:
    steps = np.cumsum(rng.integers(1, 4, size=int(rng.integers(1, 7))))
    seconds = steps * GRID_S if on_grid else steps * rng.uniform(0.02, 0.3)
    spread = "log_normal" if on_grid else pick(rng, "log_normal", "exponential")
    return BatchingServer(
        service_s=tuple(seconds.tolist()),
        sigma=0.0 if on_grid else float(rng.choice([0.0, 0.4])),
        spread=spread,
        instances=int(rng.integers(1, 4)),
        queue_limit=int(rng.choice([1, 2, 5, 50])),
    )


def random_promise(rng: np.random.Generator) -> Promise:
    deadline_s = float(rng.choice([np.inf, 0.5, 2.0]))
    shedding = Shedding(margin=1.5, memory_requests=10) if deadline_s < np.inf and rng.random() < 0.5 else None
    return Promise(latency_s=float(rng.choice([0.5, 1.0])), deadline_s=deadline_s, shedding=shedding)


def random_disruptions(rng: np.random.Generator, on_grid: bool) -> Iterator[Disruption]:
    for _ in range(int(rng.integers(0, 6))):
        at_s = rng.integers(0, 320) * GRID_S if on_grid else rng.uniform(0, HORIZON_S)
        pool, count = str(pick(rng, "on_demand", "spot")), int(rng.integers(1, 4))
        if rng.random() < 0.4:
            yield Disruption(at_s=float(at_s), pool=pool, count=count, kind="killed")
        else:
            yield Disruption(at_s=float(at_s), pool=pool, count=count, notice_s=float(rng.choice([0, 0.25, 1, np.inf])))


def random_setup(rng: np.random.Generator, on_grid: bool) -> Setup:
    pools = [
        Pool(
            name=name,
            initial=int(rng.integers(0, 3)),
            start_s=float(rng.choice([0, 0.5, 1.7])),
            load_s=float(rng.choice([0, 0.25, 1.1, np.inf], p=[0.4, 0.3, 0.25, 0.05])),
        )
        for name in ("on_demand", "spot")
    ]
    return Setup(
        server=random_server(rng, on_grid),
        pools=tuple(pools),
        horizon_s=HORIZON_S,
        promise=random_promise(rng),
        balancing=pick(rng, "round_robin", "random", "least_outstanding"),
        control_s=float(rng.choice([0.5, 1.25, 3.0])),
        held_limit=int(rng.choice([0, 1, 7])),
        drain_limit_s=float(rng.choice([0, 0.5, np.inf])),
        max_replicas=int(rng.choice([4, 5, 8])),
        disruptions=tuple(random_disruptions(rng, on_grid)),
        seed=int(rng.integers(2**62)),
        record=Window(first=int(rng.choice([0, 3])), count=2000),
    )


def random_blocks(rng: np.random.Generator, on_grid: bool) -> list[NDArray[np.float64]]:
    """At an average of 0 to 25 requests/s, cut anywhere, also between simultaneous ones; some blocks are empty."""
    n = int(rng.choice([0, 1, 40, 300, 1000]))
    instants_s = np.sort(rng.uniform(0, HORIZON_S * 1.1, n))
    if on_grid:
        instants_s = np.floor(instants_s / GRID_S) * GRID_S
    return np.split(instants_s, np.sort(rng.integers(0, n + 1, size=int(rng.integers(0, 6)))))


def assert_same(a: SimulationResult, b: SimulationResult) -> None:
    for name in ("arrival_s", "outcome", "replica", "batch", "start_s", "end_s"):
        np.testing.assert_array_equal(getattr(a.records, name), getattr(b.records, name), err_msg=name)
    assert asdict(a.totals) == pytest.approx(asdict(b.totals), rel=1e-9, abs=1e-9)
    np.testing.assert_array_equal(a.latencies.counts, b.latencies.counts)
    assert (a.latencies.lowest_s, a.latencies.highest_s) == (b.latencies.lowest_s, b.latencies.highest_s)
    assert a.lives == b.lives
    assert a.events == b.events


def assert_seen_alike(a: list[Observation], b: list[Observation]) -> None:
    assert len(a) == len(b)
    for x, y in zip(a, b):
        left, right = asdict(x), asdict(y)
        assert left.pop("replicas") == right.pop("replicas")
        assert left == pytest.approx(right, rel=1e-9, abs=1e-9)


def assert_conserved(result: SimulationResult) -> None:
    totals = result.totals
    ended = totals.answered + totals.refused + totals.expired + totals.lost
    assert totals.arrived == ended + totals.in_flight
    assert totals.in_flight >= totals.waiting + totals.held
    assert result.latencies.n == totals.answered >= totals.within_promise
    if result.records.first:
        return
    came = ~np.isnan(result.records.arrival_s)
    assert came.sum() == totals.arrived
    codes = np.bincount(result.records.outcome[came], minlength=len(OUTCOMES)).tolist()
    assert codes == [totals.in_flight, totals.answered, totals.refused, totals.expired, totals.lost]


@pytest.mark.parametrize("part", range(10))
def test_both_implementations_agree_event_for_event(part: int) -> None:
    for seed in range(part, CASES, 10):
        rng = np.random.default_rng(seed)
        on_grid = seed % 2 == 0
        setup, blocks = random_setup(rng, on_grid), random_blocks(rng, on_grid)
        quick, plain = Whims(seed, setup.max_replicas - 1), Whims(seed, setup.max_replicas - 1)
        a = simulate(setup, blocks, quick)
        b = simulate(setup, blocks, plain, queues="reference")
        assert_same(a, b)
        assert_seen_alike(quick.seen, plain.seen)
        assert_conserved(a)


def test_the_random_cases_reach_every_ending_and_every_state() -> None:
    endings, kinds = np.zeros(len(OUTCOMES), dtype=int), set()
    requeued = late = 0
    for seed in range(CASES):
        rng = np.random.default_rng(seed)
        setup, blocks = random_setup(rng, seed % 2 == 0), random_blocks(rng, seed % 2 == 0)
        found = simulate(setup, blocks, Whims(seed, setup.max_replicas - 1))
        totals = found.totals
        endings += (totals.in_flight, totals.answered, totals.refused, totals.expired, totals.lost)
        requeued, late = requeued + totals.requeued, late + totals.late
        kinds |= {(event.kind, event.reason) for event in found.events}
    assert (endings > 500).all() and requeued > 50 and late > 500
    assert {kind for kind, _ in kinds} == {"requested", "loading", "ready", "draining", "gone", "no place"}
    assert {reason for kind, reason in kinds if kind == "gone"} == {"scaled in", "preempted", "killed"}


@pytest.mark.parametrize("seed", range(20))
def test_how_arrivals_are_cut_into_blocks_makes_no_difference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    setup, blocks = random_setup(rng, True), random_blocks(rng, True)
    whole = simulate(setup, [np.concatenate(blocks)], Whims(seed, 3))
    single = simulate(setup, [np.array([t]) for block in blocks for t in block], Whims(seed, 3))
    assert_same(whole, single)


@pytest.mark.parametrize("seed", range(40))
def test_one_replica_is_the_batch_queue(seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrivals_s = np.sort(rng.uniform(0, 40, 600))
    if seed % 2:
        arrivals_s = np.floor(arrivals_s / GRID_S) * GRID_S
    server = BatchingServer(
        service_s=tuple((GRID_S * np.arange(1, 2 + seed % 5)).tolist()), instances=1 + seed % 3, queue_limit=1000
    )
    pools = (Pool(name="on_demand", initial=1),)
    setup = Setup(server=server, pools=pools, horizon_s=1e4, record=Window(count=600))
    found = simulate(setup, [arrivals_s]).records
    expected = latencies(arrivals_s, np.array(server.service_s), np.ones(600), server.instances, server.max_batch)
    assert found.end_s - found.arrival_s == pytest.approx(expected, abs=1e-9)
