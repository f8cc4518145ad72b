"""Where a saving comes from, in parts that add up exactly, and how sure the claimed part is."""

from __future__ import annotations

import math

from farthing.core.money.trace_cost import cost_at_trace
from farthing.nouns import Estimate, Offer, SavingPart, Trace

__all__ = ["GAP_LIMIT_FRAC", "UNSPLIT", "on_grid_usd", "saving_frac", "unsplit", "waterfall"]

GAP_LIMIT_FRAC = 0.2
"""A bill further than this from what the baseline needs is reported as over- (or under-) provisioning."""

UNSPLIT = "saving"
"""Name of the part that right-sizing, efficiency and batching make up together where they cannot be told apart."""

_GRID = 2.0**20
_MOST_USD = 2.0**33


def on_grid_usd(usd: float) -> float:
    """Round to the nearest 2⁻²⁰ USD (about a millionth), on which sums and differences of floats are exact.

    Raises:
        ValueError: when the amount is not finite or not below 2³³ USD (8.6 thousand million).
    """
    if not abs(usd) < _MOST_USD:
        raise ValueError(f"an amount must be finite and below {_MOST_USD:,.0f} USD, is {usd}")
    return round(usd * _GRID) / _GRID


def waterfall(
    *,
    bill_usd_per_month: float,
    baseline: Estimate,
    unbatched: Estimate,
    batched: Estimate,
    with_terms: Estimate | None,
) -> tuple[SavingPart, ...]:
    """Split the way from the bill to the plan into four steps.

    With A the bill, B the baseline at the trace hour by hour on the bill's offer and term, C the chosen variant
    one request at a time, D with batching, E with purchase terms: right-sizing ``A − B`` (shown, never
    credited), efficiency ``B − C``, batching ``C − D``, purchase terms ``D − E``. Amounts are first rounded by
    :func:`on_grid_usd`, after which the parts' values sum to ``A − E`` without any rounding. The interval of a
    part is the difference of the intervals' ends (wider than needed where the two costs move together).

    Args:
        bill_usd_per_month: A.
        baseline: B in USD a month.
        unbatched: C in USD a month; the same offer and term as B.
        batched: D in USD a month; the same offer and term as B.
        with_terms: E in USD a month; None when no price under another term was read: D is the plan then, and the part
            has no amount.

    Raises:
        ValueError: when an amount is not finite or beyond what the grid holds.
    """
    bill = Estimate(value=bill_usd_per_month, lo=bill_usd_per_month, hi=bill_usd_per_month, n=0, method="as billed")
    return (
        _part("right-sizing", bill, baseline, False, _gap_note(bill_usd_per_month, baseline.value)),
        _part("efficiency", baseline, unbatched, True, "chosen variant against the baseline, one request at a time"),
        _part("batching", unbatched, batched, True, "chosen variant with batches against one request at a time"),
        _terms(batched, with_terms),
    )


def unsplit(
    *, bill_usd_per_month: float, batched: Estimate, with_terms: Estimate | None, note: str
) -> tuple[SavingPart, ...]:
    """The way from the bill to the plan where nobody knows the traffic: one step, and purchase terms.

    Args:
        bill_usd_per_month: What is paid.
        batched: The plan in USD a month on the bill's offer and term, its interval over all that is plausible.
        with_terms: As in :func:`waterfall`.
        note: Why it is not split.

    Raises:
        ValueError: as :func:`waterfall`.
    """
    bill = Estimate(value=bill_usd_per_month, lo=bill_usd_per_month, hi=bill_usd_per_month, n=0, method="as billed")
    return _part(UNSPLIT, bill, batched, False, note), _terms(batched, with_terms)


def _terms(batched: Estimate, with_terms: Estimate | None) -> SavingPart:
    name = "purchase terms"
    if with_terms is None:
        note = "not priced: no price for a commitment was read; `farthing prices import FILE` adds yours"
        return SavingPart(name=name, usd_per_month=None, claimed=True, note=note)
    return _part(name, batched, with_terms, True, "commitments and spot against the bill's term; shown apart")


def saving_frac(
    trace: Trace,
    baseline_sla_rps: float,
    ratio: Estimate,
    offer: Offer,
    min_replicas: int = 1,
    *,
    fixed: bool = False,
) -> Estimate:
    """Share of the baseline's cost that a candidate saves at equal offer and term: ``1 − D/B``.

    B prices the trace at ``baseline_sla_rps``, D at ``baseline_sla_rps · ratio``. Cost in whole replicas never
    rises with capacity, so the ends of the ratio's interval give the ends of the saving's.

    Args:
        trace: Arrivals.
        baseline_sla_rps: Rate that one replica of the baseline sustains within the latency bound, > 0.
        ratio: Candidate's rate over the baseline's, value > 0; a lower end ≤ 0 gives a lower end of −inf.
        offer: The bill's own, priced by the hour.
        min_replicas: Fewest at any time, ≥ 1.
        fixed: The fleet does not scale.

    Raises:
        PriceError: when the offer is not priced by the hour.
        ValueError: when an argument is outside its domain.
    """
    baseline_usd = cost_at_trace(trace, baseline_sla_rps, offer, min_replicas, fixed=fixed).usd_per_month

    def saved(capacity_ratio: float) -> float:
        if capacity_ratio <= 0:
            return -math.inf
        planned = cost_at_trace(trace, baseline_sla_rps * capacity_ratio, offer, min_replicas, fixed=fixed)
        return 1 - planned.usd_per_month / baseline_usd

    if not ratio.value > 0:
        raise ValueError(f"the capacity ratio must be > 0, is {ratio!r}")
    return Estimate(
        value=saved(ratio.value),
        lo=saved(ratio.lo),
        hi=saved(ratio.hi),
        n=ratio.n,
        method=f"whole replicas at the trace; ratio: {ratio.method}",
        source=ratio.source,
        confidence=ratio.confidence,
    )


def _part(name: str, before: Estimate, after: Estimate, claimed: bool, note: str) -> SavingPart:
    value = on_grid_usd(before.value) - on_grid_usd(after.value)
    saved = Estimate(
        value=value,
        lo=min(value, before.lo - after.hi),
        hi=max(value, before.hi - after.lo),
        n=max(before.n, after.n),
        method="difference of interval ends",
        source=after.source,
        confidence=after.confidence,
    )
    return SavingPart(name=name, usd_per_month=saved, claimed=claimed, note=note)


def _gap_note(bill_usd: float, baseline_usd: float) -> str:
    gap_frac = (bill_usd - baseline_usd) / bill_usd if bill_usd else 0.0
    if gap_frac > GAP_LIMIT_FRAC:
        share = f"{100 * gap_frac:.0f}" if gap_frac < 0.995 else f"{min(99.9, 100 * gap_frac):.1f}"
        return f"over-provisioning: {share} % of the bill is more than the baseline needs; not credited"
    if gap_frac < -GAP_LIMIT_FRAC:
        return (
            f"the bill is {-100 * gap_frac:.0f} % less than the baseline needs at this trace: "
            "check the bill, the offer and the baseline; not credited"
        )
    return "bill against what the baseline needs at this trace, hour by hour; not credited"
