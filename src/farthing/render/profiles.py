"""The page of ``farthing profile`` in a terminal: scenarios, operators, peaks and the bottleneck."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from farthing.nouns import Estimate, Measurement, OperatorTime, Profile
from farthing.render.numbers import count, duration, milliseconds, money, number, percent
from farthing.render.sentences import peaks_sentence, printable
from farthing.render.terminal import grid, spoken

__all__ = ["profile_page"]


def profile_page(profile: Profile, measurements: Sequence[Measurement] = (), *, operators: int = 15) -> RenderableType:
    """What one candidate does and where its time goes.

    Args:
        profile: Per-operator times, peaks and bottleneck.
        measurements: Of the same candidate, one a scenario.
        operators: How many of the longest operators are listed.
    """
    lines: list[RenderableType] = [spoken(profile.candidate.label, "bold")]
    if measurements:
        lines += [Text(""), _scenarios(measurements)]
    lines += [Text(""), _operators(profile, operators), Text(""), _bottom(profile)]
    lines += [spoken(f"  {remark}") for remark in profile.remarks]
    return Group(*lines)


def _metric(name: str, value: Estimate) -> str:
    """``p99 31.4 ms [29.8, 33.0]`` from ``latency_p99_ms``; units as the name's ending says."""
    for ending, write in (
        ("_ms", milliseconds),
        ("_rps", lambda v: f"{number(v.value, 0 if v.value >= 100 else 1)}/s"),
        ("_mib", lambda v: f"{number(v.value, 0)} MiB"),
        ("_frac", percent),
        ("_s", lambda v: duration(v.value)),
        ("_usd", money),
    ):
        if name.endswith(ending):
            return f"{name.removesuffix(ending).removeprefix('latency_').replace('_', ' ')} {write(value)}"
    return f"{name.replace('_', ' ')} {count(value.value)}"


def _scenarios(measurements: Sequence[Measurement]) -> Table:
    table = grid()
    for m in measurements:
        figures = " · ".join(_metric(printable(name), value) for name, value in m.metrics.items())
        busy = " · machine was busy, intervals are wide" if m.contended else ""
        table.add_row(
            Text(m.scenario),
            Text(f"b{m.batch}", style="dim"),
            Text(f"n {count(m.n)}", style="dim"),
            Text(figures + busy),
        )
    return table


def _operators(profile: Profile, most: int) -> RenderableType:
    table = Table(box=None, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    heads = (
        ("  operator", 0),
        ("type", 0),
        ("in", 0),
        ("time", 1),
        ("share", 1),
        ("FLOPs", 1),
        ("bytes", 1),
        ("roofline", 1),
    )
    for title, right in heads:
        table.add_column(title, justify="right" if right else "left", no_wrap=bool(right), overflow="fold")
    shown = profile.operators[:most]
    for o in shown:
        table.add_row(*(Text(cell) for cell in _row(o)))
    rest = profile.operators[most:]
    if not rest:
        return table
    left = f"  and {len(rest)} more, {percent(sum(o.share_frac for o in rest))} of operator time"
    return Group(table, Text(left, style="dim"))


def _row(o: OperatorTime) -> tuple[str, ...]:
    name = printable(o.name)
    if len(name) > 52:
        name = f"…{name[-51:]}"
    return (
        f"  {name}{'' if o.mapped else ' (engine’s own)'}",
        printable(o.kind),
        printable(o.precision),
        milliseconds(o.time_ms),
        percent(o.share_frac, decimals=1),
        "" if o.flops is None else count(o.flops),
        "" if o.bytes_moved is None else count(o.bytes_moved),
        "" if o.roofline_frac is None else percent(o.roofline_frac, decimals=0),
    )


def _bottom(profile: Profile) -> Table:
    table = grid()
    before = f"{milliseconds(profile.pipeline_ms)} of it before the engine"
    facts = (
        ("one batch", f"of {profile.batch}: {milliseconds(profile.wall_ms)}, {before}"),
        ("mapped", f"{percent(profile.mapped_frac)} of operator time to nodes of the model"),
        ("peaks", f"{peaks_sentence(profile.peaks)}, one thread"),
        ("bottleneck", f"{profile.bottleneck}: {printable(profile.why)}"),
    )
    for name, text in facts:
        table.add_row(Text(name, style="dim"), Text(text, style="bold" if name == "bottleneck" else ""))
    return table
