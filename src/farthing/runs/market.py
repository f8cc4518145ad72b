"""Which prices and which arrivals a workload is judged at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from farthing.core.money.plausible_traffic import Doubt, doubt_about
from farthing.core.money.price import usd_per_hour
from farthing.core.money.stand_in import stand_in
from farthing.core.money.utilisation import MOST_FRAC, PLAUSIBLE_FRAC, paid_replicas, trace_at
from farthing.core.plan.assemble import Market
from farthing.core.traffic.shapes import by_name
from farthing.errors import InputError
from farthing.load.prices import find_offer, load_offers, offers_as_of, terms_of
from farthing.nouns import HOURS_PER_MONTH, Hardware, Offer, Trace, Workload
from farthing.render.numbers import count, percent
from farthing.render.traffic.words import traffic_words

__all__ = ["Arrived", "market_of", "trace_of"]


def market_of(workload: Workload, as_of: date | None, max_age_days: int, machine: Hardware) -> Market:
    """The offer that is priced, all terms of its hardware, offers elsewhere for estimates, how the machine compares.

    All of it is of the offer that this machine stands for, the bill's own unless ``priced_as`` names another: then the
    bill is what its own offer costs, and pays for as many replicas of the other one as that amount buys.

    Raises:
        InputError: when this machine cannot stand for the offer, or for a fixed fleet of another one.
        UnknownOfferError: when there is no such offer.
        StalePriceError: when its price is too old.
    """
    day = as_of or date.today()  # noqa: DTZ011 - prices are dated by calendar days
    listed = load_offers()
    bill = workload.bill
    _refuse_other_fleet(workload)
    paid = find_offer(listed, bill.offer, bill.region, bill.term, as_of=day, max_age_days=max_age_days)
    own = paid
    if workload.priced_as not in (None, bill.offer):
        own = find_offer(listed, str(workload.priced_as), bill.region, bill.term, as_of=day, max_age_days=max_age_days)
    usd = bill.usd_per_month
    if usd is None:
        assert bill.replicas is not None
        usd = bill.replicas * usd_per_hour(paid) * HOURS_PER_MONTH
    terms = terms_of(listed, own.name, own.region, as_of=day, max_age_days=max_age_days)
    current = [o for o in offers_as_of(listed, day) if (day - o.dated).days <= max_age_days]
    return Market(
        bill_offer=own,
        terms=tuple(terms.values()),
        elsewhere=_alike(current, own),
        priced_as=own.name,
        bill_usd_per_month=usd,
        stand_in=stand_in(machine, own),
        small=_small(current, own),
    )


def _refuse_other_fleet(workload: Workload) -> None:
    """How many replicas of one offer can go is not told by a machine that stands for another."""
    bill, other = workload.bill, workload.priced_as
    if not bill.fixed_fleet or other in (None, bill.offer):
        return
    fleet = bill.offer if bill.replicas is None else f"{bill.replicas} × {bill.offer}"
    raise InputError(
        f"the fixed fleet is {fleet}, and this machine is priced as {other}: what is measured here does not say how "
        f"many replicas of {bill.offer} can go",
        hint=f"leave --priced-as out where this machine can stand for {bill.offer}, or give --offer {other} with the "
        "replicas of it; without --fixed-fleet the bill is compared with what the same amount buys of it",
    )


def _small(current: Sequence[Offer], own: Offer) -> tuple[Offer, ...]:
    """For little traffic: fewer vCPUs of the same provider, region and architecture on demand; anything serverless."""

    def smaller(o: Offer) -> bool:
        mine, theirs = own.hardware, o.hardware
        same = (o.provider, o.region, o.term) == (own.provider, own.region, "on_demand")
        arch = not mine.arch or not theirs.arch or mine.arch == theirs.arch
        size = bool(mine.vcpus and theirs.vcpus and theirs.vcpus <= mine.vcpus)
        cheaper = o.usd_per_hour is not None and o.usd_per_hour < usd_per_hour(own)
        return same and arch and size and cheaper and not theirs.accelerators

    return tuple(o for o in current if o.term == "serverless" or smaller(o))


def _alike(current: Sequence[Offer], own: Offer) -> tuple[Offer, ...]:
    """On-demand offers without accelerator and with as many vCPUs, one a name."""
    found = {
        o.name: o
        for o in current
        if o.term == "on_demand"
        and o.name != own.name
        and o.hardware.vcpus == own.hardware.vcpus
        and not o.hardware.accelerators
        and o.usd_per_hour is not None
    }
    return tuple(found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """The arrivals a workload is priced at.

    Attributes:
        workload: With its trace, volume, utilisation, or none of them.
        market: Prices.
    """

    workload: Workload
    market: Market

    @property
    def known(self) -> bool:
        """Whether the user said how much is asked."""
        w = self.workload
        return w.trace is not None or w.requests_per_month is not None or w.utilisation_frac is not None

    @property
    def replicas(self) -> float:
        """Replicas of the offer that the bill pays for, on average over the month.

        Raises:
            InputError: when they are fewer than the objective's minimum.
        """
        market = self.market
        return paid_replicas(market.bill_usd_per_month, market.bill_offer, self.workload.objective.min_replicas)

    def at(self, baseline_sla_rps: float) -> Trace:
        """The arrivals to price at, once the baseline's rate on this machine is known.

        The user's own trace or volume; else those that keep the replicas paid for busy to the stated share, or to the
        largest plausible one where none is stated.
        """
        w = self.workload
        if w.trace is not None:
            return w.trace
        if w.requests_per_month is not None:
            shape = by_name(w.shape)
            return shape.scaled(w.requests_per_month / shape.requests_per_month())
        return self._busy(w.utilisation_frac or MOST_FRAC, baseline_sla_rps)

    def by_utilisation(self, baseline_sla_rps: float) -> dict[float, Trace]:
        """Arrivals at every plausible utilisation, the least first; empty when the user said how much is asked."""
        return {} if self.known else {u: self._busy(u, baseline_sla_rps) for u in PLAUSIBLE_FRAC}

    def _busy(self, utilisation_frac: float, baseline_sla_rps: float) -> Trace:
        capacity_rps = baseline_sla_rps * self.market.capacity_factor
        shape = self.workload.usage or by_name(self.workload.shape)
        return trace_at(shape, utilisation_frac, self.replicas, capacity_rps)

    def doubt(self) -> Doubt | None:
        """What is odd about the stated traffic beside the bill, None when nothing is, or nothing was stated."""
        w, market = self.workload, self.market
        stated = w.requests_per_month if w.trace is None else w.trace.requests_per_month()
        if stated is None:
            return None
        hardware = market.bill_offer.hardware
        usd = market.bill_usd_per_month
        return doubt_about(
            requests_per_month=stated,
            usd_per_month=usd,
            replicas=usd / HOURS_PER_MONTH / usd_per_hour(market.bill_offer),
            vcpus=hardware.vcpus,
            accelerated=bool(hardware.accelerators),
        )

    def understood(self) -> Iterator[tuple[str, str]]:
        """What is known of the arrivals before any work starts, as ``(what, in words)``."""
        w = self.workload
        if w.trace is not None:
            yield "trace", f"{w.trace.name}: {w.trace.read_as or 'as given'}"
            yield "arrivals", traffic_words(w.trace)
        elif w.requests_per_month is not None:
            yield "arrivals", f"a {w.shape} week as stated, {traffic_words(self.at(0.0))}"
        else:
            yield "arrivals", f"they {self._said()}"
        doubt = self.doubt()
        if doubt is not None:
            yield "is that right?", doubt.said

    def assumptions(self) -> tuple[str, ...]:
        """What the report must say about prices and arrivals."""
        o = self.market.bill_offer
        return (
            f"this machine stands for {self.market.priced_as} ({o.region}, {o.term.replace('_', ' ')}, "
            f"${usd_per_hour(o):.4f} an hour, price of {o.dated.isoformat()}, {o.source})",
            f"the arrivals {self._said()}",
        )

    def _said(self) -> str:
        w = self.workload
        if w.trace is not None:
            read_as = f" (read as {w.trace.read_as})" if w.trace.read_as else ""
            return f"are those of {w.trace.name}{read_as}, {count(w.trace.requests_per_month())} requests a month"
        if w.requests_per_month is not None:
            return f"follow a {w.shape} week at the stated {count(w.requests_per_month)} requests a month"
        paid = f"{count(self.replicas)} replicas of {self.market.priced_as} that {self._bill()} pays for"
        if w.utilisation_frac is not None:
            shape = f"a {w.shape} week" if w.usage is None else f"the utilisation in {w.usage.name} ({w.usage.read_as})"
            return (
                f"follow {shape} that keeps the {paid} busy to the stated {percent(w.utilisation_frac)} on "
                "average of what the measured baseline can serve"
            )
        least, most = percent(PLAUSIBLE_FRAC[0]), percent(MOST_FRAC)
        return (
            f"were not stated: a {w.shape} week at {least} to {most} utilisation of the {paid}; the saving holds for "
            f"all of them, figures by hour are those at {most}"
        )

    def _bill(self) -> str:
        """The bill, with what it is for where that is no replica of the offer that is priced."""
        bill = self.workload.bill
        if bill.offer == self.market.priced_as:
            return "the bill"
        return f"the bill for {bill.offer if bill.replicas is None else f'{bill.replicas} × {bill.offer}'}"


def trace_of(workload: Workload, market: Market) -> Arrived:
    """How the arrivals will be found once the baseline is measured.

    Raises:
        InputError: when they hang on the bill, and it does not pay for the fewest replicas.
    """
    arrived = Arrived(workload=workload, market=market)
    if workload.trace is None and workload.requests_per_month is None:
        _ = arrived.replicas
    refuse_impossible(arrived)
    return arrived


def refuse_impossible(arrived: Arrived) -> None:
    """Ask back where a trace that was not fully described cannot be meant: no bill is paid for such traffic.

    Raises:
        InputError: when a request would cost more than a dollar, or a core have less than microseconds for it.
    """
    doubt, trace = arrived.doubt(), arrived.workload.trace
    if doubt is None or not doubt.impossible or trace is None or not trace.guessed:
        return
    raise InputError(
        f"{trace.name} was read as {trace.read_as}; that is {count(trace.requests_per_month())} requests a month, and "
        f"{doubt.said}",
        hint="say what it holds: --trace-kind counts, rates, counter or timestamps, and --trace-unit; or mend the bill",
    )
