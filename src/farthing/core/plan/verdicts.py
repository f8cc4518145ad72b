"""From evidence to the verdict: met, not met with the nearest way, or unproven with what would settle it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from farthing.core.numerals import change, ends, loses, number
from farthing.nouns import (
    NEVER_MS,
    AccuracyEvidence,
    Contention,
    Estimate,
    Evaluation,
    HeldBaseline,
    IdleOption,
    Latency,
    LatencyBound,
    Objective,
    Outcome,
    Verdict,
    WithoutPromise,
)

__all__ = ["Around", "bought_so", "decide", "fewest_suffice", "nearest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What stands beside a plan's money.

    Attributes:
        baseline: What serves today; None where nobody looked.
        held: It, if it had to keep the promise; None where it does.
        without_promise: The nearest candidate's cost where nobody keeps the promise.
        busy_frac: Share that the fewest replicas are busy in the busiest step, where that is next to idle; else None.
        idle_options: Cheaper ways to buy those, the cheapest first.
    """

    baseline: Evaluation | None = None
    held: HeldBaseline | None = None
    without_promise: WithoutPromise | None = None
    busy_frac: float | None = None
    idle_options: tuple[IdleOption, ...] = ()


_NOTHING_AROUND = Around()


def decide(
    objective: Objective,
    chosen: Evaluation | None,
    nearest_one: Evaluation | None,
    saving_frac: Estimate | None,
    around: Around = _NOTHING_AROUND,
    *,
    contention: Contention | None = None,
) -> Verdict:
    """Judge a plan.

    On a busy machine nothing that was timed proves a promise missed: the verdict is *unproven* then, and says why.
    What was answered does not hang on time: an accuracy that was lost is lost.

    Args:
        objective: The promise.
        chosen: The candidate that keeps the latency bound and was tried on the confirm split; None when no
            candidate keeps the bound.
        nearest_one: The candidate closest to the bound, for the hint.
        saving_frac: Saving at equal offer and term of the chosen candidate.
        around: What stands beside the money; it chooses the words where nothing is saved.
        contention: Of the blocks and runs that decide, None when they were not counted.
    """
    verdict = _judged(objective, chosen, nearest_one, saving_frac, around)
    too_slow = nearest_one is not None and objective.latency is not None
    timed = too_slow if chosen is None else chosen.accuracy is not None
    lossy = chosen is not None and chosen.accuracy is not None and chosen.accuracy.verdict != "met"
    if contention is None or not contention.busy or verdict.outcome == "met" or lossy or not timed:
        return verdict
    busy = f"the machine was busy: others used its cores in {contention.contended} of {contention.of} blocks and runs"
    hint = "run the same command with --fresh when nothing else uses the machine"
    return replace(verdict, outcome="unproven", reasons=(busy, *verdict.reasons), hint=hint)


def _judged(
    objective: Objective,
    chosen: Evaluation | None,
    nearest_one: Evaluation | None,
    saving_frac: Estimate | None,
    around: Around,
) -> Verdict:
    """As if the machine had been quiet."""
    if chosen is None:
        return _out_of_reach(objective, nearest_one)
    evidence = chosen.accuracy
    if evidence is None or (evidence.split != "confirm" and evidence.verdict != "not_met"):
        return Verdict(
            outcome="unproven",
            reasons=(f"{chosen.candidate.label} was not tried on the confirm split",),
            hint="`farthing optimize` with this promise tries it",
        )
    if evidence.verdict == "not_met":
        return Verdict(
            outcome="not_met",
            reasons=(
                f"{chosen.candidate.variant} {loses(evidence.drop_frac.value)}, "
                f"more than {_points(objective.max_drop_frac)} allowed",
            ),
            hint=f"--max-drop {_up(evidence.drop_frac.hi)}pt",
        )
    if evidence.verdict == "unproven":
        return _unproven(objective, chosen, evidence)
    return _saving(objective, chosen, evidence, saving_frac, around)


def _out_of_reach(objective: Objective, other: Evaluation | None) -> Verdict:
    if other is None:
        return Verdict(
            outcome="not_met", reasons=("no candidate could be run",), hint="see why each failed in the report"
        )
    bound, alone = objective.latency, other.single_at(objective.level)
    if bound is None or alone is None:
        return Verdict(outcome="not_met", reasons=(f"no candidate is usable: {other.reason}",))
    ms = alone.ms
    wanted = math.ceil(max(ms.value, ms.hi if math.isfinite(ms.hi) else ms.value) * 1.25 * 10) / 10
    return Verdict(
        outcome="not_met",
        reasons=(
            f"no candidate answers within {bound.ms:g} ms at {bound.name}",
            f"{other.candidate.label} comes nearest; {other.reason or 'not tried under load'}",
        ),
        hint=f"{bound.flag} {wanted:g}ms, or an offer with faster cores: `farthing prices list`",
    )


def _unproven(objective: Objective, chosen: Evaluation, e: AccuracyEvidence) -> Verdict:
    reason = (
        f"{chosen.candidate.variant} {loses(e.drop_frac.value)} on {e.n:,} {e.split} samples; with them "
        f"“at most {_points(objective.max_drop_frac)} points” cannot be shown (upper limit {_points(e.drop_frac.hi)})"
    )
    more = f"about {e.n_needed:,} labelled samples would settle it; or " if e.n_needed else ""
    return Verdict(
        outcome="unproven", reasons=(reason,), hint=f"{more}allow more with --max-drop {_up(e.drop_frac.hi)}pt"
    )


