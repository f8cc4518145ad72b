"""What the name of a trace's column says: a time, counts, rates, a total that only grows, or nothing known."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from farthing.load.traffic.asked import TimeUnit, TraceKind
from farthing.load.traffic.words import Phrases, phrases, words

__all__ = [
    "Named", "counts_from_start", "is_time", "named", "not_the_arrivals", "of_each_request", "says_when", "unit_of",
]  # fmt: skip

_TIMES_WORDS = (
    "timestamp timestamps stamp time times ts t date datetime arrival arrivals arrived minute hour period epoch offset "
    "elapsed start started"
)
_REQUESTS_WORDS = "request requests req reqs rq rqs invocations hits calls queries requestcount samplecount"
_NOUNS_WORDS = (
    "invocation hit call query inference inferences infer infers prediction predictions predicts image images item "
    "items event events message messages record records transaction transactions op ops operation operations job jobs "
    "task tasks document documents doc docs text texts sample samples arrivals anfragen aufrufe zugriffe abfragen "
    "requêtes requetes appels peticiones solicitudes richieste chiamate verzoeken aanvragen"
)
"""What a rate may be of; as a name of counts they say too little."""
_COUNTS_WORDS = "value values count counts n num sum volume total"
_NEUTRAL_WORDS = "mean avg average rate throughput http https grpc rest api server service model a the of in overall"
_RATES: Mapping[str, float | None] = {
    **dict.fromkeys(("rps", "qps", "tps", "reqps", "hz"), 1.0),
    **dict.fromkeys(("rpm", "qpm", "reqpm"), 60.0),
    **dict.fromkeys(("rph", "qph"), 3600.0),
    **dict.fromkeys(("rate", "throughput"), None),
}
_OTHER_WORDS = (
    "latency latencies duration durations time times ms us ns seconds sec size length bytes byte bits bit kb mb gb tb "
    "kib mib gib kbps mbps gbps error errors failed failure failures fault faults exception exceptions token tokens "
    "tpm id ids uid uuid user users session sessions visitor visitors connection connections socket sockets packet "
    "packets thread threads processes core cores gpus status code codes xx max maximum peak min minimum median stddev "
    "stdev std variance percentile quantile bucket le percent pct percentage ratio fraction share proportion usage "
    "utilization utilisation util cpu gpu memory mem disk network price cost costs usd score rank weight index change "
    "growth created k thousand thousands million millions mio lakh crore forecast predicted expected estimated limit "
    "limits quota capacity threshold budget"
)
_STATE_WORDS = (
    "concurrent concurrency concurrently simultaneous parallel inflight flight active queue queued queues queueing "
    "queuing enqueued pending waiting outstanding backlog backlogged running processing executing deferred swapped "
    "opened current ongoing being buffered held stuck unfinished incomplete progress idle busy gauge"
)
_UNSERVED_WORDS = (
    "throttled throttle throttles throttling rejected reject rejects rejections refused dropped drop drops denied "
    "deny blocked aborted cancelled canceled expired timeout timeouts timedout retried retries retry retriable "
    "invalid bad unauthorized forbidden lost shed shedded limited ratelimited spilled spillover unsuccessful "
    "noncompliant non redirect redirects redirected skipped ignored discarded cache cached miss misses sampled slow "
    "duplicate healthcheck healthchecks health probe probes fixed unhealthy"
)
_PART_WORDS = "instance replica pod host node container worker shard partition vm machine region zone az tenant copy"
_PART_OR_TASK_WORDS = "instance node container worker partition machine region zone copy"
"""Those that begin the names of what models do (``machine_translation``) as well."""
_SHORT = 2
"""Letters of a part's name (``region_eu``, ``zone_a``) and of no task's."""
_THINGS_WORDS = (
    "instances replicas pods hosts nodes containers workers shards partitions vms machines regions zones tenants "
    "targets"
)
_NUMBERED_WORDS = "server backend upstream target endpoint member"
"""Words for a whole that mean a part with a number behind them (``server2``)."""
_LABELS_WORDS = "path paths handler route uri url method endpoint quantile customer client statuscode backend"
_AVERAGED_WORDS = "mean avg average averaged rolling moving trailing sliding"
_EACH_WORDS = (
    "latency latencies duration durations time times timeout ms us ns seconds sec elapsed ttft tpot bytes byte kb mb "
    "gb token tokens id ids uid uuid code codes status retry retries attempt attempts cache cached score rank index "
    "cost costs price"
)
"""What a log tells of each request."""
_EACH_UNLESS_WAITING_WORDS = "size length"
_SMALL_WORDS = "of the in for on from at this one single"
_STATUS_WORDS = "code codes status statuses statuscode http response responses"
_CALENDAR_WORDS = (
    "time hour minute day date weekday week month year dow tod hod of the daytime clock local utc tageszeit uhrzeit "
    "wochentag"
)
_GROWING_WORDS = "cumulative cumulated accumulated lifetime"
_SINCE_WORDS = "today since"
_TIMES, _REQUESTS, _NOUNS, _COUNTS, _NEUTRAL, _OTHER, _PART, _THINGS, _AVERAGED, _GROWING = (
    frozenset(group.split())
    for group in (
        _TIMES_WORDS, _REQUESTS_WORDS, _NOUNS_WORDS, _COUNTS_WORDS, _NEUTRAL_WORDS, _OTHER_WORDS, _PART_WORDS,
        _THINGS_WORDS, _AVERAGED_WORDS, _GROWING_WORDS,
    )
)  # fmt: skip
_EACH, _EACH_UNLESS_WAITING, _SMALL, _STATUS, _CALENDAR, _STATE, _PART_OR_TASK = (
    frozenset(group.split())
    for group in (
        _EACH_WORDS, _EACH_UNLESS_WAITING_WORDS, _SMALL_WORDS, _STATUS_WORDS, _CALENDAR_WORDS, _STATE_WORDS,
        _PART_OR_TASK_WORDS,
    )
)  # fmt: skip
_NOT_ALL = frozenset(f"{_STATE_WORDS} {_UNSERVED_WORDS} {_SINCE_WORDS}".split())
_NUMBERED = frozenset(_NUMBERED_WORDS.split())
_LABELLED = _PART | frozenset(_LABELS_WORDS.split()) | _OTHER
_COUNTED = _REQUESTS | _NOUNS | frozenset(_RATES)
_BESIDE_PARTS = _COUNTED | _COUNTS | _AVERAGED
_RATELIKE = _COUNTS | _NEUTRAL
_THOUSANDS = re.compile(rf"[kmg]({'|'.join(sorted(_COUNTED))})|10{{2,}}s?|x10+|1e\d+")
_STATUS_CLASS, _STATUS_NUMBER = re.compile(r"[1-5]xx"), re.compile(r"[245]\d\d")
_STATUSES = frozenset(HTTPStatus)
_PERCENTILE = re.compile(r"[pq]\d{2,}")
_UNIT_WORDS: Mapping[str, TimeUnit] = {
    **dict.fromkeys(("s", "sec", "secs", "seconds"), "s"),
    **dict.fromkeys(("ms", "millis", "milliseconds"), "ms"),
    **dict.fromkeys(("us", "µs", "micros", "microseconds"), "us"),
    **dict.fromkeys(("ns", "nanos", "nanoseconds"), "ns"),
    **dict.fromkeys(("min", "minute", "minutes"), "min"),
    **dict.fromkeys(("hour", "hours"), "h"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What a name says of a column's numbers.

    Attributes:
        kind: ``counts``, ``rates`` or ``counter``.
        per_s: Period of rates in seconds, None where the name does not say.
    """

    kind: TraceKind
    per_s: float | None = None


