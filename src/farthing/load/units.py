"""What people write for amounts, and nothing else, as plain numbers: ``50ms``, ``1pt``, ``95%``, ``14B``, ``$10,000``.

Arithmetic is decimal until the last step, so ``0.7%`` is 0.007 and not 0.006999…. A comma that does not separate
thousands is refused (:mod:`farthing.load.written_numbers`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal

from farthing.errors import InputError
from farthing.load.written_numbers import NUMBER, decimal_of, plainly

__all__ = ["count", "duration_ms", "fraction", "memory_mib", "rate", "usd"]

_AMOUNT = re.compile(rf"({NUMBER})[\s\u00a0\u202f]*([^\d\s.,'’_]*)", re.ASCII)
_POINT_FOR_THOUSANDS = re.compile(r"[1-9]\d{0,2}\.\d{3}", re.ASCII)
"""Three decimals: dollars and counts have none, so that in half of the world the point stands between thousands."""
_MS: Mapping[str, Decimal] = {
    "ns": Decimal("1e-6"),
    "us": Decimal("1e-3"),
    "µs": Decimal("1e-3"),
    "μs": Decimal("1e-3"),
    "ms": Decimal(1),
    "s": Decimal(1000),
    "min": Decimal(60_000),
}
_SHARE: Mapping[str, Decimal] = {
    "%": Decimal(100),
    "pt": Decimal(100),
    "pts": Decimal(100),
    "point": Decimal(100),
    "points": Decimal(100),
}
_SIZE: Mapping[str, Decimal] = {
    "": Decimal(1),
    "k": Decimal(10**3),
    "m": Decimal(10**6),
    "b": Decimal(10**9),
    "bn": Decimal(10**9),
    "t": Decimal(10**12),
}
_MIB: Mapping[str, Decimal] = {
    "kib": Decimal(2**-10),
    "mib": Decimal(1),
    "gib": Decimal(2**10),
    "tib": Decimal(2**20),
    "kb": Decimal(10**3) / 2**20,
    "mb": Decimal(10**6) / 2**20,
    "gb": Decimal(10**9) / 2**20,
}


def _split(value: object, key: str, example: str) -> tuple[Decimal, str]:
    """Split a value into number and unit; raises with an example of what was expected."""
    meant = plainly(value) if isinstance(value, str) else None
    wrong = InputError(f"{key} is {value!r}, which cannot be read", hint=_written_like(example, meant))
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise wrong
    if isinstance(value, float) and value - value != 0:
        raise wrong
    found = _AMOUNT.fullmatch(str(value).strip())
    if found is None:
        raise wrong
    number = decimal_of(found[1])
    if number is None or number.adjusted() > 300:
        raise wrong
    return number, found[2]


def _written_like(example: str, meant: str | None) -> str:
    if meant is None:
        return f"write it like {example}"
    return f"did you mean {meant}? a point marks decimals, a comma thousands alone (1,000)"


def _refuse_point_for_thousands(value: object, key: str, sign: str = "") -> None:
    """Refuse ``12.345``, which is twelve or twelve thousand; numbers of YAML as well as texts."""
    text = str(value).strip() if isinstance(value, (str, float)) else ""
    if _POINT_FOR_THOUSANDS.fullmatch(text):
        few, many = sign + _shortest(Decimal(text)), sign + text.replace(".", ",")
        raise InputError(
            f"{key} is {value!r}, which may be {sign}{text} or {many}",
            hint=f"write {few} or {many}; a point marks decimals",
        )


def _shortest(number: Decimal) -> str:
    """At most two decimals, none where they are 0."""
    return f"{number.quantize(Decimal('0.01'), ROUND_HALF_UP):f}".rstrip("0").rstrip(".")


def duration_ms(value: object, key: str) -> float:
    """Read milliseconds, > 0, of ``50ms``, ``0.05s``, ``200us``, ``1min``; a bare number is refused.

    Args:
        value: As written by the user.
        key: Its name, for messages (``objective.p99``).

    Raises:
        InputError: when it cannot be read, has no unit or is not > 0.
    """
    number, unit = _split(value, key, "50ms or 0.2s")
    if unit == "":
        raise InputError(f"{key} is {value!r} without a unit", hint=f"did you mean {value}ms?")
    if unit not in _MS:
        meant = f"did you mean {number:f}ms or {number:f}min? " if unit.lower() == "m" else ""
        raise InputError(f"{key} is {value!r}: unknown unit {unit!r}", hint=f"{meant}known: ns, us (µs), ms, s, min")
    if number <= 0:
        raise InputError(f"{key} is {value!r}; it must be > 0")
    return float(number * _MS[unit])


def memory_mib(value: object, key: str) -> float:
    """Read mebibytes, > 0, of ``500MiB``, ``2 GiB``, ``2GB`` (powers of ten); a bare number is refused.

    Raises:
        InputError: when it cannot be read, has no unit or is not > 0.
    """
    number, unit = _split(value, key, "500MiB or 2GiB")
    if unit == "":
        raise InputError(f"{key} is {value!r} without a unit", hint=f"did you mean {value}MiB?")
    if unit.lower() not in _MIB:
        raise InputError(f"{key} is {value!r}: unknown unit {unit!r}", hint="known: KiB, MiB, GiB, TiB, kB, MB, GB")
    if number <= 0:
        raise InputError(f"{key} is {value!r}; it must be > 0")
    return float(number * _MIB[unit.lower()])


def fraction(value: object, key: str) -> float:
    """Read a fraction in [0, 1] of ``1pt``, ``1 %``, ``95%`` or a bare number such as 0.01.

    A bare number of 1 or more is refused: it is more likely meant as per cent.

    Raises:
        InputError: when it cannot be read or lies outside [0, 1].
    """
    number, unit = _split(value, key, "1%, 1pt or 0.01")
    if unit not in _SHARE and unit:
        raise InputError(f"{key} is {value!r}: unknown unit {unit!r}", hint="known: %, pt, or no unit for a fraction")
    if not unit and number >= 1:
        raise InputError(f"{key} is {value!r}; without a unit it must lie in [0, 1)", hint=f"did you mean {value}%?")
    share = number / _SHARE[unit] if unit else number
    if not 0 <= share <= 1:
        raise InputError(f"{key} is {value!r}; it must lie in [0 %, 100 %]")
    return float(share)


def count(value: object, key: str) -> float:
    """Read a number of things, > 0, of ``14B``, ``460M``, ``10k``, ``1,000`` or a bare number.

    Raises:
        InputError: when it cannot be read, is not > 0, or may be thousands (``12.345``).
    """
    _refuse_point_for_thousands(value, key)
    return rate(value, key)


def rate(value: object, key: str) -> float:
    """Read a number of things a second, > 0, as :func:`count` does; ``12.345`` is one.

    Raises:
        InputError: when it cannot be read or is not > 0.
    """
    number, unit = _split(value, key, "460M, 14B or 1,000")
    if unit.lower() not in _SIZE:
        raise InputError(f"{key} is {value!r}: unknown unit {unit!r}", hint="known: k, M, B, T")
    if number <= 0:
        raise InputError(f"{key} is {value!r}; it must be > 0")
    return float(number * _SIZE[unit.lower()])


def usd(value: object, key: str) -> float:
    """Read US dollars, > 0, of ``$10,000``, ``10000``, ``10k USD``, ``$1.5M``.

    Raises:
        InputError: when it cannot be read, is in another currency, is not > 0, or may be thousands (``$12.345``).
    """
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str):
        text = text.removeprefix("$").removeprefix("US$").removesuffix("USD").removesuffix("usd").strip()
    _refuse_point_for_thousands(text, key, "$")
    try:
        return rate(text, key)
    except InputError as e:
        meant = plainly(text, sign="$") if isinstance(text, str) else None
        raise InputError(
            f"{key} is {value!r}, which is no amount of US dollars > 0", hint=_written_like("$10,000", meant)
        ) from e
