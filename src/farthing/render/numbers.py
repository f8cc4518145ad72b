"""How numbers, intervals, money and dates are written; one place, so that every surface agrees.

Digits follow the interval: the last digit shown is the one in which a quarter of the interval's width starts.
Without an interval three significant digits are shown. A minus is ``−`` (U+2212), a unit stands after a space; signs
are those of :mod:`farthing.core.numerals`, which verdicts of the core share.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date, datetime

from farthing.core.numerals import MINUS, change, loses, number
from farthing.core.numerals import ends as both_ends
from farthing.nouns import NEVER_MS, Estimate

__all__ = [
    "change",
    "clock_time",
    "count",
    "decimals_for",
    "duration",
    "interval",
    "loses",
    "milliseconds",
    "moment",
    "money",
    "money_change",
    "number",
    "percent",
    "points",
    "points_limit",
    "significant_decimals",
    "times",
]

_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"))


def decimals_for(estimate: Estimate, *, scale: float = 1.0, most: int = 4) -> int:
    """Decimals that the interval of an estimate supports, in [0, ``most``].

    Args:
        estimate: Its ends may be infinite; then three significant digits of the value decide.
        scale: Factor applied before printing (100 for a percentage).
        most: Upper bound.
    """
    width = (estimate.hi - estimate.lo) * abs(scale)
    if not math.isfinite(width) or width <= 0:
        return significant_decimals(estimate.value * scale, most=most)
    return min(most, max(0, math.ceil(-math.log10(width / 4))))


def significant_decimals(value: float, *, digits: int = 3, most: int = 4) -> int:
    """Decimals that show ``digits`` significant digits of ``value``, in [0, ``most``]."""
    if value == 0 or not math.isfinite(value):
        return 0
    return min(most, max(0, digits - 1 - math.floor(math.log10(abs(value)))))


def interval(estimate: Estimate, *, decimals: int | None = None, scale: float = 1.0) -> str:
    """``[93.2, 94.8]``; ``≤ 0.7`` or ``≥ 0.7`` when one end is infinite; empty when there is no width."""
    places = decimals_for(estimate, scale=scale) if decimals is None else decimals
    lo, hi = sorted((estimate.lo * scale, estimate.hi * scale))
    if lo == hi or (math.isinf(lo) and math.isinf(hi)):
        return ""
    if math.isinf(lo):
        return f"≤ {number(hi, places)}"
    if math.isinf(hi):
        return f"≥ {number(lo, places)}"
    return both_ends(lo, hi, places)


def _joined(value: str, ends: str) -> str:
    return f"{value} {ends}" if ends else value


def percent(value: float | Estimate, *, decimals: int | None = None, bounds: bool = True) -> str:
    """A fraction as ``94.1 % [93.2, 94.8]``; a plain float as ``76 %`` (more digits near 0 and 100)."""
    if isinstance(value, Estimate):
        places = decimals_for(value, scale=100, most=2) if decimals is None else decimals
        ends = interval(value, decimals=places, scale=100) if bounds else ""
        return _joined(f"{number(value.value * 100, places)} %", ends)
    if decimals is None:
        edge = min(abs(value), abs(1 - value))
        decimals = 0 if edge >= 0.05 or edge == 0 else 1
    return f"{number(value * 100, decimals)} %"


def points(change_frac: float, *, decimals: int = 1) -> str:
    """A change of a metric as ``−0.1 points``; one more digit where it would read as nothing, ``0.0`` for none."""
    value = change_frac * 100
    places = decimals + 1 if value != 0 and abs(value) < 0.5 * 10.0**-decimals else decimals
    return f"{change(value, places)} points"


def points_limit(drop_hi_frac: float, *, decimals: int = 1) -> str:
    """Upper limit of a drop as a change: ``−0.7``, rounded away from zero, so it never flatters."""
    scale = 10.0**decimals
    worst = math.ceil(round(drop_hi_frac * 100 * scale, 6)) / scale
    return ("+" if worst < 0 else "") + number(-worst, decimals)


def milliseconds(value: float | Estimate, *, bounds: bool = True) -> str:
    """``22.9 ms``, ``7.2 ms [7.0, 7.5]``; from 10 seconds on in seconds, below 0.01 ms in µs; ``unbounded``."""
    middle = value.value if isinstance(value, Estimate) else value
    if middle >= NEVER_MS:
        return "unbounded"
    if isinstance(value, Estimate) and value.hi >= NEVER_MS:
        value = replace(value, hi=math.inf)
    scale, unit = (1e-3, "s") if abs(middle) >= 1e4 else (1e3, "µs") if 0 < abs(middle) < 0.01 else (1.0, "ms")
    if isinstance(value, Estimate):
        fewest = significant_decimals(middle * scale, digits=1)  # a time is never written as nothing
        places = min(max(decimals_for(value, scale=scale), fewest), significant_decimals(middle * scale, digits=4))
        ends = interval(value, decimals=places, scale=scale) if bounds else ""
        return _joined(f"{number(middle * scale, places)} {unit}", ends)
    places = significant_decimals(middle * scale)
    text = number(middle * scale, places)
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {unit}"


def _cents(usd: float) -> int:
    return 0 if abs(usd) >= 100 or usd == 0 else max(2, significant_decimals(usd, digits=2, most=6))


def money(usd: float | Estimate, *, bounds: bool = True) -> str:
    """``$10,000``, ``$590 [540, 640]``, ``$0.71``, ``−$8,870``; cents below $100, two digits below a cent."""
    if isinstance(usd, Estimate):
        places = _cents(usd.value)
        ends = interval(usd, decimals=places) if bounds else ""
        return _joined(money(usd.value), ends)
    text = f"${number(abs(usd), _cents(usd))}"
    return MINUS + text if usd < 0 and any(c in "123456789" for c in text) else text


def money_change(saved_usd: float) -> str:
    """What a saving does to the bill: ``−$8,870`` for money saved, ``+$12`` for money added, ``0`` below a cent."""
    if abs(saved_usd) < 0.005:
        return "0"
    size = money(abs(saved_usd)) if abs(saved_usd) < 10 else f"${number(abs(saved_usd), 0)}"
    return ("+" if saved_usd < 0 else MINUS) + size


def count(value: float) -> str:
    """``1,400``, ``460 M``, ``14 B``: whole up to a million, then three significant digits."""
    for size, letter in _UNITS:
        if abs(value) >= size * 0.9995:
            text = number(value / size, significant_decimals(value / size))
            return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {letter}"
    return number(value, 0 if value == round(value) or abs(value) >= 100 else significant_decimals(value))


def times(ratio: float | Estimate) -> str:
    """A ratio as ``16.2 × [15.8, 16.6]``."""
    if isinstance(ratio, Estimate):
        places = min(2, decimals_for(ratio))
        return _joined(f"{number(ratio.value, places)} ×", interval(ratio, decimals=places))
    return f"{number(ratio, significant_decimals(ratio))} ×"


def duration(seconds: float) -> str:
    """A length of time for prose: ``0.4 s``, ``48 s``, ``3 min 12 s``, ``2 h 5 min``."""
    if seconds < 10:
        return f"{number(seconds, 1)} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def clock_time(seconds: float) -> str:
    """A length of time for a narrow column: ``1:31``, ``1:02:03``."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def moment(value: date | datetime) -> str:
    """``2026-07-20``, or with the time and offset where there is one: ``2026-07-20 14:03 +02:00``."""
    if not isinstance(value, datetime):
        return value.isoformat()
    offset = value.strftime("%z")
    zone = f" {offset[:3]}:{offset[3:5]}" if offset else ""
    return f"{value:%Y-%m-%d %H:%M}{zone}"
