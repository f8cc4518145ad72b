"""The plug-in that reads arrivals from CSV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from farthing.load.traffic.asked import TraceAsked
from farthing.load.traffic.cells import read_cells
from farthing.load.traffic.tabular import requests_of, trace_of
from farthing.nouns import ArrivalBlock, Trace

__all__ = ["CsvArrivals"]


class CsvArrivals:
    """Reads a trace from CSV; see :meth:`trace`."""

    name = "csv"

    def holds(self, head: bytes) -> bool:
        """Whether it is text, and nothing that another reader knows better."""
        return b"\0" not in head

    def trace(self, path: Path, asked: TraceAsked | None = None) -> Trace:
        """Read one trace.

        What its numbers are is told by the columns' names and held against the values, unless the user says it:

        - *counts*: requests in each step (``timestamp,value`` as in NAB; ``Timestamp,RequestCount``). The step is
          the usual distance of two rows and at most an hour. Steps without a row count as zero, since monitoring
          systems write none when nothing came; more than 5 % of them are refused.
        - *rates*: requests a second, minute or hour at each step (``Time,rps``).
        - *counter*: a total that only grows (``timestamp,http_requests_total``): its differences, restarts allowed.
        - *timestamps*: a row a request, a time and anything else. Requests are counted in minutes from the first one
          on, in seconds when the log is shorter than ten minutes.

        One number a line without times is a minute each. Times are ISO 8601, or numbers since 1970 in seconds,
        milliseconds, microseconds or nanoseconds, told apart by their size; numbers since the start need their unit.
        Times without a zone are taken as they stand; where they lack an hour as clocks do that go forward, they are
        asked back.

        Args:
            path: Of the file, compressed by gzip or not.
            asked: What the user says of it, None for nothing.

        Raises:
            TraceError: when it is missing, empty, unsorted, negative or irregular (names line and value), and when
                what it holds cannot be told (says how to say it).
        """
        return trace_of(read_cells(Path(path)), asked or TraceAsked())

    def requests(self, path: Path, asked: TraceAsked | None = None) -> Iterator[ArrivalBlock] | None:
        """Each row as a request at its instant, in one block; None where rows are steps."""
        return requests_of(read_cells(Path(path)), asked or TraceAsked())
