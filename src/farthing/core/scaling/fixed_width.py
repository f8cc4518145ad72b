"""Integers of 32 and 64 bits, and doubles, as the controllers compute with them.

Kubernetes, KEDA and Knative are written in Go: products wrap around, divisions truncate towards zero, a double divided
by zero is infinite or not a number. Where Go leaves a conversion to the processor (a double that does not fit) the
nearest number that fits is taken here, and zero for what is not a number.
"""

from __future__ import annotations

import math

__all__ = ["MAX_INT32", "MAX_INT64", "MIN_INT32", "ceil_int32", "quotient", "ratio", "to_int32", "to_int64", "wrap"]

MAX_INT32 = 2**31 - 1
MIN_INT32 = -(2**31)
MAX_INT64 = 2**63 - 1


def wrap(value: int, bits: int = 64) -> int:
    """``value`` as a signed integer of that many bits, in two's complement."""
    half = 1 << (bits - 1)
    return (value + half) % (1 << bits) - half


def quotient(a: int, b: int) -> int:
    """``a / b`` truncated towards zero.

    Raises:
        ZeroDivisionError: when ``b`` is zero.
    """
    whole = abs(a) // abs(b)
    return whole if (a < 0) == (b < 0) else -whole


def ratio(a: float, b: float) -> float:
    """``a / b`` in doubles: infinite where only ``b`` is zero, NaN where both are."""
    a, b = float(a), float(b)
    if b:
        return a / b
    return math.copysign(math.inf, a) * math.copysign(1.0, b) if a and not math.isnan(a) else math.nan


def to_int32(value: float) -> int:
    """``value`` truncated towards zero, at most ±2³¹; zero of NaN."""
    return _clipped(value, 31)


def to_int64(value: float) -> int:
    """``value`` truncated towards zero, at most ±2⁶³; zero of NaN."""
    return _clipped(value, 63)


def ceil_int32(value: float) -> int:
    """``value`` rounded up, at most ±2³¹; zero of NaN."""
    return to_int32(math.ceil(value)) if math.isfinite(value) else to_int32(value)


def _clipped(value: float, bits: int) -> int:
    if math.isnan(value):
        return 0
    limit = 1 << bits
    return limit - 1 if value >= limit else -limit if value <= -limit else int(value)
