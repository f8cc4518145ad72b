"""Which offers there are on a day: the packaged snapshot and the user's own prices, merged and looked up."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path

from farthing.errors import StalePriceError, UnknownOfferError
from farthing.load.prices.own_csv import PriceRow, read_rows
from farthing.nouns import Offer, Term

__all__ = [
    "MAX_AGE_DAYS",
    "SNAPSHOT_PATH",
    "find_offer",
    "list_rows",
    "load_offers",
    "load_rows",
    "merge_rows",
    "offers_as_of",
    "snapshot_rows",
    "terms_of",
    "user_folder",
]

MAX_AGE_DAYS = 180
"""Default limit on the age of a price in days."""
SNAPSHOT_PATH = Path(__file__).parents[2] / "data" / "prices.csv"
"""The packaged snapshot."""
_HOME_REGIONS: Mapping[str, str] = {"aws": "us-east-1", "azure": "eastus", "gcp": "us-central1"}
"""Region that is meant when none is named."""


def user_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Folder of the user's own price tables: ``$FARTHING_HOME/prices``, else ``~/.config/farthing/prices``."""
    home = environment.get("FARTHING_HOME")
    if home:
        return Path(home) / "prices"
    config = environment.get("XDG_CONFIG_HOME")
    return (Path(config) if config else Path.home() / ".config") / "farthing" / "prices"


@cache
def snapshot_rows() -> tuple[PriceRow, ...]:
    """Rows of the packaged snapshot, read once a process."""
    return read_rows(SNAPSHOT_PATH)


def merge_rows(listed: Iterable[PriceRow], own: Iterable[PriceRow]) -> tuple[PriceRow, ...]:
    """Merge the history of all prices, own ones winning.

    Where both hold a price of the same offer and day, the own one stays. From the day of a negotiated price on,
    list prices of that offer are left out: the contract holds, whatever the list says later.
    """
    merged = {(row.offer.key, row.offer.dated): row for row in listed}
    mine = {(row.offer.key, row.offer.dated): row for row in own}
    since: dict[str, date] = {}
    for (key, dated), row in mine.items():
        if row.negotiated:
            since[key] = min(dated, since.get(key, dated))
    merged.update(mine)
    return tuple(
        row for (key, dated), row in sorted(merged.items()) if row.negotiated or key not in since or dated < since[key]
    )


def _own_rows(extra: Path | None, without: str | None = None) -> tuple[PriceRow, ...]:
    place = user_folder() if extra is None else extra
    files = [place] if place.is_file() else sorted(place.glob("*.csv")) if place.is_dir() else []
    return tuple(row for file in files if file.stem != without for row in read_rows(file))


def list_rows(extra: Path | None = None, *, without: str | None = None) -> tuple[PriceRow, ...]:
    """As :func:`load_rows` without negotiated prices: what a discount applies to.

    Args:
        extra: As there.
        without: Name of a table, without its ending, to leave out: the one that is being replaced.
    """
    return merge_rows(snapshot_rows(), (row for row in _own_rows(extra, without) if not row.negotiated))


def load_rows(extra: Path | None = None) -> tuple[PriceRow, ...]:
    """Every known price with its history: the snapshot, the user's folder, and one more file.

    Args:
        extra: Folder of tables or one table to use instead of :func:`user_folder`; it may be missing.

    Raises:
        InputError: when a table cannot be read.
    """
    return merge_rows(snapshot_rows(), _own_rows(extra))


def load_offers(extra: Path | None = None) -> tuple[Offer, ...]:
    """As :func:`load_rows`, the offers alone: several dates of one offer, all terms and regions."""
    return tuple(row.offer for row in load_rows(extra))


def offers_as_of(offers: Iterable[Offer], day: date) -> tuple[Offer, ...]:
    """Take the newest price of each offer not newer than a day, sorted by name, region and term."""
    newest: dict[str, Offer] = {}
    for offer in offers:
        known = newest.get(offer.key)
        if offer.dated <= day and (known is None or offer.dated > known.dated):
            newest[offer.key] = offer
    return tuple(newest[key] for key in sorted(newest))


