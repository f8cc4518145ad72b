"""Garbage collection while servers are open. It is the process's: several of its servers share one setting."""

from __future__ import annotations

import gc
import threading

__all__ = ["RARE", "RareCollections"]

_YOUNG = 20_000
"""Objects made before the youngest are looked through: requests are freed by count, hardly any of them is a cycle."""


class RareCollections:
    """Seldom looks through what requests leave, and never through what was there before."""

    def __init__(self) -> None:
        self._servers = 0
        self._before = gc.get_threshold()
        self._lock = threading.Lock()

    def begin(self) -> None:
        """A server is about to answer: what was made until now stays; requests leave nothing for a full collection."""
        with self._lock:
            self._before = gc.get_threshold() if self._servers == 0 else self._before
            self._servers += 1
            gc.collect()
            gc.freeze()
            gc.set_threshold(_YOUNG, 10, 10)

    def end(self) -> None:
        """It has ended; after the last one all is as it was before the first."""
        with self._lock:
            self._servers -= 1
            if self._servers == 0:
                gc.unfreeze()
                gc.set_threshold(*self._before)


RARE = RareCollections()
"""Of this process."""
