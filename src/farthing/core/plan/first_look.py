"""A first, wide answer: what a few candidates that were looked at for a moment come to, priced, and not proven.

A screen of two blocks says how fast a candidate is on full batches; the rate that it keeps within the promise is the
queue model's, a server was asked for a second only, and candidates that were not looked at may be better. The rates'
ratio therefore gets a factor of :data:`SPREAD` on both sides beside what the screen's own blocks differ in. That is a
convention, no interval of confidence, and every surface calls it *first look*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from farthing.core.plan.findings import Findings
from farthing.core.plan.idle_options import idle_options, idling
from farthing.core.plan.pricing import Market, Pricing
from farthing.core.plan.unknown_traffic import gap_to_bill, over_utilisations
from farthing.core.plan.verdicts import bought_so, fewest_suffice
from farthing.nouns import (
    AccuracyEvidence,
    AtUtilisation,
    Candidate,
    Contention,
    Estimate,
    Objective,
    SavingPart,
    Trace,
    Verdict,
    Workload,
)

__all__ = ["SPREAD", "FirstLook", "first_look", "widely"]

SPREAD = 1.35
"""Factor by which the ratio of rates may be off on either side before anything was served."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstLook:
    """The first answer of a run.

    Attributes:
        workload: Its name.
        objective: What is promised.
        baseline: What serves today.
        candidate: Best of those looked at; None when none could be run, loses as little as is allowed, or keeps the
            promise by the queue model.
        baseline_rps: Highest stable rate of a replica today, None when it has none.
        rate_rps: Of a replica of the candidate within the promise, by the queue model; wide.
        bill_usd_per_month: What is paid today.
        baseline_usd_per_month: At the workload's arrivals; where they are not known at the highest plausible
            utilisation, its interval down to the lowest. None when the baseline has no rate.
        planned_usd_per_month: Likewise, None without a candidate.
        gap: What the bill pays beyond the baseline's need, None when the baseline has no rate.
        utilisations: Where the arrivals are not known, what it comes to at each utilisation, the least first.
        saving_frac: At equal offer and term; the least over all utilisations where the traffic is not known.
        score: The baseline's own metric on the search split, None without labels.
        doubt: What to ask where the baseline is no better than guessing, else empty.
        accuracy: On the search split, None when nothing was compared.
        tried: Builds that were screened.
        left_out: Variants that would have taken too long to build for a first look.
        seconds: That it took.
        contention: Of its blocks.
        verdict: Always unproven: nothing was served under load, nothing was confirmed.
    """

    workload: str
    objective: Objective
    baseline: Candidate
    candidate: Candidate | None
    baseline_rps: float | None
    rate_rps: Estimate | None
    bill_usd_per_month: float
    baseline_usd_per_month: Estimate | None
    planned_usd_per_month: Estimate | None
    gap: SavingPart | None
    utilisations: tuple[AtUtilisation, ...]
    saving_frac: Estimate | None
    score: Estimate | None
    doubt: str
    accuracy: AccuracyEvidence | None
    tried: int
    left_out: tuple[str, ...]
    seconds: float
    contention: Contention | None
    verdict: Verdict


def widely(value: float, seen: Estimate | None, method: str) -> Estimate:
    """A rate, or a ratio of rates, as wide as a first look is.

    Args:
        value: > 0, by the queue model.
        seen: What the screen's blocks say, > 0; its ends are taken as they stand to its value.
        method: How the value was made.
    """
    down = SPREAD if seen is None else SPREAD * seen.value / seen.lo
    up = SPREAD if seen is None else SPREAD * seen.hi / seen.value
    return Estimate(
        value=value, lo=value / down, hi=value * up, n=seen.n if seen else 0, method=f"first look: {method}"
    )


