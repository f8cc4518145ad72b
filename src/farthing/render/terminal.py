"""What people read in a terminal. Every function returns something rich can print; nothing is printed here.

Names come from models and price lists, so all text goes in as :class:`rich.text.Text`, never as markup, and control
characters are made visible. Colour repeats what the words say.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from farthing.errors import FarthingError
from farthing.nouns import Estimate, Offer, Outcome, Plan
from farthing.render.checks import Check
from farthing.render.numbers import milliseconds, moment, money, number, percent
from farthing.render.sentences import (
    MARKS,
    WORDS,
    best_fp32_sentence,
    headline,
    nearest_sentence,
    offer_price,
    printable,
    summary_rows,
    term_name,
)

if TYPE_CHECKING:
    from datetime import date

__all__ = [
    "COLOURS",
    "console",
    "error",
    "grid",
    "plan_block",
    "price_check",
    "price_list",
    "price_page",
    "spoken",
    "verify_block",
]

COLOURS: dict[Outcome, str] = {"met": "green", "not_met": "red", "unproven": "yellow"}
_PIPE_WIDTH = 160


def console(stream: IO[str], *, width: int | None = None) -> Console:
    """A console without markup, emoji or guessed highlights; colour only on a terminal and without NO_COLOR.

    Args:
        stream: Standard output for data, standard error for words.
        width: Columns; None for the terminal's own, or 160 where there is none, so that pipes see whole lines.
    """
    if width is None and not stream.isatty():
        width = int(os.environ.get("COLUMNS", _PIPE_WIDTH))
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)


def spoken(text: str, style: str = "") -> Text:
    """Text from anywhere, safe to print."""
    return Text("\n".join(printable(line) for line in text.split("\n")), style=style)


def grid(*, indent: int = 2, gap: int = 3) -> Table:
    """A table without lines."""
    return Table(
        box=None, show_header=False, show_edge=False, pad_edge=True, padding=(0, gap, 0, 0 if indent == 0 else indent)
    )


def _listing(*columns: tuple[str, bool]) -> Table:
    """A table with a quiet head; the second of each pair says whether numbers stand in it."""
    table = Table(box=None, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title, numeric in columns:
        table.add_column(title, justify="right" if numeric else "left", no_wrap=numeric, overflow="fold")
    return table


def plan_block(plan: Plan, *, plan_path: str = "", report_path: str = "") -> RenderableType:
    """The verdict, then now and planned, then what to do next.

    Args:
        plan: Any outcome.
        plan_path: Where plan.yaml was written, empty to leave the commands out.
        report_path: Where the report was written, empty to leave it out.
    """
    outcome = plan.verdict.outcome
    head = Text.assemble((f"{MARKS[outcome]} ", f"bold {COLOURS[outcome]}"), (printable(headline(plan)), "bold"))
    lines: list[RenderableType] = [head]
    if outcome == "met":
        lines += [Text(""), _summary(plan)]
    else:
        lines += [spoken(f"  {reason}") for reason in plan.verdict.reasons[1:]]
        near = nearest_sentence(plan)
        if near:
            lines.append(spoken(f"  nearest: {near}"))
        if plan.chosen is not None:
            lines += [Text(""), _summary(plan)]
        if plan.verdict.hint:
            lines.append(_hint(plan.verdict.hint))
    if plan_path or report_path:
        lines += [Text(""), _next(plan_path, report_path, servable=plan.chosen is not None)]
    return Group(*lines)


def _summary(plan: Plan) -> RenderableType:
    rows = summary_rows(plan)
    table = Table(box=None, show_edge=False, padding=(0, 3, 0, 0), pad_edge=False, header_style="dim")
    for title, right in (("", False), ("now", True), ("planned", True), ("", False)):
        table.add_column(title, justify="right" if right else "left", no_wrap=right)
    for row in rows:
        table.add_row(
            Text(f"  {row.name}"), Text(row.now), Text(row.planned, style="bold"), Text(row.note, style="dim")
        )
    best = best_fp32_sentence(plan)
    return Group(table, spoken(f"  {best}")) if best else table


def _next(plan_path: str, report_path: str, *, servable: bool) -> Table:
    table = grid(indent=2, gap=2)
    serve = [("serve it", f"farthing serve {plan_path}")] if plan_path and servable else []
    check = [("check it", f"farthing verify {plan_path}")] if plan_path and servable else []
    left = [(name, path) for name, path in (("plan", plan_path), ("report", report_path)) if path]
    right = serve + check
    for i in range(max(len(left), len(right))):
        cells = [*(left[i] if i < len(left) else ("", "")), *(right[i] if i < len(right) else ("", ""))]
        table.add_row(*(spoken(text, "dim" if j % 2 == 0 else "") for j, text in enumerate(cells)))
    return table


def _hint(text: str) -> Text:
    return Text.assemble(("hint: ", "cyan"), printable(text))


def error(problem: FarthingError) -> RenderableType:
    """``error: …``, and after a blank line ``hint: …``."""
    lines = [Text.assemble(("error: ", "bold red"), spoken(problem.message))]
    if problem.hint:
        lines += [Text(""), _hint(problem.hint)]
    return Group(*lines)


def price_list(offers: Sequence[Offer]) -> RenderableType:
    """One line an offer: name, region, term, price, what one gets, date."""
    table = _listing(
        ("offer", False),
        ("region", False),
        ("term", False),
        ("price", True),
        ("vCPU", True),
        ("memory", True),
        ("dated", True),
    )
    for o in offers:
        vcpus = "" if o.hardware.vcpus is None else f"{o.hardware.vcpus:g}"
        memory = "" if o.hardware.memory_gib is None else f"{o.hardware.memory_gib:g} GiB"
        name = printable(o.name) + (
            f" ({o.hardware.accelerators:g} × {printable(o.hardware.accelerator)})" if o.hardware.accelerator else ""
        )
        table.add_row(
            Text(name),
            spoken(o.region),
            Text(term_name(o.term)),
            Text(offer_price(o)),
            Text(vcpus),
            Text(memory),
            Text(moment(o.dated)),
        )
    return table


def price_page(offer: Offer, *, today: date) -> RenderableType:
    """All that is known of one offer, with the age of its price."""
    hardware, age = offer.hardware, (today - offer.dated).days
    table = grid()
    facts = [
        ("price", offer_price(offer)),
        ("up front", money(offer.upfront_usd) if offer.upfront_usd else ""),
        ("term", term_name(offer.term)),
        ("region", offer.region),
        ("processor", " · ".join(s for s in (hardware.cpu or "", hardware.arch or "") if s)),
        ("vCPU", "" if hardware.vcpus is None else f"{hardware.vcpus:g}"),
        ("memory", "" if hardware.memory_gib is None else f"{hardware.memory_gib:g} GiB"),
        ("accelerator", f"{hardware.accelerators:g} × {hardware.accelerator}" if hardware.accelerator else ""),
        ("instructions", " ".join(hardware.isa)),
        ("parts", " + ".join(f"{name} ${usd:g}/h" for name, usd in offer.parts_usd_per_hour.items())),
        ("interruptions", "" if offer.interruptions_per_hour is None else f"{offer.interruptions_per_hour:g} an hour"),
        ("dated", f"{moment(offer.dated)}, {number(age, 0)} days old"),
        ("source", offer.source),
    ]
    for name, text in facts:
        if text:
            table.add_row(Text(name, style="dim"), spoken(text))
    return Group(spoken(offer.key, "bold"), table)


def price_check(problems: Sequence[str], *, n_offers: int, oldest: date, newest: date) -> RenderableType:
    """Result of the integrity checks on the price list."""
    span = f"{number(n_offers, 0)} offers, dated {moment(oldest)} to {moment(newest)}"
    if not problems:
        return Text.assemble((f"{MARKS['met']} ", "bold green"), f"prices hold together: {span}")
    head = Text.assemble((f"{MARKS['not_met']} ", "bold red"), f"{len(problems)} of the checks on prices fail: {span}")
    return Group(head, *(spoken(f"  {problem}") for problem in problems))


def _value(value: Estimate | None, unit: str) -> str:
    if value is None:
        return ""
    if unit == "ms":
        return milliseconds(value)
    if unit == "frac":
        return percent(value)
    if unit == "usd_per_month":
        return money(value)
    return f"{number(value.value, 0 if value.value >= 100 else 1)}/s"


def verify_block(checks: Iterable[Check]) -> RenderableType:
    """Each promise beside what was seen, then the verdict on all of them."""
    table = _listing(
        ("", False), ("check", False), ("planned", True), ("seen now", True), ("limit", False), ("", False)
    )
    rows = list(checks)
    for c in rows:
        mark = Text(f"{MARKS[c.outcome]} {WORDS[c.outcome]}", style=COLOURS[c.outcome])
        note = spoken(c.note, "dim")
        table.add_row(
            mark, spoken(c.name), Text(_value(c.planned, c.unit)), Text(_value(c.seen, c.unit)), spoken(c.limit), note
        )
    bad = [c for c in rows if c.outcome != "met"]
    outcome: Outcome = "met" if not bad else "not_met" if any(c.outcome == "not_met" for c in bad) else "unproven"
    said = (
        f"all {len(rows)} checks hold"
        if not bad
        else f"{len(bad)} of {len(rows)} checks do not hold: {', '.join(c.name for c in bad)}"
    )
    head = Text.assemble(
        (f"{MARKS[outcome]} ", f"bold {COLOURS[outcome]}"), (f"{WORDS[outcome]}: {printable(said)}", "bold")
    )
    return Group(head, Text(""), table)
