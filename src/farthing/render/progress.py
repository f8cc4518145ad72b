"""What is going on, on stderr: bars with the time left in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["TerminalProgress"]

EVERY_S = 5.0
"""Outside a terminal a stage says something at most this often."""


class TerminalProgress:
    """Implements :class:`farthing.ports.Progress`; a context manager.

    Args:
        console: Where to draw; None for stderr.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._bars: Progress | None = None
        self._tasks: dict[str, Any] = {}
        self._said: dict[str, float] = {}
        self._started: dict[str, float] = {}
        if self._console.is_terminal:
            self._bars = Progress(
                TextColumn("  {task.description:<12}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                console=self._console,
            )

    def __enter__(self) -> TerminalProgress:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._bars is not None:
            self._bars.stop()

    def __call__(self, stage: str, done: int, total: int, note: str) -> None:
        """``done`` of ``total`` steps of ``stage`` are finished."""
        if self._bars is None:
            self._line(stage, done, total, note)
            return
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total, note=note)
        self._bars.update(self._tasks[stage], completed=done, total=total, note=note)

    def _line(self, stage: str, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        self._started.setdefault(stage, now)
        first, last = stage not in self._said, done >= total
        if not (first or last or now - self._said[stage] >= EVERY_S):
            return
        self._said[stage] = now
        took = f"  {now - self._started[stage]:.0f} s" if last else ""
        self._console.print(f"  {stage:<12} {done}/{total}  {note}{took}", markup=False, soft_wrap=True)
