"""Which columns of a trace hold its times and its numbers, and what the numbers are."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

import numpy as np

from farthing.errors import TraceError
from farthing.load.traces.asked import Period, TraceAsked, TraceKind, asks
from farthing.load.traces.cells import Cells, moment_of
from farthing.load.traces.names import Named, is_time, named
from farthing.load.traces.times import Times
from farthing.load.written_numbers import cell_number

__all__ = ["Chosen", "choose", "time_column"]

_EVEN_FRAC, _ALIKE_FRAC = 0.75, 0.1
_EARLIEST_S = 1e9
_LEAST_STEP_S = 0.5
_LIKE_A_NUMBER = re.compile(r"[+-]?\d[\d.,_'’ \u00a0\u202f]*[A-Za-zµ%/$€ ]{0,12}")
_SHOWN, _LOOKED_AT = 8, 200
_ALL_KINDS = ("kind: counts", "kind: rates", "kind: counter")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The column with the numbers.

    Attributes:
        column: None where each row is a request.
        kind: What it holds.
        per: Period of rates.
        guessed: True where neither the user nor the column's name was clear: the values must bear it out.
    """

    column: int | None
    kind: TraceKind
    per: Period | None = None
    guessed: bool = False


def _find(cells: Cells, name: str, key: str) -> int:
    if name in cells.header:
        return cells.header.index(name)
    lower = [known.lower() for known in cells.header]
    if lower.count(name.lower()) == 1:
        return lower.index(name.lower())
    close = difflib.get_close_matches(name, cells.header, n=1)
    known = f"did you mean {close[0]}?" if close else f"its columns are {', '.join(cells.header) or 'not named'}"
    raise TraceError(f"the trace {cells.path} has no column {name!r} ({key})", hint=known)


def time_column(cells: Cells, asked: TraceAsked) -> int | None:
    """Place of the column with times, None where the file has none and its rows are minutes.

    Raises:
        TraceError: when the named column does not exist, or several columns hold no time.
    """
    if asked.time_column is not None:
        return _find(cells, asked.time_column, "time_column")
    value = None if asked.column is None else _find(cells, asked.column, "column")
    by_name = [k for k, name in enumerate(cells.header) if k != value and is_time(name)]
    if by_name:
        return next((k for k in by_name if _reads_as_time(cells.rows[0][k])), by_name[0])
    known = {k for k, name in enumerate(cells.header) if named(name)} | {value}
    found = next((k for k, cell in enumerate(cells.rows[0]) if k not in known and _reads_as_time(cell)), None)
    if found is None and cells.width > 1:
        raise TraceError(
            f"{cells.path} line {cells.lines[0]}: no column holds a time: {', '.join(cells.rows[0])}",
            hint="times are ISO 8601, or numbers since 1970; name the column: --trace-time-column NAME",
        )
    return found


def _reads_as_time(cell: str) -> bool:
    """Whether a cell can be nothing but a time; plain numbers only from 2001 (1e9 s) on."""
    number = cell_number(cell)
    return moment_of(cell) is not None if number is None else number >= _EARLIEST_S


def choose(cells: Cells, time: int | None, times: Times | None, asked: TraceAsked) -> Chosen:
    """Find the numbers and what they are.

    Args:
        cells: Of the file.
        time: Column of the times, None for none.
        times: Read from it.
        asked: What the user said.

    Raises:
        TraceError: when it cannot be told; says how to say it.
    """
    if asked.kind == "timestamps":
        return _rows_are_requests(cells, time)
    others = [k for k in range(cells.width) if k != time]
    column = _value_column(cells, others, asked)
    if column is None:
        if asked.kind is None and time is not None and times is not None:
            _refuse_numbers_at_even_steps(cells, others, times)
            return Chosen(column=None, kind="timestamps", guessed=True)
        raise asks(cells.path, "no column holds numbers", "kind: timestamps")
    return _kind_of(cells, column, asked)


def _rows_are_requests(cells: Cells, time: int | None) -> Chosen:
    if time is None:
        raise TraceError(
            f"the trace {cells.path} holds no times, so that its rows cannot be requests", hint="--trace-kind counts"
        )
    return Chosen(column=None, kind="timestamps")