def is_time(name: str) -> bool:
    """Whether a column of that name holds times (``ts_ms``; Kibana's ``@timestamp per 30 seconds``)."""
    found = words(name)
    rest = found[: found.index("per")] if "per" in found else found
    if not all(word.isdigit() or word in _UNIT_WORDS for word in found[len(rest) + 1 :]):
        return False  # time per request
    return bool(rest) and rest[0] in _TIMES and all(w in _TIMES or w in _UNIT_WORDS or w == "utc" for w in rest)


def says_when(name: str) -> bool:
    """Whether a column beside the times says again when it is (``hour``, ``time_of_day``, ``weekday``)."""
    found = words(name)
    return is_time(name) or (bool(found) and _CALENDAR.issuperset(found))


def of_each_request(name: str) -> bool:
    """Whether a column tells something of each request of a log (``request_processing_time``, ``cached_tokens``)."""
    known = set(_phrases(name).words)
    return bool(known & _EACH) or (bool(known & _EACH_UNLESS_WAITING) and not known & _STATE)


def _phrases(name: str) -> Phrases:
    return phrases(name, counted=_COUNTED, requests=_REQUESTS | frozenset(_RATES), counts=_COUNTS)


def counts_from_start(name: str) -> bool:
    """Whether a time column's name says that its numbers count from a start (``elapsed_ns``)."""
    return words(name)[:1] in (["elapsed"], ["offset"], ["t"])


def unit_of(name: str) -> TimeUnit | None:
    """The unit that a time column's name says (``ts_ms``, ``minute``), None when it says none."""
    found = words(name)
    said = len(found) > 1 and "per" not in found
    return _UNIT_WORDS.get(found[-1]) if said or found[:1] in (["minute"], ["hour"]) else None


