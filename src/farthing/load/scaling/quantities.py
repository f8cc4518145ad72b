"""Kubernetes' quantities: ``500m``, ``1Gi``, ``1e3``, ``50``.

Source: Kubernetes, ``k8s.io/apimachinery/pkg/api/resource``; what is finer than a thousandth is rounded up, as
``MilliValue`` does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal

__all__ = ["QUANTITY", "quantity_m"]

QUANTITY = "a quantity: 50, 0.5, 500m, 1Gi"
"""What may be written, for messages."""
_FORM = re.compile(
    r"([+-]?(?:\d{1,18}(?:\.\d{0,18})?|\.\d{1,18}))(?:([KMGTPE]i)|([numkMGTPE])|[eE]([+-]?\d{1,2}))?", re.ASCII
)
_BINARY: Mapping[str, Decimal] = {f"{letter}i": Decimal(1024) ** k for k, letter in enumerate("KMGTPE", start=1)}
_DECIMAL: Mapping[str, Decimal] = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{letter: Decimal(1000) ** k for k, letter in enumerate("kMGTPE", start=1)},
}


def quantity_m(value: object) -> int | None:
    """Thousandths of a quantity, rounded up; None where it is none.

    Args:
        value: Text, or a number as YAML gives it; ``1_000``, ``50 m``, ``1GB`` and ``NaN`` are none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    found = _FORM.fullmatch(str(value))
    if found is None:
        return None
    number, binary, decimal, exponent = found.groups()
    size = _BINARY[binary] if binary else _DECIMAL[decimal] if decimal else Decimal(10) ** int(exponent or 0)
    return int((Decimal(number) * size * 1000).to_integral_value(ROUND_CEILING))
