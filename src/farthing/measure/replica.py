"""One replica of a candidate: its instances as child processes, each pinned to its own cores.

Children block on their pipe while they are not asked, so that many replicas can be alive and only one measured.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from farthing.codec import from_plain, to_plain
from farthing.errors import (
    CandidateCrashed,
    CandidateOutOfMemory,
    CandidateTimeout,
    FarthingError,
    MeasureError,
)
from farthing.measure.schedule import Schedule
from farthing.nouns import Candidate, Dataset, OperatorTime, PipelineSpec

__all__ = ["Block", "Child", "Replica", "ServerRun", "child_environment"]

POLL_S = 0.2
START_DELAY_S = 0.02
QUIET = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "NNCF_TELEMETRY": "0",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS")


def child_environment(threads: int) -> dict[str, str]:
    """The environment of a child: its thread count for every library, telemetry off."""
    return {**os.environ, **QUIET, **dict.fromkeys(_THREADS, str(threads)), "OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One Offline block of a replica.

    Attributes:
        n: Requests answered.
        rps: Of all instances together.
        service_ms: Time of each batch, all instances.
        pipeline_frac: Part of it spent before the engine.
        contended: True when the machine was busy and retries did not help.
    """

    n: int
    rps: float
    service_ms: tuple[float, ...]
    pipeline_frac: float
    contended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRun:
    """One Server scenario.

    Attributes:
        latency_ms: From the scheduled time, shape ``(n,)``.
        batches: Sizes of the batches that were formed.
        offered_rps: Rate of the schedule.
        achieved_rps: Answers over the time from the first arrival to the last answer.
    """

    latency_ms: NDArray[np.float64]
    batches: tuple[int, ...]
    offered_rps: float
    achieved_rps: float


