"""The user's own prices in YAML (``schema: farthing/prices/1``): explicit rates, own hardware, negotiated discounts."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, cast

from farthing.errors import InputError
from farthing.load.prices.lookup import MAX_AGE_DAYS, offers_as_of
from farthing.load.prices.own_csv import RATES, TERMS, PriceRow
from farthing.load.schema import read_document
from farthing.load.units import fraction, usd
from farthing.load.yes_no import YES_NO, yes_or_no
from farthing.nouns import Hardware, Offer, Term

__all__ = ["amortised_usd_per_hour", "read_own"]

_HOURS_PER_YEAR = 8760.0
_FACTS = frozenset(("vcpus", "threads_per_core", "isa", "memory_gib", "arch", "cpu"))
_CHIP_FACTS = frozenset(("accelerator", "accelerators", "accelerator_memory_gib"))
_COMMON = frozenset(("name", "region", "dated", "source", "note")) | _FACTS | _CHIP_FACTS
_OFFER_KEYS = _COMMON | frozenset(RATES) | {"term", "upfront_usd", "interruptions_per_hour", "negotiated"}
_OWNED_KEYS = _COMMON | frozenset(
    ("capex_usd", "lifetime_years", "residual_usd", "power_w", "usd_per_kwh", "pue", "overhead_frac")
)
_DISCOUNT_KEYS = frozenset(("provider", "term", "names", "discount", "dated", "source"))


def amortised_usd_per_hour(
    *,
    capex_usd: float,
    lifetime_years: float,
    power_w: float,
    usd_per_kwh: float,
    pue: float = 1.0,
    overhead_frac: float = 0.0,
    residual_usd: float = 0.0,
) -> dict[str, float]:
    """Price one hour of own hardware, used or idle, in parts that add up.

    Straight-line depreciation and energy, as in Barroso, Hölzle and Ranganathan, *The Datacenter as a Computer*
    (3rd ed., chapter 6)::

        capex    = (capex_usd − residual_usd) / (lifetime_years × 8760)
        overhead = capex × overhead_frac
        power    = power_w / 1000 × pue × usd_per_kwh

    Interest is not in it; raise ``overhead_frac`` for it.

    Args:
        capex_usd: Price of the machine with its share of rack and network, > 0.
        lifetime_years: Years until it is written off, > 0.
        power_w: Average draw at the plug in watts, ≥ 0.
        usd_per_kwh: Price of energy, ≥ 0.
        pue: Energy of the building over energy of the machines, ≥ 1.
        overhead_frac: Space, spares, staff and interest as a share of depreciation, ≥ 0.
        residual_usd: What it is worth at the end, in [0, capex_usd).

    Returns:
        USD an hour by part: ``capex overhead power``.
    """
    capex = (capex_usd - residual_usd) / (lifetime_years * _HOURS_PER_YEAR)
    return {"capex": capex, "overhead": capex * overhead_frac, "power": power_w / 1000 * pue * usd_per_kwh}


@dataclass(frozen=True, slots=True)
class _Entry:
    """One mapping of the document with conversions that name file and key when they fail."""

    where: str
    data: Mapping[str, Any]
    defaults: Mapping[str, Any]

    def error(self, key: str, problem: str) -> InputError:
        return InputError(f"{self.where}.{key} {problem}")

    def allow(self, keys: frozenset[str]) -> None:
        unknown = sorted(str(key) for key in set(self.data) - keys)
        if unknown:
            raise InputError(
                f"{self.where} has the unknown key {unknown[0]!r}", hint=f"known: {', '.join(sorted(keys))}"
            )

    def value(self, key: str) -> Any:
        found = self.data.get(key)
        return self.defaults.get(key) if found is None else found

    def text(self, key: str, default: str | None = None) -> str:
        found = self.value(key)
        found = default if found is None else found
        if not isinstance(found, str) or not found.strip():
            raise self.error(key, "is missing" if found is None else f"is {found!r}; it must be text")
        return found.strip()

    def number(self, key: str, *, least: float = 0.0, default: float | None = None) -> float | None:
        found = self.value(key)
        if found is None:
            return default
        if isinstance(found, bool) or not isinstance(found, (int, float)) or not math.isfinite(found):
            raise self.error(key, f"is {found!r}, not a number")
        if found < least:
            raise self.error(key, f"is {found}; it must be ≥ {least:g}")
        return float(found)

    def needed(self, key: str, *, least: float = 0.0) -> float:
        found = self.number(key, least=least)
        if found is None:
            raise self.error(key, "is missing")
        return found

    def positive(self, key: str) -> float | None:
        found = self.number(key)
        if found == 0:
            raise self.error(key, "is 0; it must be > 0")
        return found

    def yes(self, key: str) -> bool:
        found = self.value(key)
        said = False if found is None else yes_or_no(found)
        if said is None:
            raise self.error(key, f"is {found!r}; it must be {YES_NO}")
        return said

    def day(self, key: str = "dated") -> date:
        found = self.value(key)
        try:
            return found if type(found) is date else date.fromisoformat(found)
        except (TypeError, ValueError):
            problem = "is missing" if found is None else f"is {found!r}"
            raise self.error(key, f"{problem}; write the day it is valid from, like 2026-07-20") from None

    def term(self, default: str) -> Term:
        found = self.text("term", default)
        if found not in TERMS:
            raise self.error("term", f"is {found!r}; known: {', '.join(TERMS)}")
        return cast(Term, found)

    def name(self) -> str:
        found = "/".join(part.strip() for part in self.text("name").split("/"))
        if not all(found.partition("/")):
            raise self.error("name", f"is {found!r}; write provider/instance, like own/gpu-box")
        return found

    def hardware(self) -> Hardware:
        threads, isa = self.positive("threads_per_core"), self.value("isa") or ()
        if not isinstance(isa, (str, list)) and isa != ():
            raise self.error("isa", f"is {isa!r}; write flags like avx512_vnni")
        return Hardware(
            name=self.name(),
            vcpus=self.positive("vcpus"),
            threads_per_core=None if threads is None else int(threads),
            isa=tuple(isa.split()) if isinstance(isa, str) else tuple(map(str, isa)),
            memory_gib=self.positive("memory_gib"),
            arch=self.text("arch", "-").strip("-") or None,
            cpu=self.text("cpu", "-").strip("-") or None,
            accelerator=self.text("accelerator", "-").strip("-") or None,
            accelerators=self.number("accelerators", default=0.0) or 0.0,
            accelerator_memory_gib=self.positive("accelerator_memory_gib"),
        )


def _explicit(entry: _Entry) -> PriceRow:
    entry.allow(_OFFER_KEYS)
    rates: dict[str, Any] = {rate: entry.positive(rate) for rate in RATES}
    if all(rate is None for rate in rates.values()):
        raise entry.error("usd_per_hour", f"is missing, and so are {', '.join(RATES[1:])}")
    name = entry.name()
    return PriceRow(
        offer=Offer(
            name=name,
            provider=name.partition("/")[0],
            region=entry.text("region"),
            term=entry.term("on_demand"),
            hardware=entry.hardware(),
            dated=entry.day(),
            source=entry.text("source"),
            upfront_usd=entry.number("upfront_usd", default=0.0) or 0.0,
            interruptions_per_hour=entry.number("interruptions_per_hour"),
            **rates,
        ),
        negotiated=entry.yes("negotiated"),
        note=entry.text("note", "-").strip("-"),
    )


def _owned(entry: _Entry) -> PriceRow:
    entry.allow(_OWNED_KEYS)
    capex_usd = usd(entry.value("capex_usd"), f"{entry.where}.capex_usd")
    residual_usd = entry.number("residual_usd", default=0.0) or 0.0
    if residual_usd >= capex_usd:
        raise entry.error("residual_usd", f"is {residual_usd:g}; it must be < capex_usd ({capex_usd:g})")
    years = entry.positive("lifetime_years")
    if years is None:
        raise entry.error("lifetime_years", "is missing")
    parts = amortised_usd_per_hour(
        capex_usd=capex_usd,
        lifetime_years=years,
        power_w=entry.needed("power_w"),
        usd_per_kwh=entry.needed("usd_per_kwh"),
        pue=entry.number("pue", least=1.0, default=1.0) or 1.0,
        overhead_frac=entry.number("overhead_frac", default=0.0) or 0.0,
        residual_usd=residual_usd,
    )
    name = entry.name()
    return PriceRow(
        offer=Offer(
            name=name,
            provider=name.partition("/")[0],
            region=entry.text("region", "own"),
            term="owned",
            hardware=entry.hardware(),
            dated=entry.day(),
            source=entry.text("source"),
            usd_per_hour=sum(parts.values()),
            parts_usd_per_hour={part: value for part, value in parts.items() if value > 0},
        ),
        note=entry.text("note", f"capex {capex_usd:g} USD over {years:g} years and power"),
    )


def _discounted(entry: _Entry, listed: Sequence[Offer]) -> list[PriceRow]:
    """List prices less a negotiated share; list prices too old on the contract's day are not used."""
    entry.allow(_DISCOUNT_KEYS)
    share = fraction(entry.value("discount"), f"{entry.where}.discount")
    if not 0 < share < 1:
        raise entry.error("discount", f"is {entry.value('discount')}; it must lie between 0 % and 100 %")
    provider, term, names = entry.text("provider"), entry.term("on_demand"), entry.text("names", "*")
    since, source = entry.day(), entry.text("source")
    newest = offers_as_of(listed, date.max)
    matching = [
        offer
        for offer in newest
        if offer.provider == provider
        and offer.term == term
        and fnmatch.fnmatchcase(offer.name, f"{provider}/{names.removeprefix(f'{provider}/')}")
        and offer.usd_per_hour is not None
    ]
    if not matching:
        raise entry.error("names", f"is {names!r}: no {term} price of {provider} is called so")
    fresh = [offer for offer in matching if (since - offer.dated).days <= MAX_AGE_DAYS]
    if not fresh:
        raise entry.error(
            "dated", f"is {since}, more than {MAX_AGE_DAYS} days after the newest list price ({matching[0].dated})"
        )
    return [_less(offer, share, since, source) for offer in fresh]


