"""What stands beside a plan's money: the baseline held to the promise, and the cost where nobody keeps it."""

from __future__ import annotations

import math
from dataclasses import replace

from farthing.core.money.saving import waterfall
from farthing.core.plan.known_latency import stable_slowness
from farthing.core.plan.pricing import Pricing
from farthing.core.traffic.batch_queue import HEADROOM_FRAC, p_latency, saturation_rps, sla_rps
from farthing.nouns import (
    Candidate,
    Estimate,
    Evaluation,
    HeldBaseline,
    Latency,
    LatencyBound,
    SavingPart,
    WithoutPromise,
)

__all__ = ["held_baseline", "without_promise"]

_UNKNOWN_FRAC = 0.1


def held_baseline(p: Pricing) -> HeldBaseline | None:
    """The baseline as it would cost within the promise; None where none is made, or its priced rate keeps it.

    A plan is held to the promise and the baseline is priced at its highest stable rate: where the baseline breaks the
    promise the two are different goods, and both prices of the baseline are needed to compare them.
    """
    found, bound = p.found, p.workload.objective.latency
    base = found.baseline
    seen, rate = found.latency.get(base), found.sla_rps.get(base)
    if bound is None or seen is None or rate is None or bound.percentile not in seen.levels:
        return None
    alone = Latency(percentile=bound.percentile, ms=seen.latency(bound.percentile))
    if alone.ms.value > bound.ms:
        return HeldBaseline(alone=alone, breaks_idle=True)
    kept = _rate_within(p, bound, rate)
    if kept is None:
        return None
    return HeldBaseline(alone=alone, breaks_idle=False, rate_rps=kept, cost_usd_per_month=_cost(p, base, kept))


def _rate_within(p: Pricing, bound: LatencyBound, stable_rps: float) -> float | None:
    """The baseline's rate within a bound that it keeps when idle; None where its stable rate keeps it too."""
    found, base = p.found, p.found.baseline
    known = found.curves.get(replace(base, max_batch=1))
    if known is None or known.sizes[-1] < base.max_batch:
        return None
    slower = known.upto(base.max_batch).scaled(math.exp(stable_slowness(found, base, stable_rps)))
    layout = {"instances": base.instances, "max_batch": base.max_batch}
    seen = found.server.get(base)
    if seen is not None and bound.percentile in seen.levels:
        now_ms = seen.latency(bound.percentile).value
    else:
        now_ms = 1000 * p_latency(slower, stable_rps, **layout, percentile=bound.percentile).value
    if now_ms <= bound.ms:
        return None
    kept = sla_rps(slower, **layout, latency_s=bound.ms / 1000, percentile=bound.percentile)
    return None if kept is None or kept >= stable_rps else kept


def without_promise(p: Pricing, nearest: Evaluation | None, *, split: bool = True) -> WithoutPromise | None:
    """What the nearest candidate would cost at its highest stable rate, priced as the baseline is.

    Args:
        p: Of the run.
        nearest: Candidate closest to the promise; None when there is none.
        split: Whether the traffic is known, so that the way from the bill can be split.
    """
    base_rps = p.found.sla_rps.get(p.found.baseline)
    if nearest is None or base_rps is None:
        return None
    c = nearest.candidate
    known = p.found.curves.get(replace(c, max_batch=1))
    if known is None or known.sizes[-1] < c.max_batch:
        return None
    rate = (1 - HEADROOM_FRAC) * saturation_rps(known, instances=c.instances, max_batch=c.max_batch)
    cost, today = _cost(p, c, rate), _cost(p, p.found.baseline, base_rps)
    saving = 1 - cost.value / today.value
    return WithoutPromise(
        candidate=c,
        rate_rps=rate,
        replicas=tuple(map(int, p.cost_at(rate).replicas)),
        cost_usd_per_month=cost,
        saving_frac=Estimate(
            value=saving,
            lo=min(saving, 1 - cost.hi / today.lo),
            hi=max(saving, 1 - cost.lo / today.hi),
            n=cost.n,
            method="ends of both costs",
        ),
        parts=_parts(p, c, today, cost) if split else (),
    )


def _parts(p: Pricing, c: Candidate, today: Estimate, cost: Estimate) -> tuple[SavingPart, ...]:
    return waterfall(
        bill_usd_per_month=p.market.bill_usd_per_month,
        baseline=today,
        unbatched=cost if c.max_batch == 1 else _alone(p, c, cost),
        batched=cost,
        with_terms=None,
    )


def _alone(p: Pricing, c: Candidate, batched: Estimate) -> Estimate:
    one = replace(c, max_batch=1)
    known = p.found.curves[one]
    if known.sizes[0] != 1:
        return batched
    return _cost(p, one, (1 - HEADROOM_FRAC) * saturation_rps(known, instances=c.instances, max_batch=1))


def _cost(p: Pricing, c: Candidate, rate_rps: float) -> Estimate:
    """Cost at a rate with the interval of the candidate's capacity, through whole replicas."""
    capacity = p.found.capacities_rps.get(c)
    low, high = 1 - _UNKNOWN_FRAC, 1 + _UNKNOWN_FRAC
    if capacity is not None and capacity.value > 0:
        low, high = max(capacity.lo / capacity.value, 1e-6), capacity.hi / capacity.value
    middle, cheap, dear = (p.cost_at(rate_rps * f).usd_per_month for f in (1.0, high, low))
    return Estimate(
        value=middle,
        lo=min(cheap, middle),
        hi=max(dear, middle),
        n=capacity.n if capacity else 0,
        method="capacity interval through whole replicas" if capacity else "capacity ± 10 % through whole replicas",
        source=f"{p.market.bill_offer.key} {p.market.bill_offer.dated.isoformat()}",
    )
