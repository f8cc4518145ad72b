"""A short fixed kernel that says whether somebody else is using the cores."""

from __future__ import annotations

import time

import numpy as np

__all__ = ["Canary"]

LIMIT = 1.3
"""A run slower than this times the quickest one seen means that the machine is busy."""


class Canary:
    """A compute-bound kernel of a few milliseconds, timed in the parent while the replicas wait.

    Attributes:
        best_s: Quickest run so far.
    """

    def __init__(self, seed: int = 0) -> None:
        self._a = np.random.default_rng(seed).standard_normal(1 << 18)
        self.best_s = float("inf")
        for _ in range(5):
            self.run_s()

    def run_s(self) -> float:
        """Time of one run in seconds (element-wise work: NumPy uses one thread for it)."""
        start = time.perf_counter()
        for _ in range(4):
            np.sqrt(np.abs(self._a) + 1.0).sum()
        took = time.perf_counter() - start
        self.best_s = min(self.best_s, took)
        return took

    def busy(self) -> bool:
        """Whether the best of three runs is slower than 1.3 × the quickest ever seen."""
        return min(self.run_s() for _ in range(3)) > LIMIT * self.best_s
