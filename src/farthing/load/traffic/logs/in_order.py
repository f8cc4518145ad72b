"""Requests of a log put in order of time, holding back no more of them than may still be overtaken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from farthing.errors import TraceError
from farthing.load.traffic.logs.notes import Notes, in_words

__all__ = ["BLOCK_ROWS", "Row", "Rows", "batched", "in_order"]

Row = tuple[float, ...]
"""A request: its time in seconds, its line, and where they are known its input and output tokens."""
Rows = NDArray[np.float64]
"""Requests of a block, shape ``(n, 2)`` or ``(n, 4)``."""
BLOCK_ROWS = 65_536
_TIME, _LINE = 0, 1


def batched(rows: Iterable[Row]) -> Iterator[Rows]:
    """Gather requests into blocks."""
    left = iter(rows)
    while chunk := list(islice(left, BLOCK_ROWS)):
        yield np.array(chunk, dtype=np.float64)


def in_order(blocks: Iterable[Rows], late_s: float, notes: Notes) -> Iterator[Rows]:
    """Sort blocks of requests of which each may come a little late, since a log is written when requests end.

    Memory grows with the requests within ``late_s``, not with the file.

    Args:
        blocks: As they stand in the file.
        late_s: How much earlier than one before it a request may be; infinite to sort the whole file in memory.
        notes: Told how many were late.

    Yields:
        Blocks in ascending order of time, each with at least one request.

    Raises:
        TraceError: when a request is later than allowed; names its line.
    """
    held: list[Rows] = []
    n_held = n_left = 0
    seen_s = -np.inf
    for rows in blocks:
        seen_s = _lateness(rows, seen_s, late_s, notes)
        held.append(rows)
        n_held += len(rows)
        if n_held < 2 * n_left + BLOCK_ROWS:
            continue
        whole = _sorted(held)
        ready = int(np.searchsorted(whole[:, _TIME], seen_s - late_s, side="right"))
        if ready:
            yield whole[:ready]
        held, n_held, n_left = [whole[ready:]], len(whole) - ready, len(whole) - ready
    if n_held:
        yield _sorted(held)


def _sorted(held: list[Rows]) -> Rows:
    whole = np.concatenate(held)
    return whole[np.argsort(whole[:, _TIME], kind="stable")]


def _lateness(rows: Rows, seen_s: float, late_s: float, notes: Notes) -> float:
    """Note how late requests are against those before them; the latest time so far."""
    latest = np.maximum.accumulate(np.concatenate(([seen_s], rows[:, _TIME])))
    behind_s = latest[:-1] - rows[:, _TIME]
    k = int(behind_s.argmax())
    if behind_s[k] > late_s:
        raise TraceError(
            f"the trace {notes.path} is not sorted: line {rows[k, _LINE]:.0f} ({notes.when(rows[k, _TIME])}) is "
            f"{in_words(behind_s[k])} earlier than a line before it ({notes.when(latest[k])}); {in_words(late_s)} are "
            "allowed",
            hint="sort it by time; a clock that was set back, as local ones are in autumn, needs times in UTC",
        )
    late = behind_s > 0
    notes.late += int(late.sum())
    notes.latest_s = max(notes.latest_s, float(behind_s[k]))
    return float(latest[-1])
