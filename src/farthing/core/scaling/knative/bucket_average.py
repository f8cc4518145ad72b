"""Values recorded in buckets of time, averaged over a window: plainly, or the newest weighing most.

Source: Knative Serving, ``pkg/autoscaler/aggregation/bucketing.go``. Times are seconds of a clock whose zero lies on a
bucket's edge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

__all__ = [
    "Buckets",
    "buckets",
    "is_empty",
    "linear_average",
    "newest_first",
    "record",
    "resized",
    "rounded",
    "smoothing_coefficient",
    "weighted_average",
]

_DIGITS = 6
WEIGHT_PRECISION = 0.9999
"""Share of all weight that falls on buckets of the window."""
MIN_EXPONENT = 0.2
"""Smallest weight of the newest bucket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """A ring of buckets.

    Attributes:
        window_s: Time that they cover.
        granularity_s: Length of one, in whole seconds.
        values: Sum of each bucket, at the place of its number modulo their count.
        total: Of all values.
        first_s: Start of the first bucket that counts; None before the first value.
        last_s: Start of the last bucket written; None before the first value.
    """

    window_s: float
    granularity_s: int
    values: tuple[float, ...]
    total: float = 0.0
    first_s: float | None = None
    last_s: float | None = None

    def __post_init__(self) -> None:
        if not (self.window_s > 0 and self.granularity_s >= 1 and self.granularity_s == int(self.granularity_s)):
            raise ValueError(f"a window must be > 0 s and a bucket whole seconds: {self}")

    def number(self, t_s: float) -> int:
        """Of the bucket in which ``t_s`` lies."""
        return math.floor(t_s) // int(self.granularity_s)

    def start_s(self, t_s: float) -> float:
        """Of the bucket in which ``t_s`` lies."""
        return float(math.floor(t_s / self.granularity_s) * self.granularity_s)

    def silent_s(self, now_s: float) -> float:
        """From the last bucket written to that of ``now_s``; infinite before the first value."""
        return math.inf if self.last_s is None else self.start_s(now_s) - self.last_s


def buckets(window_s: float, granularity_s: int = 1) -> Buckets:
    """Empty ones, as many as it takes to cover ``window_s``.

    Args:
        window_s: In seconds, > 0.
        granularity_s: Length of a bucket, whole seconds.

    Raises:
        ValueError: when either is not.
    """
    count = math.ceil(window_s / granularity_s) if granularity_s > 0 else 0
    return Buckets(window_s=window_s, granularity_s=granularity_s, values=(0.0,) * count)


def record(b: Buckets, t_s: float, value: float) -> Buckets:
    """Add ``value`` to the bucket of ``t_s``; what lies a whole window before the last value is left out.

    A gap reads as zeros; after a window without values all starts anew.

    Args:
        b: Before.
        t_s: Time of the value; may lie before that of others.
        value: To add.
    """
    start_s = b.start_s(t_s)
    if b.last_s is not None and start_s + b.window_s <= b.last_s:
        return b
    if start_s != b.last_s:
        first_s = start_s if b.first_s is None else min(b.first_s, start_s)
        b = replace(b, first_s=first_s)
        if b.last_s is None or start_s > b.last_s:
            b = _advanced(b, start_s)
    at = b.number(t_s) % len(b.values)
    values = (*b.values[:at], b.values[at] + value, *b.values[at + 1 :])
    return replace(b, values=values, total=b.total + value)


def _advanced(b: Buckets, start_s: float) -> Buckets:
    if b.last_s is None or start_s - b.last_s >= b.window_s:
        return replace(b, values=(0.0,) * len(b.values), total=0.0, first_s=start_s, last_s=start_s)
    values, total = list(b.values), b.total
    for number in range(b.number(b.last_s) + 1, b.number(start_s) + 1):
        at = number % len(values)
        total -= values[at]
        values[at] = 0.0
    return replace(b, values=tuple(values), total=total, last_s=start_s)


