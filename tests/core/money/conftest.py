"""Offers and traces for the money tests; all prices here are made up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from farthing.nouns import Hardware, Offer, Term

OfferMaker = Callable[..., Offer]


@pytest.fixture(scope="session")
def offer() -> OfferMaker:
    """An offer of the test's machine: ``offer("spot", 0.03, interruptions_per_hour=0.05)``."""

    def make(term: Term = "on_demand", usd_per_hour: float | None = 0.1, **fields: object) -> Offer:
        name = str(fields.pop("name", "test/machine"))
        return Offer(
            name=name,
            provider="test",
            region="here",
            term=term,
            hardware=Hardware(name=name, vcpus=2),
            dated=date(2026, 7, 20),
            source="made up for tests",
            usd_per_hour=usd_per_hour,
            **fields,
        )

    return make
