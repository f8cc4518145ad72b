"""What a plan comes to where nobody knows the traffic: a range over utilisations, and what holds for all of it.

The bill alone says neither how much is asked nor how much of the fleet is idle (``core/money/utilisation.py``). A
saving is therefore stated as the least over all plausible utilisations; figures in dollars and requests are those of
the highest one (the dearest plan, the smallest saving against the bill), with the lower end of the lowest one; and the
way from the bill to the plan stays one step: whoever splits it invents the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from farthing.core.money.commitments import terms_priced
from farthing.core.money.saving import unsplit, waterfall
from farthing.core.plan.pricing import Priced, Pricing
from farthing.nouns import AtUtilisation, Estimate, SavingPart, Trace

__all__ = ["NOT_TOLD_APART", "Ranged", "gap_to_bill", "least", "over_utilisations"]

NOT_TOLD_APART = (
    "right-sizing, efficiency and batching together: the bill alone does not say how busy its replicas are, so they "
    "cannot be told apart; requests a month, a trace or the utilisation would"
)
_SHOWN_PERCENT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranged:
    """A plan's money over all plausible utilisations.

    Attributes:
        priced: At the highest of them, intervals down to the lowest; parts are not split.
        saving: Least over all.
        versus_fp32: Likewise against the best full-precision engine.
        versus_half: Likewise against the best BF16 or FP16 engine.
        rows: At every tenth per cent, the least first.
    """

    priced: Priced
    saving: Estimate | None
    versus_fp32: Estimate | None
    versus_half: Estimate | None
    rows: tuple[AtUtilisation, ...]


def least(estimates: Iterable[Estimate | None]) -> Estimate | None:
    """The largest claim that holds for all: value and ends are each the least; None when one of them is None."""
    known = list(estimates)
    if not known or any(e is None for e in known):
        return None
    found = [e for e in known if e is not None]
    lowest = min(found, key=lambda e: e.value)
    return replace(
        lowest,
        lo=min(e.lo for e in found),
        hi=min(e.hi for e in found),
        method=f"least over {len(found)} utilisations; {lowest.method}",
    )


def over_utilisations(p: Pricing, by_utilisation: Mapping[float, Trace]) -> Ranged:
    """Price the findings at every utilisation.

    Args:
        p: Of the run; its own trace is not looked at.
        by_utilisation: Arrivals by utilisation, the least first, at least two.

    Raises:
        ValueError: when the baseline has no rate.
    """
    each = {u: replace(p, trace=trace) for u, trace in by_utilisation.items()}
    lowest, *_, highest = each.values()
    savings = {u: q.savings() for u, q in each.items()}
    return Ranged(
        priced=_priced(lowest, highest),
        saving=least(saving for saving, _ in savings.values()),
        versus_fp32=least(versus for _, versus in savings.values()),
        versus_half=least(q.saving_against(p.found.best_half) for q in each.values()),
        rows=tuple(_row(u, q, savings[u][0]) for u, q in each.items() if round(u * 100) % _SHOWN_PERCENT == 0),
    )


def gap_to_bill(p: Pricing, ranged: Ranged | None) -> SavingPart:
    """What the bill pays beyond the baseline's need; no amount where nobody knows the need.

    Args:
        p: Of the run.
        ranged: From :func:`over_utilisations` where the traffic is not known, else None.

    Raises:
        ValueError: when the baseline has no rate.
    """
    if ranged is not None:
        return SavingPart(name="right-sizing", usd_per_month=None, claimed=False, note=NOT_TOLD_APART)
    today = p.priced().baseline_usd_per_month
    return waterfall(
        bill_usd_per_month=p.market.bill_usd_per_month,
        baseline=today,
        unbatched=today,
        batched=today,
        with_terms=today,
    )[0]


def _row(utilisation_frac: float, p: Pricing, saving: Estimate | None) -> AtUtilisation:
    priced = p.priced()
    return AtUtilisation(
        utilisation_frac=utilisation_frac,
        requests_per_month=p.trace.requests_per_month(),
        baseline_usd_per_month=priced.baseline_usd_per_month,
        planned_usd_per_month=priced.usd_per_month,
        saving_frac=saving,
    )


def _priced(lowest: Pricing, highest: Pricing) -> Priced:
    low, high = lowest.priced(), highest.priced()
    if low.usd_per_month is None or high.usd_per_month is None:
        return replace(high, baseline_usd_per_month=_down_to(high.baseline_usd_per_month, low.baseline_usd_per_month))
    return replace(
        high,
        baseline_usd_per_month=_down_to(high.baseline_usd_per_month, low.baseline_usd_per_month),
        usd_per_month=_down_to(high.usd_per_month, low.usd_per_month),
        parts=_parts(lowest, highest, _down_to(high.usd_per_month, low.usd_per_month)),
    )


def _parts(lowest: Pricing, highest: Pricing, planned: Estimate) -> tuple[SavingPart, ...]:
    chosen = highest.found.chosen
    low, high = (p.cost(chosen) if chosen else None for p in (lowest, highest))
    assert chosen is not None
    assert low is not None
    assert high is not None
    batched = _down_to(highest.spread(chosen, high), lowest.spread(chosen, low))
    return unsplit(
        bill_usd_per_month=highest.market.bill_usd_per_month,
        batched=batched,
        with_terms=planned if terms_priced(highest.market.terms) else None,
        note=NOT_TOLD_APART,
    )


def _down_to(high: Estimate, low: Estimate) -> Estimate:
    """The dearer one with its interval down to the lower end of the cheaper one."""
    return replace(
        high, lo=min(high.lo, low.lo), method=f"at the highest utilisation, down to the lowest; {high.method}"
    )
