"""What a person reads in the terminal: results on stdout, words about them on stderr, all of it without colour too."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from farthing.errors import FarthingError
from farthing.nouns import Baseline, Estimate, Measurement, Offer, Plan, Profile, Verification
from farthing.render import numbers
from farthing.render.progress import TerminalProgress
from farthing.render.sentences import (
    MARKS,
    WORDS,
    best_fp32_sentence,
    headline,
    nearest_sentence,
    offer_price,
    price_sentence,
    printable,
    promise,
    summary_rows,
    term_name,
)

if TYPE_CHECKING:
    from farthing.load.prices import PriceProblem, PriceRow

__all__ = [
    "TerminalProgress",
    "command_line",
    "print_baseline",
    "print_error",
    "print_import",
    "print_offer",
    "print_offers",
    "print_plan",
    "print_problems",
    "print_verification",
]

_COLOURS = {"met": "green", "not_met": "red", "unproven": "yellow"}
SHOWN_OPERATORS = 12
PIPE_WIDTH = 240


def _out() -> Console:
    """Stdout; a pipe or a file has no width that anything should be cut to."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(highlight=False, soft_wrap=True, width=width)


def command_line(argv: Sequence[str]) -> str:
    """The command as typed, quoted so that it can be pasted."""
    return shlex.join([Path(argv[0]).name, *argv[1:]])


def print_error(error: FarthingError) -> None:
    """``error: …`` and, after a blank line, ``hint: …`` on stderr."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text.assemble(("error: ", "bold red"), printable_lines(error.message)))
    if error.hint:
        console.print(Text.assemble(("\nhint: ", "bold"), printable_lines(error.hint)))


def printable_lines(text: str) -> str:
    """As :func:`printable`, line by line."""
    return "\n".join(printable(line) for line in text.splitlines())


def print_plan(plan: Plan, folder: Path) -> None:
    """The verdict block: one screen, the verdict in one line, each dollar with its price's date."""
    console = _out()
    outcome = plan.verdict.outcome
    console.print()
    console.print(Text(printable(plan.description)), style="dim")
    console.print(Text(f"Bill {numbers.money(plan.bill_usd_per_month)}/month on {price_sentence(plan.offers[0])}"), style="dim")
    trace = f"{printable(plan.trace_name)}, {numbers.count(plan.requests_per_month)} requests a month"
    console.print(Text(f"Arrivals {trace} · promise {promise(plan.objective)}"), style="dim")
    console.print()
    console.print(Text.assemble((f"{MARKS[outcome]} ", _COLOURS[outcome]), (headline(plan), "bold")))
    if nearest_sentence(plan):
        console.print(f"  nearest: {nearest_sentence(plan)}", markup=False)
    console.print()
    if plan.chosen is not None:
        console.print(f"  chosen  {printable(plan.chosen.candidate.label)}", markup=False)
        console.print(_summary(plan))
    if best_fp32_sentence(plan):
        console.print(f"  {best_fp32_sentence(plan)}", markup=False)
    console.print()
    if plan.chosen is not None:
        path = folder / "plan.yaml"
        console.print(f"  plan    {path}", markup=False)
        console.print(f"  check   farthing verify {path}", markup=False)
    console.print(f"  report  {folder / 'report.html'}", markup=False)
    if plan.verdict.hint:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"\nhint: {plan.verdict.hint}", markup=False)


def _summary(plan: Plan) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2), show_header=True)
    table.add_column("  ", no_wrap=True)
    table.add_column("now", justify="right", no_wrap=True)
    table.add_column("planned", justify="right", no_wrap=True)
    table.add_column("")
    for row in summary_rows(plan):
        table.add_row(f"  {row.name}", row.now, row.planned, Text(row.note, style="dim"))
    return table


def print_baseline(baseline: Baseline, folder: Path) -> None:
    """The profile page: scenarios, money, operators against the roofline, the bottleneck."""
    console = _out()
    e = baseline.evaluation
    console.print()
    console.print(Text(printable(baseline.description)), style="dim")
    console.print(Text(price_sentence(baseline.offers[0])), style="dim")
    console.print()
    console.print(_scenarios(baseline.measurements))
    console.print()
    facts = [
        ("memory", f"{e.peak_memory_mib:,.0f} MiB" if e.peak_memory_mib else "unknown"),
        ("load", numbers.duration(e.load_s) if e.load_s is not None else "unknown"),
        (baseline.metric, numbers.percent(baseline.score_frac) if baseline.score_frac else "no labels"),
        ("cost a million", numbers.money(e.usd_per_million) if e.usd_per_million else "unknown"),
        ("needed a month", numbers.money(e.cost_usd_per_month) if e.cost_usd_per_month else "unknown"),
        ("billed a month", numbers.money(baseline.bill_usd_per_month)),
    ]
    for name, text in facts:
        console.print(f"  {name:<15}{text}", markup=False)
    console.print(f"  {baseline.gap.note}", markup=False)
    console.print()
    _print_profile(console, baseline.profile)
    console.print(f"\n  saved   {folder / 'baseline.yaml'} · {folder / 'measurements.parquet'} · {folder / 'trace.json'}", markup=False)


