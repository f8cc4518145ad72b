"""The child process that runs one instance of a candidate: ``python -m farthing.measure.child``.

Commands come as one JSON line each on one pipe and are answered by one JSON line on another; libraries may print
what they like on stdout and stderr. Threads and affinity are set by the parent before anything is imported here.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.codec import from_plain, to_plain
from farthing.measure.schedule import Schedule
from farthing.nouns import Candidate, Dataset, PipelineSpec
from farthing.plugins import find

__all__ = ["die_with_parent", "main"]

PR_SET_PDEATHSIG = 1
POOL = 512
"""Payloads kept in memory, so that reading files is not measured: a server gets its payloads over the network."""


def die_with_parent() -> None:
    """Have the kernel end this process when its parent ends."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Instance:
    """One loaded model with its pipeline and payloads.

    Args:
        spec: What :class:`farthing.measure.replica.Replica` sends first.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        from farthing.pipelines.grouping import batches_by_length
        from farthing.pipelines.payloads import read

        self._read = read
        self._group = batches_by_length
        self.candidate = from_plain(Candidate, spec["candidate"])
        self.dataset = from_plain(Dataset, spec["dataset"])
        pipeline = from_plain(PipelineSpec, spec["pipeline"])
        self.pipeline = find("pipelines", pipeline.kind).open(pipeline)
        self.rng = np.random.default_rng([spec["seed"], spec["index"]])
        start = time.monotonic()
        self.session = find("engines", self.candidate.engine).load(
            Path(spec["artefact"]),
            precision=self.candidate.precision,
            threads=self.candidate.threads,
            device=self.candidate.device,
            options=spec["options"],
        )
        self.load_s = time.monotonic() - start
        rows = self.rng.permutation(self.dataset.n)[:POOL]
        self.pool = read(self.dataset, [int(k) for k in rows])
        start = time.monotonic()
        self.run([self.pool[0]])
        self.first_inference_s = time.monotonic() - start
        self._warm: set[int] = set()

    def run(self, payloads: Sequence[Any]) -> tuple[dict[str, NDArray[Any]], float, float]:
        """Answer one batch; the answers, seconds in the pipeline, seconds in all."""
        start = time.perf_counter()
        feeds = self.pipeline(payloads, self.session.inputs)
        ready = time.perf_counter()
        outputs = self.session.run(feeds)
        return outputs, ready - start, time.perf_counter() - start

    def batches(self, size: int) -> list[list[int]]:
        """Rows of the pool in batches of one size, alike in length where the pipeline groups."""
        order = self.rng.permutation(len(self.pool))
        if len(order) < size:
            order = np.resize(order, size)
        lengths = self.pipeline.lengths([self.pool[k] for k in order])
        whole = len(order) // size * size
        if lengths is None:
            return [[int(k) for k in order[i : i + size]] for i in range(0, whole, size)]
        groups = self._group(lengths, size)
        found = [[int(order[k]) for k in g] for g in groups if len(g) == size]
        self.rng.shuffle(found)
        return found

    def warm_up(self, size: int) -> None:
        """Run a batch size a few times before it is measured for the first time."""
        if size not in self._warm:
            for rows in self.batches(size)[:3]:
                self.run([self.pool[k] for k in rows])
            self._warm.add(size)

    def warm(self, batch: int) -> dict[str, Any]:
        """Command form of :meth:`warm_up`."""
        self.warm_up(batch)
        return {"warm": batch}

    # — commands ———————————————————————————————————————————————————————————————————————————————————

    def offline(self, batch: int, seconds: float, start_s: float) -> dict[str, Any]:
        """Batches one after the other from a common start for some seconds, at least three."""
        _wait_until(start_s)
        service_s: list[float] = []
        pipeline_s = 0.0
        end = start_s + seconds
        while True:
            for rows in self.batches(batch):
                _, before, total = self.run([self.pool[k] for k in rows])
                service_s.append(total)
                pipeline_s += before
                if len(service_s) >= 3 and time.monotonic() >= end:
                    took = time.monotonic() - start_s
                    return {
                        "service_s": service_s,
                        "pipeline_s": pipeline_s,
                        "n": batch * len(service_s),
                        "took_s": took,
                    }

    def single(self, n: int) -> dict[str, Any]:
        """Requests one at a time."""
        self.warm_up(1)
        order = np.resize(self.rng.permutation(len(self.pool)), n)
        return {"latency_s": [self.run([self.pool[int(k)]])[2] for k in order]}

    def serve(self, path: str, max_batch: int, limit_s: float) -> dict[str, Any]:
        """Take requests from a common schedule until none is left, or the time limit says that it is unstable."""
        served = 0
        end = time.monotonic() + limit_s
        batches: list[int] = []
        with Schedule.open(Path(path)) as schedule:
            while time.monotonic() < end:
                first, count = schedule.take(max_batch)
                if count == 0:
                    break
                rows = [(first + k) % len(self.pool) for k in range(count)]
                self.run([self.pool[k] for k in rows])
                schedule.finish(first, count)
                batches.append(count)
                served += count
        return {"served": served, "batches": batches}

    def answers(self, rows: Sequence[int], batch: int, path: str) -> dict[str, Any]:
        """First output for some samples, in their order, written as one array."""
        found: list[NDArray[np.float32] | None] = [None] * len(rows)
        lengths = self.pipeline.lengths(self._read(self.dataset, list(rows)))
        order = [list(range(i, min(i + batch, len(rows)))) for i in range(0, len(rows), batch)]
        if lengths is not None:
            order = [[int(k) for k in g] for g in self._group(lengths, batch)]
        for group in order:
            outputs, _, _ = self.run(self._read(self.dataset, [rows[k] for k in group]))
            first = np.asarray(next(iter(outputs.values())), dtype=np.float32)
            for k, row in zip(group, first, strict=True):
                found[k] = row
        np.save(path, np.stack(found))  # type: ignore[arg-type]
        return {"n": len(rows)}

    def operators(self, batch: int, repeats: int) -> dict[str, Any]:
        """Per-operator time of one batch."""
        rows = self.batches(batch)[0]
        feeds = self.pipeline([self.pool[k] for k in rows], self.session.inputs)
        return {"operators": to_plain(tuple(self.session.operators(feeds, repeats)))}

    def memory(self) -> dict[str, Any]:
        """Peak resident memory of this process, and of the accelerator."""
        device = self.session.device_memory_bytes()
        return {"rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "device_bytes": device}


def _wait_until(start_s: float) -> None:
    while (left := start_s - time.monotonic()) > 0:
        time.sleep(left)


def _commands(instance: Instance) -> dict[str, Callable[..., dict[str, Any]]]:
    return {
        "warm": instance.warm,
        "offline": instance.offline,
        "single": instance.single,
        "serve": instance.serve,
        "answers": instance.answers,
        "operators": instance.operators,
        "memory": instance.memory,
    }


def main(argv: Sequence[str]) -> int:
    """Answer commands until the pipe closes."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with os.fdopen(int(argv[0]), "r") as commands, os.fdopen(int(argv[1]), "w") as answers:

        def say(message: dict[str, Any]) -> None:
            answers.write(json.dumps(message) + "\n")
            answers.flush()

        try:
            instance = Instance(json.loads(commands.readline()))
            say({"load_s": instance.load_s, "first_inference_s": instance.first_inference_s})
        except Exception as e:
            say({"error": type(e).__name__, "message": str(e)})
            raise
        known = _commands(instance)
        for line in commands:
            message = json.loads(line)
            try:
                say(known[message.pop("do")](**message))
            except Exception as e:  # noqa: BLE001 - any failure of a candidate is an answer to the parent
                say({"error": type(e).__name__, "message": str(e)})
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