def first_look(
    workload: Workload,
    found: Findings,
    market: Market,
    trace: Trace,
    *,
    by_utilisation: Mapping[float, Trace],
    score: Estimate | None,
    doubt: str,
    left_out: tuple[str, ...],
    seconds: float,
) -> FirstLook:
    """Price what was looked at.

    Args:
        workload: With the objective.
        found: Of the look; its choice with a rate, a ratio and an accuracy on the search split.
        market: Prices.
        trace: Arrivals to price at.
        by_utilisation: Where the traffic is not known, arrivals by utilisation, the least first; empty where it is.
        score: The baseline's metric on the search split, None without labels.
        doubt: What to ask where that is no better than guessing, else empty.
        left_out: Variants that were not built.
        seconds: That the look took.
    """
    chosen = found.chosen
    look = FirstLook(
        workload=workload.name,
        objective=workload.objective,
        baseline=found.baseline,
        candidate=chosen,
        baseline_rps=found.sla_rps.get(found.baseline),
        rate_rps=None,
        bill_usd_per_month=market.bill_usd_per_month,
        baseline_usd_per_month=None,
        planned_usd_per_month=None,
        gap=None,
        utilisations=(),
        saving_frac=None,
        score=score,
        doubt=doubt,
        accuracy=_accuracy(found, chosen),
        tried=len(found.ratios),
        left_out=left_out,
        seconds=seconds,
        contention=found.contention,
        verdict=_verdict(workload.objective, found),
    )
    if not found.sla_rps.get(found.baseline):
        return look
    wide = _widened(found)
    p = Pricing(workload=workload, found=wide, market=market, trace=trace)
    ranged = over_utilisations(p, by_utilisation) if by_utilisation else None
    priced = ranged.priced if ranged else p.priced()
    look = replace(
        look,
        rate_rps=wide.kept_rps.get(chosen) if chosen else None,
        baseline_usd_per_month=priced.baseline_usd_per_month,
        planned_usd_per_month=priced.usd_per_month,
        gap=gap_to_bill(p, ranged),
        utilisations=ranged.rows if ranged else (),
        saving_frac=ranged.saving if ranged else p.savings()[0],
    )
    return replace(look, verdict=_of_idling(look, p))


def _widened(found: Findings) -> Findings:
    """What was found, its choice's rate and ratio as wide as a first look is."""
    chosen, base_rps = found.chosen, found.sla_rps.get(found.baseline)
    rate = found.sla_rps.get(chosen) if chosen else None
    if chosen is None or rate is None or not base_rps:
        return found
    seen = found.ratios.get(replace(chosen, max_batch=1))
    method = "a screen and the queue model, not served under load"
    return replace(
        found,
        kept_rps={chosen: widely(rate, seen, method)},
        rate_ratio=widely(rate / base_rps, seen, method),
        ratios={chosen: widely(rate / base_rps, seen, method)},
    )


def _of_idling(look: FirstLook, p: Pricing) -> Verdict:
    """The verdict; where the fewest replicas idle it says that nothing can be saved, and what is cheaper then."""
    saving, rate = look.saving_frac, look.rate_rps
    idle = None if look.candidate is None or rate is None else idling(p, look.candidate, rate.value)
    if idle is None or rate is None or saving is None or saving.value > 0:
        return look.verdict
    cheapest = next(iter(idle_options(p, idle, rate.value)), None)
    return replace(
        look.verdict,
        reasons=(fewest_suffice(look.objective, idle.busy_frac), *look.verdict.reasons),
        hint="keep what runs now" if cheapest is None else bought_so(cheapest),
    )


def _accuracy(found: Findings, chosen: Candidate | None) -> AccuracyEvidence | None:
    build = (chosen.engine, chosen.variant, chosen.precision) if chosen else None
    return next((e for c, e in found.search.items() if (c.engine, c.variant, c.precision) == build), None)


def _verdict(objective: Objective, found: Findings) -> Verdict:
    reasons = []
    if found.contention is not None and found.contention.busy:
        seen = found.contention
        reasons.append(f"the machine is busy: others used its cores in {seen.contended} of {seen.of} blocks")
    if found.chosen is None:
        reasons.append(_why_none(objective, found))
    reasons.append("a first look: nothing was served under load or confirmed, and not every candidate was tried")
    return Verdict(outcome="unproven", reasons=tuple(reasons), hint="the same command without --quick proves it")


def _why_none(objective: Objective, found: Findings) -> str:
    """Why no candidate is the answer: the first step that none of them got past."""
    if not found.ratios:
        return _with_why("no build could be run", found)
    if not found.search:
        return _with_why("the answers of no build could be compared", found)
    rated = {c.build for c in found.sla_rps if c != found.baseline}
    if not rated:
        allowed = f"{objective.max_drop_frac * 100:g}"
        unit = "point" if allowed == "1" else "points"
        return f"no build whose answers were compared loses as little as is allowed, at most {allowed} {unit}"
    bound = objective.latency
    promise = "stable rate" if bound is None else f"rate within {bound.name} ≤ {bound.ms:g} ms"
    if len(rated) == 1:
        return f"the build whose rate was worked out, {rated.pop()}, has no {promise} by the queue model"
    return f"none of the {len(rated)} builds whose rate was worked out has a {promise} by the queue model"


def _with_why(what: str, found: Findings) -> str:
    """With the first reason of those seen; without any, time was too short."""
    whys = (*found.skipped.items(), *((c.build, why) for c, why in found.failed.items()))
    return f"{what}: {': '.join(whys[0])}" if whys else f"{what} in the time of a first look"
