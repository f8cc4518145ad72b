"""A worker that waits out profiled service times instead of computing: more replicas than this machine has cores.

Answers have the shapes and types of the model's, and zeros in them. They are learnt from the made-up batches of the
warm-up, which the model does run; a size that was not seen then is run once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Emulation"]

Outputs = list[NDArray[Any]]


class Emulation:
    """Service times and the answers to give.

    Args:
        seconds: Of a batch of 1, 2, … rows.
        sleep: Waits.
        now_s: Monotonic time.
    """

    def __init__(
        self,
        seconds: Sequence[float],
        *,
        sleep: Callable[[float], None] = time.sleep,
        now_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._seconds, self._sleep, self._now_s = tuple(seconds), sleep, now_s
        self._known: dict[int, Outputs] = {}

    def service_s(self, rows: int) -> float:
        """Of a batch of that size; the largest known one for larger ones."""
        return self._seconds[min(rows, len(self._seconds)) - 1]

    def learn(self, rows: int, outputs: Sequence[NDArray[Any]]) -> None:
        """Keep the form of an answer; texts stay what they were."""
        self._known[rows] = [np.array(a) if a.dtype.hasobject else np.zeros_like(a) for a in outputs]

    def answer(self, rows: int, *, batched: bool) -> Outputs | None:
        """The answer to a batch, None when its form is not known yet.

        Args:
            rows: Of the batch.
            batched: Whether each row of an answer is one of the batch's, so that more rows tell what fewer have.
        """
        found = self._known.get(rows)
        if found is None and batched:
            larger = min((n for n in self._known if n > rows), default=None)
            found = None if larger is None else [a[:rows] for a in self._known[larger]]
        return found

    def wait_out(self, rows: int, since_s: float) -> None:
        """Sleep for what is left of the service time."""
        self._sleep(max(0.0, since_s + self.service_s(rows) - self._now_s()))
