"""One replica of a candidate: its instances as child processes, each pinned to its own cores.

Children block on their pipe while they are not asked, so that many replicas can be alive and only one measured.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.codec import from_plain, to_plain
from farthing.errors import MeasureError
from farthing.machine.clock import MonotonicClock
from farthing.models.batch_check import Batching
from farthing.nouns import Candidate, Dataset, OperatorTime, PipelineSpec
from farthing.ports import Clock
from farthing.store.documents import full_disk
from farthing.workers.replicas.array_files import joined
from farthing.workers.replicas.messages import Child, ask, end
from farthing.workers.replicas.schedule import Schedule

__all__ = ["Block", "OperatorTimes", "Replica", "ServerRun"]

SILENCE_S = 120.0
"""A child that shows no sign of life for so long is ended; it shows one between batches."""
PROFILING_S = 600.0
"""The same while the engine's own profiler runs, which shows none."""
START_DELAY_S = 0.02
"""From asking to the common start of all instances."""
WAITING_S = 2.0
WAITING_BATCHES = 32
"""A Server run is given up when more requests wait than arrive in two seconds, and than 32 batches an instance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One Offline block of a replica.

    Attributes:
        n: Requests answered.
        rps: Of all instances together.
        service_ms: Time of each batch, all instances.
        pipeline_frac: Part of it spent before the engine.
        contended: True when the machine was busy and retries did not help.
        canary_ms: Time of the canary kernel beside the block, 0 when it was not asked.
    """

    n: int
    rps: float
    service_ms: tuple[float, ...]
    pipeline_frac: float
    contended: bool = False
    canary_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRun:
    """One Server scenario.

    Attributes:
        latency_ms: From the scheduled time, shape ``(n,)``; +inf where there was no answer.
        batches: Sizes of the batches that were formed.
        offered_rps: Rate of the schedule.
        achieved_rps: Answers over the time from the first arrival to the last answer, 0 without answers.
        stable: False when the run was given up because too many requests waited, or its time was over.
    """

    latency_ms: NDArray[np.float64]
    batches: tuple[int, ...]
    offered_rps: float
    achieved_rps: float
    stable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTimes:
    """Where the time of one batch goes.

    Attributes:
        times: Of each operator, averaged over the runs.
        input_shapes: Of that batch, by input name.
    """

    times: tuple[OperatorTime, ...]
    input_shapes: Mapping[str, tuple[int, ...]]


