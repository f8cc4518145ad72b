"""The plug-in that reads arrivals from CSV."""

from __future__ import annotations

from pathlib import Path

from farthing.load.traffic.asked import TraceAsked
from farthing.load.traffic.cells import read_cells
from farthing.load.traffic.columns import choose, time_column
from farthing.load.traffic.series import refuse_unlikely, values_of
from farthing.load.traffic.steps import bare_numbers, counted_rows, stepped
from farthing.load.traffic.times import read_times
from farthing.nouns import Trace

__all__ = ["CsvArrivals"]


class CsvArrivals:
    """Reads a trace from CSV; see :meth:`trace`."""

    name = "csv"

    def trace(self, path: Path, asked: TraceAsked | None = None) -> Trace:
        """Read one trace.

        What its numbers are is told by the columns' names and held against the values, unless the user says it:

        - *counts*: requests in each step (``timestamp,value`` as in NAB; ``Timestamp,RequestCount``). The step is
          the usual distance of two rows and at most an hour. Steps without a row count as zero, since monitoring
          systems write none when nothing came; more than 5 % of them are refused.
        - *rates*: requests a second, minute or hour at each step (``Time,rps``).
        - *counter*: a total that only grows (``timestamp,http_requests_total``): its differences, restarts allowed.
        - *timestamps*: a row a request, a time and anything else (the Azure LLM trace). Requests are counted in
          minutes from the first one on, in seconds when the log is shorter than ten minutes.

        One number a line without times is a minute each. Times are ISO 8601, or numbers since 1970 in seconds,
        milliseconds, microseconds or nanoseconds, told apart by their size; numbers since the start need their unit.
        Times without a zone are taken as they stand.

        Args:
            path: Of the file.
            asked: What the user says of it, None for nothing.

        Raises:
            TraceError: when it is missing, empty, unsorted, negative or irregular (names line and value), and when
                what it holds cannot be told (says how to say it).
        """
        said = asked or TraceAsked()
        cells = read_cells(Path(path))
        time = time_column(cells, said)
        times = None if time is None else read_times(cells, time, said)
        chosen = choose(cells, time, times, said)
        if chosen.column is None:
            assert times is not None
            return counted_rows(cells, chosen, times)
        values = values_of(cells, chosen)
        refuse_unlikely(cells, chosen, values)
        return bare_numbers(cells, chosen, values) if times is None else stepped(cells, chosen, times)
