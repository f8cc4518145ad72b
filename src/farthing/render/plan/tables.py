"""Rows of the report's tables: each cell with its text and the number by which it sorts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from farthing.nouns import AccuracyEvidence, Estimate, Evaluation, Plan, percentile_name
from farthing.render.numbers import (
    count,
    duration,
    interval,
    milliseconds,
    money,
    number,
    percent,
    points,
    times,
)
from farthing.render.plan.sentences import accuracy_change, how_loaded, shown_level
from farthing.render.words import offer_price, printable, term_name

__all__ = ["Cell", "Column", "candidate_columns", "candidate_rows", "evidence_rows", "offer_rows", "seconds_rows"]

_ORDER = ("chosen", "tied", "baseline", "lost", "infeasible", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell.

    Attributes:
        text: What is read.
        sort: Number by which the column sorts; None sorts by the text, after all numbers.
        detail: Second, quieter line.
    """

    text: str
    sort: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Head of a column; ``numeric`` ones are set flush right."""

    title: str
    numeric: bool = False


def candidate_columns(plan: Plan) -> tuple[Column, ...]:
    """Heads of the table of all candidates."""
    numeric = (
        "cost a month",
        "per million",
        f"{printable(plan.objective.metric)} change",
        f"{percentile_name(shown_level(plan))} of a replica",
        "flat out",
        "against now",
        "memory",
    )
    return (
        Column(title="candidate"),
        Column(title="status"),
        *(Column(title=t, numeric=True) for t in numeric),
        Column(title="why"),
    )


def candidate_rows(plan: Plan) -> list[tuple[Evaluation, tuple[Cell, ...]]]:
    """All candidates, the chosen one first, then by cost."""

    def order(e: Evaluation) -> tuple[int, float]:
        cost = e.cost_usd_per_month.value if e.cost_usd_per_month else float("inf")
        return _ORDER.index(e.status), cost

    level = shown_level(plan)
    return [(e, _candidate(e, level)) for e in sorted(plan.evaluations, key=order)]


def _candidate(e: Evaluation, level: float) -> tuple[Cell, ...]:
    memory = e.peak_memory_mib
    return (
        Cell(text=printable(e.candidate.label)),
        Cell(text=e.status, sort=_ORDER.index(e.status)),
        _figure(e.cost_usd_per_month, lambda x: money(x, bounds=False)),
        _figure(e.usd_per_million, lambda x: money(x, bounds=False)),
        _change(e.accuracy),
        _tail(e, level),
        _figure(e.capacity_rps, lambda x: f"{number(x.value, 0 if x.value >= 100 else 1)}/s"),
        _figure(e.ratio, lambda x: times(x).partition(" [")[0]),
        Cell(text="") if memory is None else Cell(text=f"{number(memory, 0)} MiB", sort=memory),
        Cell(text=printable(e.reason)),
    )


def _tail(e: Evaluation, level: float) -> Cell:
    """Latency at the level of the column, and what a replica was asked meanwhile: each has a rate of its own."""
    tail = e.tail_at(level)
    cell = _figure(None if tail is None else tail.ms, lambda x: milliseconds(x, bounds=False))
    if tail is None:
        return cell
    how = how_loaded(tail, e)
    return replace(cell, detail=f"{cell.detail} {how}" if cell.detail else how)


def _figure(value: Estimate | None, write: Callable[[Estimate], str]) -> Cell:
    if value is None:
        return Cell(text="")
    text = write(value)
    scale, places = _scale(text)
    return Cell(text=text, sort=value.value, detail=interval(value, decimals=places, scale=scale))


def _scale(text: str) -> tuple[float, int]:
    """Factor and decimals of a written number, so that its interval is written alike."""
    digits = "".join(c for c in text if c.isdigit() or c == ".")
    return (1e-3 if text.endswith(" s") else 1e3 if text.endswith("µs") else 1.0), len(digits.partition(".")[2])


def _change(evidence: AccuracyEvidence | None) -> Cell:
    if evidence is None:
        return Cell(text="", detail="")
    change = points(-evidence.drop_frac.value).removesuffix(" points")
    limit = accuracy_change(evidence).partition("(")[2].partition(",")[0]
    return Cell(text=change, sort=-evidence.drop_frac.value, detail=f"{limit}, n {count(evidence.n)}")


def evidence_rows(plan: Plan) -> list[tuple[str, AccuracyEvidence]]:
    """What was compared with the baseline's answers, one row a build and split, the chosen one first."""
    seen: dict[tuple[str, str, int], AccuracyEvidence] = {}
    for e in sorted(plan.evaluations, key=lambda e: _ORDER.index(e.status)):
        if e.accuracy is not None:
            seen.setdefault((printable(e.candidate.build), e.accuracy.split, e.accuracy.n), e.accuracy)
    return [(build, evidence) for (build, _, _), evidence in seen.items()]


def offer_rows(plan: Plan) -> list[tuple[str, str, str, str, str, str]]:
    """Name, region, term, price, date and source of every price used."""
    return [
        (
            printable(o.name),
            printable(o.region),
            term_name(o.term),
            offer_price(o),
            o.dated.isoformat(),
            printable(o.source),
        )
        for o in plan.offers
    ]


def seconds_rows(plan: Plan) -> list[tuple[str, str, str]]:
    """Wall time by item, the longest first and the total last: name, time, share of the total."""
    seconds = plan.provenance.seconds
    total = seconds.get("total", sum(seconds.values()))
    items = sorted(((k, v) for k, v in seconds.items() if k != "total"), key=lambda kv: -kv[1])
    rows = [
        (printable(k).replace("_", " "), duration(v), percent(v / total, decimals=1) if total else "") for k, v in items
    ]
    return [*rows, ("total", duration(total), "")]