def is_empty(b: Buckets, now_s: float) -> bool:
    """Whether nothing was recorded for more than a window."""
    return b.silent_s(now_s) > b.window_s


def linear_average(b: Buckets, now_s: float) -> float:
    """Mean over the buckets from the first value to the last, at most a window; 0 once a window is silent.

    A silence shorter than a window shortens the mean: its buckets are no zeros.
    """
    silent_s = b.silent_s(now_s)
    if b.last_s is None or (silent_s > 0 and silent_s >= b.window_s):
        return 0.0
    known = len(b.values) if b.first_s is None else int((b.last_s - b.first_s) / b.granularity_s) + 1
    total, silent = b.total, 0
    if silent_s > 0:
        silent = b.number(b.start_s(now_s)) - b.number(b.last_s)
        for number in range(b.number(b.last_s) + 1, b.number(b.last_s) + silent + 1):
            total -= b.values[number % len(b.values)]
    return rounded(total / min(known, len(b.values) - silent), _DIGITS)


def weighted_average(b: Buckets, now_s: float) -> float:
    """Exponentially weighted mean, the bucket of ``now_s`` weighing most; 0 once more than a window is silent."""
    if b.last_s is None or is_empty(b, now_s):
        return 0.0
    count = len(b.values)
    smoothing = smoothing_coefficient(count)
    silent = int(max(b.silent_s(now_s), 0.0) / b.granularity_s)
    weight, newest, mean = smoothing * (1 - smoothing) ** silent, b.number(b.last_s), 0.0
    for back in range(count - silent):
        mean += b.values[(newest - back) % count] * weight
        weight *= 1 - smoothing
    return mean


def newest_first(b: Buckets, now_s: float) -> Sequence[tuple[float, float]]:
    """Start and sum of each bucket of the window that ends now, empty ones included."""
    if b.last_s is None or is_empty(b, now_s):
        return ()
    count = len(b.values)
    silent = int(max(b.silent_s(now_s), 0.0) / b.granularity_s)
    newest, last_s = b.number(b.last_s), b.last_s
    return [
        (last_s - back * b.granularity_s, b.values[(newest - back) % count]) for back in range(max(count - silent, 0))
    ]


def resized(b: Buckets, window_s: float, now_s: float) -> Buckets:
    """The newest buckets in a window of another length; none of them once the old window is silent.

    Args:
        b: Before.
        window_s: New length.
        now_s: Now.
    """
    if window_s == b.window_s:
        return b
    empty = buckets(window_s, b.granularity_s)
    if b.last_s is None or b.silent_s(now_s) > b.window_s:
        return replace(empty, last_s=b.last_s)
    old, new = len(b.values), len(empty.values)
    newest, values, total = b.number(b.last_s), list(empty.values), 0.0
    for number in range(newest, newest - min(old, new), -1):
        values[number % new] = b.values[number % old]
        total += b.values[number % old]
    first_s = b.last_s - (old - 1) * b.granularity_s
    return replace(empty, values=tuple(values), total=total, first_s=first_s, last_s=b.last_s)


def smoothing_coefficient(
    count: int, weight_precision: float = WEIGHT_PRECISION, min_exponent: float = MIN_EXPONENT
) -> float:
    """Weight of the newest of ``count`` buckets, so that they have ``weight_precision`` of all weight between them.

    Args:
        count: Of buckets, ≥ 1.
        weight_precision: A fraction.
        min_exponent: The least it may be.
    """
    return max(1 - math.pow(1 - weight_precision, 1 / count), min_exponent)


def rounded(value: float, digits: int) -> float:
    """``value`` to so many decimals, halves away from zero."""
    scale = 10.0**digits
    scaled = value * scale
    whole = math.trunc(scaled)
    away = abs(scaled - whole) >= 0.5
    return (whole + math.copysign(1, scaled) if away else whole) / scale
