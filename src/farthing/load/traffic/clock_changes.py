"""Hours that local clocks skip in spring and repeat in autumn, in times that have no offset."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from farthing.errors import TraceError

__all__ = ["hour_repeated", "hour_skipped", "skipped"]

_SUNDAY = 6
_FORWARD, _BACK = frozenset((3, 9, 10)), frozenset((4, 10, 11))
"""Months in which clocks change in Europe, the Americas, Australia and New Zealand, always on a Sunday."""
_FIRST_HOURS = range(4)
_HOUR = timedelta(hours=1)
_SLACK_S = 300.0
"""How long before and after the change a log may have no request."""


def hour_skipped(before: datetime, after: datetime, step_s: float = 0.0) -> datetime | None:
    """The hour that is missing between two neighbouring rows as it is where clocks go forward.

    Args:
        before: Time of a row, without an offset.
        after: Of the next one.
        step_s: Usual distance of two rows in seconds, 0 where a row is a request.

    Returns:
        When that hour begins; None where no change of clocks explains the gap: it is no Sunday of March, September or
        October, not the hour after 0, 1, 2 or 3 o'clock, or much longer than an hour.
    """
    longest = _HOUR + timedelta(seconds=max(step_s, _SLACK_S))
    if after.weekday() != _SUNDAY or after.month not in _FORWARD or after - before > longest:
        return None
    starts = (after.replace(hour=hour, minute=0, second=0, microsecond=0) for hour in _FIRST_HOURS)
    return next((start for start in starts if before < start and start + _HOUR <= after), None)


def hour_repeated(moment: datetime) -> bool:
    """Whether a time without an offset may be one of an hour that clocks repeat when they go back."""
    return moment.weekday() == _SUNDAY and moment.month in _BACK and moment.hour in _FIRST_HOURS


def skipped(path: Path, line: int, hour: datetime, kind: str) -> TraceError:
    """Make the error that asks for times with an offset.

    Args:
        path: Of the trace.
        line: Behind the gap.
        hour: That is missing, from :func:`hour_skipped`.
        kind: Of the trace, by which the user says that nothing came in that hour.
    """
    return TraceError(
        f"{path} line {line}: the hour from {hour:%H:%M} on Sunday {hour:%Y-%m-%d} is missing, as it is where local "
        "clocks go forward, and the times have no offset",
        hint=f"write them in UTC or with their offset ({hour + _HOUR:%Y-%m-%dT%H:%M:%S}+02:00); "
        f"if nothing came in that hour: --trace-kind {kind}",
    )
