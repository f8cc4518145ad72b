"""A common schedule of arrivals for several workers, without a process that generates load.

A file mapped by all of them holds the scheduled time of every request, the time it was answered, and the head of
the queue. A worker that is idle takes, under a lock, up to a batch of the requests whose time has come: timer-free
dynamic batching in an open loop, in which latency counts from the scheduled time.
"""

from __future__ import annotations

import fcntl
import mmap
import time
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

__all__ = ["Schedule"]

Floats = NDArray[np.float64]


class Schedule:
    """Arrays over one mapped file: ``[head, n, scheduled…, answered…]`` as float64."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("r+b")
        self._map = mmap.mmap(self._file.fileno(), 0)
        self._all = np.frombuffer(self._map, dtype=np.float64)
        n = int(self._all[1])
        self.scheduled_s: Floats = self._all[2 : 2 + n]
        self.answered_s: Floats = self._all[2 + n : 2 + 2 * n]
        self.n = n

    @classmethod
    def create(cls, path: Path, scheduled_s: Floats) -> Schedule:
        """Write a schedule of CLOCK_MONOTONIC times, ascending, shape ``(n,)``."""
        n = scheduled_s.size
        np.concatenate([[0.0, float(n)], scheduled_s, np.full(n, np.nan)]).astype(np.float64).tofile(path)
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> Schedule:
        """Map a schedule that another process wrote."""
        return cls(path)

    def __enter__(self) -> Schedule:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        del self.scheduled_s, self.answered_s, self._all
        self._map.close()
        self._file.close()

    def take(self, most: int) -> tuple[int, int]:
        """Wait for the next request and take up to ``most`` that are due: first index and count, 0 at the end."""
        while True:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                head = int(self._all[0])
                if head >= self.n:
                    return head, 0
                now = time.monotonic()
                due = int(np.searchsorted(self.scheduled_s[head : head + most], now, side="right"))
                if due:
                    self._all[0] = head + due
                    return head, due
                wait = float(self.scheduled_s[head]) - now
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)
            time.sleep(max(0.0, wait))

    def finish(self, first: int, count: int) -> None:
        """Note that some requests have been answered now."""
        self.answered_s[first : first + count] = time.monotonic()

    def latency_s(self) -> Floats:
        """From scheduled to answered, shape ``(n,)``; NaN where there was no answer."""
        return np.array(self.answered_s - self.scheduled_s)