class Replica:
    """A candidate loaded in ``instances`` children; a context manager.

    Attributes:
        candidate: What runs.
        children: Its instances.
        cpus: Cores of all instances.
        load_s: Slowest instance, from start of loading to ready.
        first_inference_s: Slowest instance.
        child_start_s: Slowest instance, from process start to ready, less the two above.
        start_memory_mib: Peak resident memory of all instances after the first inference.
        output_shapes: Of the model's outputs by name, in its order, as the engine states them.
    """

    def __init__(
        self,
        candidate: Candidate,
        children: Sequence[Child],
        *,
        cpus: Sequence[int],
        memory_limit_mib: float,
        run_dir: Path,
        clock: Clock,
    ) -> None:
        self.candidate, self.children, self.cpus = candidate, tuple(children), tuple(cpus)
        self._memory_limit_mib, self._run_dir, self._clock = memory_limit_mib, run_dir, clock
        self._files = 0
        self.output_shapes: dict[str, tuple[int | None, ...]] = {}
        self.load_s = self.first_inference_s = self.child_start_s = self.start_memory_mib = 0.0

    @classmethod
    def start(
        cls,
        candidate: Candidate,
        artefact_path: Path,
        pipeline: PipelineSpec,
        dataset: Dataset,
        *,
        options: Mapping[str, Any],
        cpus: Sequence[int],
        memory_limit_mib: float,
        start_timeout_s: float,
        run_dir: Path,
        seed: int,
        clock: Clock | None = None,
    ) -> Replica:
        """Start the children and wait until each has answered once.

        Args:
            candidate: Instances and threads are taken from it.
            artefact_path: What the engine loads.
            pipeline: From payloads to tensors.
            dataset: Payloads.
            options: For the engine.
            cpus: At least instances × threads of them, see :func:`farthing.machine.hardware.usable_cpus`.
            memory_limit_mib: Of the whole replica, resident.
            start_timeout_s: From process start to ready.
            run_dir: For logs, schedules and answers.
            seed: Of the order of payloads.
            clock: Time, None for the real one.

        Raises:
            ValueError: when there are too few cores.
            MeasureError: when a child crashes, hangs or eats memory, or the cores are not this process's.
            EngineError: when the engine cannot load the artefact.
        """
        needed = candidate.instances * candidate.threads
        if len(set(cpus)) < needed:
            raise ValueError(f"{candidate.label} needs {needed} cores, got {tuple(cpus)}")
        clock = clock or MonotonicClock()
        started_s = clock.monotonic_s()
        children: list[Child] = []
        try:
            for k in range(candidate.instances):
                mine = cpus[k * candidate.threads : (k + 1) * candidate.threads]
                log = run_dir / f"{_file_name(candidate)}-{k}.log"
                children.append(Child(candidate.label, cpus=mine, threads=candidate.threads, log=log))
            spec = _spec(candidate, artefact_path, pipeline, dataset, options, seed)
            messages = [{"do": "load", "spec": {**spec, "index": k}} for k in range(candidate.instances)]
            ready = ask(children, messages, silence_s=start_timeout_s, memory_limit_mib=memory_limit_mib, clock=clock)
        except BaseException:
            end(children)
            raise
        replica = cls(
            candidate, children, cpus=cpus[:needed], memory_limit_mib=memory_limit_mib, run_dir=run_dir, clock=clock
        )
        replica._note_start(ready, started_s)
        return replica

    def _note_start(self, ready: Sequence[Mapping[str, Any]], started_s: float) -> None:
        self.output_shapes = {name: tuple(shape) for name, shape in ready[0].get("outputs", ())}
        self.load_s = max(r["load_s"] for r in ready)
        self.first_inference_s = max(r["first_inference_s"] for r in ready)
        self.start_memory_mib = sum(r["rss_mib"] for r in ready)
        self.child_start_s = max(0.0, *(r["ready_s"] - started_s - r["load_s"] - r["first_inference_s"] for r in ready))

    def __enter__(self) -> Replica:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _ask(self, children: Sequence[Child], silence_s: float, **message: Any) -> list[dict[str, Any]]:
        return self._ask_each(children, [message] * len(children), silence_s)

    def _ask_each(
        self, children: Sequence[Child], messages: Sequence[Mapping[str, Any]], silence_s: float
    ) -> list[dict[str, Any]]:
        limit_mib = self._memory_limit_mib
        return ask(children, messages, silence_s=silence_s, memory_limit_mib=limit_mib, clock=self._clock)

    def _file(self, kind: str) -> Path:
        self._files += 1
        return self._run_dir / f"{kind}-{os.getpid()}-{id(self)}-{self._files}"

    def offline_block(self, batch: int, seconds: float, timeout_s: float = SILENCE_S) -> Block:
        """All instances loaded at the same time, batches one after the other.

        A batch size is warmed up once, unmeasured.

        Args:
            batch: Samples in a batch.
            seconds: Length of the block; at least three batches are run.
            timeout_s: Longest time without a sign of life.

        Raises:
            MeasureError: when a child crashes, hangs, eats memory, or its engine fails.
        """
        self._ask(self.children, timeout_s, do="warm", batch=batch)
        start_s = self._clock.monotonic_s() + START_DELAY_S
        parts = self._ask(self.children, timeout_s, do="offline", batch=batch, seconds=seconds, start_s=start_s)
        service_s = [x for p in parts for x in p["service_s"]]
        return Block(
            n=sum(p["n"] for p in parts),
            rps=sum(p["n"] / p["took_s"] for p in parts),
            service_ms=tuple(1000 * x for x in service_s),
            pipeline_frac=min(1.0, sum(p["pipeline_s"] for p in parts) / sum(service_s)),
        )

    def single_stream(self, n: int, timeout_s: float = SILENCE_S) -> NDArray[np.float64]:
        """Latency of ``n`` requests one at a time on one instance, in ms, shape ``(n,)``; the others wait.

        Raises:
            MeasureError: when the child crashes, hangs, eats memory, or its engine fails.
        """
        alone = self.children[:1]
        self._ask(alone, timeout_s, do="warm", batch=1)
        return np.asarray(self._ask(alone, timeout_s, do="single", n=n)[0]["latency_s"]) * 1000

    def server(
        self,
        rate_rps: float,
        n: int,
        *,
        max_batch: int,
        seed: int,
        limit_s: float | None = None,
        most_waiting: int | None = None,
    ) -> ServerRun:
        """Poisson arrivals in an open loop, timer-free batching over all instances.

        Args:
            rate_rps: Of the whole replica, > 0.
            n: Requests, ≥ 1.
            max_batch: Largest batch.
            seed: Of the arrivals.
            limit_s: The run is cut short after this time, None for 5 s more than one and a half times the
                schedule's length; requests without an answer count as infinitely late.
            most_waiting: The run is given up when more requests wait, None for those of two seconds or 32 batches
                for each instance, whichever is more.

        Raises:
            ValueError: when rate or number is not positive.
            MeasureError: when a child crashes, hangs, eats memory, or its engine fails.
            StoreError: when the disk is full.
        """
        if not rate_rps > 0 or n < 1:
            raise ValueError(f"rate_rps must be > 0 and n ≥ 1: rate_rps = {rate_rps}, n = {n}")
        for batch in sorted({1, max_batch}):
            self._ask(self.children, SILENCE_S, do="warm", batch=batch)
        if most_waiting is None:
            most_waiting = max(int(WAITING_S * rate_rps), WAITING_BATCHES * max_batch * len(self.children))
        offsets_s = np.cumsum(np.random.default_rng(seed).exponential(1 / rate_rps, n))
        if limit_s is None:
            limit_s = 5 + 1.5 * float(offsets_s[-1])
        path = self._file("schedule")
        start_s = self._clock.monotonic_s() + START_DELAY_S
        try:
            with Schedule.create(path, start_s + offsets_s, most_waiting) as schedule:
                message = {"do": "serve", "path": str(path), "max_batch": max_batch, "end_s": start_s + limit_s}
                parts = self._ask(self.children, SILENCE_S + limit_s, **message)
                return _server_run(schedule, [b for p in parts for b in p["batches"]], rate_rps)
        except OSError as e:
            raise full_disk(e, path) or MeasureError(f"cannot write {path}: {e.strerror or e}") from e
        finally:
            path.unlink(missing_ok=True)

    def answers(self, indices: Sequence[int], batch: int) -> NDArray[np.float32]:
        """First output for some samples, in their order; the work is shared by the instances.

        Returns:
            Shape ``(n, …)``, mapped from a file that goes with the last reference to it.

        Raises:
            ValueError: when there are no samples.
            MeasureError: when a child crashes, hangs, eats memory, or its engine fails.
            StoreError: when the disk is full.
        """
        return self.outputs(indices, batch)[""]

    def outputs(self, indices: Sequence[int], batch: int, also: Sequence[str] = ()) -> dict[str, NDArray[np.float32]]:
        """As :meth:`answers`, with further outputs of the same runs by name; the first one is called ``""``.

        Raises:
            ValueError: when there are no samples.
            MeasureError: when a child crashes, hangs, eats memory, or its engine fails.
            StoreError: when the disk is full.
        """
        parts = [p for p in np.array_split(np.asarray(indices, dtype=int), len(self.children)) if p.size]
        if not parts:
            raise ValueError("answers: no samples")
        paths = {name: [self._file("answers") for _ in parts] for name in ("", *also)}
        messages = [
            {
                "do": "answers",
                "rows": rows.tolist(),
                "batch": batch,
                "path": str(paths[""][k]),
                "also": {name: str(paths[name][k]) for name in also},
            }
            for k, rows in enumerate(parts)
        ]
        try:
            self._ask_each(self.children[: len(parts)], messages, SILENCE_S)
            return {name: joined(written, self._file("joined")) for name, written in paths.items()}
        except OSError as e:
            raise full_disk(e, self._run_dir) or MeasureError(
                f"cannot keep answers in {self._run_dir}: {e.strerror or e}"
            ) from e
        finally:
            for path in (path for written in paths.values() for path in written):
                path.unlink(missing_ok=True)

    def batching(self, most: int, seed: int) -> Batching:
        """Whether requests may share a batch of this candidate, shown on the first instance.

        Args:
            most: Largest batch that will be run.
            seed: Of the made-up requests.

        Raises:
            MeasureError: when the child crashes, hangs or eats memory.
        """
        answer = self._ask(self.children[:1], PROFILING_S, do="batching", most=most, seed=seed)[0]
        return from_plain(Batching, answer["batching"])

    def operators(self, batch: int, repeats: int) -> OperatorTimes:
        """Per-operator time of one batch on the first instance, averaged over ``repeats`` runs.

        Of texts it is a batch of the middle length.
        """
        answer = self._ask(self.children[:1], PROFILING_S, do="operators", batch=batch, repeats=repeats)[0]
        return from_plain(OperatorTimes, answer)

    def peak_memory_mib(self) -> float:
        """Peak resident memory of all instances together; pages that they share count for each."""
        return float(sum(a["rss_mib"] for a in self._ask(self.children, SILENCE_S, do="memory")))

    def device_memory_mib(self) -> float | None:
        """Peak accelerator memory of all instances, None on a CPU."""
        found = [a["device_bytes"] for a in self._ask(self.children, SILENCE_S, do="memory")]
        return None if any(b is None for b in found) else sum(found) / 2**20

    def alive(self) -> bool:
        """Whether every instance is running."""
        return all(child.alive() for child in self.children)

    def close(self) -> None:
        """End all instances; a second call does nothing."""
        end(self.children)


def _spec(
    candidate: Candidate, path: Path, pipeline: PipelineSpec, dataset: Dataset, options: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """What a child must know to load its instance, but for its index."""
    return {
        "candidate": to_plain(candidate),
        "artefact": str(path),
        "pipeline": to_plain(pipeline),
        "dataset": to_plain(dataset),
        "options": dict(options),
        "seed": seed,
    }


def _file_name(candidate: Candidate) -> str:
    label = f"{candidate.label}-{candidate.precision}".replace("×", "x")
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in label)


def _server_run(schedule: Schedule, batches: Sequence[int], rate_rps: float) -> ServerRun:
    latency_s = schedule.latency_s()
    answered_s = schedule.answered_s[np.isfinite(latency_s)]
    achieved_rps = 0.0
    if answered_s.size:
        achieved_rps = answered_s.size / float(answered_s.max() - schedule.scheduled_s[0])
    return ServerRun(
        latency_ms=latency_s * 1000,
        batches=tuple(batches),
        offered_rps=rate_rps,
        achieved_rps=achieved_rps,
        stable=answered_s.size == schedule.n,
    )
