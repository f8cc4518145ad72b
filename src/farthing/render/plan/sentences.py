"""What a plan says, in words: the sentences and rows that the terminal and the report share."""

from __future__ import annotations

from dataclasses import dataclass

from farthing.core.money.saving import UNSPLIT
from farthing.nouns import (
    AccuracyEvidence,
    Estimate,
    Evaluation,
    HourlyPlan,
    Latency,
    MachinePeaks,
    Objective,
    Offer,
    Plan,
    SavingPart,
    StandIn,
    percentile_name,
)
from farthing.render.numbers import (
    count,
    milliseconds,
    moment,
    money,
    money_change,
    number,
    percent,
    points,
    points_limit,
)
from farthing.render.words import USUAL_CONFIDENCE, WORDS, offer_price, printable, term_name

__all__ = [
    "SummaryRow",
    "accuracy_change",
    "arrivals",
    "cheaper",
    "estimated",
    "headline",
    "how_loaded",
    "nearest_sentence",
    "now_and_then",
    "part_words",
    "peaks_sentence",
    "price_sentence",
    "promise",
    "replica_rates",
    "replicas",
    "shown_bound",
    "shown_level",
    "summary_rows",
    "whole_range",
]


_ROUNDED_ALIKE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRow:
    """One line of the table “now and planned”.

    Attributes:
        name: What is compared.
        now: Today's value.
        planned: The plan's value, empty when nothing is planned.
        note: What stands behind it.
    """

    name: str
    now: str
    planned: str
    note: str = ""


def promise(objective: Objective) -> str:
    """The objective in words: ``p99 ≤ 50 ms, accuracy drop ≤ 1 points at 95 % confidence, saving ≥ 30 %``."""
    said = []
    if objective.latency is not None:
        said.append(f"{objective.latency.name} ≤ {milliseconds(objective.latency.ms)}")
    allowed = f"{objective.max_drop_frac * 100:g}"
    unit = "point" if allowed == "1" else "points"
    said.append(f"{objective.metric} drop ≤ {allowed} {unit} at {percent(objective.confidence)} confidence")
    if objective.min_saving_frac is not None:
        said.append(f"saving ≥ {percent(objective.min_saving_frac)}")
    if objective.budget_usd_per_month is not None:
        said.append(f"cost ≤ {money(objective.budget_usd_per_month)} a month")
    if objective.min_replicas > 1:
        said.append(f"at least {objective.min_replicas} replicas")
    return ", ".join(said)


def accuracy_change(evidence: AccuracyEvidence, *, decimals: int = 1) -> str:
    """``−0.1 points (at worst −0.7, 95 % confidence)``: the change of the metric and its one-sided limit."""
    drop = evidence.drop_frac
    limit = points_limit(drop.hi, decimals=decimals)
    return f"{points(-drop.value, decimals=decimals)} (at worst {limit}, {percent(drop.confidence)} confidence)"


def now_and_then(evidence: AccuracyEvidence) -> tuple[str, str]:
    """The metric today and of a candidate: ``("99.4 %", "99.6 %")``.

    With a decimal more where their difference, rounded, is not the change that is said beside them.
    """
    both = (evidence.baseline_frac, evidence.candidate_frac)
    was, now = (round(100 * e.value, 1) for e in both)
    places = 1 if abs(now - was - round(-100 * evidence.drop_frac.value, 1)) < _ROUNDED_ALIKE else 2
    before, after = (percent(e, decimals=places, bounds=False) for e in both)
    return before, after


def shown_level(plan: Plan) -> float:
    """The latency level that a plan's figures have: the promised one, unless an older farthing measured another.

    Every figure and label of a plan asks for this level, so that none is read under another's name.
    """
    served = (e.at_peak for e in (plan.chosen, plan.baseline, *plan.evaluations) if e is not None)
    return next((x.percentile for x in served if x is not None), plan.objective.level)


def shown_bound(plan: Plan) -> float | None:
    """The promised ms where it is a promise at the level shown, else None."""
    bound = plan.objective.latency
    return bound.ms if bound is not None and bound.percentile == shown_level(plan) else None


def how_loaded(latency: Latency, evaluation: Evaluation) -> str:
    """What a replica was asked while a latency was measured: ``at 1,452/s``, ``one at a time``.

    Two latencies say nothing of each other without it; older plans know of a load and not of its rate.
    """
    if latency is not evaluation.at_peak:
        return "one at a time"
    rate = evaluation.at_peak_rps
    return "under load" if rate is None else f"at {_rps(rate)}/s"


def cheaper(saving: float | Estimate) -> str:
    """``94.1 % cheaper [93.2, 94.8]``, or ``3.0 % dearer [1.0, 5.0]`` for a loss."""
    loss = (saving.value if isinstance(saving, Estimate) else saving) < 0
    value = (saving.scaled(-1) if isinstance(saving, Estimate) else -saving) if loss else saving
    head, unit, ends = percent(value).partition(" %")
    return f"{head}{unit} {'dearer' if loss else 'cheaper'}{ends}"


