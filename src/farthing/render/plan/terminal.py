"""What a person reads in the terminal: results on stdout, words about them on stderr, all of it without colour too.

The ``…_block`` functions return what is shown; the ``print_…`` functions show it.
"""

from __future__ import annotations

import io
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from farthing.errors import FarthingError
from farthing.nouns import Baseline, Estimate, Offer, Plan, Verification, Workload, percentile_name
from farthing.render import numbers
from farthing.render.offers import offer_list, offer_page, problem_list
from farthing.render.plan.first_look import first_look_block
from farthing.render.plan.fleet_words import fleet_rows, without_promise_rows
from farthing.render.plan.money_words import beside, references
from farthing.render.plan.profiles import baseline_page
from farthing.render.plan.sentences import (
    SummaryRow,
    arrivals,
    headline,
    nearest_sentence,
    price_sentence,
    promise,
    replica_rates,
    summary_rows,
)
from farthing.render.plan.understood import understood
from farthing.render.progress import TerminalProgress
from farthing.render.screen import COLOURS, console, grid, hint, labelled, listing, say, spoken, verdict_line
from farthing.render.words import MARKS, WORDS, printable

if TYPE_CHECKING:
    from farthing.core.plan.first_look import FirstLook
    from farthing.load.prices import PriceProblem, PriceRow

__all__ = [
    "TerminalProgress",
    "command_line",
    "error_block",
    "plan_block",
    "plan_text",
    "print_baseline",
    "print_error",
    "print_first_look",
    "print_import",
    "print_offer",
    "print_offers",
    "print_plan",
    "print_problems",
    "print_understood",
    "print_verification",
    "verification_block",
]


def command_line(argv: Sequence[str]) -> str:
    """The command as typed, quoted so that it can be pasted."""
    return shlex.join([Path(argv[0]).name, *argv[1:]])


def error_block(error: FarthingError) -> RenderableType:
    """``error: …`` and, after a blank line, ``hint: …``."""
    lines = [Text.assemble(("error: ", "bold red"), spoken(error.message))]
    if error.hint:
        lines += [Text(""), hint(error.hint)]
    return Group(*lines)


def print_error(error: FarthingError) -> None:
    """The error on stderr."""
    say(console(sys.stderr), error_block(error))


def plan_block(plan: Plan, folder: Path, files: tuple[Path, Path] | None = None) -> RenderableType:
    """One screen: what was asked, the verdict in one line, now and planned, where the files are.

    Args:
        plan: Any outcome.
        folder: Where plan.yaml and report.html lie.
        files: Plan and page where they have other names.
    """
    named = files or (folder / "plan.yaml", folder / "report.html")
    return Group(*_said(plan), Text(""), labelled(beside(plan)), Text(""), _files(plan, *named))


def plan_text(plan: Plan, width: int = 118) -> str:
    """Verdict, now and planned without colour: what stands above the figures in plan.yaml."""
    page = Console(file=io.StringIO(), width=width, no_color=True, markup=False, emoji=False, highlight=False)
    with page.capture() as captured:
        page.print(Group(*_said(plan)))
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _said(plan: Plan) -> list[RenderableType]:
    outcome = plan.verdict.outcome
    lines: list[RenderableType] = [*_asked(plan), Text(""), verdict_line(outcome, headline(plan))]
    if outcome != "met":
        lines += [spoken(f"  {reason}") for reason in plan.verdict.reasons[1:]]
    near = nearest_sentence(plan)
    if near:
        lines.append(spoken(f"  nearest: {near}"))
    if plan.chosen is not None:
        lines += [Text(""), _summary(summary_rows(plan), "planned"), spoken(f"  chosen: {plan.chosen.candidate.label}")]
        lines += [spoken(f"  one replica of it here: {rates}") for rates in [replica_rates(plan)] if rates]
    else:
        lines += [Text(""), _summary(without_promise_rows(plan), "nearest")]
    lines += [spoken(f"  {text}") for text in references(plan)]
    if plan.fixed_fleet is not None:
        lines += [Text(""), _fleet(plan)]
    return lines


def _asked(plan: Plan) -> list[RenderableType]:
    bill = f"Bill {numbers.money(plan.bill_usd_per_month)}/month on {price_sentence(plan.offers[0])}"
    texts = (plan.description, bill, f"Arrivals {arrivals(plan)} · promise {promise(plan.objective)}")
    return [spoken(text, "dim") for text in texts]


def _fleet(plan: Plan) -> Table:
    level = percentile_name(plan.objective.level)
    table = listing(
        ("  replicas", True),
        ("can go", True),
        ("a month", True),
        (f"{level} as it is", True),
        (f"{level} as planned", True),
    )
    for row in fleet_rows(plan):
        table.add_row(*(Text(cell) for cell in row))
    return table


