"""From findings to a Plan: every figure priced at the workload's own trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from farthing.core.plan import verdicts
from farthing.core.plan.beside_plan import held_baseline, without_promise
from farthing.core.plan.evaluations import evaluation, everyone
from farthing.core.plan.findings import Findings
from farthing.core.plan.fixed_fleet import fixed_fleet
from farthing.core.plan.idle_options import idle_options, idling
from farthing.core.plan.pricing import Market, Pricing
from farthing.core.plan.unknown_traffic import Ranged, gap_to_bill, over_utilisations
from farthing.core.search.sustained import HEADROOM
from farthing.nouns import Baseline, Estimate, Evaluation, Plan, Provenance, Trace, Workload

__all__ = ["Market", "assemble", "assemble_baseline"]

EXCLUDED = ("data egress", "load balancers", "storage beyond the instance", "support and taxes")


def assemble(
    workload: Workload,
    found: Findings,
    market: Market,
    trace: Trace,
    provenance: Provenance,
    *,
    splits: Mapping[str, int],
    assumptions: Sequence[str],
    description: str,
    by_utilisation: Mapping[float, Trace] | None = None,
) -> Plan:
    """Price the findings and judge them.

    Args:
        workload: With the objective.
        found: What was measured.
        market: Prices.
        trace: Arrivals to price at, inferred or observed.
        provenance: How to repeat the run.
        splits: Sizes of calibrate, search and confirm.
        assumptions: Said in the report, one sentence each.
        description: Line for the head of the report.
        by_utilisation: Where the traffic is not known, arrivals by utilisation, the least first and ``trace`` the
            last; None where it is known.
    """
    p = Pricing(workload=workload, found=found, market=market, trace=trace)
    evaluations = {c: evaluation(p, c) for c in everyone(found)}
    chosen = evaluations.get(found.chosen) if found.chosen else None
    nearest = None if chosen else verdicts.nearest(evaluations.values(), workload.objective.level)
    money = _ranged(p) if not by_utilisation else over_utilisations(p, by_utilisation)
    priced = money.priced
    around = _around(p, evaluations[found.baseline], nearest, split=not by_utilisation)
    return Plan(
        workload=workload.name,
        description=description,
        verdict=verdicts.decide(workload.objective, chosen, nearest, money.saving, around, contention=found.contention),
        objective=workload.objective,
        pipeline=workload.pipeline,
        bill_usd_per_month=market.bill_usd_per_month,
        baseline_usd_per_month=priced.baseline_usd_per_month,
        planned_usd_per_month=priced.usd_per_month,
        saving_frac=money.saving,
        saving_versus_best_fp32_frac=money.versus_fp32,
        saving_versus_best_half_frac=money.versus_half,
        best_half=found.best_half,
        parts=priced.parts,
        baseline=evaluations[found.baseline],
        chosen=chosen,
        nearest=nearest,
        evaluations=tuple(evaluations.values()),
        hourly=priced.hourly,
        trace_name=trace.name,
        requests_per_month=trace.requests_per_month(),
        offers=market.offers,
        priced_as=market.priced_as,
        elsewhere=p.elsewhere(),
        profiles=found.profiles,
        assumptions=(*assumptions, *priced.notes),
        excluded=EXCLUDED,
        artefacts=tuple(found.artefacts.values()),
        splits=splits,
        provenance=provenance,
        canary_ms=found.canary_ms,
        stand_in=market.stand_in,
        utilisations=money.rows,
        best_fp32=found.best_fp32,
        rate_ratio=found.rate_ratio,
        held_baseline=around.held,
        without_promise=around.without_promise,
        idle_options=around.idle_options,
        fixed_fleet=fixed_fleet(p),
        headroom=HEADROOM,
        contention=found.contention,
    )


def _around(p: Pricing, baseline: Evaluation, nearest: Evaluation | None, *, split: bool) -> verdicts.Around:
    """What stands beside a plan's money and may decide the words of its verdict."""
    without = without_promise(p, nearest, split=split)
    served = p.found.chosen or (without.candidate if without else p.found.baseline)
    rate = without.rate_rps if without and p.found.chosen is None else p.found.sla_rps.get(served)
    idle = idling(p, served, rate)
    return verdicts.Around(
        baseline=baseline,
        held=held_baseline(p),
        without_promise=without,
        busy_frac=idle.busy_frac if idle else None,
        idle_options=idle_options(p, idle, rate) if idle and rate else (),
    )


def _ranged(p: Pricing) -> Ranged:
    """The money of a plan whose traffic is known."""
    saving, versus_fp32 = p.savings()
    return Ranged(
        priced=p.priced(),
        saving=saving,
        versus_fp32=versus_fp32,
        versus_half=p.saving_against(p.found.best_half),
        rows=(),
    )


def assemble_baseline(
    workload: Workload,
    found: Findings,
    market: Market,
    trace: Trace,
    provenance: Provenance,
    *,
    score: Estimate | None,
    assumptions: Sequence[str],
    description: str,
    by_utilisation: Mapping[float, Trace] | None = None,
) -> Baseline:
    """Price the baseline at the trace and hold it against the bill.

    Args:
        workload: With the objective.
        found: From :func:`farthing.measure.campaign.measure_baseline`, one profile included.
        market: Prices.
        trace: Arrivals.
        provenance: How to repeat it.
        score: The metric on labelled data, None without labels.
        assumptions: Each one sentence.
        description: One line for the head.
        by_utilisation: As in :func:`assemble`.

    Raises:
        ValueError: when the findings hold no profile.
    """
    if not found.profiles:
        raise ValueError("the baseline was not profiled")
    p = Pricing(workload=workload, found=found, market=market, trace=trace)
    ranged = over_utilisations(p, by_utilisation) if by_utilisation else None
    return Baseline(
        workload=workload.name,
        description=description,
        evaluation=evaluation(p, found.baseline),
        metric=workload.objective.metric,
        score_frac=score,
        measurements=found.measurements,
        profile=found.profiles[0],
        bill_usd_per_month=market.bill_usd_per_month,
        gap=gap_to_bill(p, ranged),
        offers=market.offers,
        assumptions=tuple(assumptions),
        provenance=provenance,
        priced_as=market.priced_as,
        stand_in=market.stand_in,
        utilisations=ranged.rows if ranged else (),
        excluded=EXCLUDED,
    )
