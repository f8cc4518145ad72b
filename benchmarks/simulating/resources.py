"""What the compiled simulation takes of the machine: time for a fixed stream, memory by the length of the stream."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from time import process_time

import numpy as np
from numpy.typing import NDArray

from farthing.core.simulation.arrival_blocks import poisson_blocks
from farthing.core.simulation.setup import BatchingServer, Pool, Promise, Setup
from farthing.core.simulation.simulate import simulate

__all__ = ["REPLICAS", "peak_mib", "requests_per_s", "setup_at"]

REPLICAS = 20
SERVER = BatchingServer(service_s=tuple(0.005 + 0.005 * b for b in range(1, 9)), sigma=0.15)
"""10 ms for one request, half as much for each further one of a batch of up to 8."""
CAPACITY_RPS = REPLICAS * SERVER.max_batch / SERVER.service_s[-1]


def setup_at(load: float, n: int, balancing: str = "least_outstanding") -> tuple[Setup, float]:
    """The fleet for about ``n`` requests at a share of its capacity, asked every 15 s; and the rate."""
    rate_rps = load * CAPACITY_RPS
    setup = Setup(
        server=SERVER,
        pools=(Pool(name="on_demand", initial=REPLICAS),),
        horizon_s=n / rate_rps,
        promise=Promise(latency_s=0.1),
        balancing=balancing,  # type: ignore[arg-type]
        control_s=15.0,
        max_replicas=REPLICAS,
    )
    return setup, rate_rps


def _kept(_: object) -> dict[str, int]:
    return {"on_demand": REPLICAS}


def requests_per_s(load: float, n: int, balancing: str, repeats: int) -> list[float]:
    """Requests of one run over its processor time; arrivals are made before."""
    setup, rate_rps = setup_at(load, n, balancing)
    blocks = _until(poisson_blocks(rate_rps, 1), setup.horizon_s)
    simulate(setup, blocks[:1], _kept)
    found = []
    for _ in range(repeats):
        start = process_time()
        arrived = simulate(setup, blocks, _kept).totals.arrived
        found.append(arrived / (process_time() - start))
    return found


def _until(blocks: Iterator[NDArray[np.float64]], horizon_s: float) -> list[NDArray[np.float64]]:
    kept = []
    for block in blocks:
        kept.append(block)
        if block[-1] >= horizon_s:
            return kept
    return kept


def _memory_child(n: int, results: multiprocessing.Queue[tuple[int, float]]) -> None:
    setup, rate_rps = setup_at(0.8, n)
    arrived = simulate(setup, poisson_blocks(rate_rps, 1), _kept).totals.arrived
    results.put((arrived, _peak_kib() / 1024))


def _peak_kib() -> int:
    """Of this process alone: the maximum of ``getrusage`` holds its parent's, from before it became a program."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def peak_mib(n: int) -> tuple[int, float]:
    """Requests simulated in a process of its own, and its peak resident memory."""
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[tuple[int, float]] = context.Queue()
    child = context.Process(target=_memory_child, args=(n, results))
    child.start()
    found = results.get(timeout=900)
    child.join()
    return found
