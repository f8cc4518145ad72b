"""What a plan still holds of the run that made it, as findings: enough to price it again without measuring."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Literal

from farthing.core.plan.findings import Facts, Findings
from farthing.core.traffic.service_curve import ServiceCurve
from farthing.nouns import (
    AccuracyEvidence,
    Candidate,
    Estimate,
    Evaluation,
    Latency,
    Measurement,
    Plan,
    latency_metric,
)

__all__ = ["findings_in"]


def findings_in(plan: Plan, level: float) -> Findings:
    """The findings that assembling again gives the same plan from, at its own arrivals, prices and promise.

    Rates of the choice are those planned: the rate kept is taken to be that much above them that headroom asks for.

    Args:
        plan: As emitted, of any version.
        level: Latency percentile that is asked for now; a whole per cent is read from the quantiles that a plan holds.
    """
    all_of = {e.candidate: e for e in (plan.baseline, *plan.evaluations, *([plan.chosen] if plan.chosen else []))}
    every = tuple(all_of.values())
    peak_rps = _peak_of_one(plan)
    return Findings(
        baseline=plan.baseline.candidate,
        chosen=plan.chosen.candidate if plan.chosen else None,
        artefacts={a.variant: a for a in plan.artefacts},
        curves=_curves(every),
        facts={replace(e.candidate, max_batch=1): f for e in every if (f := _facts(e)) is not None},
        sla_rps=_rates(every),
        search=_evidence(every, "search"),
        confirm=_evidence(every, "confirm"),
        ratios={e.candidate: e.ratio for e in every if e.ratio is not None},
        capacities_rps={e.candidate: e.capacity_rps for e in every if e.capacity_rps is not None and _loaded(e)},
        lost={e.candidate: e.reason for e in every if e.status in ("lost", "infeasible") and e.reason},
        tied=tuple(e.candidate for e in every if e.status == "tied"),
        failed={e.candidate: e.reason for e in every if e.status == "failed"},
        canary_ms=plan.canary_ms,
        latency={e.candidate: _measurement(plan, e, _alone(e, level)) for e in every if e.single},
        server={
            e.candidate: _measurement(plan, e, (e.at_peak,), rate_rps=e.at_peak_rps or peak_rps.get(e.candidate))
            for e in every
            if e.at_peak is not None
        },
        best_fp32=plan.best_fp32 or _best_fp32(plan),
        best_half=plan.best_half,
        profiles=plan.profiles,
        kept_rps={
            e.candidate: e.sla_rps.scaled(plan.headroom)
            for e in every
            if e.status == "chosen" and e.sla_rps is not None and e.sla_rps.n
        },
        rate_ratio=plan.rate_ratio,
    )


def _curves(every: Iterable[Evaluation]) -> dict[Candidate, ServiceCurve]:
    """By build and layout: all the batch sizes that its evaluations hold."""
    times: dict[Candidate, dict[int, Estimate]] = {}
    sigma: dict[Candidate, float] = {}
    for e in every:
        if e.service_ms:
            key = replace(e.candidate, max_batch=1)
            times.setdefault(key, {}).update(e.service_ms)
            sigma[key] = e.service_sigma
    return {c: ServiceCurve.of(tuple(sizes.items()), sigma=sigma[c]) for c, sizes in times.items()}


def _loaded(e: Evaluation) -> bool:
    """Whether a capacity was measured in blocks; one that is full batches over their time was not."""
    times, size = dict(e.service_ms), e.candidate.max_batch
    if e.capacity_rps is None or size not in times:
        return True
    return not math.isclose(e.capacity_rps.value, 1000 * e.candidate.instances * size / times[size].value, rel_tol=1e-9)


def _facts(e: Evaluation) -> Facts | None:
    if e.peak_memory_mib is None or e.load_s is None or e.first_inference_s is None:
        return None
    return Facts(
        load_s=e.load_s, first_inference_s=e.first_inference_s, child_start_s=0.0, peak_memory_mib=e.peak_memory_mib
    )


def _rates(every: Iterable[Evaluation]) -> dict[Candidate, float | None]:
    return {
        e.candidate: None if e.sla_rps is None else e.sla_rps.value
        for e in every
        if e.sla_rps is not None or e.status == "infeasible"
    }


def _evidence(every: Iterable[Evaluation], split: Literal["search", "confirm"]) -> dict[Candidate, AccuracyEvidence]:
    """By build: the first of its candidates stands for all."""
    found: dict[tuple[str, str, str], tuple[Candidate, AccuracyEvidence]] = {}
    for e in every:
        if e.accuracy is not None and e.accuracy.split == split:
            c = e.candidate
            found.setdefault((c.engine, c.variant, c.precision), (c, e.accuracy))
    return dict(found.values())


def _alone(e: Evaluation, level: float) -> tuple[Latency, ...]:
    """Latencies of single requests, that of another whole per cent from the quantiles, within its neighbours."""
    k = round(level * 100)
    if e.single_at(level) is not None or abs(level * 100 - k) > 1e-9 or not 0 < k < len(e.quantiles_ms) - 1:
        return e.single
    lo, value, hi = e.quantiles_ms[k - 1 : k + 2]
    found = Estimate(value=value, lo=lo, hi=hi, n=e.single[0].ms.n, method="quantiles of the run")
    return (*e.single, Latency(percentile=level, ms=found))


def _measurement(plan: Plan, e: Evaluation, seen: tuple[Latency, ...], rate_rps: float | None = None) -> Measurement:
    metrics: dict[str, Estimate] = {latency_metric(x.percentile): x.ms for x in seen}
    if rate_rps is not None:
        metrics["offered_rps"] = Estimate(value=rate_rps, lo=rate_rps, hi=rate_rps, n=0, method="as scheduled")
    return Measurement(
        candidate=e.candidate,
        scenario="SingleStream" if rate_rps is None else "Server",
        batch=e.candidate.max_batch,
        n=max(x.ms.n for x in seen),
        metrics=metrics,
        seed=plan.provenance.seed,
        hardware=plan.provenance.fingerprint,
        taken_at=plan.provenance.started_at,
        quantiles_ms=e.quantiles_ms,
    )


def _peak_of_one(plan: Plan) -> Mapping[Candidate, float]:
    """Highest rate that one replica takes in any hour, of plans that do not say at which rate they were proven.

    On the machine that was measured; the baseline was looked at at its own rate.
    """
    found: dict[Candidate, float] = {}
    if plan.baseline.sla_rps is not None:
        found[plan.baseline.candidate] = plan.baseline.sla_rps.value
    hours = list(zip(plan.hourly.peak_rps, plan.hourly.planned_replicas))
    factor = 1.0 if plan.stand_in is None else plan.stand_in.capacity_factor
    if plan.chosen is not None and hours:
        found[plan.chosen.candidate] = max(peak / n for peak, n in hours) / factor
    return found


def _best_fp32(plan: Plan) -> Candidate | None:
    """Of plans that do not name it: the fastest other one in full precision that ran in the proof rounds."""
    taken = {plan.baseline.candidate.build, *([plan.chosen.candidate.build] if plan.chosen else [])}
    proven = [
        e
        for e in plan.evaluations
        if e.candidate.precision == "fp32" and e.ratio is not None and e.sla_rps and e.candidate.build not in taken
    ]
    best = max(proven, key=lambda e: e.ratio.value if e.ratio else 0.0, default=None)
    return None if best is None or plan.saving_versus_best_fp32_frac is None else best.candidate
