"""A route's planned rate in the terminal."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from farthing.core.route.planned_rate import PlannedRate
from farthing.core.route.policies import label
from farthing.core.route.routes import Route, policy_of
from farthing.render.route.rate_words import rate_facts, rate_headline
from farthing.render.screen import console, grid, hint, say, spoken, verdict_line

__all__ = ["print_rate", "rate_block"]


def rate_block(route: Route, rate: PlannedRate, path: Path) -> RenderableType:
    """The verdict in one line, what it rests on, what was assumed, how it is served and checked.

    Args:
        route: Whose.
        rate: Any outcome.
        path: Of route.yaml.
    """
    policy = None if route.chosen is None else route.ladder[route.chosen].policy
    follow = f"always {route.reference}" if policy is None else label(policy_of(policy))
    facts, files = grid(), grid()
    for name, value in rate_facts(rate):
        facts.add_row(spoken(name, "dim"), spoken(value))
    quoted = shlex.quote(str(path))
    files.add_row(Text("route", style="dim"), spoken(str(path)))
    files.add_row(Text("serve it", style="dim"), spoken(f"farthing serve {quoted}"))
    if rate.rate_rps is not None:
        files.add_row(Text("check it", style="dim"), spoken(f"farthing verify {quoted}"))
    return Group(
        spoken(f"{route.name} · {rate.bound.name} ≤ {rate.bound.ms:g} ms · {follow}", "dim"),
        Text(""),
        verdict_line(rate.verdict.outcome, rate_headline(rate)),
        Text(""),
        facts,
        Text(""),
        *(spoken(f"  {text}", "dim") for text in rate.assumptions),
        Text(""),
        files,
    )


def print_rate(route: Route, rate: PlannedRate, path: Path) -> None:
    """The planned rate on stdout, what to do about it on stderr."""
    say(console(sys.stdout), rate_block(route, rate, path))
    if rate.verdict.hint:
        say(console(sys.stderr), hint(rate.verdict.hint))
