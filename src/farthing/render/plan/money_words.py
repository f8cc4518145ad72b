"""What stands beside a plan's dollars, in words: what was assumed, what they are held against, what is not in them."""

from __future__ import annotations

from collections.abc import Sequence

from farthing.core.money.saving import GAP_LIMIT_FRAC
from farthing.nouns import AtUtilisation, Baseline, Candidate, Plan, Precision, SavingPart, StandIn
from farthing.render.numbers import count, money, percent
from farthing.render.plan.fleet_words import fleet_sentence, held_sentence, idle_lines
from farthing.render.plan.sentences import cheaper
from farthing.render.words import printable

__all__ = [
    "beside",
    "gap_words",
    "needed",
    "not_priced",
    "over_range",
    "references",
    "stands_for",
    "utilisation_rows",
]

TO_SPLIT = (
    "requests a month (--per-month), a trace (--trace) or the utilisation (--utilisation): they tell right-sizing from "
    "efficiency"
)
"""What to bring where the traffic is not known."""
_HALF: tuple[Precision, ...] = ("bf16", "fp16")
_BF16_ISA = ("avx512_bf16", "amx_bf16", "bf16")


def references(plan: Plan) -> tuple[str, ...]:
    """The saving against the best engines at full and at half precision, a sentence each; empty without a choice.

    ``against the best FP32 engine instead of pytorch: 76 % cheaper [74, 78]``. Where there is none it says so.
    """
    if plan.chosen is None:
        return ()
    engine = printable(plan.baseline.candidate.engine)
    fp32 = plan.saving_versus_best_fp32_frac
    said = [] if fp32 is None else [f"against the best FP32 engine instead of {engine}: {cheaper(fp32)}"]
    return (*said, _half(plan, plan.chosen.candidate))


def _half(plan: Plan, chosen: Candidate) -> str:
    best, saving = plan.best_half, plan.saving_versus_best_half_frac
    if best is None:
        return f"against the best BF16 or FP16 engine: not known, {_why_no_half(plan)}"
    name = f"against the best {best.precision.upper()} engine, {printable(best.engine)}"
    if (best.build, best.precision) == (chosen.build, chosen.precision):
        return f"{name}: that is the plan itself"
    return f"{name}: not known, it has no stable rate" if saving is None else f"{name}: {cheaper(saving)}"


def _why_no_half(plan: Plan) -> str:
    seen = [e for e in plan.evaluations if e.candidate.precision in _HALF]
    if any(e.artefact is None or e.artefact.precision != "int8" for e in seen):
        return "none was measured beside the plan"
    if not set(_BF16_ISA) & set(plan.provenance.hardware.isa):
        return "this processor has no BF16 unit, so none was tried"
    return "none of the engines tried computes in it"


def stands_for(stand_in: StandIn | None, priced_as: str, *, every: bool = False) -> tuple[str, ...]:
    """Which offer this machine stands for, whether they are alike, and what follows; empty when no offer is named.

    Args:
        stand_in: None when it was not compared.
        priced_as: The offer's name.
        every: Say every difference; else only those that the two descriptions do not show.
    """
    if not priced_as:
        return ()
    offer = printable(priced_as)
    if stand_in is None:
        return (f"this machine stands for {offer}; they were not compared",)
    head = f"this machine ({printable(stand_in.machine)}) stands for {offer} ({printable(stand_in.offer)})"
    rule = [f"on {offer} {printable(stand_in.rule)}"] if stand_in.rule else []
    return (f"{head}: {_likeness(stand_in, every)}", *rule)


def _likeness(stand_in: StandIn, every: bool) -> str:
    unknown = f"nothing is known of {', '.join(stand_in.unknown)}" if stand_in.unknown else ""
    if stand_in.alike:
        return f"alike as far as known, {unknown}" if unknown else "alike"
    shown = [d for d in stand_in.differences if every or d.endswith((" only here", " only there"))]
    details = f" ({', '.join(map(printable, shown))})" if shown else ""
    return f"not alike{details}, dollars are estimates until measured there" + (f"; {unknown}" if unknown else "")


TESTED = "the promise was tested "
GUESSES = "the baseline is right on "
WIDENED = "their intervals are widened"
COVERED = "that of the saving is meant for repeats of this command on this machine; other machines are not claimed"


