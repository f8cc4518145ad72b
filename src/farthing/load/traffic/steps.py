"""Requests on a grid of equal steps: series put in their places, rows counted."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from farthing.errors import TraceError
from farthing.load.traffic.cells import Cells
from farthing.load.traffic.clock_changes import hour_repeated, hour_skipped, skipped
from farthing.load.traffic.columns import Chosen
from farthing.load.traffic.series import requests_in, values_of
from farthing.load.traffic.times import Times
from farthing.nouns import Trace

__all__ = ["bare_numbers", "counted_rows", "stepped"]

Floats = NDArray[np.float64]

_MAX_MISSING_FRAC = 0.05
_GRID_TOLERANCE = 0.1
_SHORT_LOG_S = 600.0
_MAX_STEP_S = 3600.0
_MINUTE_S = 60.0
_HOUR_S = 3600.0


def bare_numbers(cells: Cells, chosen: Chosen, values: Floats) -> Trace:
    """Numbers without times, a minute each."""
    series = requests_in(cells, chosen, values, _MINUTE_S)
    return _trace(
        cells, chosen, _MINUTE_S, series.requests, None, f"{series.said}, a minute a line since there are no times"
    )


def counted_rows(cells: Cells, chosen: Chosen, times: Times) -> Trace:
    """Requests counted in minutes from the first one on, in seconds when the log is shorter than ten minutes.

    Raises:
        TraceError: when all are at one moment, or an hour is missing that local clocks skipped.
    """
    span_s = float(times.seconds[-1] - times.seconds[0])
    step_s = _MINUTE_S if span_s >= _SHORT_LOG_S else 1.0
    if span_s <= 0:
        raise TraceError(
            f"the trace {cells.path} has {times.seconds.size:,} requests at one moment ({cells.rows[0][times.column]})",
            hint="a log of requests must last; counts by step need a column named count",
        )
    _refuse_skipped_hour(cells, chosen, times, 0.0)
    bins = np.floor((times.seconds - times.seconds[0]) / step_s).astype(np.int64)
    said = f"a row a request ({len(cells.rows):,} rows), {times.said}"
    return _trace(cells, chosen, step_s, np.bincount(bins).astype(np.float64), times, said)


def stepped(cells: Cells, chosen: Chosen, times: Times) -> Trace:
    """Put a series on a regular grid.

    Steps without a row are 0 of counts, since monitoring systems write none when nothing came; of rates they lie
    between their neighbours; the growth of a total over them is shared.

    Raises:
        TraceError: when the step is unknown, uneven or longer than an hour, or too many steps are missing or
            are those of an hour that local clocks skipped.
    """
    values = values_of(cells, chosen)
    if values.size < 2:
        raise TraceError(f"the trace {cells.path} has one step; at least 2 are needed to know its length")
    step_s, index = _grid(cells, times)
    _refuse_skipped_hour(cells, chosen, times, step_s)
    series = requests_in(cells, chosen, values, step_s)
    n_steps = int(index[-1]) + 1
    missing = n_steps - values.size
    if missing > _MAX_MISSING_FRAC * n_steps:
        raise _gap(cells, times, missing, n_steps, step_s)
    whole, filled = _on_grid(chosen, index, series.requests, n_steps)
    note = f" ({missing:,} of {n_steps:,} steps missing, {filled})" if missing else ""
    return _trace(cells, chosen, step_s, whole, times, f"{series.said}, {times.said}", note)


def _on_grid(chosen: Chosen, index: NDArray[np.int64], requests: Floats, n_steps: int) -> tuple[Floats, str]:
    if chosen.kind == "rates":
        return np.interp(np.arange(n_steps), index, requests), "taken between their neighbours"
    if chosen.kind == "counter":
        apart = np.diff(index)
        return np.repeat(requests / apart, apart), "their growth shared"
    whole = np.zeros(n_steps)
    whole[index] = requests
    return whole, "taken as 0"


def _grid(cells: Cells, times: Times) -> tuple[float, NDArray[np.int64]]:
    """Length of a step and the step of each row."""
    apart_s = np.diff(times.seconds)
    step_s = float(np.median(apart_s))
    if apart_s.min() <= _GRID_TOLERANCE * step_s:
        k = int(apart_s.argmin()) + 1
        raise TraceError(
            f"{cells.path} line {cells.lines[k]}: a second count for the same step ({cells.rows[k][times.column]})",
            hint=f"add the series up, one row a step; a row a request: --trace-kind timestamps{_set_back(times, k)}",
        )
    if step_s > _MAX_STEP_S:
        raise TraceError(
            f"the trace {cells.path} has steps of {step_s:,.0f} s; the limit is {_MAX_STEP_S:,.0f} s",
            hint="give hourly or finer numbers, or traffic.per_month with a shape",
        )
    places = (times.seconds - times.seconds[0]) / step_s
    index = np.rint(places).astype(np.int64)
    off = np.abs(places - index)
    if off.max() > _GRID_TOLERANCE:
        k = int(off.argmax())
        raise TraceError(
            f"{cells.path} line {cells.lines[k]}: {cells.rows[k][times.column]} is not a whole number of {step_s:g} s "
            f"steps after {cells.rows[0][times.column]}",
            hint="counts, rates and totals need a fixed step; a row a request: --trace-kind timestamps",
        )
    return step_s, index


def _set_back(times: Times, k: int) -> str:
    """What to say where a second row for a step may be of an hour that local clocks repeat."""
    if times.start is None or times.start.tzinfo is not None:
        return ""
    moment = times.start + timedelta(seconds=float(times.seconds[k] - times.seconds[0]))
    return "; a local clock set back in autumn needs times in UTC" if hour_repeated(moment) else ""


def _refuse_skipped_hour(cells: Cells, chosen: Chosen, times: Times, step_s: float) -> None:
    """Refuse a gap that daylight saving leaves in times without an offset, unless the user said what the file holds."""
    if times.start is None or times.start.tzinfo is not None or not chosen.guessed:
        return
    since_s = times.seconds - times.seconds[0]
    for k in np.flatnonzero(np.diff(since_s) >= max(_HOUR_S, 1.5 * step_s)):
        before, after = (times.start + timedelta(seconds=float(since_s[at])) for at in (k, k + 1))
        hour = hour_skipped(before, after, step_s)
        if hour is not None:
            raise skipped(cells.path, cells.lines[k + 1], hour, chosen.kind)


def _gap(cells: Cells, times: Times, missing: int, n_steps: int, step_s: float) -> TraceError:
    k = int(np.diff(times.seconds).argmax()) + 1
    return TraceError(
        f"the trace {cells.path} lacks {missing:,} of {n_steps:,} steps of {step_s:g} s ({missing / n_steps:.0%}); "
        f"the limit is {_MAX_MISSING_FRAC:.0%}; the longest gap ends in line {cells.lines[k]} "
        f"({cells.rows[k][times.column]})",
        hint="write 0 for steps without requests, or cut the trace at the gap",
    )


def _trace(
    cells: Cells, chosen: Chosen, step_s: float, counts: Floats, times: Times | None, said: str, note: str = ""
) -> Trace:
    if not counts.any():
        raise TraceError(f"the trace {cells.path} has no requests in {counts.size:,} steps")
    return Trace(
        name=cells.path.name + note,
        step_s=step_s,
        counts=counts,
        start=None if times is None else times.start,
        read_as=said,
        guessed=chosen.guessed,
    )
