"""Prices: the packaged snapshot, the user's own tables, and looking one up on a day."""

from __future__ import annotations

from collections.abc import Iterable

from farthing.load.prices.check import PriceProblem, check_offers
from farthing.load.prices.imports import import_prices, import_rows
from farthing.load.prices.lookup import (
    MAX_AGE_DAYS,
    find_offer,
    load_offers,
    load_rows,
    offers_as_of,
    snapshot_rows,
    terms_of,
    user_folder,
)
from farthing.load.prices.own_csv import PriceRow, format_rows, read_rows
from farthing.load.prices.own_yaml import amortised_usd_per_hour
from farthing.nouns import Offer

__all__ = [
    "MAX_AGE_DAYS",
    "PriceProblem",
    "PriceRow",
    "Snapshot",
    "amortised_usd_per_hour",
    "check_offers",
    "find_offer",
    "format_rows",
    "import_prices",
    "import_rows",
    "load_offers",
    "load_rows",
    "offers_as_of",
    "read_rows",
    "snapshot_rows",
    "terms_of",
    "user_folder",
]


class Snapshot:
    """The prices that come with farthing (a PriceSource)."""

    name = "snapshot"

    def offers(self) -> Iterable[Offer]:
        """All offers of the packaged table, several dates of some."""
        return tuple(row.offer for row in snapshot_rows())
