"""Where one replica idles no model saves anything on it: cheaper ways to buy it, estimated from what was measured."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from farthing.core.money.little_traffic import IDLE_S, up_frac, waiting_frac
from farthing.core.money.marginal import whole_replicas
from farthing.core.money.price import usd_per_hour, usd_per_million_requests, usd_per_month
from farthing.core.plan.findings import Facts
from farthing.core.plan.pricing import Pricing
from farthing.nouns import Candidate, Estimate, IdleOption, Offer

__all__ = ["IDLE_FRAC", "Idling", "idle_options", "idling", "options_at"]

IDLE_FRAC = 0.5
"""Share of a replica's rate below which it counts as idle in its busiest step."""
SMALLER_FRAC = 0.5
"""A smaller offer is taken to carry half of what its vCPUs would, and must suffice even so."""
MEMORY_ROOM = 1.25
"""Memory of a smaller offer over what the replica was seen to take."""
_MIB = 1024.0
_BURSTABLE = re.compile(r"aws/t\d|azure/(Standard_)?B\d|gcp/(e2-(micro|small|medium)|f1|g1)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Idling:
    """A fleet of the fewest replicas that is idle even in its busiest step.

    Attributes:
        candidate: What it serves.
        replicas: The objective's minimum.
        busy_frac: Its busiest step over what it could take, in (0, 0.5].
    """

    candidate: Candidate
    replicas: int
    busy_frac: float


def idling(p: Pricing, c: Candidate, rate_rps: float | None) -> Idling | None:
    """Whether the fewest replicas serve the whole trace with ease.

    Args:
        p: Of the run.
        c: What they serve.
        rate_rps: Of one of them, on the machine that was measured; None for unknown.
    """
    if rate_rps is None:
        return None
    least = p.workload.objective.min_replicas
    busy = float(p.trace.hourly_rps()[1].max()) / (least * rate_rps * p.market.capacity_factor)
    return Idling(candidate=c, replicas=least, busy_frac=busy) if busy <= IDLE_FRAC else None


def idle_options(p: Pricing, idle: Idling, rate_rps: float) -> tuple[IdleOption, ...]:
    """Cheaper ways to buy a fleet that idles, the cheapest first; only those below what its replicas cost all month.

    Args:
        p: Of the run.
        idle: From :func:`idling`.
        rate_rps: As there.
    """
    own = usd_per_month(p.market.bill_offer, idle.replicas)
    found = [*_smaller(p, idle, rate_rps), *_to_zero(p, idle), *_serverless(p, idle)]
    return tuple(
        sorted((o for o in found if o.cost_usd_per_month.value < own), key=lambda o: o.cost_usd_per_month.value)
    )


def options_at(options: Iterable[IdleOption], offers: Iterable[Offer], own_usd: float) -> tuple[IdleOption, ...]:
    """The same options at other prices of what they buy; those without a price are left out.

    Args:
        options: As emitted.
        offers: The new prices, of any offers.
        own_usd: What the replicas cost all month at the new prices; options above it are none.
    """
    priced = {o.key: o for o in offers}
    found = [_at_price(o, priced[o.offer.key]) for o in options if o.offer.key in priced]
    kept = [o for o in found if o.cost_usd_per_month.value < own_usd]
    return tuple(sorted(kept, key=lambda o: o.cost_usd_per_month.value))


def _at_price(option: IdleOption, offer: Offer) -> IdleOption:
    """One option at another price of its offer; where an hour, a request and a GiB-second changed by different
    factors its interval holds all of them.
    """
    old = option.offer
    pairs = (
        (old.usd_per_hour, offer.usd_per_hour),
        (old.usd_per_request, offer.usd_per_request),
        (old.usd_per_gib_s, offer.usd_per_gib_s),
    )
    factors = [now / was for was, now in pairs if was and now is not None] or [1.0]
    cost, middle = option.cost_usd_per_month, sum(factors) / len(factors)
    made = replace(
        cost,
        value=cost.value * middle,
        lo=cost.lo * min(factors),
        hi=cost.hi * max(factors),
        source=f"{offer.key} {offer.dated.isoformat()}",
    )
    return replace(option, offer=offer, cost_usd_per_month=made)


def _facts(p: Pricing, c: Candidate) -> Facts | None:
    return p.found.facts.get(replace(c, max_batch=1))


def _exact(usd: float, offer: Offer, method: str) -> Estimate:
    return Estimate(value=usd, lo=usd, hi=usd, n=0, method=method, source=f"{offer.key} {offer.dated.isoformat()}")


def _smaller(p: Pricing, idle: Idling, rate_rps: float) -> Iterator[IdleOption]:
    """The cheapest offer with fewer vCPUs that carries the busiest step at half of what they would."""
    own, facts = p.market.bill_offer, _facts(p, idle.candidate)
    if not own.hardware.vcpus:
        return
    peak = float(p.trace.hourly_rps()[1].max())
    memory = None if facts is None else facts.peak_memory_mib / _MIB * MEMORY_ROOM

    def fits(o: Offer) -> bool:
        size, room = o.hardware.vcpus, o.hardware.memory_gib
        if o.usd_per_hour is None or not size or (memory is not None and room is not None and room < memory):
            return False
        each = rate_rps * p.market.capacity_factor * size / (own.hardware.vcpus or size) * SMALLER_FRAC
        return int(whole_replicas(peak, each)) <= idle.replicas

    offer = min(filter(fits, p.market.small), key=usd_per_hour, default=None)
    if offer is None:
        return
    size, of = offer.hardware.vcpus or own.hardware.vcpus, own.hardware.vcpus
    rule = (
        f"its {size:g} vCPU are taken to serve {100 * SMALLER_FRAC * size / of:.3g} % of what the {of:g} of {own.name} "
        "do, half of what their number says"
    )
    if _BURSTABLE.match(offer.name):
        rule += "; burstable: its processor is shared, so verify the latency there"
    cost = _exact(usd_per_month(offer, idle.replicas), offer, "price by the hour, all month")
    yield IdleOption(name="smaller offer", offer=offer, candidate=idle.candidate, cost_usd_per_month=cost, rule=rule)


def _to_zero(p: Pricing, idle: Idling) -> Iterator[IdleOption]:
    """One replica that goes after some minutes without requests; what waits for its start is said."""
    if p.workload.objective.min_replicas > 1:
        return
    own, facts = p.market.bill_offer, _facts(p, idle.candidate)
    up, waiting = up_frac(p.trace), waiting_frac(p.trace)
    start = "" if facts is None else f" {facts.child_start_s + facts.load_s + facts.first_inference_s:.1f} s"
    rule = (
        f"up {up * 100:.3g} % of the time if it goes after {IDLE_S / 60:g} min without requests; "
        f"{waiting * 100:.3g} % of them wait for a start of the model{start} and of the machine"
    )
    bound = p.workload.objective.latency
    if bound is not None and waiting > 1 - bound.percentile:
        rule += f", more than {bound.name} allows"
    cost = _exact(up * usd_per_month(own, 1), own, "share of the time that it is up")
    yield IdleOption(name="scale to zero", offer=own, candidate=idle.candidate, cost_usd_per_month=cost, rule=rule)


def _serverless(p: Pricing, idle: Idling) -> Iterator[IdleOption]:
    """Paid by the request, for each offer that was imported; half to double the time that was measured here."""
    c, facts = idle.candidate, _facts(p, idle.candidate)
    known = p.found.curves.get(replace(c, max_batch=1))
    if known is None or facts is None:
        return
    seconds = known.seconds[0]
    for offer in p.market.small:
        if offer.term != "serverless" or offer.usd_per_request is None or offer.usd_per_gib_s is None:
            continue
        gib = offer.hardware.memory_gib or max(0.125, facts.peak_memory_mib / _MIB / c.instances * MEMORY_ROOM)
        mid, low, high = (
            usd_per_million_requests(offer, seconds_per_request=seconds * f, memory_gib=gib)
            * p.trace.requests_per_month()
            / 1e6
            for f in (1.0, 0.5, 2.0)
        )
        rule = (
            f"{seconds * 1000:.3g} ms a request as measured here, half to double that there, at {gib:.3g} GiB; "
            "starts are not priced"
        )
        cost = Estimate(value=mid, lo=low, hi=high, n=0, method=rule, source=f"{offer.key} {offer.dated.isoformat()}")
        yield IdleOption(name="serverless", offer=offer, candidate=c, cost_usd_per_month=cost, rule=rule)
