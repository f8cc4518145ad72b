"""What a request costs at each tier, on one basis for all that run here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

import numpy as np

from farthing.core.money.price import usd_per_hour
from farthing.core.money.request_cost import usd_at_capacity, usd_of_service
from farthing.core.money.stand_in import stand_in
from farthing.core.route.outcomes import Floats
from farthing.errors import InputError
from farthing.load.prices import find_offer, load_offers
from farthing.load.route.tiers import NamedTier, TierPrice
from farthing.machine.hardware import this_machine, usable_cpus
from farthing.measure.route.remote_tiers import RemoteRun
from farthing.measure.route.tier_answers import LocalRun
from farthing.nouns import Hardware, LocalModel, Offer
from farthing.render.plan.money_words import stands_for

__all__ = ["TierCosts", "offer_named", "refuse_unpriced", "tier_costs", "usd_per_core_s"]

Run = LocalRun | RemoteRun


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TierCosts:
    """Costs of all tiers.

    Attributes:
        cost_usd: By tier, shape ``(n,)``.
        usd_per_core_s: Price of a second of one core of this machine, for scores.
        currency: ``usd``, or ``cpu_s``: CPU-seconds stand for dollars.
        assumptions: In words.
    """

    cost_usd: Mapping[str, Floats]
    usd_per_core_s: float
    currency: Literal["usd", "cpu_s"]
    assumptions: tuple[str, ...]


def offer_named(name: str | None, as_of: date | None) -> Offer | None:
    """The offer that this machine stands for, None when none is named.

    Raises:
        PriceError: when it is unknown, too old or not priced by the hour.
    """
    if name is None:
        return None
    offer = find_offer(load_offers(), name, as_of=as_of or date.today())  # noqa: DTZ011 - priced by calendar days
    usd_per_hour(offer)
    return offer


def refuse_unpriced(named: Sequence[NamedTier], models: Mapping[str, LocalModel], offer: Offer | None) -> None:
    """Refuse a mix of prices in dollars and tiers without one, before any work starts.

    Raises:
        InputError: naming the tier without a price.
    """
    bare = [
        t.name
        for t in named
        if t.kind == "model" and not t.price.given and offer is None and models[t.name].offer is None
    ]
    if bare and len(bare) < len(named):
        raise InputError(
            f"the tier {bare[0]!r} has no price while others have one; a missing price is never taken as 0",
            hint="--priced-as aws/m7i.large prices this machine, --price NAME=0.00001/request a tier",
        )


def tier_costs(
    named: Sequence[NamedTier],
    runs: Mapping[str, Run],
    models: Mapping[str, LocalModel],
    offer: Offer | None,
    n: int,
    machine: Hardware | None = None,
) -> TierCosts:
    """Price every tier.

    Tiers here are priced at the capacity that their plans measured where all of them are plans measured on this
    layout; else all by the time of one request alone on the cores that it keeps busy, so that one basis holds for all.

    Args:
        named: What the user said.
        runs: What was measured.
        models: Tiers here.
        offer: What this machine stands for, None for the plans' own.
        n: Requests.
        machine: What the tiers were measured on, None for this one.

    Raises:
        InputError: when the machine cannot stand for an offer (another architecture, an accelerator on one side).
    """
    here = [t for t in named if t.kind == "model" and not t.price.given]
    machine = machine or this_machine()
    if any(models[t.name].candidate.device != "cpu" for t in here):
        machine = replace(machine, accelerators=1.0)
    offers = {t.name: offer or models[t.name].offer for t in here}
    paid = bool(here) and all(offers.values())
    at_capacity = paid and all(models[t.name].capacity_rps for t in here)
    said: list[str] = []
    if here:
        said += _basis(offers, paid, at_capacity, machine)
    rate = usd_per_core_s(next(iter(offers.values()), None) or offer)
    found = {}
    for tier in named:
        if tier in here:
            found[tier.name] = np.full(
                n, _here(runs[tier.name], models[tier.name], offers[tier.name], at_capacity, machine)
            )
        else:
            found[tier.name], words = _stated(tier, runs[tier.name], n)
            said.append(words)
    if rate is None and not (here and not paid):
        said.append("this machine has no price: scores count nothing beyond their tiers (--priced-as names an offer)")
    return TierCosts(
        cost_usd=found,
        usd_per_core_s=(1.0 if here and not paid else 0.0) if rate is None else rate,
        currency="cpu_s" if here and not paid else "usd",
        assumptions=tuple(said),
    )


def _basis(offers: Mapping[str, Offer | None], paid: bool, at_capacity: bool, machine: Hardware) -> list[str]:
    if not paid:
        return [
            "no price was given: costs are CPU-seconds of this machine, one counted as one dollar; ratios hold, "
            "amounts mean nothing (--priced-as names an offer)"
        ]
    known = {o.key: o for o in offers.values() if o}
    shown = sorted(map(_shown, known.values()))
    basis = "at the capacity of each plan" if at_capacity else "by the measured time of one request on its cores"
    said = [f"this machine stands for {' and '.join(shown)}; a request costs its share of it, {basis}"]
    compared = (stands_for(stand_in(machine, o), o.name) for o in known.values())
    return list(dict.fromkeys([*said, *(text for texts in compared for text in texts)]))


def _shown(offer: Offer) -> str:
    return (
        f"{offer.name} ({offer.region}, {offer.term.replace('_', ' ')}, ${usd_per_hour(offer):.4f} an hour, price of "
        f"{offer.dated.isoformat()}, {offer.source})"
    )


def _cores(offer: Offer) -> float:
    return float(offer.hardware.vcpus or len(usable_cpus()))


def usd_per_core_s(offer: Offer | None) -> float | None:
    """Price of a second of one core of an offer, None without one."""
    return None if offer is None else usd_per_hour(offer) / 3600 / _cores(offer)


def _here(run: Run, model: LocalModel, offer: Offer | None, at_capacity: bool, machine: Hardware) -> float:
    assert isinstance(run, LocalRun)
    service_s = run.service_ms.value / 1000
    if offer is None:
        return service_s * run.threads
    if at_capacity and model.capacity_rps:
        factor = stand_in(machine, offer).capacity_factor
        return usd_at_capacity(usd_per_hour(offer), model.capacity_rps * factor)
    return usd_of_service(
        service_s, usd_per_hour=usd_per_hour(offer), worker_cores=run.threads, replica_cores=_cores(offer)
    )


def _stated(tier: NamedTier, run: Run, n: int) -> tuple[Floats, str]:
    """Cost of each request by the user's price, and what to say about it."""
    price = tier.price
    if price.usd_per_request is not None:
        return np.full(n, price.usd_per_request), f"{tier.name}: ${price.usd_per_request:.6g} a request, as stated"
    if price.usd_per_second is not None:
        usd = price.usd_per_second * run.service_ms.value / 1000
        return np.full(n, usd), (
            f"{tier.name}: ${price.usd_per_second:.6g} a second, as stated, × {run.service_ms.value:.3g} ms a request"
        )
    assert isinstance(run, RemoteRun)
    assert run.input_tokens is not None
    assert run.output_tokens is not None
    usual, out = price.usd_per_input_token, price.usd_per_output_token
    assert usual is not None
    assert out is not None
    spent = usual * run.input_tokens + out * run.output_tokens
    cached = np.zeros(n) if run.cached_tokens is None else run.cached_tokens
    if price.usd_per_cached_input_token is not None:
        spent = spent - (usual - price.usd_per_cached_input_token) * cached
    return spent, (
        f"{tier.name}: by token as stated, {run.input_tokens.mean():.0f} in and {run.output_tokens.mean():.0f} out a "
        f"request on average{_of_cache(price, float(cached.sum()), float(run.input_tokens.sum()))}"
    )


def _of_cache(price: TierPrice, cached: float, read: float) -> str:
    """How tokens from the provider's cache were charged, empty where there were none."""
    if not cached:
        return ""
    share = f"; {100 * cached / read:.0f} % of those in came from its cache"
    if price.usd_per_cached_input_token is None:
        return f"{share}, charged like the others (usd_per_cached_input_token is not stated)"
    return f"{share}, at ${price.usd_per_cached_input_token:.6g} each, as stated"
