"""``farthing prices``: which offers there are, what one costs under which terms, importing prices, checking them."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from farthing.errors import InputError, UnknownOfferError
from farthing.load.prices import (
    MAX_AGE_DAYS,
    PriceProblem,
    PriceRow,
    check_offers,
    find_offer,
    format_rows,
    import_rows,
    load_offers,
    load_rows,
    offers_as_of,
    user_folder,
)
from farthing.nouns import Offer, Term
from farthing.store.documents import write_text

__all__ = ["Imported", "check", "import_file", "list_offers", "show"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import brought.

    Attributes:
        path: The table that was written.
        offers: The offers in it.
    """

    path: Path
    offers: tuple[Offer, ...]


def _day(as_of: date | None) -> date:
    return as_of or date.today()  # noqa: DTZ011 - prices are dated by calendar days


def _has_gpu(offer: Offer, gpu: str) -> bool:
    accelerator = offer.hardware.accelerator
    return accelerator is not None and (gpu == "any" or gpu.casefold() in accelerator.casefold())


def list_offers(
    *,
    as_of: date | None = None,
    name: str = "*",
    provider: str | None = None,
    region: str | None = None,
    term: Term | None = None,
    isa: Iterable[str] = (),
    gpu: str | None = None,
    max_usd: float | None = None,
    max_age_days: int | None = MAX_AGE_DAYS,
) -> tuple[Offer, ...]:
    """List the newest price of each offer on a day, cheapest first; every filter narrows.

    Args:
        as_of: A day in the past, None for today.
        name: Glob on the name (``aws/m7i.*``); without a slash on the part after it.
        provider: ``aws``, ``azure``, ``gcp`` or the user's own word.
        region: The provider's name of it.
        term: How it is bought.
        isa: Instruction sets that must all be there.
        gpu: Part of the accelerator's name, or ``any``.
        max_usd: Upper bound on the price of an hour in USD.
        max_age_days: Largest age on that day, None to list stale prices too.
    """
    day = _day(as_of)
    pattern = name if "/" in name else f"*/{name}"
    wanted = [
        offer
        for offer in offers_as_of(load_offers(), day)
        if fnmatch.fnmatchcase(offer.name, pattern)
        and provider in (None, offer.provider)
        and region in (None, offer.region)
        and term in (None, offer.term)
        and set(isa) <= set(offer.hardware.isa)
        and (gpu is None or _has_gpu(offer, gpu))
        and (max_usd is None or (offer.usd_per_hour is not None and offer.usd_per_hour <= max_usd))
        and (max_age_days is None or (day - offer.dated).days <= max_age_days)
    ]
    return tuple(sorted(wanted, key=lambda o: (o.usd_per_hour is None, o.usd_per_hour or 0.0, o.key)))


def show(name: str, *, region: str | None = None, as_of: date | None = None) -> tuple[PriceRow, ...]:
    """All prices of one offer up to a day, every term and date, newest first within each.

    Raises:
        UnknownOfferError: when there is no such name or region, or no price by that day.
    """
    rows, day = load_rows(), _day(as_of)
    offers = [row.offer for row in rows]
    past = [
        row for row in rows if row.offer.name == name and region in (None, row.offer.region) and row.offer.dated <= day
    ]
    if not past:
        find_offer(offers, name, region, as_of=day)
        raise UnknownOfferError(f"{name} has no price by {day}")
    return tuple(sorted(past, key=lambda row: (row.offer.key, -row.offer.dated.toordinal())))


def import_file(
    path: Path, *, dated: date | None = None, source: str | None = None, into: Path | None = None
) -> Imported:
    """Read a price file and keep its offers in the user's folder, in farthing's own columns.

    Importing the same file name again replaces what it brought before.

    Args:
        path: See :func:`farthing.load.prices.import_rows`.
        dated: Day of a public table, None to take it from the file's name.
        source: What to cite for a public table.
        into: Folder to write to, None for :func:`farthing.load.prices.user_folder`.

    Raises:
        InputError: when the file cannot be read or is the table itself.
        StoreError: when the table cannot be written.
    """
    target = (user_folder() if into is None else into) / f"{path.stem}.csv"
    if target.resolve() == path.resolve():
        raise InputError(f"{path} is already in use", hint="edit it in place, or import another file")
    rows = import_rows(path, dated=dated, source=source)
    return Imported(path=write_text(target, format_rows(rows)), offers=tuple(row.offer for row in rows))


def check() -> tuple[PriceProblem, ...]:
    """Integrity of all prices in use; empty when nothing was found."""
    return check_offers(load_offers())
