"""A candidate through the path that users get: its server, its port, its queue; runs of it go through the journal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from farthing.codec import to_plain
from farthing.load.schema import stamp
from farthing.measure.hardware import usable_cpus
from farthing.measure.live_server import LiveServer, LoadedRun
from farthing.measure.open_loop import RunSeen, levels_of, seen_of
from farthing.measure.watching import watched
from farthing.measure.workbench import Workbench
from farthing.nouns import Candidate, ServedModel
from farthing.store.documents import write_json

__all__ = ["ServedPath", "served_model"]

NAME = "model"
CLOSED_S = 1.0
MOST_CLIENTS = 128
JUST_LATE = 1.02


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
    """

    bench: Workbench
    candidate: Candidate
    source: Path
    name: str
    key: str
    deadline_ms: float | None = None
    _live: LiveServer | None = None

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
        c = self.candidate
        clients = min(MOST_CLIENTS, max(4, 2 * c.instances * c.max_batch))
        return self.bench.keep(
            f"served/{self.key}/capacity/{k}", float, "measure", lambda: self._server().closed_loop(clients, CLOSED_S)
        )

    def run(self, rate_rps: float, n: int, seed: int) -> RunSeen:
        """Poisson arrivals at its port.

        Args:
            rate_rps: > 0.
            n: Requests.
            seed: Of the arrivals.
        """

        def once() -> LoadedRun:
            return self._server().open_loop(rate_rps, n, seed)

        def run() -> RunSeen:
            seen = watched(self.bench.canary, self._cores(), once)
            return seen_of(
                self._latency_ms(seen.found),
                levels_of(self.bench.level),
                rate_rps=rate_rps,
                seed=seed,
                answered_frac=float(np.isfinite(seen.found.latency_ms).mean()),
                achieved_rps=seen.found.achieved_rps,
                generator_frac=seen.found.generator_frac,
                front_frac=seen.found.front_frac,
                contended=seen.contended,
                slowdown=seen.slowdown,
            )

        return self.bench.keep(f"served/{self.key}/{rate_rps:.3f}/{n}/{seed}", RunSeen, "measure", run)

    def _latency_ms(self, run: LoadedRun) -> NDArray[np.float64]:
        if self.deadline_ms is None:
            return run.latency_ms
        late_ms = max(self.deadline_ms * JUST_LATE, float(run.latency_ms[np.isfinite(run.latency_ms)].max(initial=0)))
        return np.where(np.isfinite(run.latency_ms), run.latency_ms, late_ms)

    def _cores(self) -> tuple[int, ...]:
        return usable_cpus()[: self.candidate.instances * self.candidate.threads]

    def _server(self) -> LiveServer:
        if self._live is None:
            c, bench = self.candidate, self.bench
            with bench.timed("child_start"):
                self._live = LiveServer(
                    self.source,
                    self.name,
                    bench.workload.holdout,
                    busy_cores=c.instances * c.threads,
                    run_dir=bench.out / "work",
                    trust=bench.settings.trust,
                    seed=bench.settings.seed,
                )
        return self._live


def served_model(bench: Workbench, model: ServedModel, key: str) -> ServedPath:
    """The path of a model before there is a plan: its document is written below ``work``.

    Args:
        bench: Open.
        model: As its plan would be served.
        key: As in :class:`ServedPath`.
    """
    document = bench.out / "work" / "served-model.json"
    write_json(document, stamp("served-model"), to_plain(model))
    deadline_ms = None if model.deadline_s is None else 1000 * model.deadline_s
    return ServedPath(
        bench=bench,
        candidate=model.candidate,
        source=document,
        name=model.name,
        key=key,
        deadline_ms=deadline_ms,
    )