def named(name: str) -> Named | None:
    """What a column's name says of its numbers, None when nothing.

    Names with a word for something else in them (``request_latency_ms``, ``requests_failed``, ``max_rps``) say nothing,
    nor do those of requests at one moment, of a part of them or in other units (:func:`not_the_arrivals`).
    """
    of = _phrases(name)
    known = set(of.words)
    if not (of.words or of.per_s) or _is_other(name, of) or not_the_arrivals(name) is not None:
        return None
    rates = [_RATES[word] for word in of.words if word in _RATES]
    if of.per_s:
        return Named(kind="rates", per_s=of.per_s[0]) if rates or known & _COUNTED or known <= _RATELIKE else None
    if rates:
        return Named(kind="rates", per_s=next((per_s for per_s in rates if per_s), None))
    if not known & (_COUNTS | _REQUESTS):
        return None
    if (of.words[-1] == "total" and len(of.words) > 1) or known & _GROWING:
        return Named(kind="counter") if of.window_s is None or "increase" not in known else _within(of)
    return _within(of)


def _within(of: Phrases) -> Named:
    """Counts of each step, or of a period of their own (``requests_5m``)."""
    return Named(kind="counts") if of.window_s is None else Named(kind="rates", per_s=of.window_s)


def _is_other(name: str, of: Phrases) -> bool:
    """Whether a name has a word for something that is no number of requests."""
    known = set(of.words)
    sized = of.words[-2:-1] and of.words[-2].isdigit()  # efficientnetv2_s
    seconds = name.endswith("_s") and of.words[-1:] == ("s",) and not sized
    if "%" in name or seconds or known & _OTHER or any(_PERCENTILE.fullmatch(word) for word in of.words):
        return True
    return bool(known & _THINGS) and not known & _REQUESTS


def not_the_arrivals(name: str) -> str | None:
    """Why requests are not simply those that arrive, by a word of a column's name; None where they may be.

    They are of one moment (``concurrent_requests``), were not served (``throttled``), are of a part (``per target``,
    ``pod``), in thousands (``kreq``), averaged counts, or perhaps of a period (``requests_yolo_11m``).
    """
    of = _phrases(name)
    speaks = set(of.words) & (_COUNTED | _COUNTS) or any(_THOUSANDS.fullmatch(word) for word in of.words)
    said = next(_not_plain(of), None) if speaks else None
    if said is not None:
        return f"its name says “{said}”, and all that arrive at the whole service are wanted"
    return f"its name says “{of.unclear}”, a period or a model's size" if speaks and of.unclear is not None else None


def _not_plain(of: Phrases) -> Iterator[str]:
    yield from of.per_other
    if len(of.per_s) > 1 and len(set(of.per_s)) > 1:
        yield "two periods"
    plain = ["", *(word for word in of.words if word not in _SMALL), ""]
    for before, word, after in zip(plain, plain[1:], plain[2:]):
        if word in _NUMBERED and after.isdigit():
            yield f"{word} {after}"
        if _is_state(before, word, after) or _is_part(before, word, after) or _is_status(before, word, after):
            yield word
        if _THOUSANDS.fullmatch(word):
            yield word
    yield from (word for word in of.labels if word in _LABELLED)
    rate = bool(of.per_s) or any(word in _RATES for word in of.words)
    yield from (word for word in of.words if word in _AVERAGED and not rate)


def _is_state(before: str, word: str, after: str) -> bool:
    """Whether requests are of one moment or were not served; not of ``document_processing``, OpenAI, OpenVINO."""
    if word == "open":
        return not after or after in _COUNTED
    if word == "processing" and (after in _COUNTED or (after in _COUNTS and before not in _NOUNS)):
        return not before or before in _REQUESTS | _COUNTS | _NEUTRAL | _NOT_ALL
    return word in _NOT_ALL


def _is_part(before: str, word: str, after: str) -> bool:
    """Whether requests are of a part: ``pod``, ``instance requests``, ``zone a``; not ``instance_segmentation``."""
    if word not in _PART or word not in _PART_OR_TASK:
        return word in _PART
    return not after or after.isdigit() or len(after) <= _SHORT or before in _BESIDE_PARTS or after in _BESIDE_PARTS


def _is_status(before: str, word: str, after: str) -> bool:
    """Whether requests are of a status (``5xx``, ``requests_404``); not of a size (``patch16_224``) or a port."""
    if not _STATUS_NUMBER.fullmatch(word):
        return _STATUS_CLASS.fullmatch(word) is not None
    beside = before in _STATUS or after in _STATUS or (not after and before in _COUNTED)
    return beside or (not (before and after) and int(word) in _STATUSES)