def beside(found: Plan | Baseline) -> list[tuple[str, str]]:
    """Lines that stand beside the dollars of a screen: what was assumed, the gap to the bill, what is not priced."""
    assumed = list(stands_for(found.stand_in, found.priced_as))
    assumed += [printable(a) for a in found.assumptions if a.startswith(("the arrivals ", "priced again "))]
    parts = _parts(found)
    lines = [("bill", text) for text in gap_words(parts, found.bill_usd_per_month)]
    if isinstance(found, Plan):
        lines += [("baseline", text) for text in [held_sentence(found)] if text]
        lines += [("fleet", fleet_sentence(found.fixed_fleet))] if found.fixed_fleet else []
        lines += idle_lines(found)
    lines += [("doubtful", printable(a)) for a in found.assumptions if a.startswith(GUESSES)]
    lines += [("assumed" if k == 0 else "", text) for k, text in enumerate(assumed)]
    if isinstance(found, Plan) and found.contention is not None and found.contention.contended:
        seen = found.contention
        lines.append(("busy", f"others used the cores in {seen.contended} of {seen.of} blocks and runs: {WIDENED}"))
    if isinstance(found, Plan) and found.chosen is not None:
        lines += [("tested", printable(a.removeprefix(TESTED))) for a in found.assumptions if a.startswith(TESTED)]
        lines.append(("intervals", COVERED))
    if found.utilisations:
        lines.append(("to split it", TO_SPLIT))
    excluded = not_priced(parts, found.excluded)
    return lines + ([("not priced", excluded)] if excluded else [])


def _parts(found: Plan | Baseline) -> tuple[SavingPart, ...]:
    """From the bill to the plan, or to what there would be without the promise."""
    if isinstance(found, Baseline):
        return (found.gap,)
    return found.parts or (found.without_promise.parts if found.without_promise else ())


def gap_words(parts: Sequence[SavingPart], bill_usd: float) -> list[str]:
    """What right-sizing says where the bill is far from what the baseline needs; empty where it is near or not known.

    Args:
        parts: From the bill to the plan.
        bill_usd: A month.
    """
    found = [p for p in parts if p.name == "right-sizing" and p.usd_per_month is not None]
    return [
        printable(p.note) for p in found if p.usd_per_month and abs(p.usd_per_month.value) > GAP_LIMIT_FRAC * bill_usd
    ]


def not_priced(parts: Sequence[SavingPart], excluded: Sequence[str]) -> str:
    """``reserved terms, data egress, load balancers``: what no dollar of the page holds."""
    terms = any(p.name == "purchase terms" and p.usd_per_month is None for p in parts)
    return ", ".join([*(["reserved terms"] if terms else []), *map(printable, excluded)])


def needed(rows: Sequence[AtUtilisation]) -> str:
    """``$2,010–$8,010 at 20 % to 80 % utilisation``: what the baseline needs where the traffic is not known."""
    first, last = rows[0], rows[-1]
    ends = [money(r.baseline_usd_per_month, bounds=False) for r in (first, last)]
    return f"{'–'.join(ends)}, at {percent(first.utilisation_frac)} to {percent(last.utilisation_frac)} utilisation"


def over_range(rows: Sequence[AtUtilisation]) -> str:
    """What the baseline needs and what is planned where the traffic is not known: both ends, and what the saving is.

    ``$2,010–$8,010 a month today → $650–$2,466 as planned, at 20 % to 80 % utilisation of what is paid for, …``
    """
    first, last = rows[0], rows[-1]
    today = "–".join(money(r.baseline_usd_per_month, bounds=False) for r in (first, last))
    ends = [money(r.planned_usd_per_month, bounds=False) for r in (first, last) if r.planned_usd_per_month]
    planned = f" → {'–'.join(ends)} as planned" if ends else ""
    least = "; the saving is the least over all of these" if ends else ""
    at = f"{percent(first.utilisation_frac)} to {percent(last.utilisation_frac)}"
    return (
        f"{today} a month today{planned}, at {at} utilisation of what is paid for, since requests a month were not "
        f"stated{least}"
    )


def utilisation_rows(plan: Plan) -> list[tuple[str, str, str, str, str]]:
    """Utilisation, requests a month, what the baseline needs, what the plan costs, the saving; a row each."""
    return [
        (
            percent(row.utilisation_frac),
            count(row.requests_per_month),
            money(row.baseline_usd_per_month),
            "" if row.planned_usd_per_month is None else money(row.planned_usd_per_month),
            "" if row.saving_frac is None else percent(row.saving_frac),
        )
        for row in plan.utilisations
    ]
