"""Names of columns taken apart: their words, the periods that they name, and what numbers are given per, in, or of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Phrases", "phrases", "words"]

_CAMEL = (
    (re.compile(r"([a-zß-öø-ÿ])([A-ZÀ-Þ])"), r"\1 \2"),
    (re.compile(r"([A-Z]+)([A-Z][a-z])"), r"\1 \2"),
    (re.compile(r"([A-Za-z]{3,})(\d)"), r"\1 \2"),
)
_LABELS = re.compile(r"\{[^{}]*[=:][^{}]*\}")
_WORD = re.compile(r"[^\W_]+")
_UNITS_S: Mapping[str, float] = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86_400.0),
    **dict.fromkeys(("week", "weeks"), 604_800.0),
}
_EVERY_S: Mapping[str, float] = {
    **{word: _UNITS_S[word] for word in ("second", "minute", "hour", "day", "week")},
    "secondly": 1.0, "minutely": 60.0, "hourly": 3600.0, "daily": 86_400.0, "weekly": 604_800.0,
}  # fmt: skip
"""Words that name a period by themselves."""
_PER = re.compile(r"(/|(?<![^\W_])(?:per|by|every|each)(?![^\W_]))[\W_]*(\d+(?:\.\d+)?)?[\W_]*([^\W\d_]*)(\d*)")
_WINDOW = re.compile(r"(?<![^\W_])(\d+)[ _-]?([a-z]+)(?![^\W_])")
_PROMETHEUS_RATE = re.compile(r"(?<![^\W_])i?rate ?\(.*\[")


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrases:
    """A name taken apart.

    Attributes:
        words: In lower case, without those that name a period.
        labels: Words of Prometheus' or Datadog's labels (``{pod="a"}``).
        per_s: Periods that numbers are given per, in seconds (``per second``, ``/min``, ``per_5min``).
        per_other: What else they are given per (``per target``, ``by pod``), as in the name.
        window_s: The period that they are of (``requests_5m``, ``hourly requests``), None for none.
    """

    words: tuple[str, ...]
    labels: tuple[str, ...]
    per_s: tuple[float, ...]
    per_other: tuple[str, ...]
    window_s: float | None


def _split(name: str) -> str:
    """Lower case, with blanks where camel case or a number begins a word: ``RequestsPer5Min``, ``pod1``."""
    for pattern, apart in _CAMEL:
        name = pattern.sub(apart, name)
    return name.lower()


def words(name: str) -> list[str]:
    """``http_requests_total`` and ``RequestCount`` as words in lower case."""
    return _WORD.findall(_split(name))


def phrases(name: str, counted: frozenset[str]) -> Phrases:
    """Take a name apart.

    Args:
        name: Of a column.
        counted: Words for what is counted; after them a stroke means *per* (``req/target``), elsewhere it parts the
            names of a metric (``AWS/ApplicationELB``).
    """
    labels = " ".join(_LABELS.findall(name))
    text = _split(_LABELS.sub(" ", name))
    per_s, per_other = [1.0] if _PROMETHEUS_RATE.search(text) else [], []
    if per_s:
        text = _WINDOW.sub(" ", text.replace("rate", " ", 1))
    rest, at = "", 0
    for found in _PER.finditer(text):
        period_s = _period_s(found)
        if period_s is not None:
            per_s.append(period_s)
        elif not _parts_names(text, found, counted):
            per_other.append(" ".join(found[0].replace("_", " ").split()))
        else:
            continue
        rest, at = f"{rest}{text[at : found.start()]} ", found.end()
    rest, window_s = _window(rest + text[at:])
    return Phrases(
        words=tuple(_WORD.findall(rest)),
        labels=tuple(words(labels)),
        per_s=tuple(per_s),
        per_other=tuple(per_other),
        window_s=window_s,
    )


def _period_s(found: re.Match[str]) -> float | None:
    """Seconds of ``per 5 min``; None for anything else. ``5m`` is five minutes, as Prometheus writes it; ``/m`` is
    no period, since it may be a month or a million.
    """
    _, many, unit, digits = found.groups()
    if digits:
        return None
    unit_s = 60.0 if unit == "m" and many else _UNITS_S.get(unit)
    return None if unit_s is None or float(many or 1) == 0 else float(many or 1) * unit_s


def _parts_names(text: str, found: re.Match[str], counted: frozenset[str]) -> bool:
    """Whether a stroke stands between parts of a metric's name."""
    before = _WORD.findall(text[: found.start()])
    attached = found[1] == "/" and text[: found.start()][-1:].isalnum()
    return attached and ((before[-1] not in counted and before[-1] not in _UNITS_S) or found[3] in counted)


def _window(text: str) -> tuple[str, float | None]:
    """The period that numbers are of, taken out of the text."""
    for found in _WINDOW.finditer(text):
        unit_s = 60.0 if found[2] == "m" else _UNITS_S.get(found[2])
        thousands = found[2] == "s" and int(found[1]) in (100, 1000, 1_000_000)
        if unit_s is not None and int(found[1]) > 0 and not thousands:
            return text.replace(found[0], " ", 1), int(found[1]) * unit_s
    alone = next((word for word in _WORD.findall(text) if word in _EVERY_S), None)
    return (text, None) if alone is None else (text.replace(alone, " ", 1), _EVERY_S[alone])
