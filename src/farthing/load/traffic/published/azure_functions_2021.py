"""The plug-in that reads the Azure Functions trace of 2021.

Schema: github.com/Azure/AzurePublicDataset, AzureFunctionsInvocationTrace2021.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from farthing.load.traffic.asked import TraceAsked
from farthing.load.traffic.logs.in_order import Row
from farthing.load.traffic.logs.notes import Notes
from farthing.load.traffic.logs.request_file import RequestFile
from farthing.load.traffic.opened import Lines
from farthing.load.traffic.published.rows import begins_with, number_in, rows_below

__all__ = ["AzureFunctions2021Arrivals"]

_COLUMNS = ("end_timestamp", "duration")


class AzureFunctions2021Arrivals(RequestFile):
    """Reads a row an invocation, which came at its end less its duration, in seconds since the start.

    Invocations last up to hours, and are sorted in memory: 32 bytes each. ``only`` takes those of one app or function.
    """

    name = "azure-functions-2021"
    said = "the Azure Functions trace of 2021"
    late_s = math.inf

    def holds(self, head: bytes) -> bool:
        """Whether it has the columns of this trace."""
        return begins_with(head, "app", "func", *_COLUMNS)

    def rows(self, lines: Lines, asked: TraceAsked, notes: Notes) -> Iterator[Row]:
        """Read when each invocation came."""
        notes.since_1970 = False
        for number, (end, duration), text in rows_below(lines, notes, *_COLUMNS):
            if asked.only is not None and asked.only not in text:
                notes.leave_out(text)
                continue
            took_s = number_in(duration, notes, number, "duration")
            yield number_in(end, notes, number, "time") - took_s, number
