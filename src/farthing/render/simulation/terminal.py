"""A study of autoscaling rules on one screen."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from farthing.core.simulation.rules.compared import Fleet
from farthing.core.simulation.rules.study import Judged, Study
from farthing.core.simulation.spot.study import SpotStudy
from farthing.core.simulation.steering import BUSY_FRAC
from farthing.nouns import HOURS_PER_MONTH, Offer, Plan
from farthing.render.numbers import count, duration, milliseconds, money, number, percent
from farthing.render.screen import console, labelled, listing, say
from farthing.render.words import offer_price

__all__ = ["print_study", "spot_block", "study_block"]

OSCILLATES_PER_HOUR = 12.0
MISLEADS_FRAC = 0.001


def print_study(plan: Plan, found: Study, fleet: Fleet, spot: SpotStudy | None = None) -> None:
    """The study on stdout."""
    block = study_block(plan, found, fleet)
    say(console(sys.stdout), block if spot is None else Group(block, Text(""), spot_block(spot, fleet)))


def study_block(plan: Plan, found: Study, fleet: Fleet) -> RenderableType:
    """What was simulated, the answer in one line, each rule with its dollars and attainment, what is assumed."""
    return Group(
        Text(_what(plan, found, fleet)),
        Text(""),
        Text(_answer(found), style="bold"),
        Text(""),
        _table(found.judged),
        Text(""),
        labelled(_beside(plan.offers[0], found, fleet)),
    )


def spot_block(found: SpotStudy, fleet: Fleet) -> RenderableType:
    """What the first rule costs and keeps, bought in each way."""
    columns = ("bought", False), ("a month", True), ("saved", True), ("in time", True), ("all there", True)
    table = listing(*columns, ("on spot", True), ("taken back", True), ("sent on", True), ("lost", True))
    month = HOURS_PER_MONTH * 3600 / found.length_s
    for run in found.runs:
        table.add_row(
            run.way,
            money(run.usd * month),
            percent(found.saving_frac(run)) if run.spot_h else "",
            percent(run.attainment_frac, decimals=2),
            percent(run.full_frac, decimals=2),
            percent(run.spot_h / (run.spot_h + run.on_demand_h)),
            f"{run.reclaimed:,}" if run.spot_h else "",
            f"{run.requeued:,}" if run.spot_h else "",
            f"{run.lost:,}",
        )
    market = found.market
    lines = [
        (
            "spot",
            f"${market.usd_per_hour:.4g} an hour in {len(market.histories)} zones, as many as their histories had; "
            f"notice {duration(market.reclaiming.notice_s)}, no more requests in its last "
            f"{duration(market.reclaiming.drain_s)}",
        ),
        (
            "floor",
            f"{percent(found.floor_frac)} on demand at least, more where spot cannot be had until it can again"
            + (f"; {found.spare} more on spot than wanted" if found.spare else ""),
        ),
        ("all there", "share of the time in which as many replicas took requests as the rule wanted, starts included"),
        *(("histories", said) for said in found.said),
    ]
    return Group(Text(f"{found.rule}, bought on demand and on spot", style="bold"), table, Text(""), labelled(lines))


def _what(plan: Plan, found: Study, fleet: Fleet) -> str:
    assert plan.chosen is not None
    bound = plan.objective.latency
    promise = "no promise" if bound is None else f"answered within {bound.ms:g} ms"
    return (
        f"{plan.workload} · {plan.chosen.candidate.label} · {number(found.replica.rate_rps, 0)} requests/s a replica "
        f"within the promise · {count(found.requests)} requests in {duration(found.length_s)} · "
        f"{percent(found.attainment_frac)} {promise}"
    )


def _answer(found: Study) -> str:
    best = found.best
    if best is None:
        nearest = found.judged[0]
        return (
            f"no rule keeps {percent(found.attainment_frac)}; {nearest.outcome.name} comes nearest with "
            f"{percent(nearest.outcome.attainment_frac)}"
        )
    above = found.above_clairvoyant_frac(best)
    known = "" if above is None else f", {percent(above)} above one who knows all arrivals beforehand"
    return (
        f"{best.outcome.name} is the cheapest that keeps {percent(found.attainment_frac)}: "
        f"{money(best.outcome.usd_per_month)} a month{known}"
    )


def _table(judged: Sequence[Judged]) -> RenderableType:
    columns = ("rule", False), ("tuned to", False), ("a month", True), ("in time", True), ("p99", True)
    table = listing(*columns, ("replicas", True), ("busy", True), ("", False))
    for one in judged:
        runs = one.outcome.runs
        middle = sorted(runs, key=lambda run: run.p99_ms)[len(runs) // 2]
        table.add_row(
            one.outcome.name,
            one.tuned.said,
            money(one.outcome.usd_per_month),
            percent(one.outcome.attainment_frac, decimals=2, bounds=False),
            milliseconds(middle.p99_ms),
            f"{min(r.fewest for r in runs)}–{max(r.most for r in runs)}",
            percent(middle.busy_frac),
            "" if one.keeps else "misses",
        )
    return table


def _oscillating(judged: Sequence[Judged]) -> list[tuple[str, str]]:
    turning = [(max(run.turns_per_hour for run in one.outcome.runs), one.outcome.name) for one in judged]
    said = [
        f"{name} {number(often, 0)}" for often, name in sorted(turning, reverse=True) if often >= OSCILLATES_PER_HOUR
    ]
    if not said:
        return []
    return [("oscillates", f"from more to fewer and back so often an hour: {', '.join(said)}")]


def _misled(judged: Sequence[Judged]) -> list[tuple[str, str]]:
    """Where CPU does not tell: what was missed while no replica was busy."""
    one = next((j for j in judged if j.outcome.name == "HPA on CPU"), None)
    if one is None:
        return []
    missed = max(run.missed_unbusy_frac for run in one.outcome.runs)
    if missed < MISLEADS_FRAC:
        return []
    return [
        (
            "CPU misleads",
            f"under HPA on CPU {percent(missed)} of all requests were missed in intervals in which replicas were busy "
            f"for less than {percent(BUSY_FRAC)}: bursts that are shorter than an interval do not show",
        )
    ]


def _known(found: Study) -> str:
    if found.clairvoyant is None:
        return "not even one who knows all arrivals beforehand keeps it with whole replicas that take so long to start"
    usd, kept = money(found.clairvoyant.usd_per_month), percent(found.clairvoyant.attainment_frac, bounds=False)
    return f"{usd} a month, {kept} in time, for one who knows all arrivals, with the same lag and whole replicas"


def _beside(offer: Offer, found: Study, fleet: Fleet) -> list[tuple[str, str]]:
    assumed = sorted({said for one in found.judged for said in one.outcome.assumed})
    lines = [
        (
            "judged",
            "each rule was tuned on the first half of the trace and judged on the second, all with the same requests; "
            "intervals cover seeds of what is drawn, not other traces",
        ),
        ("known", _known(found)),
        (
            "replicas",
            f"{duration(fleet.start_s)} to a running machine, {duration(fleet.load_s)} to its first request, "
            f"{offer_price(offer)}, paid by the second, a minute at least",
        ),
        (
            "refused",
            "what would come later than a promise on p99 or above allows, as by farthing's server; it is missed",
        ),
        (
            "times",
            f"of batches as measured, × {number(found.replica.slower, 2)}, so that the queue keeps what the plan's "
            "proof kept",
        ),
    ]
    lines += _oscillating(found.judged) + _misled(found.judged)
    return [*lines, *(("assumed", said) for said in assumed)]
