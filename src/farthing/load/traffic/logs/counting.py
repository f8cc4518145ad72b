"""Requests counted in equal steps while they pass, and the longest time without one."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from farthing.errors import TraceError
from farthing.load.traffic.clock_changes import hour_skipped, skipped
from farthing.load.traffic.logs.in_order import Rows
from farthing.load.traffic.logs.notes import Notes, in_words
from farthing.nouns import Trace

__all__ = ["Counted", "trace_of"]

Floats = NDArray[np.float64]

_MINUTE_S, _HOUR_S = 60.0, 3600.0
_SHORT_LOG_S = 600.0
_MAX_SPAN_S = 20 * 365.25 * 86_400
_TOO_LONG_FRAC, _ENOUGH = 0.5, 100
"""A pause of half the trace in a log of that many requests parts it in two."""
_NAMED_S, _NAMED_FRAC = 300.0, 0.01
"""From both of these on a pause is named."""


@dataclass(slots=True)
class Counted:
    """Requests by second for the first ten minutes, and by minute for all.

    Attributes:
        notes: Of the file.
        asked: Whether the user said that each row is a request, so that no pause is doubted.
        first_s: Time of the first request.
        last_s: Of the last one so far.
        n: How many there are.
        pause: Its length in seconds, and when it began.
    """

    notes: Notes
    asked: bool
    first_s: float = np.nan
    last_s: float = np.nan
    n: int = 0
    pause: tuple[float, float] = (0.0, np.nan)
    _seconds: Floats = field(default_factory=lambda: np.zeros(int(_SHORT_LOG_S)))
    _minutes: Floats = field(default_factory=lambda: np.zeros(1024))

    def add(self, rows: Rows) -> None:
        """Count a block, which follows those before it.

        Raises:
            TraceError: when the trace is longer than twenty years, or lacks an hour that local clocks skipped.
        """
        at_s = rows[:, 0]
        if not self.n:
            self.first_s = self.last_s = float(at_s[0])
        if at_s[-1] - self.first_s > _MAX_SPAN_S:
            raise TraceError(
                f"the trace {self.notes.path} lasts from {self.notes.when(self.first_s)} to "
                f"{self.notes.when(at_s[-1])}; the limit is 20 years",
                hint="look for a clock that was not set yet",
            )
        self._pauses(rows)
        since_s = at_s - self.first_s
        early = since_s[: np.searchsorted(since_s, _SHORT_LOG_S)]
        self._seconds += np.bincount(early.astype(np.int64), minlength=self._seconds.size)
        minutes = (since_s / _MINUTE_S).astype(np.int64)
        counts = np.bincount(minutes - minutes[0])
        end = int(minutes[0]) + counts.size
        if end > self._minutes.size:
            self._minutes = np.concatenate((self._minutes, np.zeros(max(end, self._minutes.size))))
        self._minutes[minutes[0] : end] += counts
        self.n += at_s.size
        self.last_s = float(at_s[-1])

    def _pauses(self, rows: Rows) -> None:
        """Keep the longest pause; refuse one that a change of local clocks leaves."""
        at_s = np.concatenate(([self.last_s], rows[:, 0]))
        apart_s = np.diff(at_s)
        k = int(apart_s.argmax())
        if apart_s[k] > self.pause[0]:
            self.pause = float(apart_s[k]), float(at_s[k])
        if self.notes.zone is not None or not self.notes.since_1970 or self.asked:
            return
        for gap in np.flatnonzero(apart_s >= _HOUR_S):
            before, after = self.notes.moment(at_s[gap]), self.notes.moment(at_s[gap + 1])
            hour = None if before is None or after is None else hour_skipped(before, after)
            if hour is not None:
                raise skipped(self.notes.path, int(rows[gap, 1]), hour, "timestamps")

    @property
    def start(self) -> datetime | None:
        """When the first request came, None where that is not known."""
        return self.notes.moment(self.first_s)

    def steps(self) -> tuple[float, Floats]:
        """Length of a step in seconds, and the requests of each: seconds of a log shorter than ten minutes."""
        span_s = self.last_s - self.first_s
        step_s, counts = (_MINUTE_S, self._minutes) if span_s >= _SHORT_LOG_S else (1.0, self._seconds)
        return step_s, counts[: int(span_s / step_s) + 1]


def trace_of(counted: Counted) -> Trace:
    """Make the trace of what was counted.

    Raises:
        TraceError: when all requests are at one moment, or nothing came for half of the time.
    """
    notes, span_s = counted.notes, counted.last_s - counted.first_s
    pause_s, since_s = counted.pause
    if span_s <= 0:
        raise TraceError(
            f"the trace {notes.path} has {counted.n:,} requests at one moment ({notes.when(counted.first_s)})",
            hint="a log of requests must last",
        )
    said = list(notes.words())
    if pause_s > max(_NAMED_S, _NAMED_FRAC * span_s):
        said.append(f"nothing for {in_words(pause_s)} from {notes.when(since_s)} on")
    if not counted.asked and counted.n >= _ENOUGH and pause_s > max(_HOUR_S, _TOO_LONG_FRAC * span_s):
        raise TraceError(
            f"the trace {notes.path} lies in two parts: nothing for {in_words(pause_s)} of its {in_words(span_s)}, "
            f"from {notes.when(since_s)} on, as where a clock jumped or logs of different days were joined",
            hint="cut it there; if nothing came in that time: --trace-kind timestamps",
        )
    step_s, counts = counted.steps()
    return Trace(name=notes.path.name, step_s=step_s, counts=counts, start=counted.start, read_as="; ".join(said))
