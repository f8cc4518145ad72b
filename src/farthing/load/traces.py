"""Arrival traces from CSV: counts by step, one time stamp a request, or bare counts by minute."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farthing.errors import TraceError
from farthing.nouns import Trace

__all__ = ["CsvArrivals"]

_TIME_NAMES = {"timestamp", "time", "ts", "date", "datetime", "arrival", "arrival_time", "minute", "hour", "period"}
_COUNT_NAMES = {"value", "values", "count", "counts", "requests", "request_count", "n", "invocations", "hits", "sum"}
_MAX_MISSING_FRAC = 0.05
_GRID_TOLERANCE = 0.1
_SHORT_LOG_S = 600.0
_MAX_STEP_S = 3600.0
_MAX_SPAN_S = 20 * 365.25 * 86_400
_MAX_MOMENT_S = 253_402_300_799.0  # the last second of the year 9999


@dataclass(frozen=True, slots=True)
class _Rows:
    """Cells of a CSV file with the line that each row stands in."""

    path: Path
    header: tuple[str, ...]
    cells: list[list[str]]
    lines: list[int]


class CsvArrivals:
    """Reads a trace from CSV; see :meth:`trace`."""

    name = "csv"

    def trace(self, path: Path) -> Trace:
        """Read one trace.

        Three shapes are told apart by the header, or without one by the columns:

        - *counts by step*: a time and a count (``timestamp,value`` as in NAB; ``minute,requests``). The step is
          the usual distance of two rows and at most an hour. Steps without a row count as zero, since monitoring
          systems write none when nothing came; more than 5 % of them are refused.
        - *a row a request*: a time and anything else (the Azure LLM trace). Requests are counted in minutes from
          the first one on, in seconds when the log is shorter than ten minutes.
        - *bare counts*: one number a line, a minute each.

        Times are ISO 8601, or seconds or milliseconds since 1970. Times without a zone are taken as they stand.

        Raises:
            TraceError: when it is missing, empty, unsorted, negative or irregular; names line and value.
        """
        rows = _read(Path(path))
        time_column, count_column = _columns(rows)
        if time_column is None:
            return _bare(rows, count_column or 0)
        times_s, start = _times(rows, time_column)
        if count_column is None:
            return _requests(rows, times_s, start)
        return _steps(rows, times_s, start, _counts(rows, count_column))


def _read(path: Path) -> _Rows:
    cells: list[list[str]] = []
    lines: list[int] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as f:
            reader = csv.reader(f)
            for row in reader:
                if any(cell.strip() for cell in row):
                    cells.append([cell.strip() for cell in row])
                    lines.append(reader.line_num)
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise TraceError(f"cannot read the trace {path}: {e}") from e
    header: tuple[str, ...] = ()
    if cells and all(_number(cell) is None and _moment(cell) is None for cell in cells[0]):
        header = tuple(cell.lower() for cell in cells[0])
        cells, lines = cells[1:], lines[1:]
    if not cells:
        raise TraceError(
            f"the trace {path} is empty", hint="it needs a row a step (timestamp,count) or a row a request"
        )
    width = len(header) or len(cells[0])
    for row, line in zip(cells, lines, strict=True):
        if len(row) != width:
            raise TraceError(f"{path} line {line}: {len(row)} values for {width} columns")
    return _Rows(path, header, cells, lines)


def _columns(rows: _Rows) -> tuple[int | None, int | None]:
    """``(time column, count column)``; None where there is none."""
    width = len(rows.cells[0])
    if rows.header:
        count = next((k for k, name in enumerate(rows.header) if name in _COUNT_NAMES), None)
        named = next((k for k, name in enumerate(rows.header) if name in _TIME_NAMES), None)
        time = named if named is not None else _first_time(rows.cells[0], count)
    else:
        time = _first_time(rows.cells[0], None)
        count = None if time is None or width != 2 else 1 - time
    if time is None and width > 1 and count is None:
        raise TraceError(
            f"{rows.path} line {rows.lines[0]}: no column holds a time: {', '.join(rows.cells[0])}",
            hint="times are ISO 8601, or seconds since 1970 in a column named timestamp",
        )
    return time, count


def _first_time(row: Sequence[str], skip: int | None) -> int | None:
    """Find the first column that reads as a time; plain numbers only from 2001 (1e9 s) on."""
    for k, cell in enumerate(row):
        number = _number(cell)
        if k != skip and ((number is None and _moment(cell) is not None) or (number is not None and number >= 1e9)):
            return k
    return None


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _moment(cell: str) -> datetime | None:
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        return None


def _times(rows: _Rows, column: int) -> tuple[NDArray[np.float64], datetime | None]:
    """Seconds of each row since some fixed point, not decreasing, and the first row's time (None when a number)."""
    first = rows.cells[0][column]
    numeric = _number(first) is not None
    scale = 1e-3 if numeric and float(first) >= 1e11 else 1.0
    seconds = np.empty(len(rows.cells))
    start = None if numeric else _moment(first)
    zoned = start is not None and start.tzinfo is not None
    for k, row in enumerate(rows.cells):
        cell = row[column]
        value = _number(cell) if numeric else _seconds(cell, zoned)
        if value is None or not math.isfinite(value):
            raise TraceError(
                f"{rows.path} line {rows.lines[k]}: {cell!r} is no time as in line {rows.lines[0]} ({first})"
            )
        seconds[k] = value * scale
        if k and seconds[k] < seconds[k - 1]:
            raise TraceError(
                f"the trace {rows.path} is not sorted: line {rows.lines[k]} ({cell}) is earlier than "
                f"line {rows.lines[k - 1]} ({rows.cells[k - 1][column]})",
                hint="sort it by time; a local clock set back in autumn needs times in UTC",
            )
    if seconds[-1] - seconds[0] > _MAX_SPAN_S:
        raise TraceError(
            f"the trace {rows.path} lasts from {first} to {rows.cells[-1][column]}; the limit is 20 years",
            hint="times as numbers are seconds or milliseconds since 1970",
        )
    if numeric and 1e9 <= seconds[0] < _MAX_MOMENT_S:
        start = datetime.fromtimestamp(seconds[0], UTC)
    return seconds, start


