"""Which reader takes a file is told by its content, never by its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from farthing.load.traffic.asked import TraceAsked
from farthing.load.traffic.opened import head_of
from farthing.nouns import ArrivalBlock, Trace
from farthing.plugins import find, names
from farthing.ports import Arrivals

__all__ = ["arrivals_of", "read_requests", "read_trace"]

_LAST = "csv"
"""Takes any text that no other reader knows."""


def arrivals_of(path: Path) -> Arrivals:
    """Find the plug-in that reads a file.

    Args:
        path: Of a trace, compressed by gzip or not.

    Raises:
        TraceError: when the file cannot be read.
    """
    head = head_of(Path(path))
    readers: Iterator[Arrivals] = (find("arrivals", name) for name in names("arrivals") if name != _LAST)
    last: Arrivals = find("arrivals", _LAST)
    return next((reader for reader in readers if reader.holds(head)), last)


def read_trace(path: Path, asked: TraceAsked | None = None) -> Trace:
    """Read arrivals from any file that a plug-in knows, counted in equal steps.

    Args:
        path: Of the file, compressed by gzip or not.
        asked: What the user says of it, None for nothing.

    Raises:
        TraceError: when it cannot be read, or what it holds cannot be told; says how to say it.
    """
    return arrivals_of(path).trace(Path(path), asked)


def read_requests(path: Path, asked: TraceAsked | None = None) -> Iterator[ArrivalBlock] | None:
    """Read each request at its own instant, in blocks whose size does not grow with the file.

    Arguments and errors as of :func:`read_trace`, errors of single rows when their block is read.

    Returns:
        None where the file holds numbers of requests by step.
    """
    return arrivals_of(path).requests(Path(path), asked)
