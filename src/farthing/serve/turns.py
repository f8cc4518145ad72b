"""Long work on the loop thread, done in short turns between everything else, so that nobody waits for it.

Work is a generator that yields wherever it may be interrupted. In each turn of the loop those that are not done share a
few milliseconds, one step of each after the other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from farthing.ports import Clock

__all__ = ["LONG_BYTES", "STEP_BYTES", "Steps", "Turns", "Work", "at_once"]

LONG_BYTES = 64 * 2**10
"""Bodies and answers beyond it are read and written in steps."""
STEP_BYTES = 16 * 2**10
"""About as much text is looked at in one step: some tenths of a millisecond."""
TURN_S = 0.002
"""After which the next turn of the loop goes on; the last step of a turn may end a little later."""

T = TypeVar("T")
Steps = Generator[None, None, T]
"""Work that yields wherever it may be interrupted, and returns its result."""


def at_once(steps: Steps[T]) -> T:
    """The result of some work, done without interruption."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: T = end.value
            return found


class Work:
    """Something that is being done.

    Args:
        steps: The work.
        done: Told the result, once.
        failed: Told the exception instead, once.
    """

    __slots__ = ("_done", "_failed", "_steps", "ended")

    def __init__(self, steps: Steps[Any], done: Callable[[Any], object], failed: Callable[[Exception], object]) -> None:
        self._steps, self._done, self._failed = steps, done, failed
        self.ended = False

    def advance(self) -> None:
        """Do one step."""
        try:
            next(self._steps)
        except StopIteration as end:
            self.ended = True
            self._done(end.value)
        except Exception as e:  # noqa: BLE001 - told to who asked for it
            self.ended = True
            self._failed(e)

    def cancel(self) -> None:
        """Nobody wants the result any more: what it holds is freed and nobody is told."""
        self.ended = True
        self._steps.close()


class Turns:
    """Does all long work of a server.

    Args:
        clock: Monotonic.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: deque[Work] = deque()
        self._planned = False

    def begin(
        self, steps: Steps[Any], done: Callable[[Any], object], failed: Callable[[Exception], object]
    ) -> Work | None:
        """Do the first step now and the others in later turns.

        Returns:
            What can be cancelled; None when it is over already.
        """
        work = Work(steps, done, failed)
        work.advance()
        if work.ended:
            return None
        self._waiting.append(work)
        if not self._planned:
            self._planned = True
            asyncio.get_running_loop().call_soon(self._turn)
        return work

    async def result(self, steps: Steps[T]) -> T:
        """Wait for the result of some work."""
        ended: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        work = self.begin(steps, ended.set_result, ended.set_exception)
        try:
            return await ended
        finally:
            if work is not None and not work.ended:
                work.cancel()

    def _turn(self) -> None:
        now_s, waiting = self._clock.monotonic_s, self._waiting
        until_s = now_s() + TURN_S
        while waiting:
            work = waiting.popleft()
            if not work.ended:
                work.advance()
                if not work.ended:
                    waiting.append(work)
            if now_s() >= until_s:
                break
        self._planned = bool(waiting)
        if waiting:
            asyncio.get_running_loop().call_soon(self._turn)
