"""A candidate through the path that users get: its server, its port, its queue; runs of it go through the journal."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from farthing.codec import to_plain
from farthing.core.stats.pace import SLOWER, Pace
from farthing.load.schema import stamp
from farthing.machine.hardware import usable_cpus
from farthing.machine.watched import watched
from farthing.measure.open_loop import RunSeen, just_late, levels_of, seen_of
from farthing.measure.served.live_server import LiveServer, LoadedRun
from farthing.measure.workbench import Workbench
from farthing.nouns import Candidate, LocalModel
from farthing.store.documents import write_json

__all__ = ["ServedPath", "served_model", "step_of"]

NAME = "model"
CLOSED_S = 1.0
MOST_CLIENTS = 512
WARM_UP_S = 3.0
"""A server is asked for so long before anything counts: the first batch of each shape, the first use of each page."""
CHECK_S = 0.4
"""Clients that never rest ask for so long after each run, to see whether the machine was the server's own."""
LEAST_BATCHES = 8
"""Clients that never rest are listened to for at least so many of the largest batches."""
FIRST_CHECKS = 3
"""So often when the server is warm, to know what is usual."""
MOST_CHECK_S, CHECKED_BATCHES = 1.0, 20
"""They ask long enough for so many of the largest batches; a server that takes longer for them is not asked."""


def step_of(key: str, rate_rps: float, n: int, seed: int) -> str:
    """Name of a run in the journal.

    Args:
        key: Of the path.
        rate_rps: Of the run.
        n: Requests.
        seed: Of the arrivals.
    """
    return f"served/{key}/{rate_rps:.3f}/{n}/{seed}"


@dataclass
class ServedPath:
    """One server of a candidate, started when a run is asked for that no earlier part of the work has seen.

    Attributes:
        bench: Open.
        candidate: What is served.
        source: Given to ``farthing serve``.
        name: Of the model there.
        key: Tells this server from others of the same candidate, in the journal.
        deadline_ms: That it gives each request; one that it refuses or gives up counts as answered just too late, since
            it would have been late at the least. None: it is never answered.
        batch_s: About what its largest batch takes, ≥ 0.
    """

    bench: Workbench
    candidate: Candidate
    source: Path
    name: str
    key: str
    deadline_ms: float | None = None
    batch_s: float = 0.0
    _live: LiveServer | None = None
    _pace: Pace = field(default_factory=Pace)

    def __enter__(self) -> ServedPath:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._live is not None:
            self._live.close()
            self._live = None

    def capacity_rps(self, k: int) -> float:
        """Good answers a second when clients enough to fill every batch ask all the time.

        Args:
            k: Number of the measurement, for the journal.
        """
        return self.bench.keep(
            f"served/{self.key}/capacity/{k}", float, "measure", lambda: self._full_rps(self._server(), CLOSED_S)
        )

    def run(self, rate_rps: float, n: int, seed: int) -> RunSeen:
        """Poisson arrivals at its port; marked as contended where the server is slower after it than in quiet moments.

        Args:
            rate_rps: > 0.
            n: Requests.
            seed: Of the arrivals.
        """

        def run() -> RunSeen:
            live = self._server(rate_rps)
            seen = watched(self.bench.canary, self._cores(), lambda: live.open_loop(rate_rps, n, seed))
            full_rps = self._checked_rps(live)
            slower = pace if (pace := self._pace.slower(full_rps)) >= SLOWER else 1.0
            return seen_of(
                self._latency_ms(seen.found),
                levels_of(self.bench.level),
                rate_rps=rate_rps,
                seed=seed,
                answered_frac=float(np.isfinite(seen.found.latency_ms).mean()),
                achieved_rps=seen.found.achieved_rps,
                generator_frac=seen.found.generator_frac,
                front_frac=seen.found.front_frac,
                contended=seen.contended or slower > 1.0,
                slowdown=max(seen.slowdown, slower),
                full_rps=full_rps,
            )

        return self.bench.keep(step_of(self.key, rate_rps, n, seed), RunSeen, "measure", run)

    def first_pace_rps(self, rate_rps: float) -> float:
        """What clients that never rest get in short looks at the server when it is warm, 0 where they would be long.

        Args:
            rate_rps: At which it is warmed up when it is started for this.
        """

        def looked() -> float:
            self._server(rate_rps)
            return self._pace.first_rps

        return self.bench.keep(f"served/{self.key}/pace", float, "measure", looked)

    @property
    def _check_s(self) -> float:
        return max(CHECK_S, CHECKED_BATCHES * self.batch_s)

    def _checked_rps(self, live: LiveServer) -> float:
        """A short look, 0 where it would take too long."""
        return self._full_rps(live, self._check_s, patient=True) if self._check_s <= MOST_CHECK_S else 0.0

    def _full_rps(self, live: LiveServer, seconds: float, *, patient: bool = False) -> float:
        """Good answers a second to clients enough to fill every batch."""
        c = self.candidate
        clients = min(MOST_CLIENTS, max(4, 2 * c.instances * c.max_batch))
        return live.closed_loop(clients, max(seconds, LEAST_BATCHES * self.batch_s), patient=patient)

    def _latency_ms(self, run: LoadedRun) -> NDArray[np.float64]:
        return run.latency_ms if self.deadline_ms is None else just_late(run.latency_ms, self.deadline_ms)

    def _cores(self) -> tuple[int, ...]:
        return usable_cpus()[: self.candidate.instances * self.candidate.threads]

    def _server(self, rate_rps: float | None = None) -> LiveServer:
        """The server, started and warmed up at a rate (by clients that never rest without one) when there is none."""
        if self._live is None:
            c, bench = self.candidate, self.bench
            with bench.timed("child_start"):
                self._live = LiveServer(
                    self.source,
                    self.name,
                    bench.workload.holdout,
                    busy_cores=c.instances * c.threads,
                    run_dir=bench.out / "work",
                    logs=f"-{_slug(self.key)}",
                    trust=bench.trust,
                    seed=bench.seed,
                )
                self._warm_up(self._live, rate_rps)
        return self._live

    def _warm_up(self, live: LiveServer, rate_rps: float | None) -> None:
        if rate_rps is None:
            self._full_rps(live, WARM_UP_S)
        else:
            live.open_loop(rate_rps, max(1, round(rate_rps * WARM_UP_S)), self.bench.seed)
        self._pace.begin([self._checked_rps(live) for _ in range(FIRST_CHECKS)])


def _slug(key: str) -> str:
    """A key as part of a file's name: servers of several keys run side by side."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def served_model(bench: Workbench, model: LocalModel, key: str) -> ServedPath:
    """The path of a model before there is a plan: its document is written below ``work``.

    Args:
        bench: Open.
        model: As its plan would be served.
        key: As in :class:`ServedPath`.
    """
    document = bench.out / "work" / f"served-{_slug(key)}.json"
    write_json(document, stamp("served-model"), to_plain(model))
    deadline_ms = None if model.deadline_s is None else 1000 * model.deadline_s
    largest_ms = max((ms for size, ms in model.service_ms.items() if size <= model.candidate.max_batch), default=0.0)
    return ServedPath(
        bench=bench,
        candidate=model.candidate,
        source=document,
        name=model.name,
        key=key,
        deadline_ms=deadline_ms,
        batch_s=largest_ms / 1000,
    )
