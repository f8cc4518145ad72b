"""Counts and times of a model since it was loaded, as the protocol's statistics show them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.wire.requests import LiveModel, Problem

__all__ = ["Sums", "Tally", "statistics", "tally_of"]

_CACHE_KEY = "tally"
_NS = 1e9


def _nothing_more() -> None:
    """Without a counter there is nothing to take."""


@dataclass(slots=True, kw_only=True, eq=False)
class Sums:
    """Sums over answers.

    Attributes:
        requests: Answered.
        rows: Samples answered.
        batches: Worked on; each answered request counts its share of the rows.
        total_s: From arrival to answer, summed.
        queue_s: Waiting, summed.
        service_s: Of the batches that requests were part of, summed over requests.
    """

    requests: int = 0
    rows: int = 0
    batches: float = 0.0
    total_s: float = 0.0
    queue_s: float = 0.0
    service_s: float = 0.0

    def add(self, answers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Count answers.

        Args:
            answers: Seconds in the queue, in the worker and in all, rows, rows of the batch; shape ``(n, 5)``, n ≥ 1.

        Returns:
            Each one's share of its batch, shape ``(n,)``.
        """
        queue_s, service_s, total_s, rows, batch_rows = answers.T
        share: NDArray[np.float64] = rows / np.maximum(batch_rows, 1.0)
        self.requests += len(answers)
        self.rows += int(rows.sum())
        self.batches += float(share.sum())
        self.total_s += float(total_s.sum())
        self.queue_s += float(queue_s.sum())
        self.service_s += float(service_s.sum())
        return share


@dataclass(slots=True, kw_only=True, eq=False)
class Tally(Sums):
    """What one model did; answers are counted by whoever observes them, problems by the doors, on the loop thread.

    Attributes:
        failed: Requests that got a problem.
        failed_s: From arrival to the problem, summed.
        by_rows: Batches and their time (in seconds) by size.
        last_s: Monotonic time of the last answer, 0 before the first.
        refresh: Takes what its counter has not handed over yet.
    """

    failed: int = 0
    failed_s: float = 0.0
    by_rows: dict[int, list[float]] = field(default_factory=dict)
    last_s: float = 0.0
    refresh: Callable[[], None] = _nothing_more

    def take(self, answers: NDArray[np.float64], last_s: float) -> None:
        """Count answers as :meth:`Sums.add` takes them; the last one came at ``last_s``."""
        share = self.add(answers)
        _, service_s, _, _, batch_rows = answers.T
        sizes, which = np.unique(batch_rows, return_inverse=True)
        counts, took_s = np.bincount(which, share), np.bincount(which, share * service_s)
        for size, count, seconds in zip(sizes.tolist(), counts.tolist(), took_s.tolist(), strict=True):
            batch = self.by_rows.setdefault(int(size), [0.0, 0.0])
            batch[0] += count
            batch[1] += seconds
        self.last_s = last_s

    def refused(self, problem: Problem, took_s: float = 0.0) -> None:
        """Count one problem."""
        self.failed += 1
        self.failed_s += took_s


def tally_of(model: LiveModel) -> Tally:
    """The model's own tally, kept in ``model.cache``."""
    found = model.cache.get(_CACHE_KEY)
    if found is None:
        found = model.cache[_CACHE_KEY] = Tally()
    assert isinstance(found, Tally)
    return found


def statistics(model: LiveModel) -> dict[str, Any]:
    """One entry of ``model_stats`` (Open Inference Protocol, statistics extension); times in nanoseconds.

    Decoding and encoding take place outside of workers and are not told apart, so ``compute_input`` and
    ``compute_output`` have counts and no time.
    """
    tally = tally_of(model)
    tally.refresh()
    answered = tally.requests
    return {
        "name": model.spec.name,
        "version": model.spec.version,
        "last_inference": _unix_ms(tally.last_s),
        "inference_count": tally.rows,
        "execution_count": round(tally.batches),
        "inference_stats": {
            "success": _times(answered, tally.total_s),
            "fail": _times(tally.failed, tally.failed_s),
            "queue": _times(answered, tally.queue_s),
            "compute_input": _times(answered, 0.0),
            "compute_infer": _times(answered, tally.service_s),
            "compute_output": _times(answered, 0.0),
            "cache_hit": _times(0, 0.0),
            "cache_miss": _times(0, 0.0),
        },
        "batch_stats": [
            {
                "batch_size": rows,
                "compute_input": _times(round(count), 0.0),
                "compute_infer": _times(round(count), took_s),
                "compute_output": _times(round(count), 0.0),
            }
            for rows, (count, took_s) in sorted(tally.by_rows.items())
        ],
    }


def _unix_ms(monotonic_s: float) -> int:
    """Calendar time of a monotonic one, 0 for never."""
    return int((time.time() - time.monotonic() + monotonic_s) * 1000) if monotonic_s else 0


def _times(count: int, took_s: float) -> dict[str, int]:
    return {"count": count, "ns": round(took_s * _NS)}
