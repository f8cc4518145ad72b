"""One door for all price files: a public table, a table of farthing's own, or the user's YAML."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from farthing.errors import InputError
from farthing.load.prices.check import check_offers
from farthing.load.prices.lookup import list_rows, merge_rows, snapshot_rows
from farthing.load.prices.own_csv import COLUMNS, PriceRow, read_rows
from farthing.load.prices.own_yaml import read_own
from farthing.load.prices.public_lists import date_of, find_shape, source_of
from farthing.load.tables import read_table
from farthing.nouns import Offer

__all__ = ["import_prices", "import_rows"]


def _read(path: Path, dated: date | None, source: str | None) -> tuple[PriceRow, ...]:
    if path.suffix.lower() in (".yaml", ".yml", ".json"):
        return read_own(path, [row.offer for row in list_rows()])
    if path.suffix.lower() != ".csv":
        raise InputError(f"{path} is no price file", hint="write prices as .csv or .yaml")
    table = read_table(path)
    shape = find_shape(table)
    if shape is not None:
        known = {row.offer.name: row.offer.hardware for row in snapshot_rows()}
        return shape(date_of(path, dated), source_of(path, source), known)
    if "name" in table.columns and "term" in table.columns:
        return read_rows(path)
    raise InputError(
        f"{path} has a header that is not known: {', '.join(table.columns)}",
        hint=f"farthing's own table has the columns {', '.join(COLUMNS)}",
    )


def import_rows(path: Path, *, dated: date | None = None, source: str | None = None) -> tuple[PriceRow, ...]:
    """Read a price file of any known shape; nothing is written.

    Args:
        path: CSV in one of the shapes of :mod:`farthing.load.prices.public_lists`, CSV in farthing's own columns, or
            YAML/JSON with ``schema: farthing/prices/1``.
        dated: Day on which the prices of a public table were valid, None to take it from the file's name.
        source: What to cite for a public table, None for the file's name and digest.

    Raises:
        InputError: when it cannot be read or holds prices that cannot be right; the first problem is named.
    """
    rows = _read(path, dated, source)
    beside = (row.offer for row in list_rows(without=path.stem))
    problems = check_offers((row.offer for row in rows), beside)
    if problems:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InputError(
            f"{path}: {first.key} of {first.dated}: {first.problem}{more}",
            hint="; ".join(text for text in ("nothing was imported", first.hint) if text),
        )
    return merge_rows((), rows)


def import_prices(path: Path, *, dated: date | None = None, source: str | None = None) -> tuple[Offer, ...]:
    """As :func:`import_rows`, the offers alone."""
    return tuple(row.offer for row in import_rows(path, dated=dated, source=source))
