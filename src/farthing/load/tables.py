"""Tables of texts and labels: CSV, TSV, JSON Lines and Parquet as columns of plain values."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farthing.errors import DataError
from farthing.load.nearest import nearest

__all__ = ["ID_NAMES", "SEGMENT_NAMES", "TABLE_SUFFIXES", "Table", "find_column", "read_table", "request_ids", "words"]

TABLE_SUFFIXES = (".csv", ".jsonl", ".ndjson", ".parquet", ".tsv")
"""File names that end so are read as tables."""
ID_NAMES = ("request_id", "id", "sample_id", "query_id")
"""Usual names of the column with the ids of requests."""
SEGMENT_NAMES = ("segment",)
"""Usual names of the column with the groups of requests."""
_LONGEST_SHOWN = 60
_MAX_FIELD_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Columns of equal length.

    Attributes:
        path: Where it was read from.
        columns: Values by column name; None where a row has no such value.
        lines: Line (CSV, JSONL) or row (Parquet) of each value in the file, counted from 1.
    """

    path: Path
    columns: Mapping[str, Sequence[Any]]
    lines: Sequence[int]


def read_table(path: Path) -> Table:
    """Read a table; the kind is told by the file's name.

    Raises:
        DataError: when it is missing, of no known kind, malformed or empty.
    """
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise DataError(f"{path} is no table that can be read", hint=f"known: {', '.join(TABLE_SUFFIXES)}")
    if not path.is_file():
        raise DataError(f"there is no file {path}", hint=nearest(path))
    try:
        if suffix == ".parquet":
            table = _parquet(path)
        elif suffix in (".csv", ".tsv"):
            table = _delimited(path, "\t" if suffix == ".tsv" else ",")
        else:
            table = _json_lines(path)
    except OSError as e:
        raise DataError(f"cannot read {path}: {e.strerror or e}") from e
    except UnicodeDecodeError as e:
        raise DataError(f"{path} is not UTF-8 text (byte {e.start})") from e
    if not table.lines:
        raise DataError(f"{path} has no rows")
    return table


def _delimited(path: Path, delimiter: str) -> Table:
    csv.field_size_limit(_MAX_FIELD_BYTES)
    with path.open(encoding="utf-8-sig", newline="") as f:
        reader = csv.reader(f, delimiter=delimiter, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            if len(set(header)) != len(header):
                raise DataError(f"{path} line 1: a column name occurs twice: {', '.join(header)}")
            values: list[list[str]] = [[] for _ in header]
            lines: list[int] = []
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise DataError(f"{path} line {reader.line_num}: {len(row)} values for {len(header)} columns")
                lines.append(reader.line_num)
                for column, value in zip(values, row, strict=True):
                    column.append(value)
        except csv.Error as e:
            raise DataError(f"{path} line {reader.line_num}: {e}") from e
    return Table(path=path, columns=dict(zip(header, values, strict=True)), lines=lines)


def _json_lines(path: Path) -> Table:
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    with path.open(encoding="utf-8-sig") as f:
        for number, line in enumerate(f, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as e:
                raise DataError(f"{path} line {number}: no valid JSON: {e}") from e
            if not isinstance(row, dict):
                raise DataError(f"{path} line {number}: {type(row).__name__}, not an object with names and values")
            rows.append(row)
            lines.append(number)
    names = dict.fromkeys(name for row in rows for name in row)
    return Table(path=path, columns={name: [row.get(name) for row in rows] for name in names}, lines=lines)


def _parquet(path: Path) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(path).read()
    except (pyarrow.ArrowException, ValueError) as e:
        raise DataError(f"{path} is no readable Parquet file: {e}") from e
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    return Table(path=path, columns=columns, lines=range(1, table.num_rows + 1))


def find_column(table: Table, given: str | None, usual: Sequence[str], key: str) -> str | None:
    """Name of the wanted column: the given one, else the first that has a usual name (case does not matter).

    Args:
        table: Where to look.
        given: The user's word, None when there is none.
        usual: Names to try.
        key: Name of the setting, for the hint (``inputs.text_column``).

    Returns:
        The column's name, or None when none was given and none has a usual name.

    Raises:
        DataError: when the given column does not exist.
    """
    if given is not None:
        if given not in table.columns:
            raise DataError(
                f"{table.path} has no column {given!r}", hint=f"{key}: one of {', '.join(table.columns) or 'none'}"
            )
        return given
    by_name = {name.lower(): name for name in table.columns}
    return next((by_name[name] for name in usual if name in by_name), None)


def words(table: Table, column: str) -> tuple[str, ...]:
    """A column's values as text without white space around them.

    Raises:
        DataError: when one is empty.
    """
    found = []
    for value, line in zip(table.columns[column], table.lines, strict=True):
        word = "" if value is None else str(value).strip()
        if not word:
            raise DataError(f"{table.path} line {line}: {column} is empty")
        found.append(word)
    return tuple(found)


def request_ids(table: Table, column: str) -> tuple[str, ...]:
    """A column's values as ids of requests.

    Raises:
        DataError: when one is empty or comes twice.
    """
    ids = words(table, column)
    seen: dict[str, int] = {}
    for name, line in zip(ids, table.lines, strict=True):
        if name in seen:
            raise DataError(f"{table.path} line {line}: the request {_short(name)} was on line {seen[name]} already")
        seen[name] = line
    return ids


def _short(value: str) -> str:
    shown = repr(value)
    return shown if len(shown) <= _LONGEST_SHOWN else shown[: _LONGEST_SHOWN - 1] + "…"
