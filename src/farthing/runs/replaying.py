"""The arrivals that a plan is simulated at."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from farthing.core.traffic.arrivals.replayed import Replayed
from farthing.errors import InputError
from farthing.load.traffic import TraceAsked, read_requests, read_trace

__all__ = ["MOST_REQUESTS", "replayed"]

MOST_REQUESTS = 50_000_000
"""Instants that are kept in memory (400 MB); beyond that, and where a volume is asked for, counts are replayed."""


def replayed(path: Path, asked: TraceAsked, *, per_month: float | None = None) -> Replayed:
    """Read a trace for replaying.

    Args:
        path: Of the trace.
        asked: What the user says of it.
        per_month: Scale it to so many requests a month; None to take it as it is.

    Raises:
        TraceError: when it cannot be read, or what it holds cannot be told.
        InputError: when it is too short to be cut in two.
    """
    trace = read_trace(path, asked)
    if trace.counts.size < 2:
        raise InputError(
            f"{path} has one step of {trace.step_s:g} s: rules are tuned on the first half of a trace and judged on "
            "the second",
            hint="bring a longer trace",
        )
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
