"""The plug-in that reads arrivals from JSON Lines: an object a step, or an object a request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from farthing.errors import TraceError
from farthing.load.traffic.asked import TraceAsked
from farthing.load.traffic.cells import Cells
from farthing.load.traffic.opened import lines_of
from farthing.load.traffic.tabular import requests_of, trace_of
from farthing.nouns import ArrivalBlock, Trace

__all__ = ["JsonLinesArrivals"]

_OF_OTHERS = (b'"resultType"', b'"errorType"')
"""Keys of Prometheus' answers, which are one JSON object too."""


class JsonLinesArrivals:
    """Reads a trace from JSON Lines: names and values as of a CSV file's columns."""

    name = "jsonl"

    def holds(self, head: bytes) -> bool:
        """Whether its first line is a JSON object, and the file no answer of Prometheus."""
        first = head.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")[0].strip()
        return first.startswith(b"{") and first.endswith(b"}") and not any(key in head for key in _OF_OTHERS)

    def trace(self, path: Path, asked: TraceAsked | None = None) -> Trace:
        """Read one trace; arguments, rules and errors as of :meth:`farthing.load.traffic.CsvArrivals.trace`."""
        return trace_of(_cells(Path(path)), asked or TraceAsked())

    def requests(self, path: Path, asked: TraceAsked | None = None) -> Iterator[ArrivalBlock] | None:
        """Each object as a request at its instant, in one block; None where objects are steps."""
        return requests_of(_cells(Path(path)), asked or TraceAsked())


def _cells(path: Path) -> Cells:
    """Plain values by name, as they are written; lists and objects within are left out."""
    rows, lines = [], []
    for number, line in lines_of(path):
        if line.strip():
            rows.append(_row(path, number, line))
            lines.append(number)
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    if not names:
        raise TraceError(f"the trace {path} has no values", hint='{"timestamp": "2026-10-20T08:00:00Z", "count": 12}')
    return Cells(path=path, header=names, rows=[[row.get(name, "") for name in names] for row in rows], lines=lines)


def _row(path: Path, number: int, line: str) -> dict[str, str]:
    try:
        row: Any = json.loads(line, parse_float=str, parse_int=str)
    except (ValueError, RecursionError) as e:
        raise TraceError(f"{path} line {number}: no valid JSON: {e}") from e
    if not isinstance(row, dict):
        raise TraceError(f"{path} line {number}: {type(row).__name__}, not an object with names and values")
    return {name: _cell(value) for name, value in row.items() if not isinstance(value, (dict, list))}


def _cell(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value).strip()