def _saving(
    objective: Objective, chosen: Evaluation, e: AccuracyEvidence, saving: Estimate | None, around: Around
) -> Verdict:
    reasons = [
        f"{e.metric} {change(-e.drop_frac.value * 100, 2)} points (at worst −{_points(max(0.0, e.drop_frac.hi))}, "
        f"{e.drop_frac.confidence * 100:g} % confidence) on {e.n:,} untouched samples"
    ]
    if saving is None or saving.hi <= 0:
        return _nothing_saved(objective, saving, reasons, around)
    wanted = objective.min_saving_frac or 0.0
    if saving.lo < wanted or saving.lo <= 0:
        outcome: Outcome = "not_met" if saving.hi < wanted else "unproven"
        missed = f"wanted {wanted * 100:g} %" if wanted else "which may be none"
        text = f"the saving is {number(saving.value * 100, 1)} % {ends(saving.lo, saving.hi, 1, scale=100)}, {missed}"
        return Verdict(outcome=outcome, reasons=(text, *reasons), hint=_longer(saving))
    cost = chosen.cost_usd_per_month
    budget, bound, tail = objective.budget_usd_per_month, objective.latency, chosen.at_peak
    if budget is not None and cost is not None and cost.value > budget:
        text = f"the plan costs ${cost.value:,.0f} a month, the budget is ${budget:,.0f}"
        return Verdict(outcome="not_met", reasons=(text, *reasons), hint=f"--budget {math.ceil(cost.value)}")
    if bound is not None and tail is not None and tail.ms.hi > bound.ms:
        return Verdict(
            outcome="not_met" if tail.ms.lo > bound.ms else "unproven",
            reasons=(_not_kept(tail, bound), *reasons),
            hint=f"run it again on a quiet machine with --fresh, or promise more time with {bound.flag}",
        )
    return Verdict(outcome="met", reasons=tuple(reasons))


def _longer(saving: Estimate) -> str:
    """What a longer run would do for a saving that is not shown."""
    if saving.value > 0:
        return "a longer run narrows the interval: --rounds 24"
    return "keep what runs now: nothing that was tried looks cheaper; a longer run (--rounds 24) would rather show that"


def _nothing_saved(objective: Objective, saving: Estimate | None, reasons: list[str], around: Around) -> Verdict:
    """Nothing is saved: because the baseline keeps less, because one replica idles, or because nothing is cheaper."""
    bound, otherwise = objective.latency, "keep what runs now"
    if bound is not None and around.held is not None and saving is not None:
        reasons, otherwise = [_other_goods(bound, around.held, saving), *reasons], ""
    elif around.busy_frac is not None:
        reasons = [fewest_suffice(objective, around.busy_frac), *reasons]
    else:
        reasons = ["nothing is cheaper than the baseline", *reasons]
    cheapest = next(iter(around.idle_options), None)
    hint = otherwise if cheapest is None else bought_so(cheapest)
    return Verdict(outcome="not_met", reasons=tuple(reasons), hint=hint)


def fewest_suffice(objective: Objective, busy_frac: float) -> str:
    """Why no model saves anything where the fewest replicas idle; ``busy_frac`` of them in the busiest step."""
    many = objective.min_replicas
    how = "one replica is" if many == 1 else f"the fewest replicas that are wanted, {many}, are"
    return (
        f"{how} enough, today and as planned (busy {number(busy_frac * 100, 1)} % in the busiest step as planned): "
        "a cheaper model saves nothing there"
    )


def bought_so(option: IdleOption) -> str:
    """How what idles is bought cheaper: ``smaller offer aws/t4g.small: about $12.26 a month, …``."""
    usd = option.cost_usd_per_month.value
    what = option.name if option.name == "scale to zero" else f"{option.name} {option.offer.name}"
    return f"{what}: about ${usd:,.2f} a month, an estimate: {option.rule}"


def _other_goods(bound: LatencyBound, held: HeldBaseline, saving: Estimate) -> str:
    """A plan that is held to the promise beside a baseline that breaks it."""
    dearer = "as much as" if saving.value == 0 else f"{number(1 - saving.value, 2)} × what"
    costs = "the baseline" if saving.value == 0 else "the baseline costs"
    now = f"{bound.name} {number(held.alone.ms.value, 1)} ms one at a time" if held.breaks_idle else "at its own rate"
    cost = held.cost_usd_per_month
    kept = (
        "no number of its replicas keeps it"
        if cost is None
        else f"if it had to keep it, it would cost ${cost.value:,.0f}"
    )
    return f"keeping {bound.name} ≤ {bound.ms:g} ms costs {dearer} {costs}, which breaks it ({now}); {kept}"


def _not_kept(tail: Latency, bound: LatencyBound) -> str:
    ms = tail.ms
    if ms.value >= NEVER_MS:
        return (
            "at the plan's peak rate requests came faster than they were answered, or more were not answered in time "
            f"than the level leaves: {tail.name} is unbounded, promised {bound.ms:g} ms"
        )
    seen = f"[{number(ms.lo, 1)}, unbounded]" if ms.hi >= NEVER_MS else ends(ms.lo, ms.hi, 1)
    return f"{tail.name} is {number(ms.value, 1)} ms {seen} at the plan's peak rate, promised {bound.ms:g} ms"


def nearest(evaluations: Iterable[Evaluation], percentile: float) -> Evaluation | None:
    """The candidate whose single requests are quickest at the promised level; None when none could be run at all."""
    alone = [(e.single_at(percentile), e) for e in evaluations if e.status != "baseline"]
    ran = [(latency.ms.value, e) for latency, e in alone if latency is not None]
    return min(ran, key=lambda pair: pair[0])[1] if ran else None


def _points(frac: float) -> str:
    text = number(frac * 100, 2)
    return text.rstrip("0").rstrip(".") or "0"


def _up(frac: float) -> str:
    return f"{math.ceil(frac * 1000) / 10:g}"
