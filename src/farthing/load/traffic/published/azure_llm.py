"""The plug-in that reads the Azure LLM inference traces of 2023 and 2024.

Schema: github.com/Azure/AzurePublicDataset, AzureLLMInferenceDataset2023.md and AzureLLMInferenceDataset2024.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from farthing.load.traffic.asked import TraceAsked
from farthing.load.traffic.logs.in_order import Row
from farthing.load.traffic.logs.notes import Notes
from farthing.load.traffic.logs.request_file import RequestFile
from farthing.load.traffic.opened import Lines
from farthing.load.traffic.published.rows import begins_with, rows_below, tokens_in, wrong

__all__ = ["AzureLlmArrivals"]

_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


class AzureLlmArrivals(RequestFile):
    """Reads a row a request: its time (2023 without an offset, 2024 in UTC), its input and its output tokens."""

    name = "azure-llm"
    said = "an Azure LLM inference trace"
    late_s = 60.0
    keys = ()

    def holds(self, head: bytes) -> bool:
        """Whether it has the columns of such a trace."""
        return begins_with(head, *_COLUMNS)

    def rows(self, lines: Lines, asked: TraceAsked, notes: Notes) -> Iterator[Row]:
        """Read time and tokens of each request."""
        zoned: bool | None = None
        for number, (stamp, context, generated), _ in rows_below(lines, notes, *_COLUMNS):
            try:
                moment = datetime.fromisoformat(stamp)
            except ValueError as e:
                raise wrong(notes, number, f"{stamp!r} is no time") from e
            if zoned is None:
                zoned, notes.zone = moment.tzinfo is not None, moment.tzinfo
            elif zoned != (moment.tzinfo is not None):
                raise wrong(notes, number, f"only some times have an offset from UTC ({stamp!r} is unlike the first)")
            seconds = (moment if zoned else moment.replace(tzinfo=UTC)).timestamp()
            tokens = (tokens_in(cell, notes, number) for cell in (context, generated))
            yield seconds, number, *tokens
