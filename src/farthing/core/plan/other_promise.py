"""A finished run under another promise: new rates from the latency–rate curves that were measured, nothing run again.

The choice stays within builds whose answers were tried on the confirm split, as far as there are any: batch size and
layout may change with the bound. What was served keeps the interval of what it kept; others take the queue model's rate
with what the model promised too much taken off, as in the run itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from farthing.core.plan.findings import Findings
from farthing.core.plan.known_latency import Known, known_at
from farthing.core.search.sustained import CLEAR, HEADROOM
from farthing.core.traffic.batch_queue import sla_rps
from farthing.nouns import AccuracyEvidence, Candidate, Estimate, LatencyBound, Objective, Outcome

__all__ = ["at_promise"]

UNSERVED_FRAC = 0.2
"""Half width of the ratio to the baseline of a candidate that was neither raced nor served."""


def at_promise(found: Findings, was: Objective, now: Objective, seed: int = 0) -> Findings:
    """The findings as they would be under another promise.

    Args:
        found: Of a run, or of its plan.
        was: The promise that it was measured under.
        now: Another one, on the same metric.
        seed: Of the queue model.

    Raises:
        ValueError: when the metric is another one: its answers were not kept.
    """
    if was.metric != now.metric:
        raise ValueError(f"the run was judged by {was.metric}, not {now.metric}")
    if (was.max_drop_frac, was.confidence) != (now.max_drop_frac, now.confidence):
        found = _judged(found, was, now)
    return found if was.latency == now.latency else _rated(found, was.latency, now.latency, seed)


def _judged(found: Findings, was: Objective, now: Objective) -> Findings:
    """Accuracy evidence held against another allowed drop; a higher confidence than was asked for proves nothing."""

    def again(evidence: AccuracyEvidence) -> AccuracyEvidence:
        within = evidence.drop_frac.hi <= now.max_drop_frac and now.confidence <= was.confidence
        lost = evidence.verdict == "not_met" and now.max_drop_frac <= was.max_drop_frac
        outcome: Outcome = "met" if within else "not_met" if lost else "unproven"
        same = outcome == evidence.verdict
        return replace(evidence, verdict=outcome, n_needed=evidence.n_needed if same else None)

    splits = ({c: again(e) for c, e in split.items()} for split in (found.search, found.confirm))
    search, confirm = splits
    return replace(found, search=search, confirm=confirm)


def _rated(found: Findings, was: LatencyBound | None, now: LatencyBound | None, seed: int) -> Findings:
    served = _served(found, was, now, seed)
    aside_s = max((known.aside_s[1] for known in served.values()), default=0.0)
    served = {c: known for c, known in served.items() if c in found.kept_rps}
    share = _share(found, was, seed, aside_s)
    fixed = {found.baseline, found.best_fp32, found.best_half}
    rates: dict[Candidate, float | None] = {c: r for c, r in found.sla_rps.items() if c in fixed}
    for c in _able(found):
        if c not in fixed:
            rates[c] = _in_order(found.sla_rps.get(c), _modelled(found, c, now, seed, share, aside_s), was, now)
    keeps = {c: known.kept(None if now is None else now.ms / 1000) for c, known in served.items()}
    for c, kept in keeps.items():
        rates[c] = None if kept is None else kept.value / HEADROOM
    chosen = _best(found, rates)
    if chosen is None:
        return replace(found, chosen=None, sla_rps=rates, kept_rps={}, rate_ratio=None, tied=(), server={})
    kept = keeps.get(chosen)
    return replace(
        found,
        chosen=chosen,
        sla_rps=rates,
        kept_rps={} if kept is None else {chosen: kept},
        rate_ratio=None if kept is None else _ratio_at(found, chosen, kept),
        ratios=_ratios(found, chosen, rates),
        lost={c: text for c, text in found.lost.items() if c != chosen},
        tied=tuple(c for c in found.tied if c != chosen),
        server={c: m for c, m in found.server.items() if c in (chosen, found.baseline)},
    )


def _in_order(
    before: float | None, after: float | None, was: LatencyBound | None, now: LatencyBound | None
) -> float | None:
    """A rate by the model, no lower than what was planned where less is promised, and no higher where more is."""
    if before is None:
        return after
    if _asks_no_more(now, was):
        return max(before, after or 0.0)
    return min(before, after) if after is not None and _asks_no_more(was, now) else after


def _asks_no_more(a: LatencyBound | None, b: LatencyBound | None) -> bool:
    """Whether whoever keeps ``b`` keeps ``a``."""
    return a is None or (b is not None and a.percentile <= b.percentile and a.ms >= b.ms)


def _able(found: Findings) -> tuple[Candidate, ...]:
    """Every batch size that was timed of builds that were not found to lose too much, one at a time too."""
    refused = {_build(c) for c, e in found.search.items() if e.verdict == "not_met"}
    refused |= {_build(c) for c, e in found.confirm.items() if e.verdict == "not_met"}
    kept = {c for c in found.curves if _build(c) not in refused and c != replace(found.baseline, max_batch=1)}
    return tuple(replace(c, max_batch=size) for c in sorted(kept) for size in found.curves[c].sizes)


def _build(c: Candidate) -> tuple[str, str, str]:
    return c.engine, c.variant, c.precision


def _served(found: Findings, was: LatencyBound | None, now: LatencyBound | None, seed: int) -> dict[Candidate, Known]:
    """What is known of the choice and of each candidate that was served, at the level that is asked for now."""
    level = 0.99 if now is None and was is None else (now or was or LatencyBound(ms=1)).percentile
    wanted = [*([found.chosen] if found.chosen else []), *(c for c, kept in found.kept_rps.items() if kept.value > 0)]
    every = {c: known_at(found, c, was, level, seed) for c in dict.fromkeys(wanted)}
    return {c: known for c, known in every.items() if known is not None}


def _modelled(
    found: Findings, c: Candidate, bound: LatencyBound | None, seed: int, share: float, aside_s: float
) -> float | None:
    """The queue model's rate with headroom, where so much of the bound is spent beside the queue."""
    known = found.curves[replace(c, max_batch=1)].upto(c.max_batch)
    if known.sizes[-1] < c.max_batch or (bound is not None and bound.ms / 1000 <= aside_s):
        return None
    rate = sla_rps(
        known,
        instances=c.instances,
        max_batch=c.max_batch,
        latency_s=None if bound is None else bound.ms / 1000 - aside_s,
        percentile=0.99 if bound is None else bound.percentile,
        seed=seed,
    )
    return None if rate is None else rate * share / HEADROOM


