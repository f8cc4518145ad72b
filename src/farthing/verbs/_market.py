"""Which prices and which arrivals a workload is judged at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from farthing.core.money.price import usd_per_hour
from farthing.core.money.trace_cost import infer_trace, infer_trace_from_replicas
from farthing.core.search.assemble import Market
from farthing.core.traffic.shapes import by_name
from farthing.load.prices import find_offer, load_offers, offers_as_of, terms_of
from farthing.nouns import HOURS_PER_MONTH, Offer, Trace, Workload

__all__ = ["Arrived", "market_of", "trace_of"]


def market_of(workload: Workload, as_of: date | None, max_age_days: int) -> Market:
    """The bill's offer, every term of the same hardware, and offers elsewhere for estimates.

    Raises:
        UnknownOfferError: when there is no such offer.
        StalePriceError: when its price is too old.
    """
    day = as_of or date.today()  # noqa: DTZ011 - prices are dated by calendar days
    listed = load_offers()
    bill = workload.bill
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
    )


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
        workload: With its trace, volume or bill.
        market: Prices.
    """

    workload: Workload
    market: Market

    def at(self, baseline_sla_rps: float) -> Trace:
        """The user's own trace, or the one that explains the bill at the baseline's rate within the promise."""
        w = self.workload
        if w.trace is not None:
            return w.trace
        shape = by_name(w.shape)
        if w.requests_per_month is not None:
            return shape.scaled(w.requests_per_month / shape.requests_per_month())
        if w.bill.replicas is not None:
            return infer_trace_from_replicas(shape, baseline_sla_rps, w.bill.replicas)
        return infer_trace(
            shape, baseline_sla_rps, self.market.bill_offer, self.market.bill_usd_per_month, w.objective.min_replicas
        )

    def assumptions(self, market: Market) -> tuple[str, ...]:
        """What the report must say about prices and arrivals."""
        o = market.bill_offer
        said = [
            f"this machine stands for {market.priced_as} ({o.region}, {o.term.replace('_', ' ')}, "
            f"${usd_per_hour(o):.4f} an hour, price of {o.dated.isoformat()}, {o.source})"
        ]
        if self.workload.trace is None and self.workload.requests_per_month is None:
            said.append(
                f"the arrivals are inferred: a {self.workload.shape} week "
                "whose volume makes the measured baseline cost the bill"
                "whose volume makes the measured baseline cost the bill"
            )
        elif self.workload.trace is None:
            said.append(f"the arrivals follow a {self.workload.shape} week at the stated monthly volume")
        return tuple(said)


def trace_of(workload: Workload, market: Market) -> Arrived:
    """How the arrivals will be found once the baseline is measured."""
    return Arrived(workload=workload, market=market)
