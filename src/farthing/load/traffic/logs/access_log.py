"""The plug-in that reads access logs of NGINX and Apache: common and combined, with fields of one's own behind them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

from farthing.errors import TraceError
from farthing.load.traffic.asked import TraceAsked
from farthing.load.traffic.logs.in_order import Row
from farthing.load.traffic.logs.notes import Notes
from farthing.load.traffic.logs.request_file import RequestFile
from farthing.load.traffic.opened import Lines, mostly

__all__ = ["AccessLogArrivals"]

_LINE = re.compile(
    r"\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d)(\.\d{1,9})?( [+-]\d{4})?\] (?:[^\s\"]+ ){0,3}"
    r'"([^"\\]*(?:\\.[^"\\]*)*)" (?:\d{3}|-) (?:\d+|-)(?=\s|$)'
)
"""Time, fraction of a second, offset, and the request; status and size follow."""
_NAMES = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"
_MONTHS = {name: k + 1 for k, name in enumerate(_NAMES.split())}


class AccessLogArrivals(RequestFile):
    """Reads the arrivals of an access log.

    NGINX stamps a request when it ends, Apache when it began and writes it when it ends; both in whole seconds unless
    a fraction was asked for. Lines may therefore be up to 15 minutes late, and are sorted in.
    """

    name = "access-log"
    said = "an access log of NGINX or Apache"
    late_s = 900.0

    def holds(self, head: bytes) -> bool:
        """Whether at least half of the first lines are those of an access log."""
        return mostly(head, _LINE.search)

    def rows(self, lines: Lines, asked: TraceAsked, notes: Notes) -> Iterator[Row]:
        """Read the time of each line; those of another form are left out and counted."""
        known, seconds = ("", ""), 0.0
        for number, line in lines:
            found = _LINE.search(line)
            if found is None:
                notes.skip(number, line)
                continue
            stamp, fraction, offset, request = found.groups(default="")
            if (stamp, offset) != known:
                moment = _moment(stamp, offset)
                if moment is None:
                    notes.skip(number, line)
                    continue
                if not known[0]:
                    notes.zone, notes.resolution_s = moment.tzinfo, 0.0 if fraction else 1.0
                elif bool(offset) != bool(known[1]):
                    raise _offset_missing(notes, number, stamp + offset)
                known, seconds = (stamp, offset), (moment if offset else moment.replace(tzinfo=UTC)).timestamp()
            if asked.only is not None and asked.only not in request:
                notes.leave_out(request)
                continue
            yield seconds + float(fraction or 0), number


def _moment(stamp: str, offset: str) -> datetime | None:
    """``10/Oct/2026:13:55:36`` with `` +0200`` or without; None where there is no such time."""
    day, month, rest = stamp.split("/")
    year, hour, minute, second = map(int, rest.split(":"))
    sign = -1 if "-" in offset else 1
    digits = offset.strip(" +-")
    try:
        zone = timezone(sign * timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))) if digits else None
        return datetime(year, _MONTHS[month], int(day), hour, minute, second, tzinfo=zone)
    except (KeyError, ValueError):
        return None


def _offset_missing(notes: Notes, number: int, stamp: str) -> TraceError:
    return TraceError(
        f"{notes.path} line {number}: only some times have an offset from UTC ({stamp} is unlike those before it)",
        hint="logs of different formats are one file each",
    )