def _seconds(cell: str, zoned: bool) -> float | None:
    moment = _moment(cell)
    if moment is None or (moment.tzinfo is not None) != zoned:
        return None
    return (moment if zoned else moment.replace(tzinfo=UTC)).timestamp()


def _counts(rows: _Rows, column: int) -> NDArray[np.float64]:
    counts = np.empty(len(rows.cells))
    for k, row in enumerate(rows.cells):
        value = _number(row[column])
        if value is None or not math.isfinite(value) or value < 0:
            raise TraceError(
                f"{rows.path} line {rows.lines[k]}: the count is {row[column]!r}; it must be a number ≥ 0",
                hint="leave a step without data out, or write 0",
            )
        counts[k] = value
    if not counts.any():
        raise TraceError(f"the trace {rows.path} has no requests in {counts.size:,} steps")
    return counts


def _bare(rows: _Rows, column: int) -> Trace:
    return Trace(name=rows.path.name, step_s=60.0, counts=_counts(rows, column))


def _requests(rows: _Rows, times_s: NDArray[np.float64], start: datetime | None) -> Trace:
    """Count requests in steps from the first one on."""
    span_s = float(times_s[-1] - times_s[0])
    step_s = 60.0 if span_s >= _SHORT_LOG_S else 1.0
    if span_s <= 0:
        raise TraceError(
            f"the trace {rows.path} has {times_s.size:,} requests at one moment ({rows.cells[0][0]})",
            hint="a log of requests must last; counts by step need a column named count",
        )
    bins = np.floor((times_s - times_s[0]) / step_s).astype(np.int64)
    return Trace(name=rows.path.name, step_s=step_s, counts=np.bincount(bins).astype(np.float64), start=start)


def _steps(rows: _Rows, times_s: NDArray[np.float64], start: datetime | None, counts: NDArray[np.float64]) -> Trace:
    """Put counts on a regular grid, missing steps as zero."""
    if counts.size < 2:
        raise TraceError(f"the trace {rows.path} has one step; at least 2 are needed to know its length")
    apart_s = np.diff(times_s)
    step_s = float(np.median(apart_s))
    if apart_s.min() <= _GRID_TOLERANCE * step_s:
        k = int(apart_s.argmin()) + 1
        raise TraceError(f"{rows.path} line {rows.lines[k]}: a second count for the same step ({rows.cells[k][0]})")
    if step_s > _MAX_STEP_S:
        raise TraceError(
            f"the trace {rows.path} has steps of {step_s:,.0f} s; the limit is {_MAX_STEP_S:,.0f} s",
            hint="give hourly or finer counts, or traffic.per_month with a shape",
        )
    places = (times_s - times_s[0]) / step_s
    index = np.rint(places).astype(np.int64)
    off = np.abs(places - index)
    if off.max() > _GRID_TOLERANCE:
        k = int(off.argmax())
        raise TraceError(
            f"{rows.path} line {rows.lines[k]}: {rows.cells[k][0]} is not a whole number of {step_s:g} s steps after "
            f"{rows.cells[0][0]}",
            hint="counts need a fixed step",
        )
    n_steps = int(index[-1]) + 1
    missing = n_steps - counts.size
    if missing > _MAX_MISSING_FRAC * n_steps:
        k = int(apart_s.argmax()) + 1
        raise TraceError(
            f"the trace {rows.path} lacks {missing:,} of {n_steps:,} steps of {step_s:g} s ({missing / n_steps:.0%}); "
            f"the limit is {_MAX_MISSING_FRAC:.0%}; the longest gap ends in line {rows.lines[k]} ({rows.cells[k][0]})",
            hint="write 0 for steps without requests, or cut the trace at the gap",
        )
    whole = np.zeros(n_steps)
    whole[index] = counts
    note = f" ({missing:,} of {n_steps:,} steps missing, taken as 0)" if missing else ""
    return Trace(name=rows.path.name + note, step_s=step_s, counts=whole, start=start)
