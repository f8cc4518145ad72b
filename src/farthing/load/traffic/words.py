"""Names of columns taken apart: their words, the periods that they name, and what numbers are given per, in, or of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Phrases", "phrases", "words"]

_CAMEL = (
    (re.compile(r"([a-zß-öø-ÿ])([A-ZÀ-Þ])"), r"\1 \2"),
    (re.compile(r"([A-Z]+)([A-Z][a-z])"), r"\1 \2"),
    (re.compile(r"([A-Za-z]{3,})(\d)"), "\\1\v\\2"),
)
_GLUED = "\v"
"""Put between letters and the number glued to them, so that ``yolov8s`` names no eight seconds."""
_LABELS = re.compile(r"\{[^{}]*[=:][^{}]*\}")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_LABEL = re.compile(r"[{,]\s*!?([\w.]+)\s*[=:!~]")
_WORD = re.compile(r"[^\W_]+")
_UNITS_S: Mapping[str, float] = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86_400.0),
    **dict.fromkeys(("week", "weeks"), 604_800.0),
}
_LAST_S: Mapping[str, float] = {word: _UNITS_S[word] for word in ("second", "minute", "hour", "day", "week")}
"""Words that name a period at the end of a name or behind *last* (``requests_day``, ``last hour's requests``)."""
_EVERY_S: Mapping[str, float] = {
    "secondly": 1.0, "minutely": 60.0, "hourly": 3600.0, "daily": 86_400.0, "weekly": 604_800.0,
}  # fmt: skip
"""Words that name a period anywhere."""
_PER = re.compile(r"(/|(?<![^\W_])(?:per|by|every|each)(?![^\W_]))[\W_]*(\d+(?:\.\d+)?)?[\W_]*([^\W\d_]*)(\d*)")
_WINDOW = re.compile(r"(?<![^\W_])(\d+)[ _-]?([a-z]+)(?![^\W_])")
_BRACKETED = re.compile(r"[\[(]\s*(\d+) ?([a-z]+)\s*(?::[^\])]*)?[\])]")
_IN_BRACKETS = re.compile(r"\[[^\]]*\]")
_SIZES = frozenset("smhd")
"""Units that are sizes of models as well (``yolo_11m``, ``unet_3d``)."""
_LAST = frozenset(("last", "past", "previous", "latest"))
_BEFORE_WINDOW_WORDS = "over in for sum total count counts avg mean rolling moving trailing"
_BEFORE_WINDOW = _LAST | frozenset(_BEFORE_WINDOW_WORDS.split())
_IDIOMS = re.compile(r"(?<![^\W_])(?:over|real)[\W_]?time(?![^\W_])")
"""Where *time* is no measure: ``requests over time``, ``count_over_time``, ``real-time``."""
_PROMETHEUS_RATE = re.compile(r"(?<![^\W_])i?rate ?\(.*\[")


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrases:
    """A name taken apart.

    Attributes:
        words: In lower case, without those that name a period.
        labels: Words of the keys of Prometheus' or Datadog's labels (``{pod="a"}``).
        per_s: Periods that numbers are given per, in seconds (``per second``, ``/min``, ``per_5min``).
        per_other: What else they are given per (``per target``, ``by pod``), as in the name.
        window_s: The period that they are of (``requests_5m``, ``hourly requests``), None for none.
        unclear: What may be such a period or a model's size (``requests_yolo_11m``), None for nothing.
    """

    words: tuple[str, ...]
    labels: tuple[str, ...]
    per_s: tuple[float, ...]
    per_other: tuple[str, ...]
    window_s: float | None
    unclear: str | None


def _split(name: str) -> str:
    """Lower case, with blanks where camel case or a number begins a word: ``RequestsPer5Min``, ``pod1``."""
    for pattern, apart in _CAMEL:
        name = pattern.sub(apart, name)
    return name.lower()


def words(name: str) -> list[str]:
    """``http_requests_total`` and ``RequestCount`` as words in lower case."""
    return _WORD.findall(_split(name))


def phrases(name: str, counted: frozenset[str], requests: frozenset[str], counts: frozenset[str]) -> Phrases:
    """Take a name apart.

    Args:
        name: Of a column.
        counted: Words for what is counted; after them a stroke means *per* (``req/target``), elsewhere it parts the
            names of a metric (``AWS/ApplicationELB``).
        requests: Those of them right behind which a number with a unit is a period (``requests_5m_sum``).
        counts: Words for counts, before which a stroke parts names too (``requests/count``).
    """
    text = _IDIOMS.sub(" ", _split(_LABELS.sub(" ", name)))
    per_s, per_other = [1.0] if _PROMETHEUS_RATE.search(text) else [], []
    if per_s:
        text = _IN_BRACKETS.sub(" ", text.replace("rate", " ", 1))
    rest, at = "", 0
    for found in _PER.finditer(text):
        period_s = _period_s(found)
        if period_s is not None:
            per_s.append(period_s)
        elif not _parts_names(text, found, counted, counts):
            per_other.append(" ".join(found[0].replace("_", " ").split()))
        else:
            continue
        rest, at = f"{rest}{text[at : found.start()]} ", found.end()
    rest, window_s, unclear = _window(rest + text[at:], counted, requests)
    return Phrases(
        words=tuple(_WORD.findall(rest)),
        labels=tuple(_keys(name)),
        per_s=tuple(per_s),
        per_other=tuple(per_other),
        window_s=window_s,
        unclear=unclear,
    )


def _keys(name: str) -> list[str]:
    """Words of the labels' keys; what a label's value is called says nothing of the numbers (``{service:gpu-a}``)."""
    return [
        word
        for labels in _LABELS.findall(name)
        for key in _LABEL.findall(_QUOTED.sub(" ", labels))
        for word in words(key)
    ]


def _period_s(found: re.Match[str]) -> float | None:
    """Seconds of ``per 5 min``; None for anything else. ``5m`` is five minutes, as Prometheus writes it; ``/m`` is
    no period, since it may be a month or a million.
    """
    _, many, unit, digits = found.groups()
    if digits:
        return None
    unit_s = 60.0 if unit == "m" and many else _UNITS_S.get(unit)
    return None if unit_s is None or float(many or 1) == 0 else float(many or 1) * unit_s


def _parts_names(text: str, found: re.Match[str], counted: frozenset[str], counts: frozenset[str]) -> bool:
    """Whether a stroke stands between parts of a metric's name (``prediction/online/prediction_count``)."""
    before = _WORD.findall(text[: found.start()])
    if found[1] != "/" or not text[: found.start()][-1:].isalnum():
        return False
    after = _WORD.findall(text[found.start(3) :].partition(" ")[0])
    named = (before[-1] not in counted and before[-1] not in _UNITS_S) or not counted.isdisjoint(after)
    return named or not counts.isdisjoint(after[:1])


def _window(text: str, counted: frozenset[str], requests: frozenset[str]) -> tuple[str, float | None, str | None]:
    """The period that numbers are of, taken out of the text, and what may be one.

    It stands in brackets, right behind a word for requests or *last*, or at the end of the name. A number that is glued
    to other letters is rather a model's size; a letter at the end behind an unknown word, or at the beginning right
    before the requests, may be either.
    """
    unclear = None
    for found in (*_BRACKETED.finditer(text), *_WINDOW.finditer(text)):
        window_s = _window_s(found)
        before = next(iter(_WORD.findall(text[: found.start()])[-1:]), "")
        after = _WORD.findall(text[found.end() :])
        bracketed = not found[0][0].isdigit()
        last = text[found.start() - 1 : found.start()] != _GLUED and not after
        first = not before and after and after[0] in requests
        if window_s is None or not (bracketed or last or first or before in requests | _LAST):
            continue
        if bracketed or found[2] not in _SIZES or before in counted | requests | _BEFORE_WINDOW:
            return f"{text[: found.start()]} {text[found.end() :]}", window_s, None
        unclear = " ".join(found[0].split("_"))
    alone, window_s = _alone(_WORD.findall(text))
    return (re.sub(rf"(?<![^\W_]){alone}(?![^\W_])", " ", text) if alone else text), window_s, unclear


def _window_s(found: re.Match[str]) -> float | None:
    """Seconds of ``5m``; None where it is no period (``1000s`` are thousands)."""
    many, unit_s = int(found[1]), 60.0 if found[2] == "m" else _UNITS_S.get(found[2])
    thousands = found[2] == "s" and many in (100, 1000, 1_000_000)
    return None if unit_s is None or many == 0 or thousands else many * unit_s


def _alone(found: list[str]) -> tuple[str, float | None]:
    """A word that names a period by itself, empty for none, and its seconds."""
    every = next((word for word in found if word in _EVERY_S), "")
    if every:
        return every, _EVERY_S[every]
    lasts = (word for before, word in pairwise(("", *found)) if before in _LAST and word in _LAST_S)
    last = next(lasts, found[-1] if found else "")
    return (last, _LAST_S[last]) if last in _LAST_S else ("", None)
