"""Numbers within the sentences of this room."""

from __future__ import annotations

__all__ = ["counted", "percent"]


def percent(fraction: float) -> str:
    """Write a fraction in whole per cent (``38 %``); what is there but rounds to nothing is ``under 1 %``."""
    if 0 < fraction < 0.005:
        return "under 1 %"
    return f"{100 * fraction:.0f} %"


def counted(n: int, noun: str, singular: str, plural: str) -> str:
    """Write a count with its noun and verb (``1 operator stays``, ``3 operators stay``)."""
    return f"{n} {noun} {singular}" if n == 1 else f"{n} {noun}s {plural}"
