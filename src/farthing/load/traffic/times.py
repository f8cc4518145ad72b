"""When each row of a trace was: ISO 8601, or numbers since 1970 or since the start, in a unit that must be certain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from farthing.errors import TraceError
from farthing.load.traffic.asked import UNITS, TimeUnit, TraceAsked, asks
from farthing.load.traffic.cells import Cells, moment_of
from farthing.load.traffic.column_names import counts_from_start, unit_of
from farthing.load.written_numbers import cell_number

__all__ = ["Times", "read_times"]

_EPOCH_S = (1e9, 4.1e9)
"""Seconds since 1970 that are taken for a time: from 2001 to 2099. In other units the range is as many times higher."""
_EARLY_S = 86_400.0
"""The first row of times since a start comes within a day of it."""
_MAX_SPAN_S = 20 * 365.25 * 86_400
_SINCE_1970: tuple[TimeUnit, ...] = ("s", "ms", "us", "ns")
_NAMES: Mapping[str, str] = {
    "s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds", "min": "minutes", "h": "hours",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Times:
    """Times of the rows.

    Attributes:
        seconds: Since some fixed point, not decreasing, shape ``(n,)``.
        start: Of the first row, None when it is not known.
        said: How they were read.
        column: That holds them.
    """

    seconds: NDArray[np.float64]
    start: datetime | None
    said: str
    column: int


def read_times(cells: Cells, column: int, asked: TraceAsked) -> Times:
    """Read the column of times.

    Raises:
        TraceError: when a cell is no time or the times fall; when they are numbers in a unit that cannot be told.
    """
    numeric = cell_number(cells.rows[0][column]) is not None
    times = _numbers(cells, column, asked) if numeric else _moments(cells, column)
    _check_order(cells, column, times.seconds)
    return times


def _no_time(cells: Cells, column: int, k: int, kind: str) -> TraceError:
    cell = cells.rows[k][column]
    if k:
        return TraceError(
            f"{cells.path} line {cells.lines[k]}: {cell!r} is no time as in line {cells.lines[0]} "
            f"({cells.rows[0][column]})"
        )
    return TraceError(
        f"{cells.path} line {cells.lines[0]}: {cell!r} in the column {cells.name(column)} is no {kind}",
        hint="times are ISO 8601 (2026-10-20T08:00:00Z), or numbers since 1970; --trace-time-column names one",
    )


def _moments(cells: Cells, column: int) -> Times:
    first = moment_of(cells.rows[0][column])
    if first is None:
        raise _no_time(cells, column, 0, "time")
    zoned = first.tzinfo is not None
    seconds = np.empty(len(cells.rows))
    for k, cell in enumerate(cells.column(column)):
        moment = moment_of(cell)
        if moment is None or (moment.tzinfo is not None) != zoned:
            raise _no_time(cells, column, k, "time")
        seconds[k] = (moment if zoned else moment.replace(tzinfo=UTC)).timestamp()
    said = "times with their zone" if zoned else "times as they stand"
    return Times(seconds=seconds, start=first, said=said, column=column)


def _numbers(cells: Cells, column: int, asked: TraceAsked) -> Times:
    values = np.empty(len(cells.rows))
    for k, cell in enumerate(cells.column(column)):
        value = cell_number(cell)
        if value is None:
            raise _no_time(cells, column, k, "number")
        values[k] = value
    unit, since_1970 = _unit(cells, column, values, asked.unit)
    seconds = values * UNITS[unit]
    start = datetime.fromtimestamp(seconds[0], UTC) if since_1970 else None
    since = "since 1970" if since_1970 else "since the start"
    return Times(seconds=seconds, start=start, said=f"times in {_NAMES[unit]} {since}", column=column)


def _unit(cells: Cells, column: int, values: NDArray[np.float64], asked: TimeUnit | None) -> tuple[TimeUnit, bool]:
    """Unit of times that are numbers, and whether they count from 1970.

    Raises:
        TraceError: when it is neither said nor certain, or what is said does not fit the numbers.
    """
    low, high = _EPOCH_S
    fits: list[TimeUnit] = [unit for unit in _SINCE_1970 if low <= values[0] * UNITS[unit] < high]
    by_size = fits[0] if fits else None
    name = cells.header[column] if cells.header else ""
    said = asked or unit_of(name)
    if said in ("min", "h") and asked is None and by_size is not None:
        said = None  # a column called minute with times of minutes in it
    since_start = asked is not None or counts_from_start(name)
    if said is not None and by_size not in (None, said) and since_start and values[0] * UNITS[said] < _EARLY_S:
        by_size = None  # nanoseconds since a start may be as many as seconds since 1970
    if said is not None and by_size not in (None, said):
        raise TraceError(
            f"{cells.path} line {cells.lines[0]}: {cells.rows[0][column]} is a time in {_NAMES[str(by_size)]} since "
            f"1970, and {_NAMES[said]} were {'asked for' if asked else 'named by the column'}",
            hint=f"--trace-unit {by_size}",
        )
    if said is not None:
        return said, by_size is not None
    if by_size is not None:
        _check_alike(cells, column, values, by_size)
        return by_size, True
    raise asks(
        cells.path,
        f"line {cells.lines[0]}: {cells.rows[0][column]} in the column {cells.name(column)} is no time since 1970 in "
        "any unit; if times count from the start, their unit must be said",
        "unit: s", "unit: ms", "unit: us", "unit: ns",
    )  # fmt: skip


def _check_alike(cells: Cells, column: int, values: NDArray[np.float64], unit: TimeUnit) -> None:
    low, high = _EPOCH_S
    wrong = np.flatnonzero((values * UNITS[unit] < low) | (values * UNITS[unit] >= high))
    if wrong.size:
        k = int(wrong[0])
        raise TraceError(
            f"{cells.path} line {cells.lines[k]}: {cells.rows[k][column]} is no time in {_NAMES[unit]} since 1970, as "
            f"line {cells.lines[0]} is ({cells.rows[0][column]})",
            hint="all times of a trace are in one unit",
        )


def _check_order(cells: Cells, column: int, seconds: NDArray[np.float64]) -> None:
    falls = np.flatnonzero(np.diff(seconds) < 0)
    if falls.size:
        k = int(falls[0]) + 1
        raise TraceError(
            f"the trace {cells.path} is not sorted: line {cells.lines[k]} ({cells.rows[k][column]}) is earlier than "
            f"line {cells.lines[k - 1]} ({cells.rows[k - 1][column]})",
            hint="sort it by time; a local clock set back in autumn needs times in UTC",
        )
    if seconds[-1] - seconds[0] > _MAX_SPAN_S:
        raise TraceError(
            f"the trace {cells.path} lasts from {cells.rows[0][column]} to {cells.rows[-1][column]}; the limit is 20 "
            "years",
            hint="times as numbers are since 1970, in seconds, milliseconds, microseconds or nanoseconds",
        )