def _value_column(cells: Cells, others: list[int], asked: TraceAsked) -> int | None:
    if asked.column is not None:
        return _find(cells, asked.column, "column")
    numbers = [k for k in others if _numeric(cells, k)]
    if not cells.header:
        return numbers[0] if len(others) == 1 and numbers else _only(cells, numbers) if asked.kind else None
    by_name = [k for k in numbers if named(cells.header[k])]
    if len(by_name) > 1:
        exact = [k for k in by_name if asked.kind in (None, _known(cells, k).kind)]
        by_name = exact if asked.kind is not None and len(exact) == 1 else by_name
    if len(by_name) > 1:
        names = ", ".join(cells.name(k) for k in by_name[:_SHOWN])
        raise asks(
            cells.path, f"{names} may all hold the requests", *(f"column: {cells.header[k]}" for k in by_name[:2])
        )
    if by_name:
        return by_name[0]
    if asked.kind is not None or cells.width == 1:
        return _only(cells, numbers)
    return None


def _numeric(cells: Cells, k: int) -> bool:
    """Whether most of a column's first cells are numbers, or meant as such (``1,5``), which is refused later."""
    some = [row[k] for row in cells.rows[:_LOOKED_AT]]
    like = [cell_number(cell) is not None or (_LIKE_A_NUMBER.fullmatch(cell) and not moment_of(cell)) for cell in some]
    return sum(map(bool, like)) * 2 > len(some)


def _known(cells: Cells, k: int) -> Named:
    found = named(cells.header[k])
    assert found is not None
    return found


def _only(cells: Cells, numbers: list[int]) -> int | None:
    """The one column with numbers."""
    if len(numbers) > 1:
        names = [cells.header[k] if cells.header else str(k + 1) for k in numbers[:_SHOWN]]
        raise asks(cells.path, f"{len(numbers)} columns hold numbers", f"column: {names[0]}", columns=names)
    return numbers[0] if numbers else None


def _kind_of(cells: Cells, column: int, asked: TraceAsked) -> Chosen:
    """What a column holds, by the user's word, else by its name."""
    known = named(cells.header[column]) if cells.header else Named(kind="counts")
    if asked.kind is None and known is None:
        raise asks(
            cells.path,
            f"the column {cells.name(column)} holds numbers, and its name does not say whether they are counts, rates "
            "or a total that grows",
            *_ALL_KINDS,
        )
    kind = asked.kind or (known.kind if known else "counts")
    per = asked.per or (known.per if known and known.kind == "rates" else None)
    if kind == "rates" and per is None:
        raise asks(
            cells.path, f"the column {cells.name(column)} holds rates of an unknown period", "per: s", "per: min"
        )
    return Chosen(column=column, kind=kind, per=per if kind == "rates" else None, guessed=asked.kind is None)


def _refuse_numbers_at_even_steps(cells: Cells, others: list[int], times: Times) -> None:
    """Refuse rows at an even step with numbers beside the time: such a file is a series, not a log of requests."""
    numbers = [k for k in others if _numeric(cells, k)]
    step_s = _even_step_s(times)
    if numbers and step_s is not None:
        names = ", ".join(cells.name(k) for k in numbers[:_SHOWN])
        column = () if len(numbers) == 1 or not cells.header else (f"column: {cells.header[numbers[0]]}",)
        raise asks(
            cells.path,
            f"rows stand {step_s:g} s apart, and {names} {'hold' if len(numbers) > 1 else 'holds'} numbers of an "
            "unknown kind",
            *_ALL_KINDS,
            *column,
            "kind: timestamps (a row a request)",
        )


def _even_step_s(times: Times) -> float | None:
    """The usual distance of two rows where most are that far apart and it is no rounding to whole seconds."""
    apart_s = np.diff(times.seconds)
    if apart_s.size == 0:
        return None
    step_s = float(np.median(apart_s))
    even = step_s >= _LEAST_STEP_S and (np.abs(apart_s - step_s) <= _ALIKE_FRAC * step_s).mean() >= _EVEN_FRAC
    return step_s if even else None
