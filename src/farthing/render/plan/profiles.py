"""The page of ``farthing profile`` in a terminal: scenarios, money, operators, peaks and the bottleneck."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from farthing.nouns import Baseline, Estimate, Measurement, OperatorTime, Profile, percentile_name
from farthing.render.numbers import (
    count,
    duration,
    interval,
    milliseconds,
    money,
    number,
    percent,
    significant_decimals,
)
from farthing.render.plan.money_words import beside, needed
from farthing.render.plan.sentences import estimated, peaks_sentence, price_sentence
from farthing.render.screen import grid, labelled, listing, spoken
from farthing.render.words import printable

__all__ = ["baseline_page", "profile_block"]

NAME_WIDTH = 52


def baseline_page(baseline: Baseline, folder: Path) -> RenderableType:
    """What serves today: measured, held against the bill, and taken apart.

    Args:
        baseline: What ``farthing profile`` found.
        folder: Where its files lie.
    """
    files = " · ".join(str(folder / name) for name in ("baseline.yaml", "measurements.parquet", "trace.json"))
    saved = grid()
    saved.add_row(Text("saved", style="dim"), spoken(files))
    return Group(
        spoken(baseline.description, "dim"),
        spoken(price_sentence(baseline.offers[0]), "dim"),
        Text(""),
        _scenarios(baseline.measurements),
        Text(""),
        _facts(baseline),
        Text(""),
        labelled(beside(baseline)),
        Text(""),
        profile_block(baseline.profile),
        Text(""),
        saved,
    )


def profile_block(profile: Profile, *, operators: int = 15) -> RenderableType:
    """Where the time of one candidate goes.

    Args:
        profile: Per-operator times, peaks and bottleneck.
        operators: How many of the longest are listed.
    """
    lines: list[RenderableType] = [spoken(profile.candidate.label, "bold"), _operators(profile, operators)]
    lines += [Text(""), _bottom(profile)]
    return Group(*lines, *(spoken(f"  · {remark}") for remark in profile.remarks))


def _rate(value: Estimate | None) -> str:
    if value is None:
        return ""
    places = 0 if value.value >= 100 else significant_decimals(value.value)
    return f"{number(value.value, places)}/s {interval(value, decimals=places)}".rstrip()


def _scenarios(measurements: Sequence[Measurement]) -> Table:
    levels = sorted({level for m in measurements for level in m.levels})
    heads = [("  scenario", False), ("batch", True), ("n", True), *((percentile_name(q), True) for q in levels)]
    table = listing(*heads, ("throughput", True), ("", False))
    for m in measurements:
        tails = [m.latency(q) if q in m.levels else None for q in levels]
        texts = ["" if t is None else milliseconds(t) for t in tails]
        busy = "machine was busy, intervals are wide" if m.contended else ""
        cells = (f"  {m.scenario}", str(m.batch), count(m.n), *texts, _rate(m.metrics.get("throughput_rps")), busy)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _facts(baseline: Baseline) -> Table:
    e, about = baseline.evaluation, estimated(baseline.stand_in)
    facts = (
        (printable(baseline.metric), "" if baseline.score_frac is None else percent(baseline.score_frac)),
        ("peak memory", "" if e.peak_memory_mib is None else f"{number(e.peak_memory_mib, 0)} MiB"),
        ("load time", "" if e.load_s is None else duration(e.load_s)),
        ("first inference", "" if e.first_inference_s is None else milliseconds(e.first_inference_s * 1000)),
        ("cost a million", "" if e.usd_per_million is None else about + money(e.usd_per_million)),
        ("needed a month", _needed(baseline)),
        ("billed a month", money(baseline.bill_usd_per_month)),
        ("", printable(baseline.gap.note)),
    )
    table = grid()
    for name, text in facts:
        if text:
            table.add_row(Text(name, style="dim"), Text(text))
    return table


def _needed(baseline: Baseline) -> str:
    """What the baseline needs: at the arrivals, or over all utilisations where these are not known."""
    cost, about = baseline.evaluation.cost_usd_per_month, estimated(baseline.stand_in)
    if baseline.utilisations:
        return about + needed(baseline.utilisations)
    return "" if cost is None else about + money(cost)


def _operators(profile: Profile, most: int) -> RenderableType:
    heads = [("  operator", False), ("type", False), ("in", False), ("time", True), ("share", True), ("FLOP", True)]
    table = listing(*heads, ("bytes", True), ("of roofline", True))
    for o in profile.operators[:most]:
        table.add_row(*(Text(cell) for cell in _row(o)))
    rest = profile.operators[most:]
    if not rest:
        return table
    left = f"  and {len(rest)} more, {percent(sum(o.share_frac for o in rest))} of operator time"
    return Group(table, Text(left, style="dim"))


def _row(o: OperatorTime) -> tuple[str, ...]:
    name = printable(o.name)
    if len(name) > NAME_WIDTH:
        name = f"…{name[1 - NAME_WIDTH :]}"
    return (
        f"  {name}{'' if o.mapped else ' (engine’s own)'}",
        printable(o.kind),
        printable(o.precision),
        f"{number(o.time_ms, 3)} ms",
        percent(o.share_frac, decimals=1),
        "" if o.flops is None else count(o.flops),
        "" if o.bytes_moved is None else count(o.bytes_moved),
        _of_roofline(o),
    )


def _of_roofline(o: OperatorTime) -> str:
    """Share of the roofline; ``unknown`` where the work is, empty where there is none to do."""
    if o.roofline_frac is None:
        return "unknown" if o.flops is None else ""
    return percent(o.roofline_frac, decimals=0)


def _bottom(profile: Profile) -> Table:
    before = f"{milliseconds(profile.pipeline_ms)} of it before the engine"
    facts = [
        ("one batch", f"of {profile.batch}: {milliseconds(profile.wall_ms)}, {before}"),
        ("peaks", f"{peaks_sentence(profile.peaks)}, one thread, measured"),
    ]
    if profile.mapped_frac > 0:
        facts.append(("mapped", f"{percent(profile.mapped_frac)} of operator time to nodes of the model"))
    facts.append(("bottleneck", f"{profile.bottleneck}: {printable(profile.why)}"))
    table = grid()
    for name, text in facts:
        table.add_row(Text(name, style="dim"), Text(text, style="bold" if name == "bottleneck" else ""))
    return table
