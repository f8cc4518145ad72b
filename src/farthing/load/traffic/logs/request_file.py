"""Files with a row a request, however large: read in blocks, put in order, counted or handed on one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farthing.load.traffic.asked import TraceAsked, refuse_inapplicable
from farthing.load.traffic.logs.counting import Counted, trace_of
from farthing.load.traffic.logs.in_order import Row, Rows, batched, in_order
from farthing.load.traffic.logs.notes import Notes
from farthing.load.traffic.opened import Lines, lines_of
from farthing.nouns import ArrivalBlock, Trace

__all__ = ["RequestFile"]


class RequestFile:
    """A kind of file with a row a request; a subclass says what it is, which file is one, and what its lines mean."""

    name: str
    said: str
    """What the file is, for people."""
    late_s: float
    """How much earlier than one before it a request may be in such a file."""
    keys: tuple[str, ...] = ("only",)
    """What the user may say of it beside its kind."""

    def holds(self, head: bytes) -> bool:
        """Whether a file that begins so is of this kind."""
        raise NotImplementedError

    def rows(self, lines: Lines, asked: TraceAsked, notes: Notes) -> Iterator[Row]:
        """Read requests off lines, and note what is come upon.

        Raises:
            TraceError: for a line that cannot be one of such a file.
        """
        raise NotImplementedError

    def trace(self, path: Path, asked: TraceAsked | None = None) -> Trace:
        """Count the requests in minutes from the first one on, in seconds when the file is shorter than ten minutes.

        Memory grows with the time that the file covers, not with its requests.

        Args:
            path: Of the file, compressed by gzip or not.
            asked: What the user says of it, None for nothing.

        Raises:
            TraceError: when it is unreadable, cut off, empty or unsorted, more than 5 % of its lines are others,
                nothing came for half of the time, or an hour is missing that local clocks skipped.
        """
        said = asked or TraceAsked()
        notes = Notes(path=Path(path), said=self.said)
        counted = Counted(notes, asked=said.kind == "timestamps")
        for rows in self._in_order(said, notes):
            counted.add(rows)
        return trace_of(counted)

    def requests(self, path: Path, asked: TraceAsked | None = None) -> Iterator[ArrivalBlock]:
        """Yield each request at its own instant; arguments and errors as of :meth:`trace`."""
        notes = Notes(path=Path(path), said=self.said)
        first_s: float | None = None
        for rows in self._in_order(asked or TraceAsked(), notes):
            first_s = float(rows[0, 0]) if first_s is None else first_s
            known = rows.shape[1] > 2
            yield ArrivalBlock(
                at_s=rows[:, 0] - first_s,
                resolution_s=notes.resolution_s,
                input_tokens=_tokens(rows, 2) if known else None,
                output_tokens=_tokens(rows, 3) if known else None,
            )

    def _in_order(self, asked: TraceAsked, notes: Notes) -> Iterator[Rows]:
        refuse_inapplicable(notes.path, self.said, asked, kinds=("timestamps",), keys=self.keys)
        blocks = self._blocks(batched(self.rows(lines_of(notes.path), asked, notes)), notes)
        yield from in_order(blocks, self.late_s, notes)
        notes.refuse(asked.only)

    def _blocks(self, blocks: Iterator[Rows], notes: Notes) -> Iterator[Rows]:
        for rows in blocks:
            notes.requests += len(rows)
            yield rows


def _tokens(rows: Rows, column: int) -> NDArray[np.int64]:
    return rows[:, column].astype(np.int64)
