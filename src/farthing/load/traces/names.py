"""What the name of a trace's column says: a time, counts, rates, a total that only grows, or nothing known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from farthing.load.traces.asked import Period, TimeUnit, TraceKind

__all__ = ["Named", "counts_from_start", "is_time", "named", "unit_of"]

_TIMES_WORDS = (
    "timestamp timestamps time times ts t date datetime arrival arrivals arrived minute hour period epoch offset "
    "elapsed start started"
)
_COUNTS_WORDS = (
    "value values count counts requests request reqs req n num invocations hits calls queries sum samplecount "
    "volume requestcount total"
)
_RATES: Mapping[str, Period | None] = {
    **dict.fromkeys(("rps", "qps", "tps", "reqps", "hz"), "s"),
    **dict.fromkeys(("rpm", "qpm", "tpm", "reqpm"), "min"),
    **dict.fromkeys(("rph", "qph"), "h"),
    **dict.fromkeys(("rate", "throughput"), None),
}
_OTHER_WORDS = (
    "latency duration ms us ns seconds sec size bytes kb mb error errors failed failures token tokens id user "
    "status code max maximum peak min minimum median p50 p90 p95 p99 percent cpu memory price cost usd "
    "k thousand thousands million millions mio xx"
)
_TIMES, _COUNTS, _OTHER = (frozenset(words.split()) for words in (_TIMES_WORDS, _COUNTS_WORDS, _OTHER_WORDS))
_PER = re.compile(r"(?:/|(?:^|[^a-z])per[^a-z]*)(s|sec|second|min|minute|h|hr|hour)(?:[^a-z]|$)")
_PERIODS: Mapping[str, Period] = {"s": "s", "m": "min", "h": "h"}
_UNIT_WORDS: Mapping[str, TimeUnit] = {
    **dict.fromkeys(("s", "sec", "secs", "seconds"), "s"),
    **dict.fromkeys(("ms", "millis", "milliseconds"), "ms"),
    **dict.fromkeys(("us", "µs", "micros", "microseconds"), "us"),
    **dict.fromkeys(("ns", "nanos", "nanoseconds"), "ns"),
    **dict.fromkeys(("min", "minute", "minutes"), "min"),
    **dict.fromkeys(("hour", "hours"), "h"),
}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-zµ]+\d*|\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What a name says of a column's numbers.

    Attributes:
        kind: ``counts``, ``rates`` or ``counter``.
        per: Period of rates, None where the name does not say.
    """

    kind: TraceKind
    per: Period | None = None


def _words(name: str) -> list[str]:
    """``http_requests_total`` and ``RequestCount`` as words in lower case."""
    return [word.lower() for word in _WORD.findall(name)]


def is_time(name: str) -> bool:
    """Whether a column of that name holds times."""
    words = _words(name)
    return bool(words) and words[0] in _TIMES and all(w in _TIMES or w in _UNIT_WORDS or w == "utc" for w in words)


def counts_from_start(name: str) -> bool:
    """Whether a time column's name says that its numbers count from a start (``elapsed_ns``)."""
    return _words(name)[:1] in (["elapsed"], ["offset"], ["t"])


def unit_of(name: str) -> TimeUnit | None:
    """The unit that a time column's name says (``ts_ms``, ``minute``), None when it says none."""
    words = _words(name)
    return _UNIT_WORDS.get(words[-1]) if len(words) > 1 or words[:1] in (["minute"], ["hour"]) else None


def named(name: str) -> Named | None:
    """What a column's name says of its numbers, None when nothing.

    Names with a word for something else in them (``request_latency_ms``, ``requests_failed``, ``max_rps``) say nothing.
    """
    words = _words(name)
    per = _PER.search(name.lower())
    known = set(words) - set(_PERIOD_WORDS if per else ())
    if not words or known & _OTHER:
        return None
    if per:
        return Named(kind="rates", per=_PERIODS[per[1][0]])
    rates = [_RATES[word] for word in words if word in _RATES]
    if rates:
        return Named(kind="rates", per=next((per for per in rates if per), None))
    if words[-1] == "total" and len(words) > 1:
        return Named(kind="counter")
    return Named(kind="counts") if known & _COUNTS else None


_PERIOD_WORDS = ("s", "sec", "second", "seconds", "min", "minute", "hour")
