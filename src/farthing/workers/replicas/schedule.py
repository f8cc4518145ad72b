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

HEAD, N, MOST_WAITING, GIVEN_UP, FIRST = range(5)
"""Places in the mapped array; the scheduled times begin at the last."""

Floats = NDArray[np.float64]


class Schedule:
    """Arrays over one mapped file: ``[head, n, most waiting, given up, scheduled…, answered…]`` as float64.

    Attributes:
        scheduled_s: CLOCK_MONOTONIC times, ascending, shape ``(n,)``.
        answered_s: The same clock, NaN where there was no answer, shape ``(n,)``.
        n: Number of requests.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("r+b")
        self._map = mmap.mmap(self._file.fileno(), 0)
        self._all: Floats = np.frombuffer(self._map, dtype=np.float64)
        n = int(self._all[N])
        self.scheduled_s: Floats = self._all[FIRST : FIRST + n]
        self.answered_s: Floats = self._all[FIRST + n : FIRST + 2 * n]
        self.n = n

    @classmethod
    def create(cls, path: Path, scheduled_s: Floats, most_waiting: int) -> Schedule:
        """Write a schedule.

        Args:
            path: Where, on a file system that can be mapped.
            scheduled_s: CLOCK_MONOTONIC times, ascending, shape ``(n,)``, n ≥ 1.
            most_waiting: When more requests than that wait, the run is given up as unstable; ≥ 1.

        Raises:
            OSError: when the file cannot be written.
        """
        n = scheduled_s.size
        head = np.array([0, n, most_waiting, 0], dtype=np.float64)
        path.write_bytes(np.concatenate([head, scheduled_s, np.full(n, np.nan)]).tobytes())
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
                head = int(self._all[HEAD])
                if head >= self.n or self._all[GIVEN_UP]:
                    return head, 0
                now = time.monotonic()
                waiting = int(np.searchsorted(self.scheduled_s, now, side="right")) - head
                if waiting > self._all[MOST_WAITING]:
                    self._all[GIVEN_UP] = 1
                    return head, 0
                if waiting > 0:
                    taken = min(waiting, most)
                    self._all[HEAD] = head + taken
                    return head, taken
                wait = float(self.scheduled_s[head]) - now
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)
            time.sleep(max(0.0, wait))

    def finish(self, first: int, count: int) -> None:
        """Note that some requests have been answered now."""
        self.answered_s[first : first + count] = time.monotonic()

    @property
    def given_up(self) -> bool:
        """Whether more requests waited than were allowed."""
        return bool(self._all[GIVEN_UP])

    def latency_s(self) -> Floats:
        """From scheduled to answered, shape ``(n,)``; +inf where there was no answer."""
        latency = np.array(self.answered_s - self.scheduled_s)
        return np.where(np.isnan(latency), np.inf, latency)
