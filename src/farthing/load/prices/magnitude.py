"""Prices of the wrong size: cents for dollars, a month for an hour, a point in the wrong place.

A price is held against the others of the same instance (terms, dates, regions), where there is none against those of
its family by vCPU, and against bounds that no price of a machine has crossed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from statistics import median_low

from farthing.load.prices.own_csv import RATES
from farthing.nouns import Offer

__all__ = ["Known", "wrong_size"]

_FAR = 20.0
"""Spot and three years of commitment cost down to a tenth of the list price; dates and regions are closer."""
_SAID = {"usd_per_hour": "USD an hour"}
_LEAST_USD_PER_VCPU_H, _LEAST_USD_PER_ACCELERATOR_H = 0.0002, 0.01
_MOST_USD_PER_VCPU_H, _MOST_USD_PER_ACCELERATOR_H = 20.0, 500.0


class Known:
    """Prices that others are held against.

    Args:
        offers: All of them.
    """

    def __init__(self, offers: Iterable[Offer]) -> None:
        self._by_name: dict[str, list[Offer]] = defaultdict(list)
        self._by_family: dict[tuple[str, str], list[Offer]] = defaultdict(list)
        for offer in offers:
            self._by_name[offer.name].append(offer)
            if _by_vcpu(offer) is not None:
                self._by_family[_family(offer.name), offer.term].append(offer)

    def of_name(self, offer: Offer) -> list[Offer]:
        """Other prices of the same instance."""
        return [o for o in self._by_name[offer.name] if (o.key, o.dated) != (offer.key, offer.dated)]

    def of_family(self, offer: Offer) -> list[Offer]:
        """Prices of the family's other instances under the same term."""
        return [o for o in self._by_family[_family(offer.name), offer.term] if o.name != offer.name]


def _family(name: str) -> str:
    """``aws/m7i`` of ``aws/m7i.large``; elsewhere the name without digits."""
    before, dot, _ = name.partition(".")
    return before if dot else re.sub(r"\d+", "", name)


def _by_vcpu(offer: Offer) -> float | None:
    hourly = offer.usd_per_hour
    return None if hourly is None or not offer.hardware.vcpus else hourly / offer.hardware.vcpus


def wrong_size(offer: Offer, known: Known) -> Iterator[str]:
    """What is wrong with the size of an offer's prices, with value and limit; nothing for most.

    Args:
        offer: To look at.
        known: Prices to hold it against; may hold the offer itself.
    """
    others = known.of_name(offer)
    found = [
        text
        for rate in RATES
        for text in _against(offer, others, _SAID.get(rate, rate.replace("_", " ")), attrgetter(rate))
    ]
    if not any(other.usd_per_hour is not None for other in others):
        found += _against(offer, known.of_family(offer), "USD a vCPU and hour", _by_vcpu)
    yield from found or _bounds(offer)


def _against(offer: Offer, others: Sequence[Offer], what: str, read: Callable[[Offer], float | None]) -> Iterator[str]:
    value = read(offer)
    priced = [(v, other) for other in others if (v := read(other)) is not None]
    if value is None or not priced:
        return
    usual = median_low(v for v, _ in priced)
    middle, other = next(pair for pair in priced if pair[0] == usual)
    ratio = value / middle
    if 1 / _FAR <= ratio <= _FAR:
        return
    far = f"{ratio:,.0f} ×" if ratio > 1 else f"1/{1 / ratio:,.0f} of"
    whose = other.term.replace("_", " ") if other.name == offer.name else f"{other.name} {other.term.replace('_', ' ')}"
    priced_at = f"{whose} in {other.region} of {other.dated} ({middle:g})"
    yield f"{value:g} {what} is {far} {priced_at}; the limit is {_FAR:g} ×"


def _bounds(offer: Offer) -> Iterator[str]:
    hourly, hardware = offer.usd_per_hour, offer.hardware
    if hourly is None or offer.term == "owned":
        return
    if hardware.accelerators >= 1:
        yield from _within(
            hourly / hardware.accelerators, "accelerator", _LEAST_USD_PER_ACCELERATOR_H, _MOST_USD_PER_ACCELERATOR_H
        )
    elif hardware.vcpus:
        yield from _within(hourly / hardware.vcpus, "vCPU", _LEAST_USD_PER_VCPU_H, _MOST_USD_PER_VCPU_H)


def _within(usd: float, what: str, least: float, most: float) -> Iterator[str]:
    if not least <= usd <= most:
        yield f"{usd:.3g} USD an hour for each {what}; from {least:g} to {most:g} is plausible"
