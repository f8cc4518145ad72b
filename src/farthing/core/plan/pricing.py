"""One run's findings at its market and trace: what each candidate costs, hour by hour."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from farthing.core.money.commitments import commitment_split, terms_priced
from farthing.core.money.saving import saving_frac, waterfall
from farthing.core.money.trace_cost import TraceCost, cost_at_trace, hour_lengths_h
from farthing.core.plan.findings import Findings
from farthing.nouns import (
    Candidate,
    Estimate,
    HourlyPlan,
    Offer,
    OfferEstimate,
    SavingPart,
    StandIn,
    Trace,
    Workload,
)

__all__ = ["Market", "Priced", "Pricing"]


_UNMEASURED = (0.9, 1.1)
"""Interval, relative, of a rate that has none of its own."""
_WIDEST = math.log(1e6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """The prices of a run.

    Attributes:
        bill_offer: What is bought today.
        terms: All offers of the same hardware and region, the bill's own included.
        elsewhere: Offers of other hardware, for estimates.
        priced_as: Name of the offer this machine stands for.
        bill_usd_per_month: What is paid today.
        small: Offers for little traffic: fewer vCPUs on demand, and serverless; never measured.
        stand_in: How the machine compares with the bill's offer, None when it was not asked.
    """

    bill_offer: Offer
    terms: tuple[Offer, ...]
    elsewhere: tuple[Offer, ...]
    priced_as: str
    bill_usd_per_month: float
    stand_in: StandIn | None = None
    small: tuple[Offer, ...] = ()

    @property
    def capacity_factor(self) -> float:
        """Rate of a replica of the bill's offer over the rate that was measured on this machine."""
        return 1.0 if self.stand_in is None else self.stand_in.capacity_factor

    @property
    def offers(self) -> tuple[Offer, ...]:
        """Every price used, the bill's own first."""
        return (self.bill_offer, *(o for o in self.terms if o != self.bill_offer))


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """What a plan costs hour by hour.

    Attributes:
        baseline_usd_per_month: What serves today.
        hourly: Replicas and dollars of each hour.
        parts: From the bill to the plan, adding up; empty when nothing is planned.
        usd_per_month: With all terms, None when nothing is planned.
        notes: What the report must say about it.
    """

    baseline_usd_per_month: Estimate
    hourly: HourlyPlan
    parts: tuple[SavingPart, ...] = ()
    usd_per_month: Estimate | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """Everything that a price depends on.

    Attributes:
        workload: With the objective.
        found: What was measured.
        market: Prices.
        trace: Arrivals.
    """

    workload: Workload
    found: Findings
    market: Market
    trace: Trace

    def cost(self, c: Candidate, factor: float = 1.0) -> TraceCost | None:
        """Cost of a candidate at the trace with ``factor`` times its rate; None where it has no rate."""
        rate = self.found.sla_rps.get(c)
        return None if rate is None else self.cost_at(rate * factor)

    def cost_at(self, rate_rps: float, offer: Offer | None = None) -> TraceCost:
        """Cost of the trace where a replica takes a rate.

        Args:
            rate_rps: On the machine that was measured, > 0.
            offer: None for the bill's own.
        """
        return cost_at_trace(
            self.trace,
            rate_rps * self.market.capacity_factor,
            offer or self.market.bill_offer,
            self.workload.objective.min_replicas,
            fixed=self.fixed,
        )

    @property
    def fixed(self) -> bool:
        """Whether the fleet has the same size in every hour."""
        return self.workload.bill.fixed_fleet

    def spread(self, c: Candidate, cost: TraceCost) -> Estimate:
        """Monthly cost with the interval of the candidate's measured capacity carried through whole replicas."""
        kept = self.found.kept_rps.get(c)
        capacity = kept or self.found.capacities_rps.get(c)
        low, high = _UNMEASURED
        if capacity is not None and capacity.value > 0:
            low, high = capacity.lo / capacity.value, capacity.hi / capacity.value
        ends = [self.cost(c, max(f, 1e-6)) for f in (high, low)]
        values = [e.usd_per_month for e in ends if e is not None]
        what = "rate kept" if kept else "capacity interval" if capacity else "screened capacity ± 10 %"
        offer = self.market.bill_offer
        return Estimate(
            value=cost.usd_per_month,
            lo=min([cost.usd_per_month, *values]),
            hi=max([cost.usd_per_month, *values]),
            n=capacity.n if capacity else 0,
            method=f"{what} through whole replicas",
            source=f"{offer.key} {offer.dated.isoformat()}",
        )

    def savings(self) -> tuple[Estimate | None, Estimate | None]:
        """Against the baseline, and against the best full-precision engine, both at equal offer and term."""
        found, chosen = self.found, self.found.chosen
        base_rate = found.sla_rps.get(found.baseline)
        rate = found.sla_rps.get(chosen) if chosen else None
        if chosen is None or base_rate is None or rate is None:
            return None, None
        saving = self._saving(base_rate, self._ratio(chosen, rate / base_rate))
        return saving, self.saving_against(found.best_fp32)

    def saving_against(self, other: Candidate | None) -> Estimate | None:
        """The choice against another candidate of the proof rounds; None when it, or its rate, is not there."""
        found, chosen = self.found, self.found.chosen
        rate = found.sla_rps.get(chosen) if chosen else None
        their_rate = found.sla_rps.get(other) if other else None
        if chosen is None or other is None or rate is None or their_rate is None or other not in found.ratios:
            return None
        mine, theirs = self._measured_ratio(chosen), found.ratios[other]
        share = rate / their_rate
        down = _quadrature(mine.value, mine.lo, theirs.hi, theirs.value)
        up = _quadrature(mine.hi, mine.value, theirs.value, theirs.lo)
        lo, hi = share * math.exp(-down), share * math.exp(up)
        ratio = replace(mine, value=share, lo=lo, hi=hi, method="quotient of two ratios, in quadrature on logarithms")
        return self._saving(their_rate, ratio)

    def _saving(self, base_rate_rps: float, ratio: Estimate) -> Estimate:
        minimum = self.workload.objective.min_replicas
        base_rate_rps *= self.market.capacity_factor
        return saving_frac(self.trace, base_rate_rps, ratio, self.market.bill_offer, minimum, fixed=self.fixed)

    def _ratio(self, c: Candidate, value: float) -> Estimate:
        """Ratio of the planned rates, with the relative interval of the rates kept, or of the measured capacities."""
        r = self._measured_ratio(c)
        return replace(r, value=value, lo=value * r.lo / r.value, hi=value * r.hi / r.value)

    def _measured_ratio(self, c: Candidate) -> Estimate:
        """Of rates kept, else of capacities in the proof rounds; ± 10 % where neither was measured."""
        measured = self.found.rate_ratio or self.found.ratios.get(c)
        if measured is not None and measured.value > 0:
            return measured
        low, high = _UNMEASURED
        return Estimate(value=1.0, lo=low, hi=high, n=0, method="screened capacity ± 10 %")

    def priced(self) -> Priced:
        """The choice hour by hour beside the baseline, with commitments that pay; the baseline alone without one.

        Raises:
            ValueError: when the baseline has no rate.
        """
        before = self.cost(self.found.baseline)
        if before is None:
            raise ValueError(f"{self.found.baseline.label} has no rate at which it could be priced")
        today = self.spread(self.found.baseline, before)
        mean, peak = self.trace.hourly_rps()
        hourly = HourlyPlan(
            mean_rps=tuple(map(float, mean)),
            peak_rps=tuple(map(float, peak)),
            baseline_replicas=tuple(map(int, before.replicas)),
            planned_replicas=(),
            baseline_usd=tuple(map(float, before.usd_by_hour)),
        )
        chosen = self.found.chosen
        after = self.cost(chosen) if chosen else None
        if after is None or chosen is None:
            return Priced(baseline_usd_per_month=today, hourly=hourly)
        split = commitment_split(after.replicas, self.market.terms, hour_lengths_h=hour_lengths_h(self.trace))
        final = self.spread(chosen, after).scaled(split.usd_per_month / after.usd_per_month)
        hourly = replace(
            hourly,
            planned_replicas=tuple(map(int, after.replicas)),
            committed_replicas=split.committed_replicas,
            committed_term=split.committed_term,
            planned_usd=tuple(map(float, split.usd_by_hour)),
        )
        return Priced(
            baseline_usd_per_month=today,
            hourly=hourly,
            parts=self._parts(chosen, today, after, final),
            usd_per_month=final,
            notes=(f"purchase terms: {split.note}",),
        )

    def _parts(self, chosen: Candidate, today: Estimate, after: TraceCost, final: Estimate) -> tuple[SavingPart, ...]:
        alone = replace(chosen, max_batch=1)
        return waterfall(
            bill_usd_per_month=self.market.bill_usd_per_month,
            baseline=today,
            unbatched=self.spread(alone, self.cost(alone) or after),
            batched=self.spread(chosen, after),
            with_terms=final if terms_priced(self.market.terms) else None,
        )

    def elsewhere(self) -> tuple[OfferEstimate, ...]:
        """The choice on offers nobody measured: capacity by vCPU count, half to double, never chosen."""
        rate = self.found.sla_rps.get(self.found.chosen) if self.found.chosen else None
        own = self.market.bill_offer.hardware.vcpus
        if rate is None or not own:
            return ()
        rule = "capacity in proportion to vCPUs, between half and twice that"
        estimates = []
        for offer in self.market.elsewhere:
            if not offer.hardware.vcpus or offer.usd_per_hour is None:
                continue
            guess = rate * offer.hardware.vcpus / own
            mid, low, high = (self.cost_at(guess * f, offer).usd_per_month for f in (1.0, 2.0, 0.5))
            cost = Estimate(value=mid, lo=min(low, mid), hi=max(high, mid), n=0, method=rule, source=offer.key)
            estimates.append(OfferEstimate(offer=offer, cost_usd_per_month=cost, rule=rule))
        return tuple(sorted(estimates, key=lambda e: e.cost_usd_per_month.value))


def _quadrature(*ends: float) -> float:
    """Root of the sum of squares of distances on logarithms, each from a larger to a smaller end."""
    pairs = zip(ends[::2], ends[1::2])
    logs = [math.log(large / small) if 0 < small <= large < math.inf else math.inf for large, small in pairs]
    return min(math.hypot(*logs), _WIDEST)
