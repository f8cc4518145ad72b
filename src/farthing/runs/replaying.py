"""The arrivals that a plan is simulated at."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from farthing.core.traffic.arrivals.replayed import Replayed
from farthing.errors import InputError
from farthing.load.traffic import TraceAsked, read_requests, read_trace
from farthing.nouns import Trace

__all__ = ["MOST_REQUESTS", "halves_of"]

MOST_REQUESTS = 50_000_000
"""Instants that are kept in memory (400 MB); beyond that, and where a volume is asked for, counts are replayed."""


def halves_of(path: Path, asked: TraceAsked, *, per_month: float | None = None) -> tuple[Replayed, Replayed]:
    """Read a trace for replaying: what rules are tuned on, and what they are judged on.

    Args:
        path: Of the trace.
        asked: What the user says of it.
        per_month: Scale it to so many requests a month; None to take it as it is.

    Raises:
        TraceError: when it cannot be read, or what it holds cannot be told.
        InputError: when it is too short to be cut in two, or nothing comes in one of the halves.
    """
    trace = read_trace(path, asked)
    if trace.counts.size < 2:
        raise InputError(
            f"{path} has one step of {trace.step_s:g} s: rules are tuned on the first half of a trace and judged on "
            "the second",
            hint="bring a longer trace",
        )
    middle = trace.counts.size // 2
    empty = next(
        (
            name
            for name, half in (("first", trace.counts[:middle]), ("second", trace.counts[middle:]))
            if not half.any()
        ),
        None,
    )
    if empty is not None:
        raise InputError(
            f"nothing comes in the {empty} half of {path}: rules are tuned on the first half of a trace and judged on "
            "the second",
            hint="bring a longer trace, or cut it where requests begin",
        )
    return _replayed(path, asked, trace, per_month).halves()


def _replayed(path: Path, asked: TraceAsked, trace: Trace, per_month: float | None) -> Replayed:
    """Each request at its own instant where the file has them and they are not too many, else counts."""
    if per_month is not None:
        return Replayed(trace=trace.scaled(per_month / trace.requests_per_month()))
    if trace.counts.sum() > MOST_REQUESTS:
        return Replayed(trace=trace)
    blocks = read_requests(path, asked)
    if blocks is None:
        return Replayed(trace=trace)
    read = list(blocks)
    at_s = np.concatenate([block.at_s for block in read])
    at_s = at_s[at_s < trace.counts.size * trace.step_s]
    return Replayed(trace=trace, at_s=at_s, resolution_s=max(block.resolution_s for block in read))
