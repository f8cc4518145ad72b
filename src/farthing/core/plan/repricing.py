"""A plan at the prices of another day: the replicas stay, what they cost changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from farthing.core.money.commitments import commitment_split, terms_priced
from farthing.core.money.price import usd_per_hour, usd_per_month
from farthing.core.money.saving import UNSPLIT, unsplit, waterfall
from farthing.core.plan.idle_options import options_at
from farthing.core.plan.verdicts import bought_so
from farthing.nouns import (
    AtUtilisation,
    Estimate,
    Evaluation,
    FixedFleet,
    HeldBaseline,
    IdleOption,
    Offer,
    Plan,
    SavingPart,
    Verdict,
    WithoutPromise,
)

__all__ = ["reprice"]


def reprice(plan: Plan, offer: Offer, terms: Sequence[Offer], others: Sequence[Offer] = ()) -> Plan:
    """The plan with every cost at new prices of the same offer.

    What was measured stays: the saving at equal offer and term does not depend on the price. The bill is a fact
    and stays too. Commitments are chosen anew.

    Args:
        plan: As emitted.
        offer: The bill's offer at the new date.
        terms: Every term of it at that date.
        others: Prices of that date of what would serve little traffic; what is not among them is no longer offered.

    Raises:
        ValueError: when the offer is not the plan's.
    """
    old = plan.offers[0]
    if (offer.name, offer.region, offer.term) != (old.name, old.region, old.term):
        raise ValueError(f"the plan is priced as {old.key}, not {offer.key}")
    factor = usd_per_hour(offer) / usd_per_hour(old)
    hourly = replace(plan.hourly, baseline_usd=tuple(u * factor for u in plan.hourly.baseline_usd))
    baseline = plan.baseline_usd_per_month.scaled(factor)
    parts, planned, note = plan.parts, plan.planned_usd_per_month, ""
    if plan.chosen is not None and planned is not None and plan.hourly.planned_replicas:
        lengths = np.asarray(plan.hourly.baseline_usd) / (np.asarray(plan.hourly.baseline_replicas) * usd_per_hour(old))
        split = commitment_split(np.asarray(plan.hourly.planned_replicas), terms, hour_lengths_h=lengths)
        batched = _batched(plan, factor)
        planned = batched.scaled(split.usd_per_month / batched.value)
        parts = _parts(plan, factor, baseline, batched, planned if terms_priced(terms) else None)
        hourly = replace(
            hourly,
            committed_replicas=split.committed_replicas,
            committed_term=split.committed_term,
            planned_usd=tuple(map(float, split.usd_by_hour)),
        )
        note = f"purchase terms: {split.note}"
    idle = _idle(plan, offer, others)
    return replace(
        plan,
        verdict=_verdict(plan, idle),
        baseline_usd_per_month=baseline,
        planned_usd_per_month=planned,
        parts=parts,
        baseline=_scaled(plan.baseline, factor),
        chosen=_scaled(plan.chosen, factor) if plan.chosen else None,
        evaluations=tuple(_scaled(e, factor) for e in plan.evaluations),
        hourly=hourly,
        offers=(offer, *(o for o in terms if o != offer)),
        elsewhere=(),
        held_baseline=_held(plan.held_baseline, factor),
        without_promise=_without(plan, baseline, factor),
        idle_options=idle,
        fixed_fleet=_fleet(plan.fixed_fleet, factor),
        utilisations=tuple(_at(row, factor, _ratio(plan.planned_usd_per_month, planned)) for row in plan.utilisations),
        assumptions=(
            f"priced again with the price of {offer.dated.isoformat()} ({offer.source})",
            *(a for a in plan.assumptions if not a.startswith("purchase terms:")),
            *([note] if note else []),
        ),
    )


def _idle(plan: Plan, offer: Offer, others: Sequence[Offer]) -> tuple[IdleOption, ...]:
    own_usd = usd_per_month(offer, plan.objective.min_replicas)
    return options_at(plan.idle_options, (*others, offer), own_usd)


def _verdict(plan: Plan, idle: Sequence[IdleOption]) -> Verdict:
    """The plan's, with the hint at the new prices where it names a cheaper way to buy what idles."""
    if not plan.idle_options or plan.verdict.hint != bought_so(plan.idle_options[0]):
        return plan.verdict
    return replace(plan.verdict, hint=bought_so(idle[0]) if idle else "keep what runs now")


