"""The child process that runs one instance of a candidate, or a build step: ``-m farthing.workers.replicas.child``."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.codec import from_plain, to_plain
from farthing.errors import MeasureError
from farthing.models.batch_check import MOST_ALONE
from farthing.nouns import Candidate, Dataset, PipelineSpec
from farthing.plugins import find, import_callable
from farthing.workers.replicas.answering import Line, answer_commands
from farthing.workers.replicas.array_files import new_array
from farthing.workers.replicas.schedule import Schedule

__all__ = ["Instance", "main", "peak_memory_mib"]

POOL = 512
"""Payloads kept in memory, so that reading files is not measured: a server gets its payloads over the network."""
WARM_S = 0.5
"""How long a batch size is run before it is measured for the first time, where the samples have many shapes."""
FEWEST = 3
"""Batches of an Offline block, however short it is."""

Command = Callable[..., Mapping[str, Any]]


def peak_memory_mib() -> float:
    """Peak resident memory of this process.

    Linux counts what the parent held when it forked into ``ru_maxrss``; ``VmHWM`` begins with this program.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for entry in status.read_text().splitlines():
            if entry.startswith("VmHWM:"):
                return int(entry.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)


class Instance:
    """One loaded model with its pipeline and payloads.

    Args:
        spec: What :class:`farthing.workers.replicas.replica.Replica` sends first.
        line: To show signs of life on.
    """

    def __init__(self, spec: Mapping[str, Any], line: Line) -> None:
        from farthing.pipelines.few_lengths import settle_lengths
        from farthing.pipelines.grouping import batches_by_length
        from farthing.pipelines.payloads import read

        self._read, self._group, self._line = read, batches_by_length, line
        candidate = from_plain(Candidate, spec["candidate"])
        self.dataset = from_plain(Dataset, spec["dataset"])
        pipeline = from_plain(PipelineSpec, spec["pipeline"])
        self.pipeline = find("pipelines", pipeline.kind).open(pipeline)
        self.rng = np.random.default_rng([spec["seed"], spec["index"]])
        self.pool = read(self.dataset, [int(k) for k in self.rng.permutation(self.dataset.n)[:POOL]])
        self._lengths = self.pipeline.lengths(self.pool)
        self._warm: set[int] = set()
        self._artefact, self._precision = Path(spec["artefact"]), candidate.precision
        start = time.monotonic()
        engine = find("engines", candidate.engine)
        self.session = engine.load(
            Path(spec["artefact"]),
            precision=candidate.precision,
            threads=candidate.threads,
            device=candidate.device,
            options=spec["options"],
        )
        loaded = time.monotonic()
        self.run([self.pool[0]])
        self.load_s, self.first_inference_s = loaded - start, time.monotonic() - loaded
        settle_lengths(engine, self.session, self.pipeline, path=self._artefact, precision=self._precision)

    def facts(self) -> dict[str, Any]:
        """How the start went, and when it was over."""
        return {
            "load_s": self.load_s,
            "first_inference_s": self.first_inference_s,
            "ready_s": time.monotonic(),
            "rss_mib": peak_memory_mib(),
            "outputs": [[spec.name, list(spec.shape)] for spec in self.session.outputs],
        }

    def run(self, payloads: Sequence[Any]) -> tuple[NDArray[Any], float, float]:
        """Answer one batch; the first output, seconds in the pipeline, seconds in all.

        Raises:
            MeasureError: when the engine's first output has not one row for each payload.
        """
        outputs, before_s, total_s = self._outputs(payloads)
        first = next(iter(outputs.values()))
        _check_rows(first, len(payloads))
        return first, before_s, total_s

    def _outputs(self, payloads: Sequence[Any]) -> tuple[dict[str, NDArray[Any]], float, float]:
        start = time.perf_counter()
        feeds = self.pipeline(payloads, self.session.inputs)
        ready = time.perf_counter()
        outputs = self.session.run(feeds)
        return outputs, ready - start, time.perf_counter() - start

    def batches(self, size: int) -> list[list[int]]:
        """Rows of the pool in whole batches, in a new random order each time.

        Rows that do not fill a batch are left out, others each time; a pool smaller than one batch repeats. Where
        the pipeline groups, a batch holds rows of like length.
        """
        order = self.rng.permutation(len(self.pool))
        order = np.resize(order, max(1, order.size // size) * size)
        if self._lengths is None:
            return [order[i : i + size].tolist() for i in range(0, order.size, size)]
        groups = [order[g].tolist() for g in self._group([self._lengths[k] for k in order], size)]
        return [groups[k] for k in self.rng.permutation(len(groups))]

    # — commands ———————————————————————————————————————————————————————————————————————————————————

    def warm(self, batch: int) -> dict[str, Any]:
        """Run a batch size a few times before it is measured for the first time.

        Where lengths differ it goes on for a while: an engine's first batch of each shape takes a multiple of the next.
        """
        if batch not in self._warm:
            until_s = time.monotonic() + (0.0 if self._lengths is None else WARM_S)
            for k, rows in enumerate(self.batches(batch)):
                if k >= FEWEST and time.monotonic() >= until_s:
                    break
                self.run([self.pool[row] for row in rows])
                self._line.beat()
            self._warm.add(batch)
        return {}

    def offline(self, batch: int, seconds: float, start_s: float) -> dict[str, Any]:
        """Batches one after the other from a common start for some seconds, at least three."""
        service_s: list[float] = []
        pipeline_s = 0.0
        rows: list[list[int]] = self.batches(batch)
        _wait_until(start_s)
        for k in count():
            if k % len(rows) == 0 and k:
                rows = self.batches(batch)
            _, before_s, total_s = self.run([self.pool[row] for row in rows[k % len(rows)]])
            service_s.append(total_s)
            pipeline_s += before_s
            if k + 1 >= FEWEST and time.monotonic() >= start_s + seconds:
                break
            self._line.beat()
        took_s = time.monotonic() - start_s
        return {"service_s": service_s, "pipeline_s": pipeline_s, "n": batch * len(service_s), "took_s": took_s}

    def single(self, n: int) -> dict[str, Any]:
        """Requests one at a time."""
        latency_s = []
        for k in np.resize(self.rng.permutation(len(self.pool)), n):
            latency_s.append(self.run([self.pool[k]])[2])
            self._line.beat()
        return {"latency_s": latency_s}

    def serve(self, path: str, max_batch: int, end_s: float) -> dict[str, Any]:
        """Take requests from a common schedule until none is left, it was given up, or the time is over."""
        batches: list[int] = []
        with Schedule.open(Path(path)) as schedule:
            while time.monotonic() < end_s:
                first, taken = schedule.take(max_batch)
                if taken == 0:
                    break
                self.run([self.pool[k % len(self.pool)] for k in range(first, first + taken)])
                schedule.finish(first, taken)
                batches.append(taken)
                self._line.beat()
        return {"batches": batches}

    def answers(
        self, rows: Sequence[int], batch: int, path: str, also: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Outputs for some samples, in their order: the first one and others by name, each written as one array."""
        paths = {"": path, **(also or {})}
        found: dict[str, NDArray[np.float32]] = {}
        for group in self._in_groups(rows, batch):
            outputs = self._outputs(self._read(self.dataset, [rows[k] for k in group]))[0]
            outputs[""] = next(iter(outputs.values()))
            for name, where in paths.items():
                _check_rows(outputs[name], len(group))
                _put(found, name, where, group, outputs[name], len(rows))
            self._line.beat()
        found.clear()  # unmapping writes them
        return {}

    def _in_groups(self, rows: Sequence[int], batch: int) -> list[NDArray[np.int64]]:
        """Positions in ``rows`` by batch; payloads are only all read when they must be grouped by length."""
        if self._lengths is None:
            return self._group(None, batch, len(rows))
        return self._group(self.pipeline.lengths(self._read(self.dataset, list(rows))), batch)

    def batching(self, most: int, seed: int) -> dict[str, Any]:
        """Whether requests may share a batch: samples and made-up requests answered alone and together."""
        from farthing.pipelines.sharing import batching_of

        found = batching_of(
            self.session,
            self.pipeline,
            most=most,
            path=self._artefact,
            precision=self._precision,
            now_s=time.monotonic,
            payloads=self.pool[:MOST_ALONE],
            seed=seed,
        )
        return {"batching": to_plain(found)}

    def operators(self, batch: int, repeats: int) -> dict[str, Any]:
        """Per-operator time of one batch of the middle length, and the shapes that went in."""
        groups = self.batches(batch)
        if (lengths := self._lengths) is not None:
            groups.sort(key=lambda rows: max(lengths[k] for k in rows))
        feeds = self.pipeline([self.pool[k] for k in groups[len(groups) // 2]], self.session.inputs)
        shapes = {name: list(array.shape) for name, array in feeds.items()}
        return {"times": to_plain(tuple(self.session.operators(feeds, repeats))), "input_shapes": shapes}

    def memory(self) -> dict[str, Any]:
        """Peak resident memory of this process, and of the accelerator."""
        return {"rss_mib": peak_memory_mib(), "device_bytes": self.session.device_memory_bytes()}


def _check_rows(output: NDArray[Any], n: int) -> None:
    if output.shape[:1] != (n,):
        raise MeasureError(f"a batch of {n} was answered with the shape {output.shape}")


def _put(
    found: dict[str, NDArray[np.float32]], name: str, path: str, group: NDArray[Any], rows: NDArray[Any], n: int
) -> None:
    """Put a batch's rows into the array of an output, which is made with the first batch."""
    if name not in found:
        shape = (n, *rows.shape[1:])
        found[name] = new_array(Path(path), shape)
    if rows.shape[1:] != found[name].shape[1:]:
        raise MeasureError(f"answers differ in shape: {found[name].shape[1:]} and {rows.shape[1:]}")
    found[name][group] = rows


def _wait_until(start_s: float) -> None:
    while (left := start_s - time.monotonic()) > 0:
        time.sleep(left)


def _build(step: str, request: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Run one build step; see :func:`farthing.workers.replicas.builder.build`."""
    ready_s = time.monotonic()
    np.random.seed(seed)  # libraries that draw calibration samples use the global generator
    answer = import_callable(step)(request)
    took_s = time.monotonic() - ready_s
    return {"answer": answer, "ready_s": ready_s, "took_s": took_s, "rss_mib": peak_memory_mib()}


def _commands(line: Line) -> Mapping[str, Command]:
    known: dict[str, Command] = {"build": _build}

    def load(spec: Mapping[str, Any]) -> dict[str, Any]:
        instance = Instance(spec, line)
        names = ("warm", "offline", "single", "serve", "answers", "batching", "operators", "memory")
        known.update({name: getattr(instance, name) for name in names})
        return instance.facts()

    known["load"] = load
    return known


def main(argv: Sequence[str]) -> int:
    """Answer commands until the pipe closes."""
    return answer_commands(argv, _commands)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
