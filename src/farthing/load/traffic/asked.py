"""What the user may say of a trace, and how to say it when it must be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from farthing.errors import TraceError

__all__ = ["PERIODS", "TRACE_KINDS", "UNITS", "Period", "TimeUnit", "TraceAsked", "TraceKind", "asks"]

TraceKind = Literal["counts", "rates", "counter", "timestamps"]
"""Requests in each step; requests a second (minute, hour) at each step; a total that only grows; a row a request."""
TimeUnit = Literal["s", "ms", "us", "ns", "min", "h"]
Period = Literal["s", "min", "h"]
TRACE_KINDS: tuple[str, ...] = get_args(TraceKind)
UNITS: Mapping[str, float] = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0}
"""Seconds in a unit of time stamps."""
PERIODS: Mapping[str, float] = {"s": 1.0, "min": 60.0, "h": 3600.0}
"""Seconds in the period of a rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceAsked:
    """What the user says of a trace; None for what the file itself has to tell.

    Attributes:
        kind: What the numbers are.
        column: Name of the column with them.
        time_column: Name of the column with the times.
        unit: Of times that are numbers.
        per: Period of rates.
    """

    kind: TraceKind | None = None
    column: str | None = None
    time_column: str | None = None
    unit: TimeUnit | None = None
    per: Period | None = None


def asks(path: Path, problem: str, *ways: str, columns: Sequence[str] = ()) -> TraceError:
    """Make the error that asks the user back.

    Args:
        path: Of the trace.
        problem: What cannot be told, and why.
        ways: Settings of which one answers it (``kind: counts``).
        columns: Those to choose from, empty when there is nothing to choose.
    """
    said = [way.partition(": ") for way in ways]
    flags = [
        f"--trace-{key.replace('_', '-')} {_quoted(value) if key == 'column' else value}" for key, _, value in said
    ]
    named = f"; the columns are {', '.join(columns)}" if columns else ""
    return TraceError(f"the trace {path}: {problem}", hint=f"say which: {' or '.join(flags)}{named}")


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name
