"""All that is known of each candidate at the end of a run."""

from __future__ import annotations

from dataclasses import replace

from farthing.core.plan.findings import Findings
from farthing.core.plan.pricing import Pricing
from farthing.core.traffic.batch_queue import saturation_rps
from farthing.nouns import AccuracyEvidence, Candidate, Estimate, Evaluation, Latency, Status

__all__ = ["evaluation", "everyone"]


def everyone(found: Findings) -> tuple[Candidate, ...]:
    """Every candidate once: baseline, chosen, then by SLA rate; those that failed at the end."""
    rated = sorted((c for c in found.sla_rps), key=lambda c: -(found.sla_rps[c] or 0.0))
    rest = [*found.capacities_rps, *found.search, *found.curves, *found.latency, *found.lost, *found.failed]
    first = [found.baseline, *([found.chosen] if found.chosen else [])]
    return tuple(dict.fromkeys([*first, *rated, *rest]))


def evaluation(p: Pricing, c: Candidate) -> Evaluation:
    """All that is known of one candidate, priced."""
    found, trace = p.found, p.trace
    key = replace(c, max_batch=1)
    known = found.curves.get(key)
    facts = found.facts.get(key)
    cost = p.cost(c)
    spread = p.spread(c, cost) if cost else None
    seen, server = found.latency.get(c), found.server.get(c)
    rate, level = found.sla_rps.get(c), p.workload.objective.level
    status, reason = _status(found, c)
    return Evaluation(
        candidate=c,
        status=status,
        reason=reason,
        service_ms=tuple(zip(known.sizes, known.service_ms, strict=True)) if known else (),
        capacity_rps=_capacity(found, c),
        sla_rps=None if rate is None else _planned(found, c, rate),
        single=tuple(Latency(percentile=q, ms=seen.latency(q)) for q in seen.levels) if seen else (),
        at_peak=Latency(percentile=level, ms=server.latency(level)) if server and level in server.levels else None,
        ratio=found.ratios.get(c),
        accuracy=_accuracy(found, c),
        cost_usd_per_month=spread,
        usd_per_million=spread.scaled(1e6 / trace.requests_per_month()) if spread else None,
        peak_memory_mib=facts.peak_memory_mib if facts else None,
        load_s=facts.load_s if facts else None,
        first_inference_s=facts.first_inference_s if facts else None,
        artefact=found.artefacts.get(c.variant),
        quantiles_ms=seen.quantiles_ms if seen else (),
        service_sigma=known.sigma if known else 0.0,
        at_peak_rps=server.metrics["offered_rps"].value if server and "offered_rps" in server.metrics else None,
    )


def _planned(found: Findings, c: Candidate, rate_rps: float) -> Estimate:
    """The planned rate; of one that was served with the interval of what it kept."""
    kept = found.kept_rps.get(c)
    if kept is None:
        method = "batch queue on measured service times"
        return Estimate(value=rate_rps, lo=rate_rps, hi=rate_rps, n=0, method=method)
    return kept.scaled(rate_rps / kept.value)


def _capacity(found: Findings, c: Candidate) -> Estimate | None:
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


def _accuracy(found: Findings, c: Candidate) -> AccuracyEvidence | None:
    for splits in (found.confirm, found.search):
        for build, evidence in splits.items():
            if _build(build) == _build(c):
                return evidence
    return None


def _status(found: Findings, c: Candidate) -> tuple[Status, str]:
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
