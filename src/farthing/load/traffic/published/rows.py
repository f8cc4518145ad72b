"""Rows of published tables, which have no quotes and one header, or one for each file that was joined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from farthing.errors import TraceError
from farthing.load.traffic.logs.notes import Notes
from farthing.load.traffic.opened import Lines
from farthing.load.written_numbers import cell_number

__all__ = ["begins_with", "number_in", "rows_below", "tokens_in", "wrong"]

_MOST_DIGITS = 12


def begins_with(head: bytes, *names: str) -> bool:
    """Whether a file's first line is a header that has these columns."""
    first = head.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0].decode("utf-8", "replace")
    return set(names) <= {name.strip() for name in first.split(",")}


def rows_below(lines: Lines, notes: Notes, *names: str) -> Iterator[tuple[int, list[str], str]]:
    """Yield each row's line number, its cells in the columns of these names, and its text.

    Raises:
        TraceError: for a row that is shorter or longer than its header, or a header without one of the names.
    """
    header: list[str] = []
    places: list[int] = []
    for number, line in lines:
        text = line.strip()
        cells = text.split(",")
        if not text:
            continue
        if not header or cells == header:
            header, places = cells, _places(cells, names, number, notes)
        elif len(cells) == len(header):
            yield number, [cells[k] for k in places], text
        else:
            raise wrong(notes, number, f"{len(cells)} values for {len(header)} columns")


def _places(header: list[str], names: Sequence[str], number: int, notes: Notes) -> list[int]:
    found = [name.strip() for name in header]
    missing = next((name for name in names if name not in found), None)
    if missing is not None:
        raise wrong(notes, number, f"there is no column {missing}")
    return [found.index(name) for name in names]


def number_in(cell: str, notes: Notes, line: int, what: str) -> float:
    """A cell's number.

    Raises:
        TraceError: when it is none, or negative.
    """
    number = cell_number(cell)
    if number is None or number < 0:
        raise wrong(notes, line, f"the {what} is {cell!r}; it must be a number ≥ 0")
    return number


def tokens_in(cell: str, notes: Notes, line: int) -> int:
    """A cell's number of tokens.

    Raises:
        TraceError: when it is no whole number ≥ 0.
    """
    if not (cell.isascii() and cell.isdigit() and len(cell) <= _MOST_DIGITS):
        raise wrong(notes, line, f"the number of tokens is {cell!r}; it must be a whole number ≥ 0")
    return int(cell)


def wrong(notes: Notes, line: int, why: str) -> TraceError:
    """Make the error for a row that cannot be one of the published file."""
    return TraceError(
        f"{notes.path} line {line}: {why}, in what begins like {notes.said}",
        hint="take the file as it was published; one that was changed is read as a CSV under other column names",
    )
