"""Counts and histograms of models: a record a request when it is answered, sums when somebody looks."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farthing.serve.pricing import Pricing, pricing
from farthing.serve.protocol.tallies import Sums, tally_of
from farthing.wire.requests import Answer, LiveModel, Problem, Request

__all__ = ["EDGES_S", "SHOWN_EDGES", "Counter", "ModelCounts", "Snapshot", "quantile_s"]

_FIELDS = 5
_RECORD = struct.Struct(f"={_FIELDS}d")
_RECORD_BYTES, _pack_into = _RECORD.size, _RECORD.pack_into
_ROWS = 1024
_MOST_BATCH = 4096
_MANTISSAS = (1.0, 1.1, 1.25, 1.4, 1.6, 1.8, 2.0, 2.25, 2.5, 2.8, 3.2, 3.6, 4.0, 4.5, 5.0, 5.6, 6.3, 7.1, 8.0, 9.0)
EDGES_S: NDArray[np.float64] = np.array([m * 10.0**e for e in range(-5, 2) for m in _MANTISSAS])
"""Upper edges of the latency buckets, 20 a decade from 10 µs to 90 s: a quantile is off by 6 % at most."""
SHOWN_EDGES: NDArray[np.intp] = np.flatnonzero([m in (1.0, 2.5, 5.0) for _ in range(-5, 2) for m in _MANTISSAS])
"""Those of them that Prometheus is told: 1, 2.5 and 5 of each decade."""
_REASONS = {429: "REJECTED", 499: "CANCELED", 500: "BACKEND", 503: "REJECTED", 504: "REJECTED"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """Sums up to one moment.

    Attributes:
        at_s: Monotonic time.
        requests: Answered.
        rows: In them.
        batches: Worked on.
        failed: Not answered.
        latency: Answered requests by bucket of :data:`EDGES_S` and one beyond, shape ``(n_edges + 1,)``.
        cost_nusd: On the allocation basis.
        usage_nusd: On the usage basis.
    """

    at_s: float
    requests: int
    rows: int
    batches: float
    failed: int
    latency: NDArray[np.int64]
    cost_nusd: int
    usage_nusd: int


class ModelCounts(Sums):
    """Everything counted about one version of a model at one price.

    Attributes:
        name: Of the model.
        version: Of the model.
        price: What its place costs.
        busy_core_s: Service times share of the batch times cores of the worker, summed.
        latency: From arrival to answer, by bucket.
        queue: Waiting, by bucket.
        service: In the worker, by bucket.
        by_rows: Batches by size, shape ``(4097,)``, the last for all above.
        problems: By status and protocol.
        cost_nusd: Allocation basis, settled by :class:`~farthing.serve.telemetry.metrics.Metrics`.
        usage_nusd: Usage basis.
    """

    def __init__(self, model: LiveModel) -> None:
        super().__init__()
        self.name, self.version = model.spec.name, model.spec.version
        self.price: Pricing = pricing(model.spec)
        self.busy_core_s = 0.0
        self.latency, self.queue, self.service = (np.zeros(EDGES_S.size + 1, np.int64) for _ in range(3))
        self.by_rows = np.zeros(_MOST_BATCH + 1)
        self.problems: dict[tuple[int, str], int] = {}
        self.cost_nusd = self.usage_nusd = 0

    def refuse(self, problem: Problem, protocol: str) -> None:
        """Count one problem."""
        key = (problem.status, protocol)
        self.problems[key] = self.problems.get(key, 0) + 1

    @property
    def failed(self) -> int:
        """Requests that were not answered."""
        return sum(self.problems.values())

    @property
    def shed(self) -> int:
        """Requests turned away because there was no room or no time (429, 503, 504)."""
        return sum(n for (status, _), n in self.problems.items() if _REASONS.get(status) == "REJECTED")

    def reasons(self) -> dict[str, int]:
        """Failures by the reasons that Triton has: REJECTED, CANCELED, BACKEND, OTHER."""
        found = dict.fromkeys(("REJECTED", "CANCELED", "BACKEND", "OTHER"), 0)
        for (status, _), n in self.problems.items():
            found[_REASONS.get(status, "OTHER")] += n
        return found

    def take(self, answers: NDArray[np.float64]) -> None:
        """Count answers as :meth:`~farthing.serve.protocol.tallies.Sums.add` takes them."""
        share = self.add(answers)
        queue_s, service_s, total_s, _, batch_rows = answers.T
        self.busy_core_s += float(service_s @ share) * self.price.worker_cores
        for counts, seconds in ((self.latency, total_s), (self.queue, queue_s), (self.service, service_s)):
            counts += np.bincount(np.searchsorted(EDGES_S, seconds), minlength=counts.size)
        sizes = np.minimum(batch_rows, _MOST_BATCH).astype(np.intp)
        found = np.bincount(sizes, weights=share)
        self.by_rows[: found.size] += found

    def snapshot(self, at_s: float) -> Snapshot:
        """The sums now."""
        return Snapshot(
            at_s=at_s,
            requests=self.requests,
            rows=self.rows,
            batches=self.batches,
            failed=self.failed,
            latency=self.latency.copy(),
            cost_nusd=self.cost_nusd,
            usage_nusd=self.usage_nusd,
        )


class Counter:
    """Answers of one loaded model, a record each, handed over when there are many or when somebody looks.

    Args:
        model: Its tally is told too.
        counts: Of its name, version and price.
    """

    __slots__ = ("_counts", "_last_s", "_n", "_packed", "_tally", "model")

    def __init__(self, model: LiveModel, counts: ModelCounts) -> None:
        self.model = model
        self._counts, self._tally = counts, tally_of(model)
        self._tally.refresh = self.fold
        self._packed = bytearray(_ROWS * _RECORD.size)
        self._n = 0
        self._last_s = 0.0

    def add(self, request: Request, answer: Answer, now_s: float) -> None:
        """Count one answer."""
        n = self._n
        _pack_into(
            self._packed,
            n * _RECORD_BYTES,
            answer.queue_s,
            answer.service_s,
            now_s - request.arrived_s,
            request.rows,
            answer.batch_rows,
        )
        self._last_s = now_s
        self._n = n = n + 1
        if n == _ROWS:
            self.fold()

    def fold(self) -> None:
        """Hand over what there is."""
        if self._n:
            answers = np.frombuffer(self._packed, np.float64, self._n * _FIELDS).reshape(self._n, _FIELDS)
            self._counts.take(answers)
            self._tally.take(answers, self._last_s)
            self._n = 0


def quantile_s(counts: NDArray[np.int64], q: float) -> float | None:
    """A quantile from counts by bucket, linear within the bucket; None without any count.

    Args:
        counts: Shape ``(n_edges + 1,)``; the last is what lies beyond all edges and counts as the last edge.
        q: In (0, 1).
    """
    total = int(counts.sum())
    if not total:
        return None
    running = np.cumsum(counts)
    rank = q * total
    i = int(np.searchsorted(running, rank))
    if i >= EDGES_S.size:
        return float(EDGES_S[-1])
    lower = float(EDGES_S[i - 1]) if i else 0.0
    before = float(running[i - 1]) if i else 0.0
    return lower + (float(EDGES_S[i]) - lower) * (rank - before) / float(counts[i])
