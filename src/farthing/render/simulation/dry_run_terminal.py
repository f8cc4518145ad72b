"""A dry run on one screen."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from farthing.core.simulation.replay.dry_run import DryRun
from farthing.core.simulation.replay.traps.trap import Trap
from farthing.render.numbers import number, percent
from farthing.render.screen import console, grid, labelled, listing, say, spoken
from farthing.render.simulation.dry_run_words import answer, beside, instant, movement, what, worth

__all__ = ["bars", "dry_run_block", "print_dry_run"]

_BLOCKS = " ▁▂▃▄▅▆▇█"
_COLUMNS, _ROWS = 72, 4
_CHANGES_SHOWN = 8


def print_dry_run(found: DryRun) -> None:
    """The dry run on stdout."""
    say(console(sys.stdout), dry_run_block(found))


def dry_run_block(found: DryRun) -> RenderableType:
    """What was replayed, the answer in one line, replicas over time, dollars, changes, traps, how it was read."""
    blocks: list[RenderableType] = [
        Text(what(found)),
        Text(""),
        Text(answer(found), style="bold"),
        Text(""),
        _chart(found),
        Text(""),
        _money(found),
        Text(""),
        labelled(movement(found)),
        Text(""),
    ]
    if found.replayed.changes:
        blocks += [_changes(found), Text("")]
    if found.traps:
        blocks += [_traps(found.traps), Text("")]
    return Group(*blocks, labelled(beside(found)))


def bars(values: Sequence[float], top: float, rows: int) -> list[str]:
    """Bars of blocks, the highest row first; what is above zero is never empty.

    Args:
        values: ≥ 0, one for each column.
        top: That fills a column, > 0.
        rows: ≥ 1.
    """
    eighths = [max(1 if value > 0 else 0, round(value / top * rows * 8)) for value in values]
    return ["".join(_BLOCKS[min(8, max(0, e - 8 * row))] for e in eighths) for row in reversed(range(rows))]


def _chart(found: DryRun) -> RenderableType:
    after = found.replayed.after
    parts = np.array_split(after, min(_COLUMNS, after.size))
    columns = [float(part.max()) for part in parts]
    top = max(1.0, float(after.max()))
    table = grid(gap=1)
    lines = bars(columns, top, _ROWS)
    for k, line in enumerate(lines):
        table.add_row(Text(f"{top:.0f}" if k == 0 else "", style="dim"), Text(line))
    ends = (instant(found, 0.0)[:-3], instant(found, found.recording.length_s)[:-3])
    table.add_row("", Text(ends[0] + ends[1].rjust(max(1, len(columns) - len(ends[0]))), style="dim"))
    return table


def _money(found: DryRun) -> RenderableType:
    table = listing(("", False), ("replica-hours", True), ("dollars", True), ("", True))
    a, scaler = found.accounts, found.autoscaler
    rows = [("as decided", a.decided), (f"always {scaler.spec.max_replicas}, the maximum", a.always_max)]
    rows.append((f"always {scaler.floor}, the minimum", a.always_min))
    if a.fewest is not None:
        rows.append(("fewest at each instant", a.fewest))
    for name, account in rows:
        ratio = account.replica_hours / a.decided.replica_hours if a.decided.replica_hours else 0.0
        share = "" if account is a.decided or not ratio else percent(ratio, decimals=0)
        table.add_row(name, number(account.replica_hours, 1), worth(account), share)
    return table


def _changes(found: DryRun) -> RenderableType:
    table = listing(("when (UTC)", False), ("replicas", False), ("by", False), ("why", False))
    for change in found.replayed.changes[:_CHANGES_SHOWN]:
        by = "KEDA" if change.by == "keda" else "controller"
        table.add_row(instant(found, change.at_s), f"{change.before} → {change.after}", by, spoken(change.reason))
    more = len(found.replayed.changes) - _CHANGES_SHOWN
    if more > 0:
        table.add_row("…", "", "", f"{more:,} more: --json has all")
    return table


def _traps(traps: Sequence[Trap]) -> RenderableType:
    table = grid(gap=1)
    for trap in traps:
        table.add_row(Text("!", style="bold yellow"), spoken(f"{trap.where}: {trap.said}" if trap.where else trap.said))
        table.add_row("", Text.assemble(("instead ", "dim"), spoken(trap.instead)))
    return table
