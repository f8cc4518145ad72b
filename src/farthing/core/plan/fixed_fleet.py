"""A fleet that does not scale: how many of its replicas can go, and at what latency."""

from __future__ import annotations

from farthing.core.money.price import usd_per_month
from farthing.core.money.trace_cost import replicas_by_hour
from farthing.core.plan.known_latency import baseline_known, known_at
from farthing.core.plan.pricing import Pricing
from farthing.nouns import NEVER_MS, Candidate, FixedFleet, FleetSize

__all__ = ["fixed_fleet"]

SHOWN = 6
"""Sizes of a fleet that are shown at most, the fewest and today's among them."""


def fixed_fleet(p: Pricing) -> FixedFleet | None:
    """Sizes between the fewest that serve the busiest step and what the bill pays for; None for a fleet that scales."""
    rate = p.found.sla_rps.get(p.found.baseline)
    if not p.fixed or rate is None:
        return None
    today = p.workload.bill.replicas or round(p.market.bill_usd_per_month / usd_per_month(p.market.bill_offer, 1))
    fewest, planned = _fewest(p, rate), _fewest_of(p, p.found.chosen)
    least = min(fewest, planned or fewest)
    return FixedFleet(
        today=max(1, today),
        baseline=fewest,
        planned=planned,
        sizes=_sizes(p, _shown(least, fewest, max(1, today)), fewest, planned),
    )


def _fewest(p: Pricing, rate_rps: float) -> int:
    least = p.workload.objective.min_replicas
    return int(replicas_by_hour(p.trace.hourly_rps()[1], rate_rps * p.market.capacity_factor, least).max())


def _fewest_of(p: Pricing, c: Candidate | None) -> int | None:
    rate = p.found.sla_rps.get(c) if c is not None else None
    return None if rate is None else _fewest(p, rate)


def _shown(least: int, baseline: int, today: int) -> tuple[int, ...]:
    """The fewest, one and two more, the baseline's fewest and today's, and what lies evenly between."""
    most = max(least, baseline, today)
    wanted = {least, baseline, today, min(least + 1, most), min(least + 2, most), (least + most) // 2}
    return tuple(sorted(n for n in wanted if least <= n <= most))[:SHOWN]


def _sizes(p: Pricing, shown: tuple[int, ...], fewest: int, planned: int | None) -> tuple[FleetSize, ...]:
    level = p.workload.objective.level
    bound = p.workload.objective.latency
    peak = float(p.trace.hourly_rps()[1].max()) / p.market.capacity_factor
    chosen = p.found.chosen
    base, plan = baseline_known(p.found, level), None if chosen is None else known_at(p.found, chosen, bound, level)
    found = []
    for n in shown:
        seen = [None if k is None else k.latency(peak / n) for k in (base, plan)]
        holds = [
            latency is not None
            and n >= needs
            and (latency.ms.value < NEVER_MS if bound is None else latency.ms.hi <= bound.ms)
            for latency, needs in zip(seen, (fewest, n + 1 if planned is None else planned))
        ]
        found.append(
            FleetSize(
                replicas=n,
                usd_per_month=usd_per_month(p.market.bill_offer, n),
                baseline=seen[0],
                planned=seen[1],
                held=(*(("baseline",) if holds[0] else ()), *(("planned",) if holds[1] else ())),
            )
        )
    return tuple(found)