def _share(found: Findings, was: LatencyBound | None, seed: int, aside_s: float) -> float:
    """What the queue model promised too much of the candidate that was served, in (0, 1]."""
    c = found.chosen
    planned = None if c is None else found.sla_rps.get(c)
    if c is None or planned is None or replace(c, max_batch=1) not in found.curves:
        return 1.0
    modelled = _modelled(found, c, was, seed, 1.0, aside_s)
    return 1.0 if not modelled else min(1.0, planned / modelled)


def _best(found: Findings, rates: Mapping[Candidate, float | None]) -> Candidate | None:
    """The highest rate among builds that were confirmed, where there are any; the served one unless clearly beaten."""
    proven = {_build(c) for c, e in found.confirm.items() if e.verdict == "met"}
    proven |= {_build(found.chosen)} if found.chosen is not None else set()
    unfit = {found.baseline, *((found.best_fp32, found.best_half) if not proven else ())}
    able = {c: r for c, r in rates.items() if r is not None and c not in unfit and (not proven or _build(c) in proven)}
    if not able:
        return None
    best = max(able, key=lambda c: able[c])
    stays = found.chosen in able and able[found.chosen] * CLEAR >= able[best]
    return found.chosen if stays else best


def _ratio_at(found: Findings, c: Candidate, kept: Estimate) -> Estimate | None:
    """The measured ratio at the new rate; its interval grows as that of the rate does."""
    old, before = found.rate_ratio, found.kept_rps.get(c)
    if old is None or before is None or not before.lo > 0 or not kept.lo > 0 or not old.lo > 0:
        return None
    widths = [math.log(e.hi / e.lo) for e in (kept, before)]
    grown = max(1.0, widths[0] / widths[1]) if widths[1] > 0 else 1.0
    value = old.value * kept.value / before.value
    down, up = (grown * math.log(old.value / old.lo), grown * math.log(old.hi / old.value))
    return replace(old, value=value, lo=value * math.exp(-down), hi=value * math.exp(up))


def _ratios(found: Findings, chosen: Candidate, rates: Mapping[Candidate, float | None]) -> dict[Candidate, Estimate]:
    ratios = dict(found.ratios)
    base, rate = found.sla_rps.get(found.baseline), rates.get(chosen)
    if chosen not in found.kept_rps and base and rate:
        value = rate / base
        ratios[chosen] = Estimate(
            value=value,
            lo=value * (1 - UNSERVED_FRAC),
            hi=value * (1 + UNSERVED_FRAC),
            n=0,
            method="queue model on measured service times, ± 20 %: not served",
        )
    return ratios
