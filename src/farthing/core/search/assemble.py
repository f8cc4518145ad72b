"""From findings to a Plan: every figure priced at the workload's own trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from farthing.core.money.commitments import commitment_split
from farthing.core.money.saving import saving_frac, waterfall
from farthing.core.money.trace_cost import TraceCost, cost_at_trace, hour_lengths_h
from farthing.core.search import verdicts
from farthing.core.search.findings import Findings
from farthing.core.traffic.batch_queue import saturation_rps
from farthing.nouns import (
    AccuracyEvidence,
    Baseline,
    Candidate,
    Estimate,
    Evaluation,
    HourlyPlan,
    Offer,
    OfferEstimate,
    Plan,
    Provenance,
    SavingPart,
    Status,
    Trace,
    Workload,
)

__all__ = ["Market", "assemble", "assemble_baseline"]

EXCLUDED = ("data egress", "load balancers", "storage beyond the instance", "support and taxes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """The prices of a run.

    Attributes:
        bill_offer: What is bought today.
        terms: All offers of the same hardware and region, the bill's own included.
        elsewhere: Offers of other hardware, for estimates.
        priced_as: Name of the offer this machine stands for.
        bill_usd_per_month: What is paid today.
    """

    bill_offer: Offer
    terms: tuple[Offer, ...]
    elsewhere: tuple[Offer, ...]
    priced_as: str
    bill_usd_per_month: float


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
    """
    evaluations = tuple(_evaluation(c, found, market, trace, workload) for c in _everyone(found))
    by_candidate = {e.candidate: e for e in evaluations}
    baseline = by_candidate[found.baseline]
    chosen = by_candidate.get(found.chosen) if found.chosen else None
    nearest = None if chosen else verdicts.nearest(evaluations)
    saving, versus_fp32 = _savings(found, market, trace, workload)
    verdict = verdicts.decide(workload.objective, chosen, nearest, saving)
    before = _cost(found, found.baseline, market, trace, workload)
    assert before is not None
    hourly, parts, planned, notes = _planned(found, market, trace, workload, before)
    return Plan(
        workload=workload.name,
        description=description,
        verdict=verdict,
        objective=workload.objective,
        pipeline=workload.pipeline,
        bill_usd_per_month=market.bill_usd_per_month,
        baseline_usd_per_month=_spread(before, found, found.baseline, market, trace, workload),
        planned_usd_per_month=planned,
        saving_frac=saving,
        saving_versus_best_fp32_frac=versus_fp32,
        parts=parts,
        baseline=baseline,
        chosen=chosen,
        nearest=nearest,
        evaluations=evaluations,
        hourly=hourly,
        trace_name=trace.name,
        requests_per_month=trace.requests_per_month(),
        offers=(market.bill_offer, *(o for o in market.terms if o != market.bill_offer)),
        priced_as=market.priced_as,
        elsewhere=_elsewhere(found, market, trace, workload),
        profiles=found.profiles,
        assumptions=(*assumptions, *notes),
        excluded=EXCLUDED,
        artefacts=tuple(found.artefacts.values()),
        splits=splits,
        provenance=provenance,
        canary_ms=found.canary_ms,
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

    Raises:
        ValueError: when the findings hold no profile.
    """
    if not found.profiles:
        raise ValueError("the baseline was not profiled")
    cost = _cost(found, found.baseline, market, trace, workload)
    assert cost is not None
    spread = _spread(cost, found, found.baseline, market, trace, workload)
    parts = waterfall(
        bill_usd_per_month=market.bill_usd_per_month,
        baseline=spread,
        unbatched=spread,
        batched=spread,
        with_terms=spread,
    )
    return Baseline(
        workload=workload.name,
        description=description,
        evaluation=_evaluation(found.baseline, found, market, trace, workload),
        metric=workload.objective.metric,
        score_frac=score,
        measurements=found.measurements,
        profile=found.profiles[0],
        bill_usd_per_month=market.bill_usd_per_month,
        gap=parts[0],
        offers=(market.bill_offer, *(o for o in market.terms if o != market.bill_offer)),
        assumptions=tuple(assumptions),
        provenance=provenance,
    )


def _everyone(found: Findings) -> tuple[Candidate, ...]:
    """Every candidate once: baseline, chosen, then by SLA rate; those that failed at the end."""
    rated = sorted((c for c in found.sla_rps), key=lambda c: -(found.sla_rps[c] or 0.0))
    rest = [*found.capacities_rps, *found.search, *found.curves, *found.latency, *found.lost, *found.failed]
    first = [found.baseline, *([found.chosen] if found.chosen else [])]
    return tuple(dict.fromkeys([*first, *rated, *rest]))


def _cost(
    found: Findings, c: Candidate, market: Market, trace: Trace, workload: Workload, factor: float = 1.0
) -> TraceCost | None:
    rate = found.sla_rps.get(c)
    if rate is None:
        return None
    return cost_at_trace(trace, rate * factor, market.bill_offer, workload.objective.min_replicas)


def _spread(
    cost: TraceCost, found: Findings, c: Candidate, market: Market, trace: Trace, workload: Workload
) -> Estimate:
    """Monthly cost with the interval of the candidate's measured capacity carried through whole replicas."""
    capacity = found.capacities_rps.get(c)
    low, high = (0.9, 1.1) if capacity is None else (capacity.lo / capacity.value, capacity.hi / capacity.value)
    ends = [_cost(found, c, market, trace, workload, max(f, 1e-6)) for f in (high, low)]
    values = [e.usd_per_month for e in ends if e is not None]
    method = (
        "capacity interval through whole replicas" if capacity else "screened capacity ± 10 % through whole replicas"
    )
    return Estimate(
        value=cost.usd_per_month,
        lo=min(cost.usd_per_month, *values),
        hi=max(cost.usd_per_month, *values),
        n=capacity.n if capacity else 0,
        method=method,
        source=f"{market.bill_offer.key} {market.bill_offer.dated.isoformat()}",
    )


def _evaluation(c: Candidate, found: Findings, market: Market, trace: Trace, workload: Workload) -> Evaluation:
    key = replace(c, max_batch=1)
    known = found.curves.get(key)
    facts = found.facts.get(key)
    cost = _cost(found, c, market, trace, workload)
    spread = _spread(cost, found, c, market, trace, workload) if cost else None
    seen, server = found.latency.get(c), found.server.get(c)
    rate = found.sla_rps.get(c)
    status, reason = _status(c, found)
    return Evaluation(
        candidate=c,
        status=status,
        reason=reason,
        service_ms=tuple(zip(known.sizes, known.service_ms, strict=True)) if known else (),
        capacity_rps=_capacity(c, found),
        sla_rps=None if rate is None else _plain(rate, "batch queue on measured service times"),
        latency_p50_ms=seen.metrics["latency_p50_ms"] if seen else None,
        latency_p90_ms=seen.metrics["latency_p90_ms"] if seen else None,
        latency_p99_ms=seen.metrics["latency_p99_ms"] if seen else None,
        p99_at_peak_ms=server.metrics["latency_p99_ms"] if server else None,
        ratio=found.ratios.get(c),
        accuracy=_accuracy(c, found),
        cost_usd_per_month=spread,
        usd_per_million=spread.scaled(1e6 / trace.requests_per_month()) if spread else None,
        peak_memory_mib=facts.peak_memory_mib if facts else None,
        load_s=facts.load_s if facts else None,
        first_inference_s=facts.first_inference_s if facts else None,
        artefact=found.artefacts.get(c.variant),
        quantiles_ms=seen.quantiles_ms if seen else (),
    )


def _plain(value: float, method: str) -> Estimate:
    return Estimate(value=value, lo=value, hi=value, n=0, method=method)


def _capacity(c: Candidate, found: Findings) -> Estimate | None:
    if c in found.capacities_rps:
        return found.capacities_rps[c]
    known = found.curves.get(replace(c, max_batch=1))
    if known is None or c.max_batch not in known.sizes:
        return None
    rate = saturation_rps(known, instances=c.instances, max_batch=c.max_batch)
    e = known.service_ms[known.sizes.index(c.max_batch)]
    return Estimate(value=rate, lo=rate * e.value / e.hi, hi=rate * e.value / max(e.lo, 1e-9), n=e.n, method=e.method)


def _build(c: Candidate) -> tuple[str, str, str]:
    return c.engine, c.variant, c.precision


def _accuracy(c: Candidate, found: Findings) -> AccuracyEvidence | None:
    for splits in (found.confirm, found.search):
        for build, evidence in splits.items():
            if _build(build) == _build(c):
                return evidence
    return None


def _status(c: Candidate, found: Findings) -> tuple[Status, str]:
    if c == found.baseline:
        return "baseline", ""
    if c == found.chosen:
        return "chosen", ""
    if c in found.failed:
        return "failed", found.failed[c]
    if c in found.tied:
        return "tied", "cannot be told apart from the chosen one"
    reason = found.lost.get(c) or next((r for b, r in found.lost.items() if _build(b) == _build(c)), "")
    if c in found.sla_rps and found.sla_rps[c] is None:
        return "infeasible", found.lost.get(c, "does not keep the latency bound at any rate")
    return "lost", reason or "slower than the chosen one at every batch size tried"


def _savings(
    found: Findings, market: Market, trace: Trace, workload: Workload
) -> tuple[Estimate | None, Estimate | None]:
    """Against the baseline, and against the best full-precision engine, both at equal offer and term."""
    chosen, base_rate = found.chosen, found.sla_rps[found.baseline]
    if chosen is None or base_rate is None:
        return None, None
    rate = found.sla_rps[chosen]
    assert rate is not None
    minimum = workload.objective.min_replicas
    saving = saving_frac(trace, base_rate, _sla_ratio(found, chosen, base_rate), market.bill_offer, minimum)
    fp32 = found.best_fp32
    fp32_rate = found.sla_rps.get(fp32) if fp32 else None
    if fp32 is None or fp32_rate is None or fp32 not in found.ratios:
        return saving, None
    mine, theirs = found.ratios[chosen], found.ratios[fp32]
    share = rate / fp32_rate
    half = ((mine.hi / mine.lo) ** 2 * (theirs.hi / theirs.lo) ** 2) ** 0.25
    ratio = replace(mine, value=share, lo=share / half, hi=share * half, method="product of two t intervals")
    return saving, saving_frac(trace, fp32_rate, ratio, market.bill_offer, minimum)


def _sla_ratio(found: Findings, c: Candidate, base_rate: float) -> Estimate:
    """Ratio of the rates within the promise, with the relative interval of the measured capacity ratio."""
    rate = found.sla_rps[c]
    assert rate is not None
    r = found.ratios[c]
    value = rate / base_rate
    return replace(r, value=value, lo=value * r.lo / r.value, hi=value * r.hi / r.value)


def _planned(
    found: Findings, market: Market, trace: Trace, workload: Workload, before: TraceCost
) -> tuple[HourlyPlan, tuple[SavingPart, ...], Estimate | None, tuple[str, ...]]:
    mean, peak = trace.hourly_rps()
    hourly = HourlyPlan(
        mean_rps=tuple(map(float, mean)),
        peak_rps=tuple(map(float, peak)),
        baseline_replicas=tuple(map(int, before.replicas)),
        planned_replicas=(),
        baseline_usd=tuple(map(float, before.usd_by_hour)),
    )
    after = _cost(found, found.chosen, market, trace, workload) if found.chosen else None
    if after is None or found.chosen is None:
        return hourly, (), None, ()
    unbatched = _cost(found, replace(found.chosen, max_batch=1), market, trace, workload)
    split = commitment_split(after.replicas, market.terms, hour_lengths_h=hour_lengths_h(trace))
    spreads = [
        _spread(cost, found, c, market, trace, workload)
        for cost, c in (
            (before, found.baseline),
            (unbatched or after, replace(found.chosen, max_batch=1)),
            (after, found.chosen),
        )
    ]
    share = split.usd_per_month / after.usd_per_month
    final = spreads[2].scaled(share)
    parts = waterfall(
        bill_usd_per_month=market.bill_usd_per_month,
        baseline=spreads[0],
        unbatched=spreads[1],
        batched=spreads[2],
        with_terms=final,
    )
    hourly = replace(
        hourly,
        planned_replicas=tuple(map(int, after.replicas)),
        committed_replicas=split.committed_replicas,
        committed_term=split.committed_term,
        planned_usd=tuple(map(float, split.usd_by_hour)),
    )
    return hourly, parts, final, (f"purchase terms: {split.note}",)


def _elsewhere(found: Findings, market: Market, trace: Trace, workload: Workload) -> tuple[OfferEstimate, ...]:
    """The chosen candidate on offers nobody measured: capacity by vCPU count, half to double, never chosen."""
    rate = found.sla_rps.get(found.chosen) if found.chosen else None
    own = market.bill_offer.hardware.vcpus
    if rate is None or not own:
        return ()
    rule = "capacity in proportion to vCPUs, between half and twice that"
    estimates = []
    for offer in market.elsewhere:
        if not offer.hardware.vcpus or offer.usd_per_hour is None:
            continue
        guess = rate * offer.hardware.vcpus / own
        mid, low, high = (
            cost_at_trace(trace, guess * f, offer, workload.objective.min_replicas).usd_per_month
            for f in (1.0, 2.0, 0.5)
        )
        cost = Estimate(value=mid, lo=min(low, mid), hi=max(high, mid), n=0, method=rule, source=offer.key)
        estimates.append(OfferEstimate(offer=offer, cost_usd_per_month=cost, rule=rule))
    return tuple(sorted(estimates, key=lambda e: e.cost_usd_per_month.value))
