"""The plug-in that reads access logs of AWS Application Load Balancers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from farthing.load.traffic.asked import TraceAsked
from farthing.load.traffic.logs.in_order import Row
from farthing.load.traffic.logs.notes import Notes
from farthing.load.traffic.logs.request_file import RequestFile
from farthing.load.traffic.opened import Lines, mostly
from farthing.load.written_numbers import cell_number

__all__ = ["LoadBalancerArrivals"]

_QUOTED = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_LINE = re.compile(
    r"(?:https?|h2|grpcs|wss?) (?P<end>\S+) \S+ \S+ \S+ (?P<took>\S+ \S+ \S+) (?:\S+ ){4}"
    rf'"(?P<request>[^"\\]*(?:\\.[^"\\]*)*)" {_QUOTED} \S+ \S+ \S+'
    rf"(?: {_QUOTED} {_QUOTED} {_QUOTED} \S+ (?P<created>\S+))?"
)
"""Type, end, balancer, client, target, three processing times, two statuses, bytes in and out, request, user agent,
cipher, protocol, target group, trace, domain, certificate, priority of the rule, and when the request was created.
"""


class LoadBalancerArrivals(RequestFile):
    """Reads the arrivals of an Application Load Balancer's log: its ``request_creation_time``.

    Older lines, which have none, came at their end less the three processing times. A node's file covers five minutes,
    and files can be joined, so that lines may be up to two hours late. Times are UTC.
    """

    name = "load-balancer"
    said = "an access log of an AWS Application Load Balancer"
    late_s = 7200.0

    def holds(self, head: bytes) -> bool:
        """Whether at least half of the first lines are those of such a log."""
        return mostly(head, _LINE.match)

    def rows(self, lines: Lines, asked: TraceAsked, notes: Notes) -> Iterator[Row]:
        """Read when each request came; lines of another form are left out and counted."""
        for number, line in lines:
            found = _LINE.match(line)
            at_s = None if found is None else _at_s(found)
            if found is None or at_s is None:
                notes.skip(number, line)
            elif asked.only is not None and asked.only not in found["request"]:
                notes.leave_out(found["request"])
            else:
                yield at_s, number


def _at_s(found: re.Match[str]) -> float | None:
    """When a request came in seconds since 1970, None where no field holds a time."""
    created_s, end_s = _seconds(found["created"] or ""), _seconds(found["end"])
    if created_s is not None or end_s is None:
        return created_s
    took_s = (cell_number(cell) for cell in found["took"].split())
    return end_s - sum(s for s in took_s if s is not None and s > 0)


def _seconds(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
