"""Progress on standard error: bars on a terminal, plain lines elsewhere, with the time left of the whole run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import IO

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from farthing.render.numbers import clock_time
from farthing.render.remaining import Remaining
from farthing.render.screen import console, say
from farthing.render.words import printable

__all__ = ["TerminalProgress", "time_left"]


def time_left(elapsed_s: float, done: int, total: int) -> float | None:
    """Seconds left if the rest goes like what is done; None while nothing is done or the total is unknown."""
    if done <= 0 or total <= 0:
        return None
    return elapsed_s / done * max(0, total - done)


def _in_all(left_s: float) -> str:
    """``about 5:20 left in all``, rounded to what such a forecast is worth."""
    step = 10 if left_s > 60 else 5
    return f"about {clock_time(max(step, step * round(left_s / step)))} left in all"


class _Left(ProgressColumn):
    """The time left of the whole run (of the stage where nobody knows it) while a stage runs, then its own time."""

    def __init__(self, remaining: Remaining) -> None:
        super().__init__()
        self._remaining = remaining

    def render(self, task: Task) -> Text:
        if task.finished:
            return Text(clock_time(task.finished_time or 0.0), style="dim")
        in_all = self._remaining.left_s()
        if in_all is not None:
            return Text(_in_all(in_all), style="dim")
        left = time_left(task.elapsed or 0.0, int(task.completed), int(task.total or 0))
        return Text("" if left is None else f"{clock_time(left)} left", style="dim")


class _Count(ProgressColumn):
    """``23/36``, or nothing where the total is unknown."""

    def render(self, task: Task) -> Text:
        return Text(f"{int(task.completed)}/{int(task.total)}" if task.total else "")


class TerminalProgress:
    """Implements :class:`farthing.ports.Progress`; use it as a context manager.

    On a terminal each stage is one line with a bar that stays when the stage is done. Elsewhere a stage says one
    line when it starts, one at most every ``every_s`` seconds, and one when it is done.

    Args:
        stream: Where it is drawn, None for standard error.
        typical_s: Seconds that the stages of the command usually take, in their order; with them the time left is that
            of the whole command, without them that of a stage.
        every_s: Least seconds between two plain lines of one stage.
        monotonic_s: The clock.
    """

    def __init__(
        self,
        stream: IO[str] | None = None,
        *,
        typical_s: Mapping[str, float] | None = None,
        every_s: float = 5.0,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console: Console = console(stream or sys.stderr)
        self._every_s = every_s
        self._monotonic_s = monotonic_s
        self._remaining = Remaining(typical_s or {})
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._started_s: dict[str, float] = {}
        self._said_s: dict[str, float] = {}
        self._finished: set[str] = set()
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._bars = Progress(
                TextColumn("  {task.description:<14}", markup=False),
                BarColumn(bar_width=20),
                _Count(),
                TextColumn("{task.fields[note]}", markup=False),
                _Left(self._remaining),
                console=self._console,
                get_time=monotonic_s,
            )

    def __enter__(self) -> TerminalProgress:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def __call__(self, stage: str, done: int, total: int, note: str) -> None:
        """``done`` of ``total`` steps of ``stage`` are finished; a total of 0 means that it is unknown."""
        stage, note = printable(stage), printable(note)
        self._remaining.told(stage, done, total, self._monotonic_s())
        if self._bars is not None:
            self._draw(self._bars, stage, done, total, note)
        else:
            self._say(stage, done, total, note)

    def show(self, block: RenderableType) -> None:
        """Words that stay: above the bars on a terminal."""
        if self._bars is not None:
            self._console.print(block)
        else:
            say(self._console, block)

    def _draw(self, bars: Progress, stage: str, done: int, total: int, note: str) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = bars.add_task(stage, total=total or None, note=note)
        elif stage in self._finished and done < total:
            bars.reset(self._tasks[stage], total=total, completed=done)
        bars.update(self._tasks[stage], completed=done, total=total or None, note=note)
        self._note_finish(stage, done, total)

    def _note_finish(self, stage: str, done: int, total: int) -> None:
        (self._finished.add if 0 < total <= done else self._finished.discard)(stage)

    def _say(self, stage: str, done: int, total: int, note: str) -> None:
        now_s, finished = self._monotonic_s(), 0 < total <= done
        if stage in self._finished:
            if finished:
                return
            del self._started_s[stage], self._said_s[stage]
        self._note_finish(stage, done, total)
        started_s = self._started_s.setdefault(stage, now_s)
        if stage in self._said_s and not finished and now_s - self._said_s[stage] < self._every_s:
            return
        self._said_s[stage] = now_s
        when = clock_time(now_s - started_s) if finished else self._left(now_s - started_s, done, total)
        steps = f"{done}/{total}" if total > 0 else ""
        self._console.print(Text("  ".join(s for s in (f"{stage:<14}", steps, note, when) if s)), soft_wrap=True)

    def _left(self, elapsed_s: float, done: int, total: int) -> str:
        in_all = self._remaining.left_s()
        if in_all is not None:
            return _in_all(in_all)
        left = time_left(elapsed_s, done, total)
        return f"{clock_time(left)} left" if left else ""
