"""Integrity of a set of offers: what can be seen to be wrong without asking a provider."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from farthing.load.prices.by_use import beyond_use
from farthing.load.prices.lookup import snapshot_rows
from farthing.load.prices.magnitude import Known, wrong_size
from farthing.load.prices.own_csv import TERMS
from farthing.load.prices.spellings import Spellings, unfindable
from farthing.load.prices.upfront import misread_upfront
from farthing.nouns import Offer

__all__ = ["PriceProblem", "check_offers"]

_ROUNDING_FRAC = 1e-3
"""Sources round apart; a discount term may exceed on-demand by this much before it counts as wrong."""
_FAR_HINT = "a price that is really so far from the others goes under a name of your own"


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceProblem:
    """One thing that is wrong with one price.

    Attributes:
        key: ``name@region:term``.
        dated: Date of the price.
        problem: What is wrong, with value and limit.
        hint: What to do about it, empty where that is plain.
    """

    key: str
    dated: date
    problem: str
    hint: str = ""


def _facts(offer: Offer) -> list[str]:
    """What contradicts itself in an offer, or is not there."""
    hardware = offer.hardware
    problems = []
    if offer.term not in TERMS:
        problems.append(f"unknown term {offer.term!r}")
    if not offer.source.strip():
        problems.append("no source")
    if not offer.name.startswith(f"{offer.provider}/"):
        problems.append(f"name does not start with the provider {offer.provider!r}")
    for what, value in (("vcpus", hardware.vcpus), ("memory_gib", hardware.memory_gib)):
        if value is not None and not value > 0:
            problems.append(f"{what} is {value:g}; it must be > 0")
    if offer.term in ("on_demand", "spot", "reserved_1y", "reserved_3y", "owned") and offer.usd_per_hour is None:
        problems.append(f"no usd_per_hour under {offer.term}")
    if offer.usd_per_hour is not None and offer.parts_usd_per_hour:
        total = sum(offer.parts_usd_per_hour.values())
        if abs(total - offer.usd_per_hour) > _ROUNDING_FRAC * offer.usd_per_hour:
            problems.append(f"parts add up to {total:g} USD an hour, not {offer.usd_per_hour:g}")
    return problems


def _own(offer: Offer) -> Iterator[tuple[str, str]]:
    """Problems of an offer by itself, each with a hint or an empty one."""
    yield from ((text, "") for text in _facts(offer))
    yield from unfindable(offer)


def _misread(offer: Offer) -> list[tuple[str, str]]:
    """Prices that mean something else than they are taken for; nothing is held against them."""
    upfront = misread_upfront(offer)
    return [*([upfront] if upfront else []), *beyond_use(offer)]


def _sizes(offer: Offer, known: Known, before: Known) -> list[tuple[str, str]]:
    """Prices that are misread, else those that are far from others."""
    misread = _misread(offer)
    if misread:
        return misread
    far = tuple(wrong_size(offer, known)) or tuple(wrong_size(offer, before))
    return [(text, _FAR_HINT) for text in far]


def _on_demand(offers: Iterable[Offer]) -> dict[tuple[str, str], list[Offer]]:
    """List prices by name and region."""
    found: dict[tuple[str, str], list[Offer]] = {}
    for offer in offers:
        if offer.term == "on_demand":
            found.setdefault((offer.name, offer.region), []).append(offer)
    return found


def _against_list(offer: Offer, on_demand: Sequence[Offer]) -> str | None:
    """Tell when a discount term costs more than on demand at the nearest date: a misread price."""
    if offer.term not in ("spot", "reserved_1y", "reserved_3y") or offer.usd_per_hour is None or not on_demand:
        return None
    nearest = min(on_demand, key=lambda other: abs((other.dated - offer.dated).days))
    limit = nearest.usd_per_hour
    if limit is None or offer.usd_per_hour <= limit * (1 + _ROUNDING_FRAC):
        return None
    return f"{offer.usd_per_hour:g} USD an hour is above on demand ({limit:g}, {nearest.dated})"


def check_offers(offers: Iterable[Offer], beside: Iterable[Offer] = ()) -> tuple[PriceProblem, ...]:
    """Look for what cannot be right.

    Duplicates, discounts above list, missing facts, parts that do not add up, sizes, up-front payments that are not in
    the price, names that nobody would find. A price that is not > 0 or without a source cannot become an Offer at all.

    Args:
        offers: To look at.
        beside: Other prices that theirs are held against.

    Returns:
        Problems in the order of the offers; empty when nothing was found.
    """
    offers, beside = tuple(offers), tuple(beside)
    before = Known(offer for offer in beside if not _misread(offer))
    known = Known(offer for offer in (*offers, *beside) if not _misread(offer))
    spellings = Spellings((*(row.offer for row in snapshot_rows()), *beside, *offers))
    on_demand = _on_demand((*offers, *beside))
    seen: set[tuple[str, date]] = set()
    problems: list[PriceProblem] = []
    for offer in offers:
        found = [*_own(offer), *spellings.other_case(offer)]
        dearer = _against_list(offer, on_demand.get((offer.name, offer.region), ()))
        found += [(dearer, "")] if dearer else []
        found += _sizes(offer, known, before)
        if (offer.key, offer.dated) in seen:
            found.append(("priced twice on that day", ""))
        seen.add((offer.key, offer.dated))
        problems += [PriceProblem(key=offer.key, dated=offer.dated, problem=text, hint=hint) for text, hint in found]
    return tuple(problems)