def _summary(rows: Sequence[SummaryRow], planned: str) -> Table:
    table = listing(("", False), ("now", True), (planned, True), ("", False))
    for row in rows:
        table.add_row(
            Text(f"  {row.name}"), Text(row.now), Text(row.planned, style="bold"), Text(row.note, style="dim")
        )
    return table


def _files(plan: Plan, plan_file: Path, page: Path) -> Table:
    table = grid()
    table.add_row(Text("plan", style="dim"), spoken(str(plan_file)))
    table.add_row(Text("report", style="dim"), spoken(str(page)))
    if plan.chosen is not None:
        table.add_row(Text("check it", style="dim"), spoken(f"farthing verify {shlex.quote(str(plan_file))}"))
    return table


def _print_hint(text: str) -> None:
    if text:
        say(console(sys.stderr), hint(text))


def print_plan(plan: Plan, folder: Path, files: tuple[Path, Path] | None = None) -> None:
    """The plan on stdout, what to do about it on stderr; arguments as :func:`plan_block` takes them."""
    say(console(sys.stdout), plan_block(plan, folder, files))
    _print_hint(plan.verdict.hint)


def print_first_look(look: FirstLook) -> None:
    """The first look on stdout, what to do about it on stderr."""
    say(console(sys.stdout), first_look_block(look))
    _print_hint(look.verdict.hint)


def print_understood(workload: Workload) -> None:
    """What was understood, on stderr, before anything is done about it."""
    say(console(sys.stderr), labelled(understood(workload)))


def print_baseline(baseline: Baseline, folder: Path) -> None:
    """The profile page on stdout."""
    say(console(sys.stdout), baseline_page(baseline, folder))


def verification_block(result: Verification) -> RenderableType:
    """Each figure of the plan beside the one seen now, then the verdict on all of them."""
    speed = numbers.number(result.machine_speed.value, 2)
    table = listing(
        ("  check", False), ("planned", True), ("seen now", True), ("limit", False), ("", False), ("", False)
    )
    for c in result.checks:
        mark = Text(f"{MARKS[c.outcome]} {WORDS[c.outcome]}", style=COLOURS[c.outcome])
        planned, seen = _figure(c.planned, c.unit), _figure(c.seen, c.unit)
        cells = (f"  {c.name}", planned, seen, c.limit)
        table.add_row(*(spoken(cell) for cell in cells), mark, spoken(c.note, "dim"))
    return Group(
        spoken(f"{result.workload} · {result.candidate.label}", "bold"),
        Text(f"this machine now runs at {speed} × its speed when the plan was made", style="dim"),
        Text(""),
        table,
        Text(""),
        verdict_line(result.verdict.outcome, "; ".join(printable(r) for r in result.verdict.reasons)),
    )


def _figure(value: Estimate | None, unit: str) -> str:
    if value is None:
        return ""
    if unit == "ms":
        return numbers.milliseconds(value)
    if unit == "frac":
        return numbers.percent(value)
    if unit == "usd_per_month":
        return numbers.money(value)
    places = min(numbers.decimals_for(value), numbers.significant_decimals(value.value, digits=4))
    return f"{numbers.number(value.value, places)} {unit} {numbers.interval(value, decimals=places)}".rstrip()


def print_verification(result: Verification) -> None:
    """The verification on stdout, what to do about it on stderr."""
    say(console(sys.stdout), verification_block(result))
    _print_hint(result.verdict.hint)


def print_offers(offers: Sequence[Offer]) -> None:
    """A line an offer on stdout; how many on stderr."""
    say(console(sys.stdout), offer_list(offers))
    say(console(sys.stderr), Text(f"{len(offers):,} {'offer' if len(offers) == 1 else 'offers'}", style="dim"))


def print_offer(rows: Sequence[PriceRow]) -> None:
    """Every term and date of one offer on stdout."""
    say(console(sys.stdout), offer_page(rows))


def print_import(offers: Sequence[Offer], path: Path) -> None:
    """What was imported, and where it lies, on stdout."""
    say(console(sys.stdout), spoken(f"{len(offers):,} prices imported into {path}"))


def print_problems(problems: Sequence[PriceProblem]) -> None:
    """Problems on stdout; on stderr one line when there is none."""
    if problems:
        say(console(sys.stdout), problem_list(problems))
    else:
        text = Text.assemble((f"{MARKS['met']} ", "bold green"), "every price is positive, dated, sourced and in order")
        say(console(sys.stderr), text)
