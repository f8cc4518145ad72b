"""What is come upon while a file of requests is read, in words for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from farthing.errors import TraceError

__all__ = ["Notes", "in_words"]

_MOST_STRANGE_FRAC = 0.05
_SHOWN = 60
_MINUTE_S, _HOUR_S, _DAY_S = 60.0, 3600.0, 86_400.0


@dataclass(slots=True, kw_only=True)
class Notes:
    """What reading a file came upon so far.

    Attributes:
        path: Of the file.
        said: What it is.
        since_1970: Whether its times count from 1970; False where they count from some start.
        zone: Of its first time, None where times have no offset.
        resolution_s: Length of the steps in which its times are, 0 where they are exact.
        requests: That were read.
        others: Requests that the user's text left out.
        another: One of them.
        strange: Lines of no known form.
        first_strange: The first of them with its number.
        late: Requests earlier than one before them.
        latest_s: By how much at most.
    """

    path: Path
    said: str
    since_1970: bool = True
    zone: tzinfo | None = UTC
    resolution_s: float = 0.0
    requests: int = 0
    others: int = 0
    another: str = ""
    strange: int = 0
    first_strange: tuple[int, str] = (0, "")
    late: int = 0
    latest_s: float = 0.0

    def leave_out(self, request: str) -> None:
        """Note a request that does not hold the user's text."""
        if not self.others:
            self.another = request
        self.others += 1

    def skip(self, number: int, line: str) -> None:
        """Note a line that is none of the file's form; blank ones do not count."""
        text = line.strip()
        if text and not self.strange:
            self.first_strange = number, text
        self.strange += bool(text)

    def moment(self, seconds: float) -> datetime | None:
        """A time of the file as a date, None where times count from a start or calendars end before it.

        Args:
            seconds: Since 1970, of times without an offset as if they were in UTC.
        """
        if not self.since_1970:
            return None
        try:
            return datetime.fromtimestamp(seconds, self.zone or UTC).replace(tzinfo=self.zone)
        except (OverflowError, ValueError, OSError):
            return None

    def when(self, seconds: float) -> str:
        """A time of the file in words."""
        moment = self.moment(seconds)
        return f"{seconds:,.0f} s" if moment is None else moment.isoformat(sep=" ", timespec="seconds")

    def refuse(self, only: str | None) -> None:
        """Pass when most lines are of the file's form, and requests are left.

        Args:
            only: The user's text.

        Raises:
            TraceError: when more than 5 % of the lines are of another form (one line always may be), or no request is
                left.
        """
        number, text = self.first_strange
        known = self.requests + self.others
        if self.strange > max(1, _MOST_STRANGE_FRAC * (known + self.strange)):
            raise TraceError(
                f"{self.path} line {number}: {_short(text)} is no line of {self.said}; nor are {self.strange - 1:,} "
                f"others of {known + self.strange:,}",
                hint="keep the lines of one log in one file (grep takes others out); the limit is 5 %",
            )
        if not self.requests and self.others:
            raise TraceError(
                f"the trace {self.path}: none of its {self.others:,} requests has {only!r} in it; the first is "
                f"{_short(self.another)}",
                hint="--trace-only takes a part of what stands there, letter by letter",
            )
        if not self.requests:
            raise TraceError(f"the trace {self.path} is empty: {self.said} without requests")

    def words(self) -> Sequence[str]:
        """What was read and what was left out, a phrase each."""
        times = "in seconds since the start" if not self.since_1970 else "as they stand" if self.zone is None else ""
        step = ", in whole seconds" if self.resolution_s == 1 else ""
        found = [f"{self.said} ({self.requests:,} requests), times {times or 'with their zone'}{step}"]
        if self.others:
            found.append(f"{self.others:,} other requests left out")
        if self.strange:
            number, text = self.first_strange
            found.append(f"{self.strange:,} other lines left out, the first in line {number:,} ({_short(text)})")
        if self.late:
            found.append(f"{self.late:,} requests up to {in_words(self.latest_s)} late, sorted in")
        return found


def in_words(seconds: float) -> str:
    """A length of time: ``4 s``, ``12 min``, ``3.5 h``, ``2.1 days``."""
    units = ((_DAY_S * 2, _DAY_S, "days"), (_HOUR_S * 2, _HOUR_S, "h"), (_MINUTE_S * 2, _MINUTE_S, "min"))
    size, name = next(((size, name) for least, size, name in units if seconds >= least), (1.0, "s"))
    return f"{seconds / size:.3g} {name}"


def _short(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"
