"""A short fixed kernel that says whether somebody else is using the cores."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from farthing.machine.clock import MonotonicClock
from farthing.ports import Clock

__all__ = ["Canary"]

LIMIT = 1.3
"""A run slower than this times the quickest one seen on its core means that the core is busy."""
RUNS = 4
"""Kernels back to back. A thread that has slept gets a core at once and keeps it for one slice of the scheduler (about
3 ms); a single kernel of that length saw a competitor in a quarter of the cases only."""
FIRST_RUNS = 5
MOST_CORES = 8
"""Cores looked at in one check; on larger machines other ones each time."""


def _kernel() -> Callable[[], object]:
    """Squares and roots of 2 MiB: it feels a busy core as well as busy caches. NumPy uses one thread for it."""
    a = np.random.default_rng(0).standard_normal(1 << 18)
    b = np.empty_like(a)

    def run() -> None:
        for _ in range(7):
            np.multiply(a, a, out=b)
            np.sqrt(b, out=b)

    return run


class Canary:
    """Times the kernel on each core that a replica uses, in the parent, while the replicas wait.

    Args:
        clock: Time, None for the real one.
        kernel: What is timed, None for a NumPy kernel of about 3 ms.

    Attributes:
        best_s: Quickest run of four kernels so far, by core.
        last_s: Latest run, by core.
        busy_runs: Watched runs, up to the latest, during which the cores were busy in spite of retries.
    """

    def __init__(self, clock: Clock | None = None, kernel: Callable[[], object] | None = None) -> None:
        self.clock = clock or MonotonicClock()
        self._kernel = kernel or _kernel()
        self._checks = 0
        self._quiet_at_s: dict[int, float] = {}
        self.best_s: dict[int, float] = {}
        self.last_s: dict[int, float] = {}
        self.busy_runs = 0

    def run_s(self, cpu: int) -> float:
        """Time of one run on a core in seconds; this thread moves there and back."""
        with _on_core(cpu):
            start = self.clock.monotonic_s()
            for _ in range(RUNS):
                self._kernel()
            took = self.clock.monotonic_s() - start
        self.best_s[cpu] = min(took, self.best_s.get(cpu, took))
        self.last_s[cpu] = took
        return took

    def seen_ms(self, cpus: Sequence[int]) -> float:
        """Mean of the latest runs on some cores, over those that were ever looked at; 0 when none was."""
        times = [self.last_s[cpu] for cpu in cpus if cpu in self.last_s]
        return 1000 * sum(times) / len(times) if times else 0.0

    def slowdown(self, cpus: Sequence[int]) -> float:
        """Latest run over the quickest one, on the slowest of some cores; 1 when none was ever looked at."""
        return max((self.last_s[cpu] / self.best_s[cpu] for cpu in cpus if cpu in self.last_s), default=1.0)

    def busy(self, cpus: Sequence[int], recent_s: float = 0.0) -> bool:
        """Whether one of some cores is slower than 1.3 × the quickest ever seen on it.

        A core's first check runs several times, to know what quick is.

        Args:
            cpus: Which cores.
            recent_s: A core that was quiet so recently counts as quiet without another look.
        """
        self._checks += 1
        step = max(1, -(-len(cpus) // MOST_CORES))
        slow = [self._slow(cpu, recent_s) for cpu in cpus[self._checks % step :: step]]  # each of them must learn
        return any(slow)

    def _slow(self, cpu: int, recent_s: float) -> bool:
        if cpu not in self.best_s:
            for _ in range(FIRST_RUNS):
                self.run_s(cpu)
        elif self.clock.monotonic_s() - self._quiet_at_s.get(cpu, -math.inf) < recent_s:
            return False
        if self.run_s(cpu) > LIMIT * self.best_s[cpu]:
            self._quiet_at_s.pop(cpu, None)
            return True
        self._quiet_at_s[cpu] = self.clock.monotonic_s()
        return False


@contextlib.contextmanager
def _on_core(cpu: int) -> Iterator[None]:
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
