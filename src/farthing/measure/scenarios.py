"""MLPerf's scenarios on a replica, as Measurements; and interleaved rounds with the canary's word on each block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from farthing.core.stats.intervals import mean_t, quantile
from farthing.measure.canary import Canary
from farthing.measure.clock import MonotonicClock
from farthing.measure.replica import Block, Replica
from farthing.nouns import Candidate, Estimate, Measurement
from farthing.ports import Clock

__all__ = ["interleaved", "offline", "run_round", "server", "single_stream"]

T = TypeVar("T")
RETRIES = 3
"""A contended block is run again so often before it is marked."""
RECENT_S = 0.05
"""Cores that were quiet after the block before are not looked at again before the next one."""
PAUSE_S = 0.05
"""Wait before looking again at cores that were busy before a block began."""
NEVER_MS = 1e9
"""Stands for the latency of a request that was not answered: beyond all bounds, and finite in every file format."""


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


def interleaved(
    pairs: Sequence[tuple[Replica, int]], rounds: int, seconds: float, canary: Canary
) -> Iterator[list[Block]]:
    """Rounds A B C, B C A, C A B …; each list is in the order of ``pairs``, whatever order the round ran in."""
    for k in range(rounds):
        shift = k % len(pairs)
        blocks = run_round([*pairs[shift:], *pairs[:shift]], seconds, canary)
        yield [*blocks[len(pairs) - shift :], *blocks[: len(pairs) - shift]]


def _block(replica: Replica, batch: int, seconds: float, canary: Canary) -> Block:
    """Retries before the block cost a pause, those after it cost the block."""
    for _ in range(RETRIES):
        if canary.busy(replica.cpus, RECENT_S):
            canary.clock.sleep(PAUSE_S)
            continue
        block = replica.offline_block(batch, seconds)
        if not canary.busy(replica.cpus):
            return block
    quiet = not canary.busy(replica.cpus, RECENT_S)
    block = replica.offline_block(batch, seconds)
    return replace(block, contended=canary.busy(replica.cpus) or not quiet)


def offline(
    candidate: Candidate,
    blocks: Sequence[float],
    seconds: float,
    contended: Sequence[bool],
    *,
    seed: int,
    hardware: str,
    service_ms: Sequence[float] = (),
    pipeline_frac: Sequence[float] = (),
) -> Measurement:
    """The Offline scenario from blocks already run.

    A contended block widens the interval: the range of all blocks is taken when it is wider than Student's t.

    Args:
        candidate: What ran, with the batch size in ``max_batch``.
        blocks: Throughput of each block in requests/s, at least two.
        seconds: Length of a block.
        contended: Of each block, or empty when that is not known.
        seed: Of the order of payloads.
        hardware: Fingerprint.
        service_ms: Time of a batch in each block (its median), or empty.
        pipeline_frac: Part of it before the engine in each block, or empty.

    Raises:
        ValueError: when there are fewer than two blocks.
    """
    metrics = {"throughput_rps": _widened(mean_t(blocks), blocks, contended)}
    for name, values in (("service_ms", service_ms), ("pipeline_frac", pipeline_frac)):
        if values:
            metrics[name] = _widened(mean_t(values), values, contended)
    return Measurement(
        candidate=candidate,
        scenario="Offline",
        batch=candidate.max_batch,
        n=round(sum(blocks) * seconds),
        metrics=metrics,
        seed=seed,
        hardware=hardware,
        taken_at=datetime.now(UTC),
        blocks=tuple(blocks),
        contended=any(contended),
        seconds=seconds * len(blocks),
    )


def _widened(found: Estimate, values: Sequence[float], contended: Sequence[bool]) -> Estimate:
    if not any(contended):
        return found
    return replace(
        found,
        lo=min(found.lo, *values),
        hi=max(found.hi, *values),
        method=f"{found.method}, widened to the range: {sum(contended)} of {len(values)} blocks contended",
    )


def single_stream(
    replica: Replica, n: int, *, seed: int, hardware: str, canary: Canary | None = None, clock: Clock | None = None
) -> Measurement:
    """Latency of one request at a time.

    Args:
        replica: Its first instance is asked.
        n: Requests.
        seed: Of the order of payloads.
        hardware: Fingerprint.
        canary: Asked before and after, None for nobody; a contended run is marked.
        clock: Time, None for the real one.
    """
    clock = clock or MonotonicClock()
    start_s = clock.monotonic_s()
    cpus = replica.cpus[: replica.candidate.threads]
    latency_ms, contended = _watched(canary, cpus, lambda: replica.single_stream(n))
    return _of_latencies(
        latency_ms,
        {},
        candidate=replace(replica.candidate, max_batch=1),
        scenario="SingleStream",
        batch=1,
        seed=seed,
        hardware=hardware,
        contended=contended,
        seconds=clock.monotonic_s() - start_s,
    )


def server(
    replica: Replica,
    rate_rps: float,
    n: int,
    *,
    max_batch: int,
    seed: int,
    hardware: str,
    canary: Canary | None = None,
    clock: Clock | None = None,
) -> Measurement:
    """Latency from the scheduled time under Poisson arrivals.

    Beside the latencies: ``throughput_rps``, ``offered_rps``, ``batch_size``, and ``answered_frac``, which is 1 when
    the replica kept up. A request without an answer counts as 10⁹ ms.

    Args:
        replica: All its instances serve.
        rate_rps: Arrivals, > 0.
        n: Requests.
        max_batch: Largest batch.
        seed: Of the arrivals.
        hardware: Fingerprint.
        canary: Asked before and after, None for nobody; a contended run is marked.
        clock: Time, None for the real one.
    """
    clock = clock or MonotonicClock()
    start_s = clock.monotonic_s()
    run, contended = _watched(canary, replica.cpus, lambda: replica.server(rate_rps, n, max_batch=max_batch, seed=seed))
    return _of_latencies(
        run.latency_ms,
        {
            "throughput_rps": _seen(run.achieved_rps, n, "one run"),
            "offered_rps": _seen(rate_rps, 0, "as scheduled"),
            "batch_size": _mean(run.batches),
            "answered_frac": _seen(float(np.isfinite(run.latency_ms).mean()), n, "one run"),
        },
        candidate=replace(replica.candidate, max_batch=max_batch),
        scenario="Server",
        batch=max_batch,
        seed=seed,
        hardware=hardware,
        contended=contended,
        seconds=clock.monotonic_s() - start_s,
    )


def _watched(canary: Canary | None, cpus: Sequence[int], run: Callable[[], T]) -> tuple[T, bool]:
    """What a run gives, and whether the canary found the cores busy before or after it."""
    if canary is None:
        return run(), False
    before = canary.busy(cpus)
    found = run()
    return found, canary.busy(cpus) or before


def _of_latencies(latency_ms: NDArray[np.float64], more: Mapping[str, Estimate], **facts: Any) -> Measurement:
    finite = np.minimum(latency_ms, NEVER_MS)
    return Measurement(
        n=latency_ms.size,
        metrics={**{f"latency_p{p}_ms": quantile(finite, p / 100) for p in (50, 90, 99)}, **more},
        quantiles_ms=tuple(np.quantile(finite, np.linspace(0, 1, 101)).tolist()),
        taken_at=datetime.now(UTC),
        **facts,
    )


def _seen(value: float, n: int, method: str) -> Estimate:
    return Estimate(value=value, lo=value, hi=value, n=n, method=method)


def _mean(values: Sequence[float]) -> Estimate:
    if len(values) < 2:
        return _seen(float(sum(values)), len(values), "too few for an interval")
    return mean_t(values)
