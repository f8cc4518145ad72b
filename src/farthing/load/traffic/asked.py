"""What the user may say of a trace, and how to say it when it must be asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from farthing.errors import TraceError

__all__ = [
    "PERIODS", "TRACE_KINDS", "UNITS", "Period", "TimeUnit", "TraceAsked", "TraceKind", "asks", "refuse_inapplicable",
]  # fmt: skip

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
        only: Text that a request of a log, the labels of a series or of a function must hold to be counted.
    """

    kind: TraceKind | None = None
    column: str | None = None
    time_column: str | None = None
    unit: TimeUnit | None = None
    per: Period | None = None
    only: str | None = None


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


def refuse_inapplicable(
    path: Path, said: str, asked: TraceAsked, *, kinds: Collection[str] = (), keys: Collection[str] = ()
) -> None:
    """Pass when all that the user says of a trace can be said of such a file.

    Args:
        path: Of the trace.
        said: What the file is.
        asked: What the user says.
        kinds: What the file may hold.
        keys: What else may be said of it.

    Raises:
        TraceError: naming the first setting that cannot.
    """
    if asked.kind is not None and asked.kind not in kinds:
        hint = f"--trace-kind {' or '.join(kinds)}, or leave it out" if kinds else "leave it out"
        raise TraceError(f"the trace {path} is {said}, and cannot hold {asked.kind}", hint=hint)
    for key in ("column", "time_column", "unit", "per", "only"):
        if getattr(asked, key) is not None and key not in keys:
            flag = f"--trace-{key.replace('_', '-')}"
            raise TraceError(f"the trace {path} is {said}; {flag} says nothing of it", hint="leave it out")


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name
