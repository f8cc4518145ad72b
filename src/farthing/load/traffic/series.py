"""Numbers of a trace as requests in each step: counts as they are, rates times the step, differences of a total."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farthing.errors import TraceError
from farthing.load.traffic.asked import asks
from farthing.load.traffic.cells import Cells
from farthing.load.traffic.columns import Chosen
from farthing.load.written_numbers import cell_number, plainly

__all__ = ["RESTARTS_FRAC", "Series", "grows", "like_a_counter", "refuse_unlikely", "requests_in", "values_of"]

Floats = NDArray[np.float64]

_LIKE_A_COUNTER_FROM, _SOME, _LEVEL = 10, 3, 10.0
RESTARTS_FRAC = 0.05
"""Of the steps of a total in which it may start again."""
_RESTART_TO_FRAC = 0.1
_POINT_FOR_THOUSANDS = re.compile(r"[1-9]\d{0,2}\.\d{3}", re.ASCII)
_A_PERIOD = {1.0: "rates a second", 60.0: "rates a minute", 3600.0: "rates an hour", 86_400.0: "rates a day"}
_WORD = {"counts": "count", "rates": "rate", "counter": "total"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """Requests in each step between the rows.

    Attributes:
        requests: Shape ``(n,)``; of a total ``(n − 1,)``.
        said: How they were read.
    """

    requests: Floats
    said: str


def values_of(cells: Cells, chosen: Chosen) -> Floats:
    """The column's numbers, shape ``(n,)``.

    Raises:
        TraceError: when one is no number ≥ 0; names line and value.
    """
    assert chosen.column is not None
    values = np.empty(len(cells.rows))
    for k, cell in enumerate(cells.column(chosen.column)):
        value = cell_number(cell)
        if value is None or not math.isfinite(value) or value < 0:
            meant = plainly(cell)
            raise TraceError(
                f"{cells.path} line {cells.lines[k]}: the {_WORD[chosen.kind]} is {cell!r}; it must be a number ≥ 0",
                hint=f"write it as {meant}" if meant else "leave a step without data out, or write 0",
            )
        values[k] = value
    return values


def refuse_unlikely(cells: Cells, chosen: Chosen, values: Floats) -> None:
    """Ask back where the name let something be assumed that the values do not bear out.

    Counts are whole numbers, and those of real traffic do not rise from row to row for long; a total that grows falls
    only where it starts again.
    """
    if not chosen.guessed or chosen.column is None:
        return
    name = cells.name(chosen.column)
    if chosen.kind == "counts":
        _refuse_points_for_thousands(cells, chosen.column)
    if chosen.kind == "counts" and (values != np.floor(values)).any():
        k = int(np.flatnonzero(values != np.floor(values))[0])
        raise asks(
            cells.path,
            f"line {cells.lines[k]}: the column {name} holds {cells.rows[k][chosen.column]}, which is no whole number "
            "of requests: rates, or counts that were averaged?",
            "kind: rates", "kind: counts",
        )  # fmt: skip
    if chosen.kind == "counts" and like_a_counter(values):
        raise asks(
            cells.path,
            f"the column {name} only grows, from {values[0]:,.0f} to {values[-1]:,.0f}: a total since some start, or "
            "counts?",
            "kind: counter", "kind: counts",
        )  # fmt: skip
    if chosen.kind == "counter" and not grows(values):
        raise asks(
            cells.path,
            f"the column {name} is called a total, and falls in {int((np.diff(values) < 0).sum()):,} of "
            f"{values.size - 1:,} steps",
            "kind: counts", "kind: rates", "kind: counter",
        )  # fmt: skip


def _refuse_points_for_thousands(cells: Cells, column: int) -> None:
    """Refuse counts where each point stands before three digits and lower numbers have none: ``950``, ``1.234``."""
    found = cells.column(column)
    pointed = [k for k, cell in enumerate(found) if "." in cell]
    if len(pointed) < len(found) and pointed and all(_POINT_FOR_THOUSANDS.fullmatch(found[k]) for k in pointed):
        k = pointed[0]
        raise TraceError(
            f"{cells.path} line {cells.lines[k]}: the count is {found[k]!r}, which may be {float(found[k]):g} or "
            f"{found[k].replace('.', '')}",
            hint=f"write thousands without a point: {found[k].replace('.', '')}; averaged counts: --trace-kind counts",
        )


def grows(values: Floats) -> bool:
    """Whether it never falls, or seldom and then to nearly nothing."""
    falls = np.flatnonzero(np.diff(values) < 0)
    low = values[falls + 1] <= _RESTART_TO_FRAC * values[falls]
    return bool(falls.size <= RESTARTS_FRAC * values.size and low.all())


def like_a_counter(values: Floats) -> bool:
    """Whether it grows, mostly from row to row or from a level far above what it grows by."""
    if values.size < _LIKE_A_COUNTER_FROM or not grows(values):
        return False
    growth = np.diff(values)
    growth = growth[growth > 0]
    mostly = growth.size >= 0.5 * values.size
    high = growth.size >= _SOME and values[0] > _LEVEL * growth.sum()
    return bool(mostly or high)


def requests_in(cells: Cells, chosen: Chosen, values: Floats, step_s: float) -> Series:
    """Requests in each step.

    Args:
        cells: For messages.
        chosen: What the values are.
        values: Shape ``(n,)``.
        step_s: Length of a step in seconds.

    Raises:
        TraceError: when a total has one row, or falls too often to be one.
    """
    named = f" (column {cells.name(chosen.column)})" if chosen.column is not None and cells.header else ""
    if chosen.kind == "rates":
        assert chosen.per_s is not None
        per = _A_PERIOD.get(chosen.per_s, f"rates per {chosen.per_s:g} s")
        return Series(requests=values * step_s / chosen.per_s, said=f"{per} each {step_s:g} s{named}")
    if chosen.kind == "counter":
        return _differences(cells, values, step_s, named)
    return Series(requests=values, said=f"counts by step of {step_s:g} s{named}")


def _differences(cells: Cells, values: Floats, step_s: float, named: str) -> Series:
    """Growth between rows; after a fall the total started again from 0 (as Prometheus' ``increase`` has it)."""
    if values.size < 2:
        raise TraceError(f"the trace {cells.path} has one total; at least 2 are needed to know how it grows")
    steps = np.diff(values)
    falls = steps < 0
    if falls.mean() > 2 * RESTARTS_FRAC and falls.sum() > 1:
        raise TraceError(
            f"the trace {cells.path} falls in {int(falls.sum()):,} of {steps.size:,} steps, so that it is no total "
            "that grows",
            hint="--trace-kind counts or --trace-kind rates",
        )
    again = f", started again {int(falls.sum()):,} ×" if falls.any() else ""
    return Series(
        requests=np.where(falls, values[1:], steps),
        said=f"a total that grows, its differences by step of {step_s:g} s{named}{again}",
    )
