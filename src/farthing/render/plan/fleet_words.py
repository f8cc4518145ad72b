"""Beside the verdict, in words: the baseline held to the promise, the cost without it, idle and fixed fleets."""

from __future__ import annotations

from farthing.nouns import FixedFleet, FleetSize, IdleOption, Latency, Plan, WithoutPromise
from farthing.render.numbers import milliseconds, money, percent
from farthing.render.plan.sentences import SummaryRow, cheaper, estimated, part_words, whole_range
from farthing.render.words import printable, term_name

__all__ = ["fleet_rows", "fleet_sentence", "held_sentence", "idle_lines", "without_promise_rows"]


def held_sentence(plan: Plan) -> str:
    """What the baseline would cost if it had to keep the promise that it breaks; empty where it keeps it."""
    held, bound = plan.held_baseline, plan.objective.latency
    if held is None or bound is None:
        return ""
    promised = f"{bound.name} ≤ {milliseconds(bound.ms)}"
    if held.breaks_idle:
        alone = f"{held.alone.name} {milliseconds(held.alone.ms, bounds=False)} one at a time"
        return f"it breaks {promised} even when idle ({alone}): no number of replicas keeps it; its cost is without it"
    cost = held.cost_usd_per_month
    if cost is None:
        return ""
    return (
        f"its cost is that without the promise; if it had to keep {promised}: "
        f"{estimated(plan.stand_in)}{money(cost)} a month"
    )


def without_promise_rows(plan: Plan) -> tuple[SummaryRow, ...]:
    """Cost and replicas now, and of the nearest candidate at its highest stable rate."""
    found = plan.without_promise
    today = SummaryRow(
        name="cost a month",
        now=money(plan.bill_usd_per_month),
        planned="" if found is None else estimated(plan.stand_in) + money(found.cost_usd_per_month),
        note="" if found is None else _note(plan, found),
    )
    need = SummaryRow(
        name="needed today",
        now=estimated(plan.stand_in) + money(plan.baseline_usd_per_month),
        planned="",
        note=_need(plan),
    )
    count = SummaryRow(
        name="replicas",
        now=whole_range(plan.hourly.baseline_replicas),
        planned="" if found is None else whole_range(found.replicas),
    )
    return today, need, count


def _note(plan: Plan, found: WithoutPromise) -> str:
    at = "".join(f" at {percent(row.utilisation_frac)} utilisation" for row in plan.utilisations[-1:])
    claim = f"{cheaper(found.saving_frac)} than the baseline{at}, the promise not kept"
    return " · ".join([claim, *map(part_words, found.parts[:3])])


def _need(plan: Plan) -> str:
    return "at the highest utilisation" if plan.utilisations else "what the baseline needs hour by hour"


def idle_lines(plan: Plan) -> list[tuple[str, str]]:
    """Cheaper ways to buy a replica that idles, a line each."""
    return [("idle" if k == 0 else "", _option(option)) for k, option in enumerate(plan.idle_options)]


def _option(option: IdleOption) -> str:
    offer = (
        f"{printable(option.offer.name)} ({term_name(option.offer.term)}, price of {option.offer.dated.isoformat()})"
    )
    name = option.name if option.name == "scale to zero" else f"{option.name} {offer}"
    return f"{name}: ≈ {money(option.cost_usd_per_month)} a month; {printable(option.rule)}"


def fleet_sentence(fleet: FixedFleet) -> str:
    """``12 replicas run all month: 5 suffice as it is, 2 as planned, so 10 can go``."""
    fewest = fleet.baseline if fleet.planned is None else min(fleet.baseline, fleet.planned)
    said = [f"{fleet.baseline:,} suffice as it is" if fleet.baseline <= fleet.today else _short(fleet)]
    if fleet.planned is not None:
        said.append(f"{fleet.planned:,} as planned")
    gone = max(0, fleet.today - fewest)
    return f"{fleet.today:,} replicas run all month: {', '.join(said)}, so {gone:,} can go"


def _short(fleet: FixedFleet) -> str:
    return f"as it is {fleet.baseline:,} would be needed in the busiest hour"


def fleet_rows(plan: Plan) -> list[tuple[str, str, str, str, str]]:
    """Replicas, how many go, cost a month, latency in the busiest step as it is and as planned; a row a size."""
    fleet = plan.fixed_fleet
    if fleet is None:
        return []
    return [
        (
            f"{size.replicas:,}",
            f"{max(0, fleet.today - size.replicas):,}",
            money(size.usd_per_month),
            _latency(size, size.baseline, "baseline"),
            _latency(size, size.planned, "planned"),
        )
        for size in fleet.sizes
    ]


def _latency(size: FleetSize, seen: Latency | None, who: str) -> str:
    if seen is None:
        return ""
    return f"{milliseconds(seen.ms)}{'' if who in size.held else ' ✘'}"
