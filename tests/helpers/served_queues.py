"""Queues in the place of servers, and the state of a run that is about to serve its choice."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from small_bench import small_bench

from farthing.core.traffic.batch_queue import simulated, sla_rps
from farthing.core.traffic.service_curve import ServiceCurve
from farthing.measure.open_loop import RunSeen, levels_of, seen_of
from farthing.measure.state import RunState
from farthing.measure.workbench import MeasureSettings, Workbench
from farthing.nouns import (
    Artefact,
    Candidate,
    Dataset,
)

__all__ = ["BASE", "BOUND_MS", "CHOSEN", "CURVE", "Paths", "Queue", "kept_rps", "run_state"]

BASE = Candidate(engine="fake", variant="fp32", precision="fp32")
CHOSEN = Candidate(engine="fake", variant="quick", precision="int8", max_batch=4)
CURVE = ServiceCurve.exact(sizes=[1, 4], seconds=[0.004, 0.008], sigma=0.1)
BOUND_MS = 30.0


@dataclass
class Queue:
    """Stands for the way through a server: a queue whose service times are ``slower`` times the measured ones."""

    bench: Workbench
    candidate: Candidate
    slower: float
    key: str = "queue"
    aside_s: float = 0.0
    busy: bool = False
    seen_pace: bool = False
    asked: list[tuple[float, int]] = field(default_factory=list)

    def __enter__(self) -> Queue:
        return self

    def __exit__(self, *_: object) -> None: ...

    def capacity_rps(self, k: int) -> float:
        return 4 / 0.008 / self.slower

    def first_pace_rps(self, rate_rps: float) -> float:
        return self.capacity_rps(0) if self.seen_pace else 0.0

    def run(self, rate_rps: float, n: int, seed: int) -> RunSeen:
        self.asked.append((rate_rps, seed))
        curve = CURVE.scaled(self.slower)
        ((latency_s,),) = simulated(curve, np.array([rate_rps]), runs=1, n=n, instances=1, max_batch=4, seed=seed)
        return seen_of(
            1000 * (latency_s + self.aside_s), levels_of(0.99), rate_rps=rate_rps, seed=seed, achieved_rps=rate_rps,
            generator_frac=0.04, front_frac=0.07, contended=self.busy, slowdown=2.0 if self.busy else 1.0,
            full_rps=self.capacity_rps(0) if self.seen_pace else 0.0,
        )  # fmt: skip


@dataclass
class Paths:
    """Hands out queues in the place of servers: one slowness for each that is started."""

    slowness: list[float]
    aside_s: float = 0.0
    busy: bool = False
    seen_pace: bool = False
    made: list[Queue] = field(default_factory=list)
    models: list[object] = field(default_factory=list)

    def __call__(self, bench: Workbench, model: object, key: str) -> Queue:
        slower = self.slowness[min(len(self.made), len(self.slowness) - 1)]
        self.made.append(Queue(bench, CHOSEN, slower, key, self.aside_s, self.busy, self.seen_pace))
        self.models.append(model)
        return self.made[-1]


def run_state(dataset: Dataset, folder: Path) -> RunState:
    """A run whose baseline keeps 200 requests/s and whose choice is thought to keep 300; its bench is to be opened.

    Args:
        dataset: Of the workload.
        folder: For its journal.
    """
    bench = small_bench(dataset, folder, MeasureSettings(block_s=0.02), BOUND_MS)
    bench.artefacts = {
        v: Artefact(variant=v, precision="fp32", path=v, sha256="0", size_mib=0.0, engines=("fake",))
        for v in ("quick", "fp32")
    }
    found = RunState(bench=bench, baseline=BASE)
    found.curves = {Candidate(engine="fake", variant="quick", precision="int8"): CURVE, BASE: CURVE.upto(1)}
    found.sla = {BASE: 200.0, CHOSEN: 300.0}
    return found


def kept_rps(slower: float = 1.0) -> float:
    """What the choice keeps within the promise in a long run, its service times so many times longer."""
    found = sla_rps(
        CURVE.scaled(slower), instances=1, max_batch=4, latency_s=BOUND_MS / 1000, headroom=0.0, n_requests=400_000
    )
    assert found is not None
    return found
