"""MLPerf's scenarios on a replica, as Measurements; and interleaved rounds with the canary's word on each block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.core.stats.intervals import mean_t, quantile
from farthing.machine.canary import Canary
from farthing.machine.clock import MonotonicClock
from farthing.machine.watched import Watched, watched
from farthing.measure.open_loop import RunSeen, levels_of, seen_of
from farthing.nouns import NEVER_MS, Candidate, Estimate, Measurement, latency_metric
from farthing.ports import Clock
from farthing.workers.replicas.replica import Block, Replica

__all__ = ["Reading", "offline", "run_round", "server", "single_stream"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one Offline block said.

    Attributes:
        rps: Of all instances together.
        service_ms: Mean time of a batch.
        pipeline_frac: Part of it spent before the engine.
        contended: True when the cores were busy in spite of three retries.
        canary_ms: Time of the canary kernel beside the block.
    """

    rps: float
    service_ms: float
    pipeline_frac: float
    contended: bool
    canary_ms: float


def run_round(pairs: Sequence[tuple[Replica, int]], seconds: float, canary: Canary) -> list[Block]:
    """One block of each replica in turn, so that slow drift of the machine falls on all alike.

    Args:
        pairs: Replicas with their batch sizes, in the order to run.
        seconds: Length of a block.
        canary: Asked before and after each block about the cores of its replica.

    Returns:
        Blocks in the same order; one is marked as contended when its cores were busy in spite of three retries.
    """
    return [_block(replica, batch, seconds, canary) for replica, batch in pairs]


def _block(replica: Replica, batch: int, seconds: float, canary: Canary) -> Block:
    seen = watched(canary, replica.cpus, lambda: replica.offline_block(batch, seconds))
    return replace(seen.found, contended=seen.contended, canary_ms=seen.canary_ms)


def offline(
    candidate: Candidate, readings: Sequence[Reading], seconds: float, *, seed: int, hardware: str
) -> Measurement:
    """The Offline scenario from blocks already run.

    A contended block widens the interval: the range of all blocks is taken when it is wider than Student's t.

    Args:
        candidate: What ran, with the batch size in ``max_batch``.
        readings: Of each block, at least two.
        seconds: Length of a block.
        seed: Of the order of payloads.
        hardware: Fingerprint.

    Raises:
        ValueError: when there are fewer than two blocks.
    """
    busy = sum(r.contended for r in readings)
    columns = {
        "throughput_rps": [r.rps for r in readings],
        "service_ms": [r.service_ms for r in readings],
        "pipeline_frac": [r.pipeline_frac for r in readings],
    }
    return Measurement(
        candidate=candidate,
        scenario="Offline",
        batch=candidate.max_batch,
        n=round(sum(r.rps for r in readings) * seconds),
        metrics={name: _widened(mean_t(values), values, busy) for name, values in columns.items()},
        seed=seed,
        hardware=hardware,
        taken_at=datetime.now(UTC),
        blocks=tuple(r.rps for r in readings),
        contended=busy > 0,
        seconds=seconds * len(readings),
    )


def _widened(found: Estimate, values: Sequence[float], busy: int) -> Estimate:
    if not busy:
        return found
    return replace(
        found,
        lo=min(found.lo, *values),
        hi=max(found.hi, *values),
        method=f"{found.method}, widened to the range: {busy} of {len(values)} blocks contended",
    )


def single_stream(
    replica: Replica,
    n: int,
    *,
    seed: int,
    hardware: str,
    level: float = 0.99,
    canary: Canary | None = None,
    clock: Clock | None = None,
) -> Measurement:
    """Latency of one request at a time: p50, p90, p99 and the level that is promised.

    Args:
        replica: Its first instance is asked.
        n: Requests.
        seed: Of the order of payloads.
        hardware: Fingerprint.
        level: The latency percentile that is promised, in (0, 1).
        canary: Asked before and after, None for nobody. A run on busy cores is repeated three times, then marked;
            its intervals then reach over all attempts, and as far down as the canary was slowed.
        clock: Time, None for the real one.
    """
    clock = clock or MonotonicClock()
    start_s = clock.monotonic_s()
    cpus = replica.cpus[: replica.candidate.threads]
    seen = watched(canary, cpus, lambda: replica.single_stream(n))
    return _of_latencies(
        seen,
        seen.attempts,
        level,
        candidate=replace(replica.candidate, max_batch=1),
        scenario="SingleStream",
        batch=1,
        seed=seed,
        hardware=hardware,
        seconds=clock.monotonic_s() - start_s,
    )


def server(
    replica: Replica,
    rate_rps: float,
    n: int,
    *,
    max_batch: int,
    seed: int,
    levels: Sequence[float],
    canary: Canary | None = None,
) -> RunSeen:
    """One run under Poisson arrivals, latency from the scheduled time, beside the server.

    Several of them, with seeds of their own, make a Measurement: :func:`farthing.measure.open_loop.as_measurement`.

    Args:
        replica: All its instances serve.
        rate_rps: Arrivals, > 0.
        n: Requests.
        max_batch: Largest batch.
        seed: Of the arrivals.
        levels: Percentiles wanted.
        canary: As in :func:`single_stream`.
    """
    seen = watched(canary, replica.cpus, lambda: replica.server(rate_rps, n, max_batch=max_batch, seed=seed))
    run = seen.found
    return seen_of(
        run.latency_ms,
        levels,
        rate_rps=rate_rps,
        seed=seed,
        achieved_rps=run.achieved_rps,
        batch_size=sum(run.batches) / len(run.batches) if run.batches else 0.0,
        contended=seen.contended,
        slowdown=seen.slowdown,
    )


def _of_latencies(
    seen: Watched[Any], attempts: Sequence[NDArray[np.float64]], level: float, **facts: Any
) -> Measurement:
    finite = [np.minimum(latency_ms, NEVER_MS) for latency_ms in attempts]
    levels = {latency_metric(q): [quantile(x, q) for x in finite] for q in levels_of(level)}
    return Measurement(
        n=finite[-1].size,
        metrics={name: _over_attempts(found, seen) for name, found in levels.items()},
        quantiles_ms=tuple(np.quantile(finite[-1], np.linspace(0, 1, 101)).tolist()),
        taken_at=datetime.now(UTC),
        contended=seen.contended,
        **facts,
    )


def _over_attempts(found: Sequence[Estimate], seen: Watched[Any]) -> Estimate:
    """The last attempt's figure; on busy cores with an interval over all of them, and down to quiet cores."""
    if not seen.contended:
        return found[-1]
    return replace(
        found[-1],
        lo=min(e.lo for e in found) / seen.slowdown,
        hi=max(e.hi for e in found),
        method=f"{found[-1].method}, widened: cores busy, {len(found)} tries",
    )
