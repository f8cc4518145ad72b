"""Numbers as people and files write them: decimal points, thousands in groups of three, and nothing that is ambiguous.

A comma is read where it separates thousands (``1,000``), and refused anywhere else: in half of the world ``0,5`` is a
half, and taking the comma out would make it five.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

__all__ = ["NUMBER", "cell_number", "decimal_of", "plainly"]

_PLAIN = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?"
NUMBER = rf"[+-]?(?:(?:[1-9]\d{{0,2}}(?:,\d{{3}})+|[1-9]\d{{0,2}}(?:_\d{{3}})+)(?:\.\d+)?|{_PLAIN})"
"""Pattern of a number in ASCII digits, thousands in groups of three joined by all commas or all underscores."""
_NUMBER, _CELL = re.compile(NUMBER, re.ASCII), re.compile(rf"[+-]?{_PLAIN}", re.ASCII)
_GROUPED = re.compile(r"\d{1,3}(?:[.'’ \u00a0\u202f]\d{3})+(?:,\d+)?(?![\d.,])", re.ASCII)
_DECIMAL_COMMA = re.compile(r"(?<![\d.,])(\d+),(\d+)(?![\d.,])", re.ASCII)

_COMMA_THOUSANDS = re.compile(r"(?<![\d.,'’])(?<!\d[ \u00a0\u202f])([1-9]\d{0,2}),(\d{3})(?![\d.,])", re.ASCII)
_POINT_AFTER_COMMA = re.compile(r"\.\d{3},", re.ASCII)
_COMMA_GROUPS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?(?![\d.,])", re.ASCII)


def decimal_of(text: str) -> Decimal | None:
    """Read a number with thousands separators or without; None for anything else, infinities and NaN included."""
    return Decimal(text.replace(",", "").replace("_", "")) if _NUMBER.fullmatch(text) else None


def cell_number(text: str) -> float | None:
    """Read a table's cell: digits, a decimal point, an exponent, without any separator; None for anything else.

    A comma within a cell may be a decimal one of the program that wrote the table, hence it is never taken.
    """
    plain = text.strip()
    number = float(plain) if _CELL.fullmatch(plain) else math.inf
    return number if math.isfinite(number) else None


def plainly(text: str, sign: str = "") -> str | None:
    """What was probably meant, so that it can be read: ``0,5%`` → ``0.5%``, ``10.000,00`` → ``10000.00``.

    A comma before three digits may separate thousands or decimals: ``1,234`` → ``1234 or 1.234``.

    Args:
        text: As written.
        sign: To stand before each (``$``).

    Returns:
        None where nothing better is known.
    """
    plain = "".join(str(int(c)) if c.isdecimal() else c for c in text.strip())
    if _COMMA_THOUSANDS.search(plain) and not _POINT_AFTER_COMMA.search(plain):
        both = [_COMMA_THOUSANDS.sub(rf"\1{mark}\2", plain) for mark in ("", ".")]
        return None if any("," in meant for meant in both) else " or ".join(sign + meant for meant in both)
    meant = _GROUPED.sub(_ungrouped, plain)
    meant = _DECIMAL_COMMA.sub(r"\1.\2", plain) if meant == plain else meant
    meant = _COMMA_GROUPS.sub(lambda found: found[0].replace(",", ""), plain) if meant == plain else meant
    return None if meant == text.strip() or "," in meant else sign + meant


def _ungrouped(found: re.Match[str]) -> str:
    whole, comma, rest = found[0].partition(",")
    if not comma and whole.count(".") == 1 and len(re.findall(r"\d+", whole)) == 2:
        return whole  # 1.234 is a number as it stands
    return re.sub(r"\D", "", whole) + (f".{rest}" if comma else "")
