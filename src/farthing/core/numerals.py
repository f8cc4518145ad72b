"""Signed numbers within sentences, for every surface: a true minus, never a negative zero, losses and gains by word."""

from __future__ import annotations

import math

__all__ = ["MINUS", "change", "ends", "loses", "number"]

MINUS = "−"
_NOTHING = 5e-6
"""A share below half of the last digit shown, 0.001 points."""


def number(value: float, decimals: int) -> str:
    """``value`` with thousands separators, a true minus and that many decimals (never ``−0``)."""
    text = f"{abs(value):,.{decimals}f}"
    return MINUS + text if value < 0 and _some(text) else text


def change(value: float, decimals: int) -> str:
    """The same with its sign in front, ``+0.3``; what rounds to nothing has none."""
    text = number(value, decimals)
    return f"+{text}" if value > 0 and _some(text) else text


def ends(lo: float, hi: float, decimals: int, *, scale: float = 1.0) -> str:
    """``[−0.2, 1.1]``, the lower end first whatever the sign of ``scale``."""
    low, high = sorted((lo * scale, hi * scale))
    return f"[{number(low, decimals)}, {number(high, decimals)}]"


def loses(loss_frac: float) -> str:
    """A mean loss in words: ``loses 0.75 points``, of a negative one ``gains 0.063 points``.

    Args:
        loss_frac: Of a quality in [0, 1].
    """
    if loss_frac == 0:
        return "loses nothing"
    word, value = "loses" if loss_frac > 0 else "gains", abs(100 * loss_frac)
    if abs(loss_frac) < _NOTHING:
        return f"{word} less than 0.001 points"
    decimals = min(3, max(1, 1 - math.floor(math.log10(value))))
    text = f"{value:.{decimals}f}"
    return f"{word} {text} {'point' if float(text) == 1 else 'points'}"


def _some(text: str) -> bool:
    """Whether a digit of it is not 0 (infinity counts)."""
    return any(c in "123456789" for c in text) or not any(c.isdigit() for c in text)
