"""The plug-in that reads standard logs of CloudFront: separated by tabs, fields named by ``#Fields``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from farthing.errors import TraceError
from farthing.load.traffic.asked import TraceAsked
from farthing.load.traffic.logs.in_order import Row
from farthing.load.traffic.logs.notes import Notes
from farthing.load.traffic.logs.request_file import RequestFile
from farthing.load.traffic.opened import Lines
from farthing.load.written_numbers import cell_number

__all__ = ["CloudFrontArrivals"]

_FIELDS = "#Fields:"
_MILLISECONDS = "timestamp(ms)"
_DAY_AND_TIME = ("date", "time")
_TOOK = "time-taken"
_OF_REQUEST = ("cs-method", "cs-uri-stem", "cs(Host)")
_MS = 1e-3
_LATEST_S = 1e11
"""Seconds since 1970 that are no time any more."""


class CloudFrontArrivals(RequestFile):
    """Reads the arrivals of a CloudFront log: the end of each request less ``time-taken``.

    Entries of an hour stand in any order, and log files can be joined, headers included. Times are UTC, in whole
    seconds unless ``timestamp(ms)`` is among the fields.
    """

    name = "cloudfront"
    said = "a CloudFront log"
    late_s = 7200.0

    def holds(self, head: bytes) -> bool:
        """Whether it names its fields as CloudFront does; IIS names its software too."""
        start = head.removeprefix(b"\xef\xbb\xbf")
        return start.startswith((b"#Version:", b"#Fields:")) and b"#Fields:" in start and b"#Software:" not in start

    def rows(self, lines: Lines, asked: TraceAsked, notes: Notes) -> Iterator[Row]:
        """Read when each request came; lines with too few fields are left out and counted."""
        fields: dict[str, int] = {}
        for number, line in lines:
            if line.startswith("#"):
                fields = _fields(line, number, notes) if line.startswith(_FIELDS) else fields
                continue
            if not fields:
                raise _no_fields(notes, number, "there is no #Fields line before it")
            cells = line.rstrip("\r\n").split("\t")
            end_s = _end_s(cells, fields) if len(cells) >= len(fields) else None
            if end_s is None:
                notes.skip(number, line)
                continue
            request = " ".join(cells[fields[name]] for name in _OF_REQUEST if name in fields)
            if asked.only is not None and asked.only not in request:
                notes.leave_out(request)
                continue
            took_s = cell_number(cells[fields[_TOOK]]) if _TOOK in fields else None
            yield end_s - max(took_s or 0.0, 0.0), number


def _fields(line: str, number: int, notes: Notes) -> dict[str, int]:
    names = line.removeprefix(_FIELDS).split()
    if _MILLISECONDS not in names and not set(_DAY_AND_TIME) <= set(names):
        raise _no_fields(notes, number, f"no time among its fields: {', '.join(names[:8])}")
    notes.resolution_s = 0.0 if _MILLISECONDS in names else 1.0
    return {name: k for k, name in enumerate(names)}


def _no_fields(notes: Notes, number: int, why: str) -> TraceError:
    return TraceError(
        f"{notes.path} line {number}: {why}", hint="CloudFront writes “#Fields: date time …” above its lines; keep it"
    )


def _end_s(cells: list[str], fields: Mapping[str, int]) -> float | None:
    """When a request ended in seconds since 1970, None where the cells hold no time."""
    if _MILLISECONDS in fields:
        number = cell_number(cells[fields[_MILLISECONDS]])
        return None if number is None or not 0 <= number * _MS < _LATEST_S else number * _MS
    day, time = (cells[fields[name]] for name in _DAY_AND_TIME)
    try:
        return datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
