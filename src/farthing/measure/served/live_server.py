"""``farthing serve`` as users start it, on this machine, under a load generator: what is measured is what serves."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import psutil
from numpy.typing import NDArray

from farthing.codec import to_plain
from farthing.errors import MeasureError
from farthing.machine.clock import MonotonicClock
from farthing.machine.hardware import usable_cpus
from farthing.machine.offline import QUIET
from farthing.measure.served.load_generator import POOL
from farthing.nouns import Dataset
from farthing.ports import Clock
from farthing.workers.replicas.messages import Child, ask, end

__all__ = ["LiveServer", "LoadedRun", "missing"]

READY_S = 120.0
LEAVE_S = 10.0
POLL_S = 0.02
SILENCE_S = 60.0
_GENERATOR = "farthing.measure.served.load_generator"
_GENERATOR_MIB = 4096.0
_NEEDED = ("httptools", "orjson")
_READY = re.compile(r"^ready: http://127\.0\.0\.1:(\d+)", re.MULTILINE)
_PROGRAM = (
    "import os, sys; from farthing.machine.lifeline import end_with_parent; end_with_parent(int(sys.argv.pop(1))); "
    "from farthing.cli.main import main; sys.argv[0] = 'farthing'; main()"
)


def missing() -> str | None:
    """Why nothing can be measured through a server here, None when it can."""
    if not sys.platform.startswith("linux"):
        return "its load generator needs Linux"
    lacks = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    return f'{" and ".join(lacks)} not installed: pip install "farthing[serve]"' if lacks else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedRun:
    """One run of the load generator.

    Attributes:
        latency_ms: Of each request from its scheduled time to its whole answer, shape ``(n,)``; +inf where no good
            answer came.
        offered_rps: Rate of the schedule.
        achieved_rps: Good answers over the time from the first arrival to the last answer.
        generator_frac: Processor time of the load generator over that of all cores of this machine, in [0, 1].
        front_frac: The same of the server's own process (protocol, queue), its workers left out.
    """

    latency_ms: NDArray[np.float64]
    offered_rps: float
    achieved_rps: float
    generator_frac: float
    front_frac: float


class LiveServer:
    """A server and its load generator, both child processes; a context manager.

    The generator runs on cores that no worker was planned for, where there are any; else it shares the workers' cores,
    and its share of the machine is part of every run.

    Args:
        source: What ``farthing serve`` is given: a plan.yaml, or the document of one model.
        name: Of the model there.
        busy_cores: Cores that its workers were planned for.
        dataset: What clients send.
        run_dir: For the logs.
        trust: Native artefacts may be loaded though they were not built here.
        seed: Of the choice of payloads.
        pool: Different payloads, drawn from the data and sent in turn.
        options: Further ones of ``farthing serve``.
        logs: Ends the names of the logs, where several servers share their folder.
        clock: Time, None for the real one.

    Raises:
        MeasureError: when the server does not become ready.
    """

    def __init__(
        self,
        source: Path,
        name: str,
        dataset: Dataset,
        *,
        busy_cores: int,
        run_dir: Path,
        trust: bool = False,
        seed: int = 0,
        pool: int = POOL,
        options: Sequence[str] = (),
        logs: str = "",
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or MonotonicClock()
        run_dir.mkdir(parents=True, exist_ok=True)
        self._log = run_dir / f"live-server{logs}.log"
        spare = usable_cpus()[busy_cores:]
        self._generator: Child | None = None
        self._process = self._start(source, trust, options)
        try:
            port = self._ready_port()
            self._generator = Child(
                "the load generator",
                cpus=spare,
                threads=1,
                log=run_dir / f"load-generator{logs}.log",
                program=_GENERATOR,
            )
            self._ask(do="load", port=port, model=name, dataset=to_plain(dataset), seed=seed, pool=pool)
        except BaseException:
            self.close()
            raise

    def _start(self, source: Path, trust: bool, more: Sequence[str]) -> subprocess.Popen[bytes]:
        options = [*more, "--port", "0", "--grpc-port", "none", "--metrics-port", "none", "--notice", "0"]
        options += ["--trust"] if trust else []
        program = [sys.executable, "-P", "-c", _PROGRAM, str(os.getpid()), "serve", str(source), *options]
        with self._log.open("wb") as sink:
            return subprocess.Popen(
                program,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, **QUIET},
                process_group=0,
            )

    def _ready_port(self) -> int:
        limit, text = self._clock.monotonic_s() + READY_S, ""
        while self._clock.monotonic_s() < limit:
            text = self._log.read_text(errors="replace")
            if found := _READY.search(text):
                return int(found[1])
            if self._process.poll() is not None:
                raise MeasureError(f"farthing serve ended before it was ready: {_tail(text)}")
            self._clock.sleep(POLL_S)
        hint = f"its output is in {self._log}" if text.strip() else None
        raise MeasureError(f"farthing serve was not ready within {READY_S:g} s", hint=hint)

    def _ask(self, **message: object) -> dict[str, object]:
        assert self._generator is not None
        silence_s = SILENCE_S
        children: Sequence[Child] = [self._generator]
        return ask(children, [message], silence_s=silence_s, memory_limit_mib=_GENERATOR_MIB, clock=self._clock)[0]

    def closed_loop(self, connections: int, seconds: float, *, patient: bool = False) -> float:
        """Good answers a second when so many clients ask again as soon as they are answered.

        Args:
            connections: Clients.
            seconds: How long they ask.
            patient: Whether they wait beyond the server's deadline, so that nothing is refused.

        Raises:
            MeasureError: when nothing was answered, or the generator died.
        """
        found = self._ask(do="closed_loop", connections=connections, seconds=seconds, patient=patient)
        answered = float(str(found["n"])) / float(str(found["took_s"]))
        if not answered > 0:
            raise MeasureError(
                f"farthing serve answered nothing in {seconds:g} s: {_tail(self._log.read_text(errors='replace'))}"
            )
        return answered

    def open_loop(self, rate_rps: float, n: int, seed: int) -> LoadedRun:
        """Poisson arrivals at a rate.

        Args:
            rate_rps: > 0.
            n: Requests, ≥ 1.
            seed: Of the arrivals.

        Raises:
            MeasureError: when the generator died.
        """
        limit_s = 5.0 + 1.5 * n / rate_rps
        front = self._front_s()
        start_s = self._clock.monotonic_s()
        found: dict[str, object] = self._ask(do="open_loop", rate_rps=rate_rps, n=n, seed=seed, limit_s=limit_s)
        cores_s = (self._clock.monotonic_s() - start_s) * len(usable_cpus())
        latency = np.asarray(found["latency_s"], dtype=np.float64)
        good = latency >= 0
        return LoadedRun(
            latency_ms=np.where(good, latency * 1000, np.inf),
            offered_rps=rate_rps,
            achieved_rps=float(good.sum()) / float(str(found["took_s"])),
            generator_frac=min(1.0, float(str(found["cpu_s"])) / cores_s),
            front_frac=min(1.0, max(0.0, self._front_s() - front) / cores_s),
        )

    def _front_s(self) -> float:
        try:
            times = psutil.Process(self._process.pid).cpu_times()
        except psutil.Error as e:
            raise MeasureError(f"farthing serve ended: {_tail(self._log.read_text(errors='replace'))}") from e
        return float(times.user + times.system)

    def said(self) -> str:
        """What the server has printed so far."""
        return self._log.read_text(errors="replace")

    def __enter__(self) -> LiveServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End both; the server is asked first."""
        if self._generator is not None:
            end([self._generator])
            self._generator = None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _tail(text: str) -> str:
    return " | ".join(line.strip() for line in text.strip().splitlines()[-4:]) or "it said nothing"
