"""MLPerf's scenarios on a replica, as Measurements; and interleaved rounds with the canary's word on each block."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from farthing.core.stats.intervals import mean_t, quantile
from farthing.measure.canary import Canary
from farthing.measure.replica import Block, Replica
from farthing.nouns import Candidate, Estimate, Measurement

__all__ = ["offline", "run_round", "server", "single_stream"]

RETRIES = 3
"""A contended block is run again so often before it is marked."""


def run_round(pairs: Sequence[tuple[Replica, int]], seconds: float, canary: Canary) -> list[Block]:
    """One block of each replica in turn, so that slow drift of the machine falls on all alike.

    Args:
        pairs: Replicas with their batch sizes, in the order to run.
        seconds: Length of a block.
        canary: Asked after each block; a contended block is run again, then marked.
    """
    return [_block(replica, batch, seconds, canary) for replica, batch in pairs]


def _block(replica: Replica, batch: int, seconds: float, canary: Canary) -> Block:
    for _ in range(RETRIES):
        block = replica.offline_block(batch, seconds)
        if not canary.busy():
            return block
    return replace(block, contended=True)


def offline(
    candidate: Candidate,
    blocks: Sequence[float],
    seconds: float,
    contended: Sequence[bool],
    *,
    seed: int,
    hardware: str,
) -> Measurement:
    """The Offline scenario from blocks already run, in requests/s.

    A contended block widens the interval: the range of all blocks is taken when it is wider than Student's t.
    """
    throughput = mean_t(blocks)
    if any(contended):
        throughput = replace(
            throughput,
            lo=min(throughput.lo, min(blocks)),
            hi=max(throughput.hi, max(blocks)),
            method=f"{throughput.method}, widened to the range: {sum(contended)} of {len(blocks)} blocks contended",
        )
    return Measurement(
        candidate=candidate,
        scenario="Offline",
        batch=candidate.max_batch,
        n=round(sum(blocks) * seconds),
        metrics={"throughput_rps": throughput},
        seed=seed,
        hardware=hardware,
        taken_at=datetime.now(UTC),
        blocks=tuple(blocks),
        contended=any(contended),
        seconds=seconds * len(blocks),
    )


def single_stream(replica: Replica, n: int, *, seed: int, hardware: str) -> Measurement:
    """Latency of one request at a time."""
    start = time.monotonic()
    latency_ms = replica.single_stream(n)
    return Measurement(
        candidate=replace(replica.candidate, max_batch=1),
        scenario="SingleStream",
        batch=1,
        n=n,
        metrics=_latency(latency_ms),
        seed=seed,
        hardware=hardware,
        taken_at=datetime.now(UTC),
        quantiles_ms=_quantiles(latency_ms),
        seconds=time.monotonic() - start,
    )


def server(replica: Replica, rate_rps: float, n: int, *, max_batch: int, seed: int, hardware: str) -> Measurement:
    """Latency from the scheduled time under Poisson arrivals."""
    start = time.monotonic()
    run = replica.server(rate_rps, n, max_batch=max_batch, seed=seed)
    achieved = Estimate(value=run.achieved_rps, lo=run.achieved_rps, hi=run.achieved_rps, n=n, method="one run")
    offered = Estimate(value=rate_rps, lo=rate_rps, hi=rate_rps, n=0, method="as scheduled")
    metrics = {**_latency(run.latency_ms), "throughput_rps": achieved, "offered_rps": offered}
    metrics["batch_size"] = _mean(np.asarray(run.batches, dtype=np.float64))
    return Measurement(
        candidate=replace(replica.candidate, max_batch=max_batch),
        scenario="Server",
        batch=max_batch,
        n=n,
        metrics=metrics,
        seed=seed,
        hardware=hardware,
        taken_at=datetime.now(UTC),
        quantiles_ms=_quantiles(run.latency_ms),
        seconds=time.monotonic() - start,
    )


def _latency(latency_ms: NDArray[np.float64]) -> dict[str, Estimate]:
    finite = np.minimum(latency_ms, 1e9)  # an unanswered request counts as a latency beyond all bounds
    return {f"latency_p{p}_ms": quantile(finite, p / 100) for p in (50, 90, 99)}


def _quantiles(latency_ms: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(x) for x in np.quantile(np.minimum(latency_ms, 1e9), np.linspace(0, 1, 101)))


def _mean(values: NDArray[np.float64]) -> Estimate:
    if values.size < 2:
        value = float(values.mean()) if values.size else 0.0
        return Estimate(value=value, lo=value, hi=value, n=int(values.size), method="one value")
    return mean_t(values)