def _latency_against(plan: Plan, chosen: Evaluation) -> str:
    seen = chosen.tail_at(shown_level(plan))
    if seen is None:
        return ""
    bound = shown_bound(plan)
    text = f"{seen.name} {milliseconds(seen.ms, bounds=False)}"
    if seen is not chosen.at_peak:
        text += " one at a time"
    if bound is None:
        return text
    return f"{text} {'≤' if seen.ms.value <= bound else '>'} {milliseconds(bound)}"


def _claim(plan: Plan, saving: Estimate) -> str:
    """``94.1 % cheaper [93.2, 94.8] than pytorch FP32, one request at a time``; at least that without traffic data."""
    now = plan.baseline.candidate
    how = "one request at a time" if now.max_batch == 1 else f"in batches of up to {now.max_batch}"
    least = "at least " if plan.utilisations and saving.value >= 0 else ""
    return f"{least}{cheaper(saving)} than {printable(now.engine)} {now.precision.upper()}, {how}"


def headline(plan: Plan) -> str:
    """The verdict in one line, without its sign: ``met: 94.1 % cheaper [93.2, 94.8] than … · accuracy …``."""
    word = WORDS[plan.verdict.outcome]
    if plan.verdict.outcome != "met" and plan.verdict.reasons:
        return f"{word}: {plan.verdict.reasons[0]}"
    said = [] if plan.saving_frac is None else [_claim(plan, plan.saving_frac)]
    if plan.chosen is not None:
        if plan.chosen.accuracy is not None:
            said.append(f"{plan.objective.metric} {accuracy_change(plan.chosen.accuracy)}")
        said.append(_latency_against(plan, plan.chosen))
    return f"{word}: {' · '.join(s for s in said if s)}"


def nearest_sentence(plan: Plan) -> str:
    """``openvino int8 b1 2×1, p99 7.2 ms [7.0, 7.5], 71 % cheaper``; empty when there is no nearest."""
    near = plan.nearest
    if near is None:
        return ""
    said = [printable(near.candidate.label)]
    tail = near.tail_at(shown_level(plan))
    if tail is not None:
        said.append(f"{tail.name} {milliseconds(tail.ms)} {how_loaded(tail, near)}")
    if near.accuracy is not None:
        said.append(f"{plan.objective.metric} {accuracy_change(near.accuracy)}")
    if near.cost_usd_per_month is not None:
        said.append(cheaper(1 - near.cost_usd_per_month.value / plan.baseline_usd_per_month.value))
    return ", ".join(said)


def arrivals(plan: Plan) -> str:
    """``day-night, 16.6 B requests a month``, or a range of them where the traffic is not known."""
    volume = count(plan.requests_per_month)
    if plan.utilisations:
        volume = f"{count(plan.utilisations[0].requests_per_month)} to {volume}"
    return f"{printable(plan.trace_name)}, {volume} requests a month"


def whole_range(replicas: tuple[int, ...]) -> str:
    """``4–11 by hour``, one number where all hours are alike; empty for none."""
    if not replicas:
        return ""
    low, high = min(replicas), max(replicas)
    return f"{low:,}" if low == high else f"{low:,}–{high:,} by hour"


def replicas(hourly: HourlyPlan) -> tuple[str, str]:
    """Replicas now and planned: ``("90–136 by hour", "4–11 by hour")``."""
    return whole_range(hourly.baseline_replicas), whole_range(hourly.planned_replicas)


def replica_rates(plan: Plan) -> str:
    """What one replica serves here, in the three ways that a plan knows; empty when nothing is planned.

    ``427 requests/s flat out · planned at 126, within p99 ≤ 30 ms and with headroom · 118 in its busiest hour``
    """
    chosen = plan.chosen
    if chosen is None or chosen.capacity_rps is None or chosen.sla_rps is None:
        return ""
    full, rate, bound = chosen.capacity_rps.value, chosen.sla_rps.value, plan.objective.latency
    within = "with headroom" if bound is None else f"within {bound.name} ≤ {milliseconds(bound.ms)} and with headroom"
    said = [f"{_rps(full)} requests/s flat out", f"planned at {_rps(rate)}, {within}"]
    pairs = zip(plan.hourly.peak_rps, plan.hourly.planned_replicas, strict=False)
    peak = max((rps / n for rps, n in pairs if n), default=None)
    if peak is not None:
        factor = 1.0 if plan.stand_in is None else plan.stand_in.capacity_factor
        said.append(f"{_rps(peak / factor)} in its busiest hour")
    return " · ".join(said)


def _rps(rate: float) -> str:
    return number(rate, 0 if rate >= 10 else 1)


def _parts(plan: Plan) -> str:
    return " · ".join(map(part_words, plan.parts))


