"""Requests to an end point that may be busy: they wait as long as it asks (``Retry-After``), together, with an end."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from farthing.errors import MeasureError
from farthing.load.written_numbers import cell_number
from farthing.ports import Clock

__all__ = ["LONGEST_WAIT_S", "Patient", "Reply", "asked_wait_s", "wait_s"]

TRIES = 3
LONGEST_WAIT_S = 300.0
"""For one request, all waits together."""
_FIRST_WAIT_S, _MOST_WAIT_S = 0.5, 30.0
_DOUBLINGS = 10
"""More of them change nothing."""
_BUSY = (429, 503)
_MAX_ANSWER_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer and the time of the attempt that brought it, waits left out."""

    document: dict[str, Any]
    took_s: float


def asked_wait_s(retry_after: str | None, now: datetime) -> float | None:
    """Seconds that a ``Retry-After`` header asks to wait (RFC 9110, 10.2.3), None without one that can be read.

    Args:
        retry_after: Seconds, or a date.
        now: The time of day.
    """
    if retry_after is None:
        return None
    seconds = cell_number(retry_after)
    if seconds is not None:
        return seconds if seconds >= 0 else None
    try:
        until = parsedate_to_datetime(retry_after)
    except (TypeError, ValueError):
        return None
    return max(0.0, ((until if until.tzinfo else until.replace(tzinfo=UTC)) - now).total_seconds())


def wait_s(tries: int, status: int | None, asked_s: float | None) -> float | None:
    """How long to wait before the next attempt, None to give up.

    Args:
        tries: Attempts that failed, ≥ 1.
        status: Of the last answer, None when there was none.
        asked_s: What its ``Retry-After`` asks for; less than the first back-off (0, a past date, clocks that differ)
            asks for no pause, and gets the one that grows, so that waits come to an end.
    """
    if status is not None and status < 500 and status != 429:
        return None
    asked = status in _BUSY and asked_s is not None
    if asked and asked_s is not None and asked_s >= _FIRST_WAIT_S:
        return asked_s
    if status != 429 and not asked and tries >= TRIES:
        return None
    return min(_MOST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(tries - 1, _DOUBLINGS))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Sends a key nowhere but to the address that was checked."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Never: the redirect is an error that names its status."""


_OPENER = urllib.request.build_opener(_NoRedirect)


class Patient:
    """Posts to one end point; threads that share it wait together. Only URLs that the user named.

    Args:
        name: Of the tier, for messages.
        url: Without a slash at its end.
        headers: Of every request.
        timeout_s: Of one attempt.
        clock: Time.
    """

    def __init__(self, name: str, url: str, headers: Mapping[str, str], timeout_s: float, clock: Clock) -> None:
        self._name, self._url, self._timeout_s, self._clock = name, url, timeout_s, clock
        self._headers = {"Content-Type": "application/json", **headers}
        self._lock, self._not_before_s = threading.Lock(), 0.0

    def post(self, path: str, body: Mapping[str, Any] | None) -> Reply:
        """Post a document (or get, without one) and read the answer, as often as it takes.

        Raises:
            MeasureError: when the end point does not answer, answers with an error, or asks to wait too long.
        """
        payload = None if body is None else json.dumps(body).encode()
        tries, waited_s = 0, 0.0
        while True:
            waited_s += self._wait_for_others()
            tries += 1
            status, retry_after, problem, reply = self._attempt(path, payload)
            if reply is not None:
                return reply
            asked_s = asked_wait_s(retry_after, datetime.now(UTC))
            wait = wait_s(tries, status, asked_s)
            if wait is None:
                raise self._gave_up(path, problem)
            if waited_s + wait > LONGEST_WAIT_S:
                raise self._too_long(path, problem, waited_s, asked_s)
            self._hold(wait, everybody=status in _BUSY)
            waited_s += wait

    def _attempt(self, path: str, payload: bytes | None) -> tuple[int | None, str | None, str, Reply | None]:
        request = urllib.request.Request(self._url + path, payload, self._headers)  # noqa: S310 - http(s) only, checked
        start_s = self._clock.monotonic_s()
        try:
            with _OPENER.open(request, timeout=self._timeout_s) as answer:
                document = json.loads(answer.read(_MAX_ANSWER_BYTES))
            if not isinstance(document, dict):
                raise ValueError(f"{type(document).__name__} instead of an object")
            return 200, None, "", Reply(document=document, took_s=self._clock.monotonic_s() - start_s)
        except urllib.error.HTTPError as e:
            said = f"{e.code} {e.read(200).decode('utf-8', 'replace').strip()}"
            return e.code, e.headers.get("Retry-After"), said, None
        except (OSError, ValueError) as e:
            return None, None, str(e) or type(e).__name__, None

    def _hold(self, seconds: float, *, everybody: bool) -> None:
        """Wait; where the end point is busy no other thread asks meanwhile."""
        if everybody:
            with self._lock:
                self._not_before_s = max(self._not_before_s, self._clock.monotonic_s() + seconds)
        self._clock.sleep(seconds)

    def _wait_for_others(self) -> float:
        with self._lock:
            seconds = self._not_before_s - self._clock.monotonic_s()
        if seconds <= 0:
            return 0.0
        self._clock.sleep(seconds)
        return seconds

    def _gave_up(self, path: str, problem: str) -> MeasureError:
        return MeasureError(
            f"the tier {self._name!r} at {self._url}{path} does not answer: {problem}",
            hint="every request must be answered to calibrate; is the end point up, and is its timeout long enough?",
        )

    def _too_long(self, path: str, problem: str, waited_s: float, asked_s: float | None) -> MeasureError:
        asks = f"asks to wait {asked_s:,.0f} s" if asked_s is not None and asked_s >= _FIRST_WAIT_S else "is busy"
        return MeasureError(
            f"the tier {self._name!r} at {self._url}{path} {asks} ({problem}), after {waited_s:,.0f} s of waiting; the "
            f"limit is {LONGEST_WAIT_S:,.0f} s for one request",
            hint="what it answered is kept: the same command later asks for the rest",
        )
