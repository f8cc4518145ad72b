"""Runs something while the canary looks at the cores: again when they were busy, then marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from farthing.machine.canary import Canary

__all__ = ["Watched", "watched"]

T = TypeVar("T")
RETRIES = 3
"""A contended run is repeated so often before it is marked."""
RECENT_S = 0.05
"""Cores that were quiet after the run before are not looked at again before the next one."""
HOPELESS = 5
"""After so many contended runs one after the other the machine is taken to be busy for long: runs are marked without
retries, which would only make a long run four times as long, until one finds the cores quiet."""
PAUSE_S = 0.05
"""Wait before looking again at cores that were busy before a run began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched(Generic[T]):
    """What was seen while the canary looked on.

    Attributes:
        attempts: What each attempt gave, at least one; the last one counts.
        contended: True when the cores were busy in spite of three retries.
        slowdown: The canary's last time over its quickest on the slowest core, ≥ 1.
        canary_ms: Its last time, mean of the cores; 0 when nobody was asked.
    """

    attempts: tuple[T, ...]
    contended: bool = False
    slowdown: float = 1.0
    canary_ms: float = 0.0

    @property
    def found(self) -> T:
        """What counts."""
        return self.attempts[-1]


def watched(canary: Canary | None, cpus: Sequence[int], run: Callable[[], T]) -> Watched[T]:
    """Run with a look at the cores before and after; retries before a run cost a pause, those after it cost the run.

    Args:
        canary: Whom to ask, None for nobody.
        cpus: Cores that the run uses.
        run: What to do.
    """
    if canary is None:
        return Watched(attempts=(run(),))
    attempts: list[T] = []
    for _ in range(RETRIES if canary.busy_runs < HOPELESS else 0):
        if canary.busy(cpus, RECENT_S):
            canary.clock.sleep(PAUSE_S)
            continue
        attempts.append(run())
        if not canary.busy(cpus):
            canary.busy_runs = 0
            return Watched(attempts=tuple(attempts), canary_ms=canary.seen_ms(cpus))
    quiet = not canary.busy(cpus, RECENT_S)
    attempts.append(run())
    contended = canary.busy(cpus) or not quiet
    canary.busy_runs = canary.busy_runs + 1 if contended else 0
    slowdown = canary.slowdown(cpus) if contended else 1.0
    return Watched(attempts=tuple(attempts), contended=contended, slowdown=slowdown, canary_ms=canary.seen_ms(cpus))
