"""Rounds are interleaved, the canary has its say, raw results become Measurements."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pytest

from farthing.machine.canary import RUNS, Canary
from farthing.machine.watched import watched
from farthing.measure import scenarios
from farthing.measure.scenarios import Reading
from farthing.nouns import Candidate
from farthing.testing import FakeClock
from farthing.workers.replicas.replica import Block, Replica, ServerRun

STAMP = {"seed": 4, "hardware": "abc"}
CPU = min(os.sched_getaffinity(0))


class Recorded:
    """Stands for a replica: takes a second a block and writes down when it was asked."""

    cpus = (CPU,)
    candidate = Candidate(engine="fake", variant="fp32", precision="fp32", max_batch=8)

    def __init__(self, name: str, clock: FakeClock, log: list[str]) -> None:
        self.name, self.clock, self.log = name, clock, log

    def offline_block(self, batch: int, seconds: float) -> Block:
        self.log.append(f"{self.name}{batch}")
        self.clock.sleep(seconds)
        return Block(n=batch, rps=float(ord(self.name)), service_ms=(1.0,), pipeline_frac=0.0)

    def server(self, rate_rps: float, n: int, *, max_batch: int, seed: int) -> ServerRun:
        latency_ms = np.append(np.arange(1.0, n), np.inf)
        return ServerRun(latency_ms=latency_ms, batches=(2, 3), offered_rps=rate_rps, achieved_rps=7.0, stable=False)

    def single_stream(self, n: int) -> np.ndarray:
        return np.arange(1.0, n + 1)


class Machine:
    """A clock and a kernel whose time is told run by run; the last is repeated."""

    def __init__(self, *factors: float) -> None:
        self.clock, self.log = FakeClock(), list[str]()
        self._factors = list(factors)
        self._calls = 0
        self.canary = Canary(self.clock, self.kernel)

    def kernel(self) -> None:
        """One of the four kernels of a run; the first six runs are quick (five that learn and one that checks)."""
        run = self._calls // RUNS - 5
        self._calls += 1
        factor = 1.0 if run < 0 or not self._factors else self._factors[min(run, len(self._factors) - 1)]
        self.clock.sleep(0.003 * factor)

    def replicas(self, names: str) -> Sequence[tuple[Replica, int]]:
        return [(Recorded(name, self.clock, self.log), 4) for name in names]  # type: ignore[misc]


def test_a_round_runs_each_in_turn() -> None:
    machine = Machine()
    blocks = scenarios.run_round(machine.replicas("ABC"), 1.0, machine.canary)
    assert machine.log == ["A4", "B4", "C4"]
    assert [b.rps for b in blocks] == [65.0, 66.0, 67.0]
    assert not any(b.contended for b in blocks)


@pytest.mark.parametrize(
    ("factors", "runs", "contended"),
    [
        ((1.0, 1.2), 1, False),  # slower, yet within the limit
        ((1.0, 1.4, 1.0), 2, False),  # busy after the first block only
        ((1.5, 1.0), 1, False),  # busy before it: a pause, no block lost
        ((1.0, 2.0), 2, True),  # busy from the first block on: two pauses, then marked
        ((1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0), 4, True),  # busy after each of four
        ((2.0,), 1, True),  # never quiet
    ],
)
def test_a_contended_block_is_run_again_three_times_then_marked(
    factors: tuple[float, ...], runs: int, contended: bool
) -> None:
    machine = Machine(*factors)
    (block,) = scenarios.run_round(machine.replicas("A"), 1.0, machine.canary)
    assert len(machine.log) == runs
    assert block.contended == contended


def test_the_canary_learns_each_core_and_returns_to_where_it_was() -> None:
    before = os.sched_getaffinity(0)
    seen: list[set[int]] = []
    canary = Canary(FakeClock(), lambda: seen.append(os.sched_getaffinity(0)))
    assert not canary.busy(sorted(before))
    assert set(canary.best_s) == before
    assert all(len(cores) == 1 for cores in seen)
    assert os.sched_getaffinity(0) == before


def test_a_core_that_was_quiet_a_moment_ago_is_not_looked_at_again() -> None:
    clock, calls = FakeClock(), list[float]()
    canary = Canary(clock, lambda: calls.append(clock.monotonic_s()))
    canary.busy([CPU])
    learnt = len(calls)
    clock.sleep(0.04)
    assert not canary.busy([CPU], recent_s=0.05)
    assert len(calls) == learnt
    clock.sleep(0.02)
    assert not canary.busy([CPU], recent_s=0.05)
    assert len(calls) == learnt + RUNS


def test_the_real_kernel_takes_some_milliseconds() -> None:
    assert Canary().run_s(CPU) > 0.0005


def readings(busy: bool) -> list[Reading]:
    rows = [(10.0, 800.0), (10.1, 790.0), (9.9, 810.0), (12.0, 660.0)]
    return [
        Reading(rps=rps, service_ms=ms, pipeline_frac=0.1, contended=busy and rps == 12.0, canary_ms=12.0)
        for rps, ms in rows
    ]


def test_contended_blocks_widen_the_interval() -> None:
    candidate = Recorded.candidate
    quiet = scenarios.offline(candidate, readings(False), 1.0, **STAMP)  # type: ignore[arg-type]
    wide = scenarios.offline(candidate, readings(True), 1.0, **STAMP)  # type: ignore[arg-type]
    assert (quiet.contended, wide.contended) == (False, True)
    assert quiet.blocks == (10.0, 10.1, 9.9, 12.0)
    assert wide.metrics["throughput_rps"].hi >= 12.0 >= quiet.metrics["throughput_rps"].hi - 10
    assert wide.metrics["throughput_rps"].lo <= min(quiet.metrics["throughput_rps"].lo, 9.9)
    assert "1 of 4 blocks contended" in wide.metrics["throughput_rps"].method
    assert wide.metrics["service_ms"].lo <= 660.0
    assert wide.metrics["pipeline_frac"].value == pytest.approx(0.1)
    assert (wide.n, wide.batch, wide.seed, wide.hardware) == (42, 8, 4, "abc")


def test_single_stream_has_order_statistic_intervals() -> None:
    machine = Machine()
    ((replica, _),) = machine.replicas("A")
    seen = scenarios.single_stream(replica, 400, canary=machine.canary, clock=machine.clock, **STAMP)  # type: ignore[arg-type]
    p99 = seen.metrics["latency_p99_ms"]
    assert (seen.scenario, seen.n, seen.batch, seen.candidate.max_batch) == ("SingleStream", 400, 1, 1)
    assert p99.lo < p99.value == 396.0 < p99.hi
    assert len(seen.quantiles_ms) == 101
    assert (seen.quantiles_ms[0], seen.quantiles_ms[-1]) == (1.0, 400.0)
    assert not seen.contended


def test_a_server_run_that_was_given_up_says_so() -> None:
    machine = Machine(1.0, 3.0)
    ((replica, _),) = machine.replicas("A")
    seen = scenarios.server(replica, 50.0, 100, max_batch=8, seed=4, levels=(0.5, 0.99), canary=machine.canary)
    assert seen.answered_frac == 0.99
    assert (seen.rate_rps, seen.n, seen.seed) == (50.0, 100, 4)
    assert seen.achieved_rps == 7.0
    assert seen.batch_size == 2.5
    assert seen.tail_s(0.5) == pytest.approx(0.0555)  # of the requests after the first tenth
    assert seen.tail_s(0.99) == np.inf  # one of the last 90 was not answered
    assert (seen.contended, seen.slowdown) == (True, pytest.approx(3.0))


@pytest.mark.parametrize(
    ("factors", "tries", "contended"),
    [((1.0,), 1, False), ((1.0, 1.4, 1.0), 2, False), ((1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0), 4, True)],
)
def test_single_stream_and_server_are_run_again_on_busy_cores(
    factors: tuple[float, ...], tries: int, contended: bool
) -> None:
    machine = Machine(*factors)
    ((replica, _),) = machine.replicas("A")
    asked: list[int] = []

    def single_stream(n: int) -> np.ndarray:
        asked.append(n)
        machine.clock.sleep(1.0)
        return np.arange(1.0, n + 1) * len(asked)

    replica.single_stream = single_stream  # type: ignore[method-assign, assignment]
    seen = scenarios.single_stream(replica, 400, canary=machine.canary, clock=machine.clock, **STAMP)  # type: ignore[arg-type]
    p50 = seen.metrics["latency_p50_ms"]
    assert (len(asked), seen.contended) == (tries, contended)
    assert p50.value == 200.0 * tries  # the last attempt counts
    if contended:
        assert p50.lo <= 200.0 / 2.0 < 200.0 * tries <= p50.hi  # all attempts, and down to quiet cores
        assert "4 tries" in p50.method


def test_what_is_watched_says_how_slow_the_cores_were() -> None:
    machine = Machine(1.0, 2.0)
    seen = watched(machine.canary, [CPU], lambda: machine.clock.sleep(1.0))
    assert (seen.contended, seen.slowdown) == (True, pytest.approx(2.0))
    assert seen.canary_ms == pytest.approx(2 * RUNS * 3.0)
    assert watched(None, [CPU], lambda: 7).found == 7


def test_on_a_machine_that_is_busy_for_long_nothing_is_retried_until_it_is_quiet() -> None:
    machine = Machine(*[1.0, 2.0] * 20, 1.0)
    tries = []
    for _ in range(11):
        machine.clock.sleep(1.0)
        tries.append(len(watched(machine.canary, [CPU], lambda: machine.clock.sleep(1.0)).attempts))
    assert tries == [4] * 5 + [1] * 6
    quiet = Machine().canary
    quiet.busy_runs = 9
    assert not watched(quiet, [CPU], lambda: None).contended
    assert quiet.busy_runs == 0


def test_a_real_replica_in_all_scenarios(pair: Replica) -> None:
    canary = Canary()
    (block,) = scenarios.run_round([(pair, 4)], 0.05, canary)
    assert block.n >= 12
    assert scenarios.server(pair, 300.0, 60, max_batch=4, seed=4, levels=(0.5,)).tail_s(0.5) >= 0.002
    assert scenarios.single_stream(pair, 20, **STAMP).metrics["latency_p50_ms"].value >= 2.0  # type: ignore[arg-type]
