"""The CSV table of offers: one row a price, the same for the packaged snapshot and the user's own files.

Numbers carry their unit in the column's name; an empty cell is a fact that no source gave. Besides the Offer a
row keeps what another public copy said of the same price.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, cast, get_args

from farthing.errors import InputError
from farthing.load.tables import read_table
from farthing.load.written_numbers import cell_number
from farthing.load.yes_no import YES_NO, yes_or_no
from farthing.nouns import Hardware, Offer, Term

__all__ = ["COLUMNS", "RATES", "TERMS", "PriceRow", "format_rows", "read_rows"]

TERMS: tuple[str, ...] = get_args(Term)
"""How an offer can be bought."""
COLUMNS = (
    "name",
    "region",
    "term",
    "dated",
    "usd_per_hour",
    "upfront_usd",
    "usd_per_request",
    "usd_per_gib_s",
    "usd_per_input_token",
    "usd_per_output_token",
    "parts_usd_per_hour",
    "interruptions_per_hour",
    "vcpus",
    "threads_per_core",
    "memory_gib",
    "arch",
    "cpu",
    "isa",
    "accelerator",
    "accelerators",
    "accelerator_memory_gib",
    "negotiated",
    "source",
    "check_source",
    "check_diff_frac",
    "note",
)
"""Columns in the order in which they are written; a file may leave out any but the first four and source."""
RATES = ("usd_per_hour", "usd_per_request", "usd_per_gib_s", "usd_per_input_token", "usd_per_output_token")
"""Columns that hold a price; an offer has at least one of them."""
_NEEDED = ("name", "region", "term", "dated", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRow:
    """An offer with what is known of where its price came from.

    Attributes:
        offer: The price.
        negotiated: True for the user's own contract, which wins over list prices.
        check_source: Another public copy that holds the same price, empty when there was none.
        check_diff_frac: (this price − the other copy's) / the other copy's, None without another copy.
        note: What a reader should know of it.
    """

    offer: Offer
    negotiated: bool = False
    check_source: str = ""
    check_diff_frac: float | None = None
    note: str = ""


class _Cells:
    """One row's cells with conversions that name file, line and column when they fail."""

    def __init__(self, path: Path, line: int, cells: Mapping[str, str]) -> None:
        self._where = f"{path} line {line}"
        self._cells = cells

    def error(self, problem: str) -> InputError:
        return InputError(f"{self._where}: {problem}")

    def text(self, column: str) -> str:
        return self._cells.get(column, "").strip()

    def needed(self, column: str) -> str:
        value = self.text(column)
        if not value:
            raise self.error(f"{column} is empty")
        return value

    def number(self, column: str, *, above: float = 0.0, zero: bool = False) -> float | None:
        value = self.text(column)
        if not value:
            return None
        number = cell_number(value)
        if number is None:
            said = value if value.lower() in ("nan", "inf", "infinity") else repr(value)
            raise self.error(f"{column} is {said}, not a number")
        if number < above or (number == above and not zero):
            raise self.error(f"{column} is {value}; it must be {'≥' if zero else '>'} {above:g}")
        return number

    def yes(self, column: str) -> bool:
        value = self.text(column)
        said = yes_or_no(value) if value else False
        if said is None:
            raise self.error(f"{column} is {value!r}; it must be {YES_NO}, or empty for no")
        return said

    def day(self, column: str) -> date:
        value = self.needed(column)
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise self.error(f"{column} is {value!r}; write it like 2026-07-20") from None

    def name(self) -> str:
        """``provider/instance``, without blanks around either."""
        return "/".join(part.strip() for part in self.needed("name").split("/"))

    def term(self) -> Term:
        value = self.needed("term")
        if value not in TERMS:
            raise self.error(f"unknown term {value!r}; known: {', '.join(TERMS)}")
        return cast(Term, value)

    def parts(self) -> dict[str, float]:
        pairs = [pair.partition("=") for pair in self.text("parts_usd_per_hour").split(";") if pair]
        found = {name: cell_number(value) for name, _, value in pairs}
        known = {name: value for name, value in found.items() if value is not None}
        if len(known) < len(pairs):
            raise self.error(f"parts_usd_per_hour is {self.text('parts_usd_per_hour')!r}; write a=1;b=2")
        return known


def _hardware(c: _Cells) -> Hardware:
    threads = c.number("threads_per_core")
    return Hardware(
        name=c.name(),
        vcpus=c.number("vcpus"),
        threads_per_core=None if threads is None else int(threads),
        isa=tuple(c.text("isa").split()),
        memory_gib=c.number("memory_gib"),
        arch=c.text("arch") or None,
        cpu=c.text("cpu") or None,
        accelerator=c.text("accelerator") or None,
        accelerators=c.number("accelerators", zero=True) or 0.0,
        accelerator_memory_gib=c.number("accelerator_memory_gib"),
    )


def _row(c: _Cells) -> PriceRow:
    name = c.name()
    rates: dict[str, Any] = {column: c.number(column) for column in RATES}
    if all(rate is None for rate in rates.values()):
        raise c.error(f"{name} has no price")
    if "/" not in name:
        raise c.error(f"name is {name!r}; write provider/instance, like aws/m7i.large")
    return PriceRow(
        offer=Offer(
            name=name,
            provider=name.partition("/")[0],
            region=c.needed("region"),
            term=c.term(),
            hardware=_hardware(c),
            dated=c.day("dated"),
            source=c.needed("source"),
            upfront_usd=c.number("upfront_usd", zero=True) or 0.0,
            interruptions_per_hour=c.number("interruptions_per_hour", zero=True),
            parts_usd_per_hour=c.parts(),
            **rates,
        ),
        negotiated=c.yes("negotiated"),
        check_source=c.text("check_source"),
        check_diff_frac=c.number("check_diff_frac", above=-1.0),
        note=c.text("note"),
    )


def read_rows(path: Path) -> tuple[PriceRow, ...]:
    """Read a table of offers.

    Raises:
        InputError: when a column is unknown or missing, or a cell has no meaning; the message names file, line,
            column and value.
    """
    table = read_table(path)
    unknown = [column for column in table.columns if column not in COLUMNS]
    missing = [column for column in _NEEDED if column not in table.columns]
    if unknown or missing:
        problem = f"unknown column {unknown[0]!r}" if unknown else f"no column {missing[0]!r}"
        raise InputError(f"{path}: {problem}", hint=f"known columns: {', '.join(COLUMNS)}")
    columns = tuple(table.columns)
    cells = zip(*(table.columns[column] for column in columns), strict=True)
    return tuple(
        _row(_Cells(path, line, dict(zip(columns, values, strict=True))))
        for line, values in zip(table.lines, cells, strict=True)
    )


def _plain(value: float | None) -> str:
    """Write a number as short as it can be read back exactly."""
    if value is None:
        return ""
    text = repr(float(value))
    return text.removesuffix(".0")


def _cells(row: PriceRow) -> dict[str, str]:
    offer, hardware = row.offer, row.offer.hardware
    return {
        "name": offer.name,
        "region": offer.region,
        "term": offer.term,
        "dated": offer.dated.isoformat(),
        "usd_per_hour": _plain(offer.usd_per_hour),
        "upfront_usd": _plain(offer.upfront_usd or None),
        "usd_per_request": _plain(offer.usd_per_request),
        "usd_per_gib_s": _plain(offer.usd_per_gib_s),
        "usd_per_input_token": _plain(offer.usd_per_input_token),
        "usd_per_output_token": _plain(offer.usd_per_output_token),
        "parts_usd_per_hour": ";".join(f"{k}={_plain(v)}" for k, v in sorted(offer.parts_usd_per_hour.items())),
        "interruptions_per_hour": _plain(offer.interruptions_per_hour),
        "vcpus": _plain(hardware.vcpus),
        "threads_per_core": _plain(hardware.threads_per_core),
        "memory_gib": _plain(hardware.memory_gib),
        "arch": hardware.arch or "",
        "cpu": hardware.cpu or "",
        "isa": " ".join(hardware.isa),
        "accelerator": hardware.accelerator or "",
        "accelerators": _plain(hardware.accelerators or None),
        "accelerator_memory_gib": _plain(hardware.accelerator_memory_gib),
        "negotiated": "yes" if row.negotiated else "",
        "source": offer.source,
        "check_source": row.check_source,
        "check_diff_frac": _plain(row.check_diff_frac),
        "note": row.note,
    }


def format_rows(rows: Iterable[PriceRow]) -> str:
    """Write rows as the CSV text of a price table, sorted by name, region, term and date, so that diffs are short."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(map(_cells, rows), key=lambda c: tuple(c[k] for k in ("name", "region", "term", "dated"))))
    return text.getvalue()
