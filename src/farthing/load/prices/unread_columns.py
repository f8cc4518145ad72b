"""Columns of a public price table beside those that are read: harmless, or of a meaning that must be refused."""

from __future__ import annotations

import re
from collections.abc import Mapping

from farthing.errors import InputError
from farthing.load.tables import Table

__all__ = ["checked_name", "refuse_other_meanings"]

_MEANINGS: Mapping[str, tuple[frozenset[str], str]] = {
    "currency": (frozenset(("usd", "us$", "$", "us dollar", "us dollars")), "US dollars"),
    "unit": (frozenset(("h", "hr", "hrs", "hour", "hours", "hourly", "per hour", "1 hour", "usd/h")), "an hour"),
    "os": (frozenset(("linux", "linux/unix")), "Linux"),
    "tenancy": (frozenset(("shared", "default")), "shared machines"),
    "term": (frozenset(("on demand", "ondemand", "on_demand", "on-demand")), "on demand"),
    "extra": (frozenset(("0", "no", "false", "none", "na")), "list prices without up-front payment, discount or tax"),
}
"""What a column may say, and what the table's prices are taken for."""
_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("currency", "ccy", "currencycode", "cur"), "currency"),
    **dict.fromkeys(("unit", "units", "period", "per", "billing", "granularity"), "unit"),
    **dict.fromkeys(("os", "operating", "platform", "operatingsystem", "software"), "os"),
    "tenancy": "tenancy",
    **dict.fromkeys(("term", "commitment", "reservation", "lease", "purchase", "offering"), "term"),
    **dict.fromkeys(("upfront", "discount", "tax", "vat"), "extra"),
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_NAME_WITH_BLANKS = re.compile(rf"{_NAME.pattern}(?: [A-Za-z0-9_.+-]+)*")
"""Azure's dedicated hosts: ``DCadsv5 Type 1``."""


def refuse_other_meanings(table: Table, needed: frozenset[str]) -> None:
    """Refuse a table in which a column that is not read makes its prices something else: euros, a month, Windows.

    Args:
        table: As read.
        needed: Columns that are read.

    Raises:
        InputError: naming column, line and value.
    """
    for column in table.columns:
        meaning = None if column in needed else _meaning(column)
        if meaning is None:
            continue
        allowed, said = _MEANINGS[meaning]
        for line, value in zip(table.lines, table.columns[column], strict=True):
            text = str(value).strip()
            if text and text.lower() not in allowed:
                raise InputError(
                    f"{table.path} line {line}: {column} is {text!r}; prices of this table are read as {said}",
                    hint="convert them, and leave the column out; other terms go into a price file of your own (YAML)",
                )


def _meaning(column: str) -> str | None:
    words = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", column).lower())
    return next((_WORDS[word] for word in words if word in _WORDS), None)


def checked_name(table: Table, line: int, column: str, text: str) -> str:
    """A name as providers write them.

    Raises:
        InputError: when there are blanks or invisible characters in it.
    """
    if (_NAME_WITH_BLANKS if column == "vm_size" else _NAME).fullmatch(text) is None:
        raise InputError(f"{table.path} line {line}: {column} is {text!r}, which is no name of a provider's")
    return text