def _scenarios(measurements: Sequence[Measurement]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for title in ("  scenario", "n", "p50 ms", "p90 ms", "p99 ms", "requests/s"):
        table.add_column(title, justify="left" if title.strip() == "scenario" else "right", no_wrap=True)
    for m in measurements:
        cells = [_cell(m.metrics.get(f"latency_p{p}_ms")) for p in (50, 90, 99)]
        table.add_row(f"  {m.scenario}", f"{m.n:,}", *cells, _cell(m.metrics.get("throughput_rps")))
    return table


def _cell(value: Estimate | None) -> str:
    return "" if value is None else numbers.interval(value)


def _print_profile(console: Console, profile: Profile) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for title in ("  operator", "kind", "ms", "share", "precision", "MFLOP", "of roofline"):
        table.add_column(title, justify="left" if title.strip() in ("operator", "kind", "precision") else "right")
    for o in profile.operators[:SHOWN_OPERATORS]:
        table.add_row(
            Text(f"  {printable(o.name)[:48]}"),
            printable(o.kind),
            f"{o.time_ms:.3f}",
            f"{o.share_frac:.1%}",
            o.precision,
            "" if o.flops is None else f"{o.flops / 1e6:,.1f}",
            "" if o.roofline_frac is None else f"{o.roofline_frac:.0%}",
        )
    console.print(table)
    left = len(profile.operators) - SHOWN_OPERATORS
    if left > 0:
        console.print(f"  … and {left} more", markup=False)
    p = profile.peaks
    peaks = [f"FP32 {p.fp32_gflops:,.0f} GFLOP/s"]
    peaks += [f"BF16 {p.bf16_gflops:,.0f} GFLOP/s"] if p.bf16_gflops else []
    peaks += [f"INT8 {p.int8_gops:,.0f} GOP/s"] if p.int8_gops else []
    console.print(f"\n  peaks (one thread, measured)  {' · '.join(peaks)} · memory {p.memory_gb_per_s:,.0f} GB/s", markup=False)
    if profile.mapped_frac > 0:
        console.print(f"  {profile.mapped_frac:.0%} of the operator time mapped back to the model's nodes", markup=False)
    console.print(Text.assemble("  bottleneck: ", (profile.bottleneck, "bold"), f" — {profile.why}"))
    for remark in profile.remarks:
        console.print(f"  · {remark}", markup=False)


def print_verification(result: Verification) -> None:
    """Each check with planned and seen figures, then the verdict."""
    console = _out()
    console.print(f"\n  {printable(result.workload)} · {printable(result.candidate.label)}", markup=False)
    console.print(f"  this machine now runs at {result.machine_speed.value:.2f} × its speed when the plan was made", markup=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for title in ("  check", "planned", "seen", "", ""):
        table.add_column(title, justify="right" if title in ("planned", "seen") else "left")
    for c in result.checks:
        table.add_row(
            f"  {c.name}",
            f"{numbers.interval(c.planned)} {c.unit}",
            f"{numbers.interval(c.seen)} {c.unit}",
            c.limit,
            f"{MARKS[c.outcome]} {WORDS[c.outcome]}",
        )
    console.print(table)
    outcome = result.verdict.outcome
    said = "; ".join(result.verdict.reasons)
    console.print(Text.assemble((f"\n{MARKS[outcome]} ", _COLOURS[outcome]), (f"{WORDS[outcome]}: {said}", "bold")))
    if result.verdict.hint:
        Console(stderr=True, highlight=False).print(f"\nhint: {result.verdict.hint}", markup=False)


def _offer_table(rows: Sequence[tuple[Offer, str]], *, sources: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for title in ("offer", "region", "term", "price", "vCPU", "GiB", "GPU", "dated", *(("source", "note") if sources else ())):
        table.add_column(title, justify="right" if title in ("price", "vCPU", "GiB") else "left", no_wrap=not sources)
    for o, note in rows:
        h = o.hardware
        gpu = f"{h.accelerators:g} × {printable(h.accelerator)}" if h.accelerator else ""
        cells = [printable(o.name), o.region, term_name(o.term), offer_price(o), _plain(h.vcpus), _plain(h.memory_gib), gpu]
        table.add_row(*cells, o.dated.isoformat(), *((printable(o.source), printable(note)) if sources else ()))
    return table


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def print_offers(offers: Sequence[Offer]) -> None:
    """A line an offer."""
    _out().print(_offer_table([(o, "") for o in offers], sources=False))


def print_offer(rows: Sequence[PriceRow]) -> None:
    """Every term and date of one offer, with source and what a second source says."""
    _out().print(_offer_table([(r.offer, r.note) for r in rows], sources=True))


def print_import(offers: Sequence[Offer], path: Path) -> None:
    """What was imported, and where it lies."""
    _out().print(f"{len(offers):,} prices imported into {path}", markup=False)


def print_problems(problems: Sequence[PriceProblem]) -> None:
    """One line a problem; a word when there is none."""
    for p in problems:
        _out().print(f"{p.key} ({p.dated}): {p.problem}", markup=False)
    if not problems:
        print("every price is positive, dated, sourced and in order", file=sys.stderr)
