"""Whether rows stand at even steps, as those of one series or of several do, and not as requests arrive."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farthing.load.traffic.cells import Cells
from farthing.load.traffic.column_names import of_each_request, says_when
from farthing.load.traffic.times import Times

__all__ = ["Evenly", "apart_evenly", "taking_turns"]

Floats = NDArray[np.float64]

_EVEN_FRAC, _ALIKE_FRAC = 0.75, 0.1
_LEAST_STEP_S = 0.5
_TURNS = 1.5
_DISPERSION, _MANY = 0.3, 20
"""Variance by mean of rows at a moment, of Poisson arrivals 1; and the moments from which it says something."""
_CLOCK, _LOOKED_AT = re.compile(r"\d{1,2}(:\d\d){1,2} ?([ap]m)?|\d{1,2} ?([ap]m|h)", re.IGNORECASE), 200
_LEAST_ROWS = 3
"""Of each series on average, so that its steps say something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evenly:
    """How rows stand evenly apart.

    Attributes:
        step_s: Of one series, in seconds.
        said: In words.
        several: Whether the rows are of several series.
        label: Column that tells the series apart, None where there is one series or none does.
    """

    step_s: float
    said: str
    several: bool = False
    label: int | None = None


def apart_evenly(cells: Cells, times: Times, numbers: list[int]) -> Evenly | None:
    """How rows with numbers beside the time stand evenly apart; None where they do not.

    One series stands at an even step. Several (``timestamp,pod,load``) have equally many rows at each moment, most of
    them where some are missing, or each its own even step where a column names it. A log of clients that ask again as
    soon as they are answered has nearly as many rows at each second too: where all numbers are of each request
    (``latency_ms``), only a column that names the series tells them.

    Args:
        cells: Of the file.
        times: Read from it.
        numbers: Columns with numbers, without that of the times.
    """
    if not numbers:
        return None
    step_s = _step_s(np.diff(times.seconds))
    if step_s is not None:
        return Evenly(step_s=step_s, said=f"rows stand {step_s:g} s apart")
    told = bool(cells.header) and all(of_each_request(cells.header[k]) for k in numbers)
    return (None if told else _by_moment(times)) or _by_label(cells, times, numbers)


def taking_turns(cells: Cells, times: Times, numbers: list[int]) -> Evenly | None:
    """How rows of several series take turns (pod a at each minute, pod b half a minute later); None where none do.

    Each series then has a longer step than the rows have, and a rate holds for that longer step.
    """
    apart_s = float(np.median(np.diff(times.seconds))) if times.seconds.size > 1 else 0.0
    for k in range(cells.width):
        found = None if k in numbers else _of_label(cells, times, k)
        if found is not None and found.step_s > _TURNS * apart_s:
            return found
    return None


def _step_s(apart_s: Floats) -> float | None:
    """The usual distance of two rows where most are that far apart and it is no rounding to whole seconds."""
    if apart_s.size == 0:
        return None
    step_s = float(np.median(apart_s))
    even = step_s >= _LEAST_STEP_S and (np.abs(apart_s - step_s) <= _ALIKE_FRAC * step_s).mean() >= _EVEN_FRAC
    return step_s if even else None


def _by_moment(times: Times) -> Evenly | None:
    """Rows of several series at the same moments; the rows of a log that rounds its times are not equally many.

    Series that come and go (pods of a fleet that scales) vary far less than arrivals do, whose variance is their mean.
    """
    moments, rows = np.unique(times.seconds, return_counts=True)
    usual = int(np.median(rows))
    step_s = _step_s(np.diff(moments))
    alike = (rows == usual).mean() >= _EVEN_FRAC or (moments.size >= _MANY and rows.var() < _DISPERSION * rows.mean())
    if step_s is None or usual < 2 or not alike:
        return None
    return Evenly(
        step_s=step_s, said=f"{usual} rows stand at each moment, {step_s:g} s apart, as of {usual} series", several=True
    )


def _by_label(cells: Cells, times: Times, numbers: list[int]) -> Evenly | None:
    """Rows of several series that a column names, at one moment or not."""
    for k in range(cells.width):
        if numbers != [k]:
            found = _of_label(cells, times, k)
            if found is not None:
                return found
    return None


def _of_label(cells: Cells, times: Times, label: int) -> Evenly | None:
    """Rows of the series that one column names; None where it does not, or says when it is (``time_of_day``)."""
    if label == times.column or _says_when(cells, label):
        return None
    place = _numbered(cells, label, at_most=len(cells.rows) // _LEAST_ROWS)
    names = 0 if place is None else int(place.max()) + 1
    if place is None or names < 2:
        return None
    order = np.argsort(place, kind="stable")
    apart_s = np.diff(times.seconds[order])[np.diff(place[order]) == 0]
    step_s = _step_s(apart_s)
    if step_s is None:
        return None
    return Evenly(
        step_s=step_s,
        said=f"rows stand {step_s:g} s apart in each of {names} series ({cells.name(label)})",
        several=True,
        label=label,
    )


def _says_when(cells: Cells, k: int) -> bool:
    """Whether a column says when its rows are, by its name or by its first cells (``08:00``)."""
    by_name = bool(cells.header) and says_when(cells.header[k])
    return by_name or all(_CLOCK.fullmatch(row[k]) for row in cells.rows[:_LOOKED_AT])


def _numbered(cells: Cells, label: int, at_most: int) -> NDArray[np.int64] | None:
    """Each row's series by number, shape ``(n_rows,)``; None where there are more than ``at_most`` of them, as of
    prompts, which may be long and are not copied.
    """
    numbers: dict[str, int] = {}
    place = np.empty(len(cells.rows), dtype=np.int64)
    for row, of_row in enumerate(cells.rows):
        place[row] = numbers.setdefault(of_row[label], len(numbers))
        if len(numbers) > at_most:
            return None
    return place
