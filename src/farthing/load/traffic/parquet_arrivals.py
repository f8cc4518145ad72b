"""The plug-in that reads arrivals from Parquet: a row a step, or a row a request."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from farthing.errors import TraceError
from farthing.load.traffic.asked import TraceAsked
from farthing.load.traffic.cells import Cells
from farthing.load.traffic.opened import refusing
from farthing.load.traffic.tabular import requests_of, trace_of
from farthing.nouns import ArrivalBlock, Trace

__all__ = ["ParquetArrivals"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class ParquetArrivals:
    """Reads a trace from Parquet: names and values as of a CSV file's columns."""

    name = "parquet"

    def holds(self, head: bytes) -> bool:
        """Whether it begins as Parquet does."""
        return head.startswith(b"PAR1")

    def trace(self, path: Path, asked: TraceAsked | None = None) -> Trace:
        """Read one trace; arguments, rules and errors as of :meth:`farthing.load.traffic.CsvArrivals.trace`."""
        return trace_of(_cells(Path(path)), asked or TraceAsked())

    def requests(self, path: Path, asked: TraceAsked | None = None) -> Iterator[ArrivalBlock] | None:
        """Each row as a request at its instant, in one block; None where rows are steps."""
        return requests_of(_cells(Path(path)), asked or TraceAsked())


def _cells(path: Path) -> Cells:
    """Columns of plain values as text; lists and records are left out."""
    import pyarrow as pa

    try:
        with refusing(path):
            names, columns = _columns(path)
    except (pa.ArrowException, ValueError, OverflowError) as e:
        raise TraceError(f"the trace {path} is no readable Parquet file: {e}", hint="copy it again") from e
    if not columns or not columns[0]:
        raise TraceError(
            f"the trace {path} is empty", hint="it needs a row a step (timestamp,count) or a row a request"
        )
    rows = [list(row) for row in zip(*columns, strict=True)]
    return Cells(path=path, header=names, rows=rows, lines=list(range(1, len(rows) + 1)))


def _columns(path: Path) -> tuple[tuple[str, ...], list[list[str]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.ParquetFile(path).read()
    plain = [k for k, column in enumerate(table.columns) if not pa.types.is_nested(column.type)]
    return tuple(table.column_names[k] for k in plain), [_texts(table.column(k)) for k in plain]


def _texts(column: Any) -> list[str]:
    """A column's values as CSV has them: times as ISO 8601, missing ones empty."""
    import pyarrow as pa

    if not pa.types.is_timestamp(column.type):
        return ["" if value is None else str(value) for value in column.to_pylist()]
    zoned = column.type.tz is not None
    numbers = column.cast(pa.timestamp("us", tz=column.type.tz), safe=False).cast(pa.int64()).to_pylist()
    moments = ("" if n is None else (_EPOCH + n * _MICROSECOND).isoformat() for n in numbers)
    return [moment if zoned else moment.removesuffix("+00:00") for moment in moments]
