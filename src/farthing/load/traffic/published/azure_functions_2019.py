"""The plug-in that reads the invocations of the Azure Functions trace of 2019, a file a day.

Schema: github.com/Azure/AzurePublicDataset, AzureFunctionsDataset2019.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farthing.errors import TraceError
from farthing.load.traffic.asked import TraceAsked, refuse_inapplicable
from farthing.load.traffic.logs.notes import Notes
from farthing.load.traffic.opened import lines_of
from farthing.load.traffic.published.rows import wrong
from farthing.nouns import ArrivalBlock, Trace

__all__ = ["AzureFunctions2019Arrivals"]

_HEADER = "HashOwner,HashApp,HashFunction,Trigger,1,2,3,"
_LABELS, _MINUTES = 4, 1440
_MINUTE_S = 60.0
_MOST = 1_000_000_000
_SAID = "the Azure Functions trace of 2019"


class AzureFunctions2019Arrivals:
    """Reads invocations by minute of many functions, a row each with a column a minute of the day, and adds them up.

    Days joined with their headers (``cat invocations_per_function_md.anon.d*.csv``) follow one another. ``only`` takes
    the functions of one owner or app, or of one trigger (``http``).
    """

    name = "azure-functions-2019"

    def holds(self, head: bytes) -> bool:
        """Whether it has the columns of this trace."""
        return head.removeprefix(b"\xef\xbb\xbf").startswith(_HEADER.encode())

    def trace(self, path: Path, asked: TraceAsked | None = None) -> Trace:
        """Add the functions up by minute.

        Args:
            path: Of the file, compressed by gzip or not.
            asked: What the user says of it, None for nothing.

        Raises:
            TraceError: when it is unreadable, has rows of another length, numbers that are no counts, or no invocation.
        """
        said = asked or TraceAsked()
        notes = Notes(path=Path(path), said=_SAID, since_1970=False)
        refuse_inapplicable(notes.path, _SAID, said, kinds=("counts",), keys=("only",))
        days: list[NDArray[np.int64]] = []
        for number, line in lines_of(notes.path):
            if line.startswith(_HEADER):
                days.append(np.zeros(_MINUTES, dtype=np.int64))
            elif not days:
                raise wrong(notes, number, f"it does not begin with {_HEADER}…")
            elif line.strip():
                _add(days[-1], line, number, said.only, notes)
        notes.refuse(said.only)
        counts = np.concatenate(days)
        if not counts.any():
            raise TraceError(f"the trace {path} has no invocations in {counts.size:,} minutes")
        others = f"; {notes.others:,} others left out" if notes.others else ""
        read_as = f"{_SAID}: invocations by minute of {notes.requests:,} rows over {len(days)} days, added up{others}"
        return Trace(name=notes.path.name, step_s=_MINUTE_S, counts=counts.astype(np.float64), read_as=read_as)

    def requests(self, path: Path, asked: TraceAsked | None = None) -> Iterator[ArrivalBlock] | None:
        """None: instants within a minute are not known."""
        return None


def _add(day: NDArray[np.int64], line: str, number: int, only: str | None, notes: Notes) -> None:
    """Add one function's minutes to its day."""
    cells = line.rstrip("\r\n").split(",")
    if len(cells) != _LABELS + _MINUTES:
        raise wrong(notes, number, f"{len(cells)} values for {_LABELS + _MINUTES} columns")
    if only is not None and only not in (labels := ",".join(cells[:_LABELS])):
        notes.leave_out(labels)
        return
    try:
        minutes = np.array(list(map(int, cells[_LABELS:])), dtype=np.int64)
    except (ValueError, OverflowError) as e:
        raise wrong(notes, number, "a minute holds no whole number") from e
    bad = minutes[(minutes < 0) | (minutes > _MOST)]
    if bad.size:
        raise wrong(notes, number, f"a minute holds {bad[0]}; invocations are ≥ 0 and ≤ {_MOST:,}")
    day += minutes
    notes.requests += 1
