"""The child's end of the pipes: answers commands, shows that it is alive, ends with its parent."""

from __future__ import annotations

import json
import os
import signal
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from farthing.errors import StoreError
from farthing.machine.clock import MonotonicClock
from farthing.machine.lifeline import end_with_parent
from farthing.ports import Clock

__all__ = ["Line", "answer_commands"]

BEAT_S = 1.0
"""A child that is busy says so at most this often."""


class Line:
    """The child's end: answers, and beats while it is busy.

    Args:
        descriptor: Of the answers' pipe.
        clock: Time.
    """

    def __init__(self, descriptor: int, clock: Clock) -> None:
        self._out = os.fdopen(descriptor, "w")
        self._clock = clock
        self._last_s = clock.monotonic_s()
        self.number = 0

    def send(self, message: Mapping[str, Any]) -> None:
        """Write one line."""
        self._out.write(json.dumps({**message, "number": self.number}) + "\n")
        self._out.flush()
        self._last_s = self._clock.monotonic_s()

    def beat(self) -> None:
        """Say that work goes on; costs nothing most of the time. Call it between steps, outside of what is timed."""
        if self._clock.monotonic_s() - self._last_s > BEAT_S:
            self.send({"beat": True})


def _problem(error: Exception) -> dict[str, str]:
    """What went wrong; a full disk is no fault of what is measured, however a library wraps it."""
    from farthing.store.documents import full_disk  # rarely needed

    where = getattr(error, "filename", None) or "its files"
    full = full_disk(error, Path(str(where)))
    if full is not None and not isinstance(error, StoreError):
        error = full
    return {"error": type(error).__name__, "message": str(error)}


def answer_commands(
    argv: Sequence[str], start: Callable[[Line], Mapping[str, Callable[..., Mapping[str, Any]]]]
) -> int:
    """Answer commands until the pipe closes.

    Args:
        argv: Descriptors of commands and answers, and the parent's process id.
        start: Gives the commands by name; it may add some while it goes on.

    Returns:
        Exit status.
    """
    end_with_parent(int(argv[2]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line = Line(int(argv[1]), MonotonicClock())
    known = start(line)
    with os.fdopen(int(argv[0]), "r") as commands:
        for text in commands:
            message = json.loads(text)
            line.number = message.pop("number")
            try:
                answer = known[message.pop("do")](**message)
            except Exception as e:  # noqa: BLE001 - whatever a library raises is a result of the measurement
                traceback.print_exc()
                answer = _problem(e)
            line.send(answer)
    return 0
