"""What the end of a worker means: who is to blame, what is tried again, when the next one starts. Pure."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from farthing.wire.requests import Request

__all__ = ["Death", "Deaths", "Killing", "death_of", "tried_again"]

Killing = Literal["hang", "memory", "nonsense"]

SOLO_DEATHS = 6
"""A request whose worker was killed from outside so often while it was alone in it is given up."""
WINDOW_S = 60.0
FIRST_DELAY_S = 0.05
LONGEST_DELAY_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """The end of one worker.

    Attributes:
        how: For people: ``SIGSEGV``, ``exit status 1``, ``no answer within 5 s``.
        own: By its own doing (crash, hang, memory), not by a SIGKILL or SIGTERM from outside.
        ready: Whether it had been loaded and warmed up.
    """

    how: str
    own: bool
    ready: bool = True


def death_of(status: int | None, killing: Killing | None, detail: str, *, ready: bool) -> Death:
    """Name a death.

    Args:
        status: As ``subprocess`` has it: negative is minus the signal; None when nobody saw it end.
        killing: Why the server itself ended it, None when it did not.
        detail: Of the killing, for people.
        ready: Whether it had been loaded and warmed up.
    """
    if killing is not None:
        return Death(how=detail, own=True, ready=ready)
    if status is None:
        return Death(how="its warm parent was lost", own=False, ready=ready)
    if status >= 0:
        return Death(how=f"exit status {status}", own=True, ready=ready)
    outside = -status in (signal.SIGKILL, signal.SIGTERM)
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return Death(how=name, own=not outside, ready=ready)


def tried_again(requests: Sequence[Request], death: Death) -> list[bool]:
    """Which requests of a dead worker's batch are tried again, each alone from now on.

    A batch of several is split once. A request that was alone is given up when the death was by the worker's own
    doing; a SIGKILL from outside says nothing about the request, but the system's memory killer uses it too, so
    that after :data:`SOLO_DEATHS` of them alone it is given up as well.
    """
    if len(requests) > 1:
        return [True] * len(requests)
    return [not death.own and request.solo_deaths + 1 < SOLO_DEATHS for request in requests]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deaths:
    """What is remembered of the deaths of one model's workers.

    Attributes:
        times_s: When the counted ones of the last minute happened, ascending; those before a batch that was
            answered are forgotten, so that requests that kill their workers do not make others wait.
        how: The last one.
    """

    times_s: tuple[float, ...] = ()
    how: str = ""

    def after(self, death: Death, now_s: float, *, answered: bool = False) -> Deaths:
        """With one more; those of ready workers by a signal from outside are not counted.

        Args:
            death: The newest.
            now_s: When.
            answered: Whether any worker of the model has answered a batch since the one before.
        """
        forgets = answered and death.ready  # one that does not even start is no request's doing
        kept = tuple(t for t in self.times_s if t > now_s - WINDOW_S and not forgets)
        counted = death.own or not death.ready
        return Deaths(times_s=(*kept, now_s) if counted else kept, how=death.how)

    @property
    def delay_s(self) -> float:
        """Wait before the next start: none at first, then doubling from 50 ms to 30 s."""
        n = len(self.times_s)
        return 0.0 if n == 0 else min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(n - 1, 30))

    @property
    def reason(self) -> str:
        """For people."""
        n = len(self.times_s)
        often = "once" if n == 1 else f"{n} times"
        return f"worker died {often} in {WINDOW_S:g} s ({self.how}), next start in {self.delay_s:g} s"