def _scaled(e: Evaluation, factor: float) -> Evaluation:
    return replace(
        e,
        cost_usd_per_month=e.cost_usd_per_month.scaled(factor) if e.cost_usd_per_month else None,
        usd_per_million=e.usd_per_million.scaled(factor) if e.usd_per_million else None,
    )


def _held(held: HeldBaseline | None, factor: float) -> HeldBaseline | None:
    if held is None or held.cost_usd_per_month is None:
        return held
    return replace(held, cost_usd_per_month=held.cost_usd_per_month.scaled(factor))


def _without(plan: Plan, baseline: Estimate, factor: float) -> WithoutPromise | None:
    found = plan.without_promise
    if found is None:
        return None
    cost = found.cost_usd_per_month.scaled(factor)
    parts = waterfall(
        bill_usd_per_month=plan.bill_usd_per_month,
        baseline=baseline,
        unbatched=_unbatched(found.parts, factor, cost),
        batched=cost,
        with_terms=None,
    )
    return replace(found, cost_usd_per_month=cost, parts=parts)


def _fleet(fleet: FixedFleet | None, factor: float) -> FixedFleet | None:
    if fleet is None:
        return None
    sizes = tuple(replace(size, usd_per_month=size.usd_per_month * factor) for size in fleet.sizes)
    return replace(fleet, sizes=sizes)


def _at(row: AtUtilisation, factor: float, planned_factor: float) -> AtUtilisation:
    """The same requests at new prices; the utilisation is that of the replicas at the plan's own prices.

    The plan keeps its hours at the highest utilisation only, so what commitments do there is taken for all.
    """
    planned = row.planned_usd_per_month
    return replace(
        row,
        baseline_usd_per_month=row.baseline_usd_per_month.scaled(factor),
        planned_usd_per_month=None if planned is None else planned.scaled(planned_factor),
    )


def _ratio(before: Estimate | None, after: Estimate | None) -> float:
    return 1.0 if before is None or after is None else after.value / before.value


def _batched(plan: Plan, factor: float) -> Estimate:
    """Cost at the bill's own offer and term, down to the plan's lowest utilisation where the traffic is not known."""
    cost = plan.chosen.cost_usd_per_month if plan.chosen else None
    if cost is None:
        raise ValueError(f"the plan of {plan.workload} has no cost for what it chose")
    planned = plan.planned_usd_per_month
    if plan.utilisations and planned is not None:
        cost = replace(cost, lo=min(cost.lo, planned.lo * cost.value / planned.value))
    return cost.scaled(factor)


def _parts(
    plan: Plan, factor: float, baseline: Estimate, batched: Estimate, with_terms: Estimate | None
) -> tuple[SavingPart, ...]:
    whole = next((p for p in plan.parts if p.name == UNSPLIT), None)
    if whole is not None:
        return unsplit(
            bill_usd_per_month=plan.bill_usd_per_month, batched=batched, with_terms=with_terms, note=whole.note
        )
    return waterfall(
        bill_usd_per_month=plan.bill_usd_per_month,
        baseline=baseline,
        unbatched=_unbatched(plan.parts, factor, batched),
        batched=batched,
        with_terms=with_terms,
    )


def _unbatched(parts: Sequence[SavingPart], factor: float, batched: Estimate) -> Estimate:
    """Cost of the chosen variant without batching, from the plan's own parts."""
    batching = next((p.usd_per_month for p in parts if p.name == "batching"), None)
    if batching is None:
        return batched
    value = batched.value + batching.value * factor
    return replace(
        batched,
        value=value,
        lo=min(value, batched.lo + batching.lo * factor),
        hi=max(value, batched.hi + batching.hi * factor),
    )
