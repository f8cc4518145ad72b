"""The plug-in that reads BurstGPT's traces; schema: README.md of github.com/HPMLL/BurstGPT."""

from __future__ import annotations

from collections.abc import Iterator

from farthing.load.traffic.asked import TraceAsked
from farthing.load.traffic.logs.in_order import Row
from farthing.load.traffic.logs.notes import Notes
from farthing.load.traffic.logs.request_file import RequestFile
from farthing.load.traffic.opened import Lines
from farthing.load.traffic.published.rows import begins_with, number_in, rows_below, tokens_in

__all__ = ["BurstGptArrivals"]

_COLUMNS = ("Timestamp", "Request tokens", "Response tokens")


class BurstGptArrivals(RequestFile):
    """Reads a row a request: seconds from midnight of the first day, its input and its output tokens.

    Requests that failed, with 0 output tokens, arrived too. ``only`` takes those of one model (``GPT-4``) or of one way
    of calling it (``API log``).
    """

    name = "burst-gpt"
    said = "a BurstGPT trace"
    late_s = 60.0

    def holds(self, head: bytes) -> bool:
        """Whether it has the columns of such a trace."""
        return begins_with(head, *_COLUMNS, "Model", "Log Type")

    def rows(self, lines: Lines, asked: TraceAsked, notes: Notes) -> Iterator[Row]:
        """Read time and tokens of each request."""
        notes.since_1970 = False
        notes.resolution_s = 1.0
        for number, (at, asked_tokens, answered), text in rows_below(lines, notes, *_COLUMNS):
            if "." in at:
                notes.resolution_s = 0.0
            if asked.only is not None and asked.only not in text:
                notes.leave_out(text)
                continue
            tokens = (tokens_in(cell, notes, number) for cell in (asked_tokens, answered))
            yield number_in(at, notes, number, "time"), number, *tokens
