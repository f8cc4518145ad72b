"""The first, wide answer of a run in a few lines: what it says, and that it proves nothing yet."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from farthing.core.plan.first_look import FirstLook
from farthing.render.numbers import clock_time, money, number, percent
from farthing.render.plan.money_words import gap_words, over_range
from farthing.render.plan.sentences import accuracy_change, cheaper, now_and_then
from farthing.render.screen import labelled
from farthing.render.words import printable

__all__ = ["first_look_block", "first_look_sentence"]


def first_look_block(look: FirstLook) -> RenderableType:
    """The answer in one line, what stands behind it, and what it is not."""
    head = Text.assemble((f"first look  {clock_time(look.seconds)}  ", "bold"), printable(first_look_sentence(look)))
    lines = [(_what(look), _accuracy(look)), ("doubtful", look.doubt), ("needed", _needed(look))]
    lines += [("bill", text) for text in gap_words([look.gap] if look.gap else [], look.bill_usd_per_month)]
    lines += [("a replica", _rates(look)), ("busy", _contended(look))]
    lines += [("" if k else look.verdict.outcome, reason) for k, reason in enumerate(look.verdict.reasons)]
    lines += [("not built", ", ".join(look.left_out) and f"{', '.join(look.left_out)}: that takes longer")]
    return Group(head, labelled([(name, text) for name, text in lines if text]))


def first_look_sentence(look: FirstLook) -> str:
    """``≈ 41 % cheaper [28, 52] with openvino int8-nncf b8 2×1``; or that nothing was found yet."""
    if look.candidate is None:
        builds = "1 build" if look.tried == 1 else f"{look.tried} builds"
        return f"no answer yet from {builds}" if look.tried else "no answer yet"
    if look.saving_frac is None:
        return f"{look.candidate.label}; the baseline has no rate to compare with"
    least = "at least " if look.utilisations and look.saving_frac.value >= 0 else ""
    return f"≈ {least}{cheaper(look.saving_frac)} with {look.candidate.label}"


def _what(look: FirstLook) -> str:
    """What stands before the accuracy; names of other metrics may be long and stand within the line."""
    return "answers" if look.score is None else "accuracy" if look.objective.metric == "accuracy" else "metric"


def _accuracy(look: FirstLook) -> str:
    """``99.3 % [98.4, 99.8] today → 99.4 %, a change of +0.1 points (…), on 400 search samples``."""
    seen, metric = look.accuracy, look.objective.metric
    said = "" if seen is None else now_and_then(seen)[1]
    change = "" if seen is None else f", a change of {accuracy_change(seen)}, on {seen.n:,} search samples"
    if look.score is None:
        return f"{said} agree with today's{change}" if said else ""
    name = "" if metric == "accuracy" else f"{printable(metric)} "
    now = f"{name}{percent(look.score, decimals=1)} today"
    return f"{now} → {said}{change}" if said else f"{now}, on {look.score.n:,} search samples"


def _needed(look: FirstLook) -> str:
    """What the arrivals need, today and as planned; over all plausible utilisations where they are not known."""
    today, planned = look.baseline_usd_per_month, look.planned_usd_per_month
    if today is None:
        return ""
    if look.utilisations:
        return over_range(look.utilisations)
    then = "" if planned is None else f" → {money(planned)} as planned"
    return f"{money(today, bounds=False)} a month for these arrivals today{then}"


def _rates(look: FirstLook) -> str:
    if look.rate_rps is None or look.baseline_rps is None:
        return ""
    bound = look.objective.latency
    most = "at most today" if bound is None else "at most today, whatever the latency"
    within = "" if bound is None else f" within {bound.name} ≤ {bound.ms:g} ms"
    places = 0 if look.baseline_rps >= 10 else 1
    now, then = (number(rate, places) for rate in (look.baseline_rps, look.rate_rps.value))
    return f"{now} requests/s {most} → {then}{within} by the queue model"


def _contended(look: FirstLook) -> str:
    seen = look.contention
    if seen is None or not seen.contended or seen.busy:
        return ""
    return f"{percent(seen.contended / seen.of)} of the blocks contended"
