"""Routes in the terminal: the verdict in one line, the followed policy beside its controls, where the files are."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from farthing.core.route.attaching import MARK, Attached
from farthing.core.route.judging.reports import CalibrationReport, EvaluationReport
from farthing.core.route.policies import label
from farthing.core.route.routes import Route, Tier, policy_of
from farthing.load.route.command import calibrate_again, evaluate_again
from farthing.render.numbers import count
from farthing.render.route.rate_words import rate_facts, rate_line
from farthing.render.route.words import (
    asked,
    calibration_headline,
    coin_sentence,
    control_lines,
    cost_title,
    evaluation_headline,
    more_reasons,
    promise,
    share_sentence,
    summary_figures,
)
from farthing.render.screen import console, grid, hint, listing, say, spoken, verdict_line

__all__ = [
    "attached_block",
    "calibration_block",
    "evaluation_block",
    "print_attached",
    "print_calibration",
    "print_evaluation",
]


def calibration_block(report: CalibrationReport, folder: Path) -> RenderableType:
    """One screen: what was asked, the verdict, the followed policy beside its controls.

    Args:
        report: Any outcome.
        folder: Where route.yaml and route.html lie.
    """
    route = report.route
    lines: list[RenderableType] = [spoken(text, "dim") for text in asked(route, report.n_choose)]
    lines += [Text(""), verdict_line(route.verdict.outcome, calibration_headline(report))]
    lines += [spoken(f"  {reason}") for reason in more_reasons(route)]
    if route.chosen is None:
        lines.append(spoken(f"  follow     always {route.reference}"))
    else:
        lines.append(spoken(f"  follow     {label(policy_of(route.ladder[route.chosen].policy))}", "bold"))
        lines.append(spoken(f"             {share_sentence(route)}"))
        lines += [spoken(f"             {said}") for said in [coin_sentence(report)] if said]
        lines.append(
            spoken(f"             {len(route.ladder)} certified policies, any may be followed at any time", "dim")
        )
    lines.append(spoken(f"  rate       {rate_line(route)}"))
    lines += [Text(""), _table(report.judged)]
    notes = (*report.judged.notes, *(route.planned_rate.assumptions if route.planned_rate else ()))
    return Group(*lines, *_rate(route), *_figures(report.judged), *_notes(notes), Text(""), _files(report, folder))


def attached_block(done: Attached, folder: Path) -> RenderableType:
    """Where each tier is now, what is assumed, and how the route is served.

    Args:
        done: What attaching came to.
        folder: Where route.yaml lies.
    """
    route = done.route
    head = f"{route.name} · {promise(route)}"
    policy = None if route.chosen is None else route.ladder[route.chosen].policy
    follow = f"always {route.reference}" if policy is None else label(policy_of(policy))
    places = grid()
    for tier in route.tiers:
        places.add_row(spoken(tier.name), spoken(_place(tier, folder)), spoken(_model(tier), "dim"))
    lines: list[RenderableType] = [spoken(head, "dim"), spoken(f"  follow     {follow}", "bold"), Text(""), places]
    assumed = [text.removeprefix(MARK) for text in route.assumptions if text.startswith(MARK)]
    assumed += [f"left out, since a server cannot follow it: {text}" for text in done.left_out]
    files = grid()
    files.add_row(Text("route", style="dim"), spoken(str(folder / "route.yaml")))
    files.add_row(Text("serve it", style="dim"), spoken(_serve(done.route, folder / "route.yaml")))
    return Group(*lines, *_notes(assumed), Text(""), files)


def _serve(route: Route, path: Path) -> str:
    """The command that serves a route, with the keys that it may send."""
    keys = dict.fromkeys(tier.options["key_env"] for tier in route.tiers if tier.options.get("key_env"))
    return shlex.join(["farthing", "serve", str(path), *(word for key in keys for word in ("--key-env", key))])


def _place(tier: Tier, folder: Path) -> str:
    return os.path.normpath(folder / tier.source) if tier.kind == "model" else tier.source


def _model(tier: Tier) -> str:
    """What answers there."""
    if tier.kind == "model":
        return f"here, sha256 {tier.sha256[:12]}"
    key = tier.options.get("key_env")
    what = f"chat with {tier.model}" if tier.kind == "openai" else f"the model {tier.model}"
    return f"{what}, key in {key}" if key else what


def evaluation_block(report: EvaluationReport, files: Sequence[Path]) -> RenderableType:
    """The judged policies beside their controls.

    Args:
        report: What was judged.
        files: What was written.
    """
    e = report.evaluation
    head = f"{report.name} · {count(e.n)} requests that nothing was chosen on · {len(e.points)} policies"
    lines: list[RenderableType] = [spoken(head, "dim"), Text(""), spoken(evaluation_headline(report), "bold")]
    if report.followed:
        lines.append(spoken(f"  followed   {report.followed}"))
    lines += [Text(""), _table(report)]
    where = grid()
    for path in files:
        where.add_row(Text(path.suffix.removeprefix("."), style="dim"), spoken(str(path)))
    return Group(*lines, *_figures(report), *_notes(report.notes), Text(""), where)


def _table(report: EvaluationReport) -> Table:
    word = "quality" if report.quality == "given" else report.quality
    table = listing(
        ("  ", False),
        (cost_title(report.currency), True),
        (word, True),
        (f"points against {report.reference}", True),
        ("beyond the split", True),
        ("beyond random", True),
    )
    for line in control_lines(report):
        style = "bold" if line.strong else ""
        figures = (line.cost, line.quality, line.change, line.over_split, line.over_random)
        table.add_row(spoken(f"  {line.name}", style), *(spoken(figure.joined, style) for figure in figures))
    return table


def _rate(route: Route) -> list[RenderableType]:
    if route.planned_rate is None:
        return []
    table = grid()
    for name, value in rate_facts(route.planned_rate):
        table.add_row(spoken(name, "dim"), spoken(value))
    return [Text(""), table]


def _figures(report: EvaluationReport) -> list[RenderableType]:
    table = grid()
    for name, value in summary_figures(report.evaluation):
        table.add_row(spoken(name, "dim"), spoken(value))
    return [Text(""), table]


def _notes(notes: Sequence[str]) -> list[RenderableType]:
    return [Text(""), *(spoken(f"  {note}", "dim") for note in notes)] if notes else []


def _files(report: CalibrationReport, folder: Path) -> Table:
    table = grid()
    table.add_row(Text("route", style="dim"), spoken(str(folder / "route.yaml")))
    table.add_row(Text("report", style="dim"), spoken(str(folder / "route.html")))
    route, path = report.route, folder / "route.yaml"
    if route.quality != "given":
        table.add_row(Text("serve it", style="dim"), spoken(_serve(route, path)))
        table.add_row(Text("judge it", style="dim"), spoken(evaluate_again(route, path)))
    if route.planned_rate is not None and route.planned_rate.rate_rps is not None:
        table.add_row(Text("check it", style="dim"), spoken(f"farthing verify {shlex.quote(str(path))}"))
    if route.verdict.outcome != "met":
        again = calibrate_again(route, folder, out=str(folder))
        table.add_row(Text("again", style="dim"), spoken(f"with more or other requests: {again}"))
    return table


def print_attached(done: Attached, folder: Path) -> None:
    """What attaching came to on stdout."""
    say(console(sys.stdout), attached_block(done, folder))


def print_calibration(report: CalibrationReport, folder: Path) -> None:
    """The calibration on stdout, what to do about it on stderr."""
    say(console(sys.stdout), calibration_block(report, folder))
    rate = report.route.planned_rate
    for said in (report.route.verdict.hint, rate.verdict.hint if rate else ""):
        if said:
            say(console(sys.stderr), hint(said))


def print_evaluation(report: EvaluationReport, files: Sequence[Path]) -> None:
    """The evaluation on stdout."""
    say(console(sys.stdout), evaluation_block(report, files))