def part_words(part: SavingPart) -> str:
    """``efficiency −$8,870``, ``purchase terms not priced``, ``saving −$9,390 to −$9,850, not split``."""
    name, saved = printable(part.name), part.usd_per_month
    if saved is None:
        return f"{name} not priced"
    if part.name == UNSPLIT:
        return f"{name} {money_change(saved.value)} to {money_change(saved.hi)}, not split"
    return f"{name} {money_change(saved.value)}"


def _planned_usd(plan: Plan) -> str:
    """The plan's cost a month; its range where the traffic is not known; empty when nothing is planned."""
    if plan.planned_usd_per_month is None:
        return ""
    rows = (*plan.utilisations[:1], *plan.utilisations[-1:])
    ends = [money(r.planned_usd_per_month, bounds=False) for r in rows if r.planned_usd_per_month]
    return estimated(plan.stand_in) + ("–".join(ends) or money(plan.planned_usd_per_month))


def estimated(stand_in: StandIn | None) -> str:
    """``≈`` before dollars of a machine that is not what it is priced as, else nothing."""
    return "" if stand_in is None or stand_in.alike else "≈ "


def _differ(evidence: AccuracyEvidence) -> str:
    answers = "answer differs" if evidence.n_differ == 1 else "answers differ"
    kind = "untouched" if evidence.split == "confirm" else "search"
    return f"{count(evidence.n)} {kind} samples, {count(evidence.n_differ)} {answers}"


def _committed(plan: Plan) -> str:
    hourly, at = plan.hourly, plan.utilisations[-1:]
    said = [f"at {percent(row.utilisation_frac)} utilisation" for row in at]
    if hourly.committed_replicas and hourly.committed_term is not None:
        said.append(f"{hourly.committed_replicas} of them {term_name(hourly.committed_term)}")
    return ", ".join(said)


def summary_rows(plan: Plan) -> tuple[SummaryRow, ...]:
    """Cost, replicas, accuracy and tail latency, now and planned."""
    now_replicas, planned_replicas = replicas(plan.hourly)
    planned_usd = _planned_usd(plan)
    rows = [
        SummaryRow(name="cost a month", now=money(plan.bill_usd_per_month), planned=planned_usd, note=_parts(plan)),
        SummaryRow(name="replicas", now=now_replicas, planned=planned_replicas, note=_committed(plan)),
    ]
    evidence = plan.chosen.accuracy if plan.chosen else None
    if evidence is not None:
        before, after = now_and_then(evidence)
        rows.append(SummaryRow(name=printable(evidence.metric), now=before, planned=after, note=_differ(evidence)))
    return (*rows, *_latency_row(plan))


def _latency_row(plan: Plan) -> tuple[SummaryRow, ...]:
    level, bound = shown_level(plan), plan.objective.latency
    now = plan.baseline.tail_at(level)
    if now is None:
        return ()
    then = plan.chosen.tail_at(level) if plan.chosen else None
    said = []
    if bound is not None:
        name = "" if shown_bound(plan) is not None else f"{bound.name} ≤ "
        said.append(f"promised {name}{milliseconds(bound.ms)}")
    if then is not None and then.ms.confidence != USUAL_CONFIDENCE:
        said.append(f"{100 * then.ms.confidence:g} % interval as planned")
    if then is not None and plan.baseline.at_peak is now:
        said.append("each replica at its own rate")
    return (
        SummaryRow(
            name=percentile_name(level),
            now=_loaded(now, plan.baseline),
            planned="" if then is None or plan.chosen is None else _loaded(then, plan.chosen),
            note=", ".join(said),
        ),
    )


def _loaded(latency: Latency, evaluation: Evaluation) -> str:
    """``31 ms [25, 40] at 1,452/s``."""
    return f"{milliseconds(latency.ms)} {how_loaded(latency, evaluation)}"


def price_sentence(offer: Offer) -> str:
    """``aws/m7i.large on demand in us-east-1: $0.1008/h (price of 2026-07-20)``."""
    return (
        f"{printable(offer.name)} {term_name(offer.term)} in {printable(offer.region)}: "
        f"{offer_price(offer)} (price of {moment(offer.dated)})"
    )


def peaks_sentence(peaks: MachinePeaks) -> str:
    """``FP32 104 GFLOP/s, BF16 822 GFLOP/s, INT8 1,590 GOP/s, memory 11.9 GB/s``."""
    known = (
        ("FP32", peaks.fp32_gflops, "GFLOP/s"),
        ("BF16", peaks.bf16_gflops, "GFLOP/s"),
        ("INT8", peaks.int8_gops, "GOP/s"),
        ("memory", peaks.memory_gb_per_s, "GB/s"),
        ("caches", peaks.cache_gb_per_s, "GB/s"),
    )
    return ", ".join(f"{name} {number(v, 0 if v >= 100 else 1)} {unit}" for name, v, unit in known if v is not None)