class Child:
    """A child process that answers JSON lines.

    Args:
        command: Arguments after ``python``; two pipe descriptors are appended.
        cpus: Cores it may use.
        threads: Threads of every library in it.
        log: Where its stdout and stderr go; the tail is quoted in errors.
        label: For error messages.
        memory_limit_mib: Resident memory at which it is killed.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cpus: Sequence[int],
        threads: int,
        log: Path,
        label: str,
        memory_limit_mib: float,
    ) -> None:
        self.label, self.log, self._limit_mib = label, log, memory_limit_mib
        read_commands, write_commands = os.pipe()
        read_answers, write_answers = os.pipe()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as sink:
            self.process = subprocess.Popen(
                [sys.executable, *command, str(read_commands), str(write_answers)],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                pass_fds=(read_commands, write_answers),
                env=child_environment(threads),
                process_group=0,
                preexec_fn=_pin(cpus),
            )
        os.close(read_commands)
        os.close(write_answers)
        self._commands = os.fdopen(write_commands, "w")
        self._answers = read_answers
        self._buffer = b""
        self._usage = psutil.Process(self.process.pid)

    def say(self, message: Mapping[str, Any]) -> None:
        """Send one command.

        Raises:
            CandidateCrashed: when the child is gone.
        """
        try:
            self._commands.write(json.dumps(message) + "\n")
            self._commands.flush()
        except (BrokenPipeError, ValueError) as e:
            raise self._crashed() from e

    def hear(self, timeout_s: float) -> dict[str, Any]:
        """Wait for the answer to the last command.

        Raises:
            CandidateCrashed: when the child died.
            CandidateTimeout: when it did not answer in time; it is killed.
            CandidateOutOfMemory: when it went over its limit; it is killed.
            EngineError: when the engine in it refused.
        """
        end = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], POLL_S)
            if ready:
                piece = os.read(self._answers, 1 << 20)
                if not piece:
                    raise self._crashed()
                self._buffer += piece
                continue
            self._watch_memory()
            if time.monotonic() > end:
                self.kill()
                raise CandidateTimeout(
                    f"{self.label} did not answer within {timeout_s:g} s and was ended",
                    hint=f"its output is in {self.log}",
                )
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise _error(self.label, answer)
        return answer

    def _watch_memory(self) -> None:
        try:
            used_mib = self._usage.memory_info().rss / 2**20
        except psutil.NoSuchProcess:
            return
        if used_mib > self._limit_mib:
            self.kill()
            raise CandidateOutOfMemory(
                f"{self.label} used {used_mib:,.0f} MiB and was ended; the limit is {self._limit_mib:,.0f} MiB"
            )

    def _crashed(self) -> CandidateCrashed:
        try:
            status = self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self.process.wait()
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        with contextlib.suppress(OSError):
            tail = self.log.read_text(errors="replace").strip().splitlines()[-3:]
            return CandidateCrashed(f"{self.label} died ({how}): {' | '.join(tail) or 'no output'}")
        return CandidateCrashed(f"{self.label} died ({how})")

    def alive(self) -> bool:
        """Whether the process is running."""
        return self.process.poll() is None

    def kill(self) -> None:
        """End the process and everything it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Ask the child to leave by closing its pipe; kill it when it does not."""
        with contextlib.suppress(OSError):
            self._commands.close()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.kill()
            self.process.wait()
        with contextlib.suppress(OSError):
            os.close(self._answers)


def _pin(cpus: Sequence[int]) -> Any:
    def apply() -> None:
        if hasattr(os, "sched_setaffinity") and cpus:
            os.sched_setaffinity(0, set(cpus))

    return apply


def _error(label: str, answer: Mapping[str, Any]) -> FarthingError:
    import farthing.errors as errors

    kind = getattr(errors, answer["error"], None)
    message, _, hint = str(answer["message"]).partition("\n\nhint: ")
    if kind is None:
        return MeasureError(f"{label}: {answer['error']}: {message}")
    found: FarthingError = kind(f"{label}: {message}", hint=hint or None)
    return found


class Replica:
    """A candidate loaded in ``instances`` children; a context manager.

    Attributes:
        candidate: What runs.
        children: Its instances.
        load_s: Slowest instance, from start of loading to ready.
        first_inference_s: Slowest instance.
        child_start_s: From process start to the start of loading.
    """

    def __init__(
        self, candidate: Candidate, children: Sequence[Child], run_dir: Path, started_s: float, seed: int
    ) -> None:
        self.candidate = candidate
        self.children = list(children)
        self._run_dir = run_dir
        self._seed = seed
        self._counter = 0
        self.load_s = self.first_inference_s = self.child_start_s = 0.0
        self._started_s = started_s

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
    ) -> Replica:
        """Start the children and wait until each has answered once.

        Args:
            candidate: Instances and threads are taken from it.
            artefact_path: What the engine loads.
            pipeline: From payloads to tensors.
            dataset: Payloads.
            options: For the engine.
            cpus: At least instances × threads of them.
            memory_limit_mib: Of the whole replica.
            start_timeout_s: From process start to ready.
            run_dir: For logs and answers.
            seed: Of the order of payloads.

        Raises:
            MeasureError: when a child crashes, hangs or eats memory.
            EngineError: when the engine cannot load the artefact.
        """
        started_s = time.monotonic()
        name = candidate.label.replace(" ", "-").replace("/", "-").replace("×", "x")
        children: list[Child] = []
        try:
            for k in range(candidate.instances):
                mine = tuple(cpus[k * candidate.threads : (k + 1) * candidate.threads])
                log = run_dir / f"{name}-{candidate.precision}-{k}.log"
                children.append(
                    Child(
                        ["-m", "farthing.measure.child"],
                        cpus=mine,
                        threads=candidate.threads,
                        log=log,
                        label=candidate.label,
                        memory_limit_mib=memory_limit_mib / candidate.instances,
                    )
                )
            replica = cls(candidate, children, run_dir, started_s, seed)
            for k, child in enumerate(children):
                child.say(
                    {
                        "candidate": to_plain(candidate),
                        "artefact": str(artefact_path),
                        "pipeline": to_plain(pipeline),
                        "dataset": to_plain(dataset),
                        "options": dict(options),
                        "seed": seed,
                        "index": k,
                    }
                )
            ready = [c.hear(start_timeout_s) for c in children]
        except BaseException:
            for child in children:
                child.kill()
                child.close()
            raise
        replica.load_s = max(r["load_s"] for r in ready)
        replica.first_inference_s = max(r["first_inference_s"] for r in ready)
        replica.child_start_s = max(0.0, time.monotonic() - started_s - replica.load_s - replica.first_inference_s)
        return replica

    def __enter__(self) -> Replica:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _ask(self, children: Sequence[Child], timeout_s: float, **message: Any) -> list[dict[str, Any]]:
        for child in children:
            child.say(message)
        return [child.hear(timeout_s) for child in children]

    def offline_block(self, batch: int, seconds: float, timeout_s: float | None = None) -> Block:
        """All instances loaded at the same time, batches one after the other.

        Args:
            batch: Samples in a batch.
            seconds: Length of the block; at least three batches are run.
            timeout_s: Longest wait for it, None for two minutes more than ten times ``seconds``.
        """
        timeout_s = timeout_s or 120 + 10 * seconds
        self._ask(self.children, timeout_s, do="warm", batch=batch)
        start_s = time.monotonic() + START_DELAY_S
        parts = self._ask(self.children, timeout_s, do="offline", batch=batch, seconds=seconds, start_s=start_s)
        service = [x * 1000 for p in parts for x in p["service_s"]]
        spent = sum(sum(p["service_s"]) for p in parts)
        return Block(
            n=sum(p["n"] for p in parts),
            rps=sum(p["n"] / p["took_s"] for p in parts),
            service_ms=tuple(service),
            pipeline_frac=min(1.0, sum(p["pipeline_s"] for p in parts) / spent) if spent else 0.0,
        )

    def single_stream(self, n: int) -> NDArray[np.float64]:
        """Latency of ``n`` requests one at a time on one instance, in ms, shape ``(n,)``."""
        answer = self._ask(self.children[:1], 120 + 10 * n, do="single", n=n)[0]
        return np.asarray(answer["latency_s"]) * 1000

    def server(self, rate_rps: float, n: int, *, max_batch: int, seed: int, limit_s: float | None = None) -> ServerRun:
        """Poisson arrivals in an open loop, timer-free batching over all instances.

        Args:
            rate_rps: Of the whole replica, > 0.
            n: Requests.
            max_batch: Largest batch.
            seed: Of the arrivals.
            limit_s: The run is cut short after this time, None for 5 s more than one and a half times the
                schedule's length; requests without an answer count as infinitely late.

        Raises:
            ValueError: when the rate is not positive.
        """
        if not rate_rps > 0:
            raise ValueError(f"rate_rps must be > 0, is {rate_rps}")
        self._ask(self.children, 120, do="warm", batch=1)
        self._ask(self.children, 120, do="warm", batch=max_batch)
        self._counter += 1
        path = self._run_dir / f"schedule-{os.getpid()}-{id(self)}-{self._counter}.bin"
        gaps = np.random.default_rng(seed).exponential(1 / rate_rps, n)
        scheduled = time.monotonic() + 0.05 + np.cumsum(gaps)
        limit_s = limit_s or 5 + 1.5 * float(scheduled[-1] - scheduled[0])
        with Schedule.create(path, scheduled) as schedule:
            try:
                parts = self._ask(
                    self.children, 120 + limit_s, do="serve", path=str(path), max_batch=max_batch, limit_s=limit_s
                )
                latency_s, last_s = schedule.latency_s(), float(np.nanmax(schedule.answered_s))
            finally:
                path.unlink(missing_ok=True)
        if np.isnan(latency_s).any():
            latency_s = np.where(np.isnan(latency_s), np.inf, latency_s)
        return ServerRun(
            latency_ms=latency_s * 1000,
            batches=tuple(b for p in parts for b in p["batches"]),
            offered_rps=rate_rps,
            achieved_rps=n / max(1e-9, last_s - float(scheduled[0])),
        )

    def answers(self, indices: Sequence[int], batch: int) -> NDArray[np.float32]:
        """First output for some samples, in their order, shape ``(n, …)``; the work is shared by the instances."""
        parts = [p for p in np.array_split(np.asarray(indices, dtype=int), len(self.children)) if p.size]
        paths = [self._run_dir / f"answers-{os.getpid()}-{id(self)}-{k}.npy" for k in range(len(parts))]
        busy = self.children[: len(parts)]
        try:
            for child, rows, path in zip(busy, parts, paths, strict=True):
                child.say({"do": "answers", "rows": [int(r) for r in rows], "batch": batch, "path": str(path)})
            for child, rows in zip(busy, parts, strict=True):
                child.hear(120 + 20 * len(rows))
            found: NDArray[np.float32] = np.concatenate([np.load(p, allow_pickle=False) for p in paths])
        finally:
            for path in paths:
                path.unlink(missing_ok=True)
        return found

    def operators(self, batch: int, repeats: int) -> tuple[OperatorTime, ...]:
        """Per-operator time of one batch on the first instance."""
        answer = self._ask(self.children[:1], 300, do="operators", batch=batch, repeats=repeats)[0]
        return from_plain(tuple[OperatorTime, ...], answer["operators"])

    def peak_memory_mib(self) -> float:
        """Peak resident memory of all instances together."""
        return float(sum(a["rss_mib"] for a in self._ask(self.children, 60, do="memory")))

    def device_memory_mib(self) -> float | None:
        """Peak accelerator memory of all instances, None on a CPU."""
        found = [a["device_bytes"] for a in self._ask(self.children, 60, do="memory")]
        return None if any(b is None for b in found) else sum(found) / 2**20

    def alive(self) -> bool:
        """Whether every instance is running."""
        return all(child.alive() for child in self.children)

    def close(self) -> None:
        """End all instances."""
        for child in self.children:
            child.close()