def _named(offers: Iterable[Offer], name: str) -> list[Offer]:
    offers = tuple(offers)
    found = [offer for offer in offers if offer.name == name]
    if found:
        return found
    names = sorted({offer.name for offer in offers})
    close = [known for known in names if known.partition("/")[2] == name.rpartition("/")[2]]
    close = close or difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    meant = f"did you mean {' or '.join(close[:3])}? " if close else ""
    raise UnknownOfferError(f"there is no offer {name}", hint=f"{meant}`farthing prices list` shows all")


def _in_region(offers: Sequence[Offer], region: str | None) -> list[Offer]:
    """Offers of one name in a region; without one the provider's home region, else the first of the newest date."""
    regions = sorted({offer.region for offer in offers})
    name = offers[0].name
    if region is not None and region not in regions:
        raise UnknownOfferError(f"{name} has no price in {region}", hint=f"known regions: {', '.join(regions)}")
    if region is None:
        home = _HOME_REGIONS.get(offers[0].provider)
        newest = max(offer.dated for offer in offers)
        dated = sorted(offer.region for offer in offers if offer.dated == newest)
        region = home if home in regions else dated[0]
    return [offer for offer in offers if offer.region == region]


def _fresh(offer: Offer, as_of: date, max_age_days: int) -> Offer:
    age_days = (as_of - offer.dated).days
    if age_days > max_age_days:
        raise StalePriceError(
            f"prices of {offer.name} are {age_days} days old ({offer.dated}); the limit is {max_age_days} days",
            hint=f"`farthing prices import FILE`, or --as-of {offer.dated} to price the past",
        )
    return offer


def find_offer(
    offers: Iterable[Offer],
    name: str,
    region: str | None = None,
    term: Term = "on_demand",
    *,
    as_of: date,
    max_age_days: int = MAX_AGE_DAYS,
) -> Offer:
    """Find the newest price of one offer on a day.

    Args:
        offers: As :func:`load_offers` gives them.
        name: ``provider/instance``.
        region: None means us-east-1, eastus or us-central1; for other providers the region priced last.
        term: How it is bought.
        as_of: The day to price for: today, or a day in the past.
        max_age_days: Largest age of a price on that day.

    Raises:
        UnknownOfferError: when there is no such name, region or term, or no price by that day.
        StalePriceError: when its newest price is older than the limit.
    """
    here = _in_region(_named(offers, name), region)
    where = f"{name} in {here[0].region}"
    wanted = [offer for offer in here if offer.term == term]
    if not wanted:
        known = sorted({offer.term for offer in here})
        raise UnknownOfferError(f"{where} has no price under {term}", hint=f"known terms: {', '.join(known)}")
    past = [offer for offer in wanted if offer.dated <= as_of]
    if not past:
        oldest = min(offer.dated for offer in wanted)
        raise UnknownOfferError(
            f"{where} has no price by {as_of}; the oldest is of {oldest}", hint=f"--as-of {oldest} or later"
        )
    return _fresh(max(past, key=lambda offer: offer.dated), as_of, max_age_days)


def terms_of(
    offers: Iterable[Offer],
    name: str,
    region: str | None = None,
    *,
    as_of: date,
    max_age_days: int = MAX_AGE_DAYS,
) -> dict[Term, Offer]:
    """All terms under which one offer can be bought on a day, with their newest prices.

    Terms without a price in the limit of age are left out: a stale price is no choice.

    Raises:
        UnknownOfferError: when there is no such name or region.
    """
    here = _in_region(_named(offers, name), region)
    current = offers_as_of(here, as_of)
    return {offer.term: offer for offer in current if (as_of - offer.dated).days <= max_age_days}
