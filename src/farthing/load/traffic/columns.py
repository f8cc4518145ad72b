"""Which columns of a trace hold its times and its numbers, and what the numbers are."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from farthing.errors import TraceError
from farthing.load.traffic.asked import PERIODS, TraceAsked, TraceKind, asks
from farthing.load.traffic.cells import Cells, moment_of
from farthing.load.traffic.column_names import Named, is_time, named, not_the_arrivals, of_each_request
from farthing.load.traffic.evenly import apart_evenly, taking_turns
from farthing.load.traffic.times import Times
from farthing.load.written_numbers import cell_number

__all__ = ["Chosen", "choose", "time_column"]

_EARLIEST_S = 1e9
_LIKE_A_NUMBER = re.compile(r"[+-]?\d[\d.,_'’ \u00a0\u202f]*[A-Za-zµ%/$€ ]{0,12}")
_SHOWN, _LOOKED_AT = 8, 200
_ALL_KINDS = ("kind: counts", "kind: rates", "kind: counter")
_ADD_UP_RATES = "add the series up, one row a step; one series: --trace-kind rates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The column with the numbers.

    Attributes:
        column: None where each row is a request.
        kind: What it holds.
        per_s: Period of rates in seconds.
        guessed: True where neither the user nor the column's name was clear: the values must bear it out.
    """

    column: int | None
    kind: TraceKind
    per_s: float | None = None
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
            _refuse_part_of_requests(cells, others, "kind: timestamps (a row a request)")
            return Chosen(column=None, kind="timestamps", guessed=True)
        raise asks(cells.path, "no column holds numbers", "kind: timestamps")
    chosen = _kind_of(cells, column, asked)
    if chosen.kind == "rates" and times is not None and asked.kind is None:
        _refuse_turns(cells, others, times)
    return chosen


def _refuse_turns(cells: Cells, others: list[int], times: Times) -> None:
    """Refuse rates of several series whose rows take turns: each holds for longer than until the next row."""
    turns = taking_turns(cells, times, [k for k in others if _numeric(cells, k)])
    if turns is not None:
        raise TraceError(f"the trace {cells.path}: {turns.said}", hint=_ADD_UP_RATES)


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
        _refuse_part_of_requests(cells, [column])
        raise asks(
            cells.path,
            f"the column {cells.name(column)} holds numbers, and its name does not say whether they are counts, rates "
            "or a total that grows",
            *_ALL_KINDS,
        )
    kind = asked.kind or (known.kind if known else "counts")
    per_s = PERIODS[asked.per] if asked.per else known.per_s if known and known.kind == "rates" else None
    if kind == "rates" and per_s is None:
        raise asks(
            cells.path, f"the column {cells.name(column)} holds rates of an unknown period", "per: s", "per: min"
        )
    return Chosen(column=column, kind=kind, per_s=per_s if kind == "rates" else None, guessed=asked.kind is None)


def _refuse_part_of_requests(cells: Cells, columns: list[int], *more: str) -> None:
    """Refuse columns whose names all speak of requests that are not simply those that arrive.

    A number of each request beside them (``latency_ms``) makes the file a log, whatever else it tells of them.

    Args:
        cells: Of the file.
        columns: Those beside the times.
        more: Ways to answer, beside the kinds of numbers.
    """
    numbers = [k for k in columns if cells.header and _numeric(cells, k)]
    whys = [_why_not(cells, k) for k in numbers]
    if whys and whys[0] is not None and all(whys):
        said = f"the column {cells.name(numbers[0])} is no plain number of requests: {whys[0]}"
        raise asks(cells.path, said, *_ALL_KINDS, *more)


def _why_not(cells: Cells, k: int) -> str | None:
    """Why a column's requests are not simply those that arrive, None where they may be or it is of each request."""
    name = cells.header[k]
    return None if of_each_request(name) else not_the_arrivals(name)


def _refuse_numbers_at_even_steps(cells: Cells, others: list[int], times: Times) -> None:
    """Refuse rows at an even step with numbers beside the time: such a file is a series, not a log of requests."""
    numbers = [k for k in others if _numeric(cells, k)]
    apart = apart_evenly(cells, times, numbers)
    if apart is None:
        return
    numbers = [k for k in numbers if k != apart.label]
    names = ", ".join(cells.name(k) for k in numbers[:_SHOWN])
    said = f"{apart.said}, and {names} {'hold' if len(numbers) > 1 else 'holds'} numbers of an unknown kind"
    if apart.several:
        raise TraceError(
            f"the trace {cells.path}: {said}",
            hint="add the series up, one row a step (timestamp,requests); a row a request: --trace-kind timestamps",
        )
    column = () if len(numbers) == 1 or not cells.header else (f"column: {cells.header[numbers[0]]}",)
    why = next((w for k in numbers if cells.header and (w := _why_not(cells, k))), None)
    raise asks(
        cells.path,
        f"{said}; {why}" if why else said,
        *_ALL_KINDS,
        *column,
        "kind: timestamps (a row a request)",
    )
