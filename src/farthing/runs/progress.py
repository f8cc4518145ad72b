"""Progress, whether somebody watches or not."""

from __future__ import annotations

from farthing.ports import Progress

__all__ = ["or_silent"]


def or_silent(on_progress: Progress | None) -> Progress:
    """What was given, or progress that nobody hears where that is None."""
    return on_progress or _silent


def _silent(stage: str, done: int, total: int, note: str, /) -> None:
    """Progress that nobody watches."""
