"""The cells of a trace's file, each row with its line."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from farthing.errors import TraceError
from farthing.load.traffic.opened import opened, refusing
from farthing.load.written_numbers import cell_number

__all__ = ["Cells", "moment_of", "read_cells"]

_SEPARATOR_LINE = re.compile(r"sep=(.)\s*")
_WANTED = "it needs a row a step (timestamp,count) or a row a request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Cells of a CSV file with the line that each row stands in.

    Attributes:
        path: Of the file.
        header: Names of the columns, empty when the file has none.
        rows: Cells without blanks around them, all rows of one length, at least one row.
        lines: Of each row, counted from 1.
    """

    path: Path
    header: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.rows[0])

    def name(self, column: int) -> str:
        """What a column is called in messages."""
        return f"“{self.header[column]}”" if self.header else f"{column + 1} of {self.width}"

    def column(self, k: int) -> list[str]:
        """Cells of one column."""
        return [row[k] for row in self.rows]


def moment_of(cell: str) -> datetime | None:
    """A time as ISO 8601 writes it, ``UTC`` at its end as well, None for anything else."""
    try:
        return datetime.fromisoformat(re.sub(r" ?UTC$", "+00:00", cell))
    except ValueError:
        return None


def read_cells(path: Path, what: str = "trace", hint: str = _WANTED) -> Cells:
    """Read a file separated by commas, or where its first line has none, by semicolons or tabs.

    Args:
        path: Of the file.
        what: It holds, for messages.
        hint: What an empty file should have held.

    Raises:
        TraceError: when it is missing, unreadable, empty, or its rows differ in length.
    """
    found = _read(path, what)
    header: tuple[str, ...] = ()
    if found and all(cell_number(cell) is None and moment_of(cell) is None for cell in found[0][1]):
        header = tuple(found[0][1])
        found = found[1:]
    if not found:
        raise TraceError(f"the {what} {path} is empty", hint=hint)
    width = len(header) or len(found[0][1])
    for line, row in found:
        if len(row) != width:
            comma = "; a comma marks no decimals" if len(row) > width else ""
            raise TraceError(f"{path} line {line}: {len(row)} values for {width} columns{comma}")
    return Cells(path=path, header=header, rows=[row for _, row in found], lines=[line for line, _ in found])


def _read(path: Path, what: str) -> list[tuple[int, list[str]]]:
    try:
        with refusing(path, what), opened(path) as f:
            first = f.readline()
            said = _SEPARATOR_LINE.fullmatch(first)
            if said is None:
                f.seek(0)
            rows = csv.reader(f, delimiter=said[1] if said else _separator(first))
            return list(_filled(rows, 1 if said else 0))
    except csv.Error as e:
        raise TraceError(f"cannot read the {what} {path}: {e}") from e


def _separator(line: str) -> str:
    return next((c for c in ",;\t" if c in line), ",")


def _filled(rows: Iterator[list[str]], before: int) -> Iterator[tuple[int, list[str]]]:
    for row in rows:
        if any(cell.strip() for cell in row):
            yield rows.line_num + before, [cell.strip() for cell in row]  # type: ignore[attr-defined]
