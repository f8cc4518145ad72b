"""Traces from cells in rows and columns: what a CSV, JSON Lines or Parquet file says, once it is read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from farthing.load.traffic.asked import TRACE_KINDS, TraceAsked, refuse_inapplicable
from farthing.load.traffic.cells import Cells
from farthing.load.traffic.columns import Chosen, choose, time_column
from farthing.load.traffic.series import refuse_unlikely, values_of
from farthing.load.traffic.steps import bare_numbers, counted_rows, stepped
from farthing.load.traffic.times import Times, read_times
from farthing.nouns import ArrivalBlock, Trace

__all__ = ["requests_of", "trace_of"]

_RESOLUTIONS_S = (60.0, 1.0)


def trace_of(cells: Cells, asked: TraceAsked) -> Trace:
    """Understand a table as a trace.

    Args:
        cells: Of the file.
        asked: What the user says of it.

    Raises:
        TraceError: when it is empty, unsorted, negative or irregular (names line and value), and when what it holds
            cannot be told (says how to say it).
    """
    chosen, times = _understood(cells, asked)
    if chosen.column is None:
        assert times is not None
        return counted_rows(cells, chosen, times)
    values = values_of(cells, chosen)
    refuse_unlikely(cells, chosen, values)
    return bare_numbers(cells, chosen, values) if times is None else stepped(cells, chosen, times)


def requests_of(cells: Cells, asked: TraceAsked) -> Iterator[ArrivalBlock] | None:
    """Each row as a request at its instant, None where rows are steps; arguments and errors as of :func:`trace_of`."""
    chosen, times = _understood(cells, asked)
    if chosen.column is not None or times is None:
        return None
    at_s = times.seconds - times.seconds[0]
    return iter((ArrivalBlock(at_s=at_s, resolution_s=_resolution_s(times.seconds)),))


def _understood(cells: Cells, asked: TraceAsked) -> tuple[Chosen, Times | None]:
    """The column with the numbers, and when each row was, None for minutes without times."""
    keys = ("column", "time_column", "unit", "per")
    refuse_inapplicable(cells.path, "a table", asked, kinds=TRACE_KINDS, keys=keys)
    time = time_column(cells, asked)
    times = None if time is None else read_times(cells, time, asked)
    return choose(cells, time, times, asked), times


def _resolution_s(seconds: NDArray[np.float64]) -> float:
    """Whole minutes or seconds in which all times are, 0 where some are finer."""
    return next((step_s for step_s in _RESOLUTIONS_S if not np.mod(seconds, step_s).any()), 0.0)
