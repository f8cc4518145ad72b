"""A plan at other arrivals, another bill, offer or promise: priced from what was measured, nothing measured again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from farthing.core.money.trace_cost import replicas_by_hour
from farthing.core.plan.assemble import Market, assemble
from farthing.core.plan.findings import Findings
from farthing.core.plan.known_latency import baseline_known, known_at
from farthing.core.plan.other_promise import at_promise
from farthing.core.plan.planned_findings import findings_in
from farthing.core.plan.pricing import Pricing
from farthing.nouns import (
    Candidate,
    Estimate,
    Evaluation,
    Measurement,
    Objective,
    Plan,
    Trace,
    Verdict,
    Workload,
    latency_metric,
)

__all__ = ["SAID_ANEW", "found_at", "replanned"]

SAID_ANEW = ("this machine stands for ", "the arrivals ", "purchase terms:", "priced again ")
"""How the sentences begin that a plan priced again says anew."""
SAME_FRAC = 1e-6
FAR_FACTORS = (0.5, 1.3)
"""Between these times the planned rate the latency–rate curve is believed: runs were tried at rates of that range."""


def found_at(plan: Plan, objective: Objective) -> Findings:
    """What a plan holds, rated for a promise.

    Args:
        plan: As emitted.
        objective: The new promise, or the plan's own.

    Raises:
        ValueError: when the metric is another one.
    """
    return at_promise(findings_in(plan, objective.level), plan.objective, objective, plan.provenance.seed)


def replanned(
    plan: Plan,
    found: Findings,
    workload: Workload,
    market: Market,
    trace: Trace,
    *,
    assumptions: Sequence[str],
    by_utilisation: Mapping[float, Trace] | None = None,
) -> Plan:
    """Assemble a plan anew.

    Args:
        plan: As emitted.
        found: From :func:`found_at`.
        workload: With the new bill, traffic and promise.
        market: New prices.
        trace: New arrivals.
        assumptions: On prices and arrivals, one sentence each.
        by_utilisation: As :func:`farthing.core.plan.assemble.assemble` takes it.
    """
    p = Pricing(workload=workload, found=found, market=market, trace=trace)
    p = replace(p, found=_served_at(p))
    when = plan.provenance.started_at
    head = f"priced again from the measurements of {when:%Y-%m-%d %H:%M}: nothing was measured for it"
    promise = _other_promise(plan, p)
    made = assemble(
        replace(workload, name=plan.workload, pipeline=plan.pipeline),
        p.found,
        market,
        trace,
        plan.provenance,
        splits=plan.splits,
        assumptions=(
            head,
            *([promise] if promise else []),
            *assumptions,
            *(a for a in plan.assumptions if not a.startswith(SAID_ANEW)),
        ),
        description=plan.description,
        by_utilisation=by_utilisation,
    )
    return replace(made, verdict=_as_far_as_known(plan, made))


def _as_far_as_known(plan: Plan, made: Plan) -> Verdict:
    """A new promise that is met on paper is unproven where it rests on what was not served, or on far rates."""
    was, now = plan.objective.latency, made.objective.latency
    if made.verdict.outcome != "met" or made.chosen is None or now is None or was == now:
        return made.verdict
    label, bound = made.chosen.candidate.label, f"{now.name} ≤ {now.ms:g} ms"
    if plan.chosen is None or plan.chosen.candidate != made.chosen.candidate:
        why = f"{label} would keep {bound} by its measured service times, but it was not served under any promise"
    elif _far(plan.chosen, made.chosen):
        why = f"{bound} takes {label} to a rate far from those at which it was served"
    else:
        return made.verdict
    hint = f"measure it: the command of the plan with {now.flag} {now.ms:g}ms"
    return Verdict(outcome="unproven", reasons=(why, *made.verdict.reasons), hint=hint)


def _far(before: Evaluation, after: Evaluation) -> bool:
    if before.sla_rps is None or after.sla_rps is None:
        return True
    least, most = FAR_FACTORS
    return not least <= after.sla_rps.value / before.sla_rps.value <= most


def _other_promise(plan: Plan, p: Pricing) -> str:
    was, now = plan.objective.latency, p.workload.objective.latency
    if was == now:
        return ""
    said = "no latency was promised" if was is None else f"{was.name} ≤ {was.ms:g} ms was promised"
    return f"{said} when it was measured: rates within the new promise are those of the latency–rate curve"


def _served_at(p: Pricing) -> Findings:
    """Baseline and choice at the rates and the level that are asked for now; what was measured so stays as it is."""
    found = p.found
    rates = {found.baseline: found.sla_rps.get(found.baseline)}
    if found.chosen is not None and (rate := found.sla_rps.get(found.chosen)) is not None:
        rates[found.chosen] = _peak_of_one(p, rate)
    server = {c: _at_rate(p, c, rate) for c, rate in rates.items() if rate is not None}
    return replace(found, server={c: m for c, m in server.items() if m is not None})


def _at_rate(p: Pricing, c: Candidate, rate_rps: float) -> Measurement | None:
    seen, level = p.found.server.get(c), p.workload.objective.level
    if seen is not None and level in seen.levels and _proven(p, seen, level, rate_rps):
        return seen
    if c == p.found.baseline:
        known = None if seen is None else baseline_known(p.found, level)
    else:
        known = known_at(p.found, c, p.workload.objective.latency, level)
    return None if known is None else _measurement(p, c, rate_rps, known.latency(rate_rps).ms)


def _proven(p: Pricing, seen: Measurement, level: float, rate_rps: float) -> bool:
    """Whether what was served says enough: at the same rate, or at a higher one within the promise."""
    at, bound = seen.metrics.get("offered_rps"), p.workload.objective.latency
    if at is None or rate_rps > at.value * (1 + SAME_FRAC):
        return False
    return rate_rps >= at.value * (1 - SAME_FRAC) or (bound is not None and seen.latency(level).hi <= bound.ms)


def _peak_of_one(p: Pricing, rate_rps: float) -> float:
    """Highest rate that one replica takes in any hour, on the machine that was measured."""
    factor, least = p.market.capacity_factor, p.workload.objective.min_replicas
    peaks = p.trace.hourly_rps()[1]
    return float((peaks / replicas_by_hour(peaks, rate_rps * factor, least, fixed=p.fixed)).max()) / factor


def _measurement(p: Pricing, c: Candidate, rate_rps: float, ms: Estimate) -> Measurement:
    alone = p.found.latency.get(c) or next(iter(p.found.latency.values()))
    return Measurement(
        candidate=c,
        scenario="Server",
        batch=c.max_batch,
        n=ms.n,
        metrics={
            latency_metric(p.workload.objective.level): ms,
            "offered_rps": Estimate(value=rate_rps, lo=rate_rps, hi=rate_rps, n=0, method="worked out, not served"),
        },
        seed=alone.seed,
        hardware=alone.hardware,
        taken_at=alone.taken_at,
    )
