"""Prices in a terminal: lists, one offer with all its terms and dates, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from farthing.nouns import Hardware, Offer
from farthing.render.numbers import money, percent
from farthing.render.screen import COLOURS, grid, listing, spoken
from farthing.render.words import MARKS, offer_price, printable, term_name

if TYPE_CHECKING:
    from farthing.load.prices import PriceProblem, PriceRow

__all__ = ["offer_list", "offer_page", "problem_list"]


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _gpu(hardware: Hardware) -> str:
    return f"{hardware.accelerators:g} × {printable(hardware.accelerator)}" if hardware.accelerator else ""


def offer_list(offers: Sequence[Offer]) -> RenderableType:
    """One line an offer: name, region, term, price, what one gets, date."""
    heads = [("offer", False), ("region", False), ("term", False), ("price", True), ("vCPU", True), ("GiB", True)]
    table = listing(*heads, ("GPU", False), ("dated", True))
    for o in offers:
        sizes = (_plain(o.hardware.vcpus), _plain(o.hardware.memory_gib), _gpu(o.hardware))
        cells = (o.name, o.region, term_name(o.term), offer_price(o), *sizes, o.dated.isoformat())
        table.add_row(*(spoken(cell) for cell in cells))
    return table


def offer_page(rows: Sequence[PriceRow]) -> RenderableType:
    """All that is known of one offer: its hardware once, then every term and date with source and second opinion."""
    if not rows:
        raise ValueError("an offer's page needs at least one price")
    hardware = rows[0].offer.hardware
    facts = grid()
    for name, text in (
        ("vCPU", _plain(hardware.vcpus)),
        ("memory", f"{hardware.memory_gib:g} GiB" if hardware.memory_gib is not None else ""),
        ("GPU", _gpu(hardware)),
        ("processor", " · ".join(s for s in (hardware.cpu, hardware.arch) if s)),
        ("instructions", " ".join(hardware.isa)),
    ):
        if text:
            facts.add_row(Text(name, style="dim"), spoken(text))
    table = listing(
        ("  region", False), ("term", False), ("price", True), ("dated", True), ("source", False), ("", False)
    )
    for row in rows:
        o = row.offer
        cells = (f"  {o.region}", term_name(o.term), _price(o), o.dated.isoformat(), o.source, _opinion(row))
        table.add_row(*(spoken(cell) for cell in cells))
    return Group(spoken(rows[0].offer.name, "bold"), facts, Text(""), table)


def _price(o: Offer) -> str:
    upfront = f", {money(o.upfront_usd)} of it up front" if o.upfront_usd else ""
    spot = f", {o.interruptions_per_hour:g} interruptions/h" if o.interruptions_per_hour is not None else ""
    return f"{offer_price(o)}{upfront}{spot}"


def _opinion(row: PriceRow) -> str:
    said = ["negotiated"] if row.negotiated else []
    if row.check_source and row.check_diff_frac is not None:
        apart = row.check_diff_frac
        same = abs(apart) < 0.0005
        said.append(f"{row.check_source} {'agrees' if same else f'differs by {percent(apart, decimals=1)}'}")
    if row.note:
        said.append(row.note)
    return "; ".join(said)


def problem_list(problems: Sequence[PriceProblem]) -> RenderableType:
    """One line a problem under a line that counts them."""
    n = len(problems)
    said = "1 price cannot be used as it is" if n == 1 else f"{n} prices cannot be used as they are"
    head = Text.assemble((f"{MARKS['not_met']} ", f"bold {COLOURS['not_met']}"), (said, "bold"))
    return Group(head, *(spoken(f"  {p.key} ({p.dated.isoformat()}): {_problem(p)}") for p in problems))


def _problem(p: PriceProblem) -> str:
    return f"{p.problem}; {p.hint}" if p.hint else p.problem