def _less(offer: Offer, share: float, since: date, source: str) -> PriceRow:
    assert offer.usd_per_hour is not None
    reduced = replace(
        offer,
        usd_per_hour=round(offer.usd_per_hour * (1 - share), 9),
        upfront_usd=round(offer.upfront_usd * (1 - share), 9),
        parts_usd_per_hour={},
        dated=max(since, offer.dated),
        source=f"{source}: {share:.6g} off {offer.source} of {offer.dated}",
    )
    return PriceRow(offer=reduced, negotiated=True, note=f"list price {offer.usd_per_hour:g} less {share:.6g}")


def _entries(path: Path, document: Mapping[str, Any], key: str) -> list[_Entry]:
    found = document.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise InputError(f"{path}: {key} must be a list of entries")
    defaults = {name: document[name] for name in ("dated", "source", "region") if name in document}
    return [_Entry(f"{path}: {key}[{n}]", item, defaults) for n, item in enumerate(found)]


def read_own(path: Path, listed: Sequence[Offer]) -> tuple[PriceRow, ...]:
    """Read the user's own prices.

    Args:
        path: A YAML or JSON document; ``dated``, ``source`` and ``region`` at its top hold for entries without.
        listed: List prices that discounts apply to.

    Raises:
        InputError: when a key is unknown, missing or has no meaning; the message names file, entry, key and value.
        SchemaError: when the schema is missing, of another kind or newer.
    """
    document = read_document(path, "prices")
    known = ("dated", "source", "region", "offers", "owned", "discounts")
    unknown = sorted(set(map(str, document)) - set(known))
    if unknown:
        raise InputError(f"{path} has the unknown key {unknown[0]!r}", hint=f"known: {', '.join(known)}")
    readers: tuple[tuple[str, Callable[[_Entry], PriceRow]], ...] = (("offers", _explicit), ("owned", _owned))
    rows = [read(entry) for key, read in readers for entry in _entries(path, document, key)]
    for entry in _entries(path, document, "discounts"):
        rows += _discounted(entry, listed)
    if not rows:
        raise InputError(f"{path} holds no offers", hint="write at least one of offers, owned, discounts")
    return tuple(rows)
