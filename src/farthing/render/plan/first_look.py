"""The first, wide answer of a run in a few lines: what it says, and that it proves nothing yet."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from farthing.core.plan.first_look import FirstLook
from farthing.render.numbers import clock_time, money, number, percent
from farthing.render.plan.sentences import accuracy_change, cheaper
from farthing.render.screen import spoken
from farthing.render.words import printable

__all__ = ["first_look_block", "first_look_sentence"]


def first_look_block(look: FirstLook) -> RenderableType:
    """The answer in one line, what stands behind it, and what it is not."""
    head = Text.assemble((f"first look  {clock_time(look.seconds)}  ", "bold"), printable(first_look_sentence(look)))
    lines: list[RenderableType] = [head]
    if look.candidate is not None:
        lines.append(spoken(f"  {' · '.join(_behind(look))}", "dim"))
    lines += [spoken(f"  {reason}", "dim") for reason in look.verdict.reasons]
    if look.left_out:
        lines.append(spoken(f"  not built yet, since that takes longer: {', '.join(look.left_out)}", "dim"))
    return Group(*lines)


def first_look_sentence(look: FirstLook) -> str:
    """``≈ 41 % cheaper [28, 52] with openvino int8-nncf b8 2×1``; or that nothing was found yet."""
    if look.candidate is None:
        builds = "1 build" if look.tried == 1 else f"{look.tried} builds"
        return f"no answer yet from {builds}" if look.tried else "no answer yet"
    if look.saving_frac is None:
        return f"{look.candidate.label}; the baseline has no rate to compare with"
    return f"≈ {cheaper(look.saving_frac)} with {look.candidate.label}"


def _behind(look: FirstLook) -> list[str]:
    said = []
    if look.planned_usd_per_month is not None and look.baseline_usd_per_month is not None:
        needs = money(look.baseline_usd_per_month, bounds=False)
        said.append(f"these arrivals need {needs} a month today → {money(look.planned_usd_per_month)}")
    if look.rate_rps is not None and look.baseline_rps is not None:
        bound = look.objective.latency
        most = "at most today" if bound is None else "at most today, whatever the latency"
        within = "" if bound is None else f" within {bound.name} ≤ {bound.ms:g} ms"
        places = 0 if look.baseline_rps >= 10 else 1
        now, then = (number(rate, places) for rate in (look.baseline_rps, look.rate_rps.value))
        said.append(f"a replica: {now} requests/s {most} → {then}{within} by the queue model")
    if look.accuracy is not None:
        change = accuracy_change(look.accuracy)
        said.append(f"{printable(look.accuracy.metric)} {change} on {look.accuracy.n:,} search samples")
    if look.contention is not None and look.contention.contended and not look.contention.busy:
        said.append(f"{percent(look.contention.contended / look.contention.of)} of the blocks contended")
    return said
