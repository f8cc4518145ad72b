"""How a route's decisions are told to clients: header lines of HTTP, parameters of the Open Inference Protocol.

A request of several rows has one value a row, in their order, parted by commas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farthing.serve.routing.decisions import Decision, Routed

__all__ = ["HEADERS", "MARGINAL_HEADER", "MARGINAL_PARAMETER", "PARAMETERS", "header_lines", "parameters_of"]

HEADERS: Mapping[str, str] = {
    "Farthing-Route-Tier": "Tier that answered.",
    "Farthing-Route-Rung": "Index of the certified policy that was followed; reference where only that one answers.",
    "Farthing-Route-Score": "Score that was looked at last, as name=value.",
    "Farthing-Route-Passed-On": "Tiers that were asked before and why they did not answer, as tier=reason.",
}
"""What each header says; the last two are left out where there is nothing to say."""
MARGINAL_HEADER = "Farthing-Marginal-Cost"
"""What sending one more request to that tier costs now, in USD; only where costs are told to clients."""
PARAMETERS = ("route_tier", "route_rung", "route_score", "route_passed_on")
"""The same in the protocol's answer, in the order of :data:`HEADERS`."""
MARGINAL_PARAMETER = "marginal_cost_usd"
_PAIRS = tuple(zip((*PARAMETERS, MARGINAL_PARAMETER), (*HEADERS, MARGINAL_HEADER), strict=True))


def parameters_of(routed: Routed, *, with_cost: bool = False) -> dict[str, str]:
    """Parameters of an answer; texts, so that every client can read them.

    Args:
        routed: How it was answered.
        with_cost: Whether clients are told what things cost.
    """
    decisions = routed.decisions
    found = {"route_tier": _each([d.tier for d in decisions]), "route_rung": _rung(decisions[0])}
    if any(d.score for d in decisions):
        found["route_score"] = _each([_score(d) for d in decisions])
    if any(d.passed_on for d in decisions):
        found["route_passed_on"] = _each([_passed_on(d) for d in decisions])
    if with_cost and not any(math.isnan(d.marginal_usd) for d in decisions):
        found[MARGINAL_PARAMETER] = _each([f"{d.marginal_usd:.6g}" for d in decisions])
    return found


def header_lines(said: Mapping[str, str]) -> bytes:
    """Header lines of an answer with such parameters, each with its end."""
    return "".join([f"{header}: {_safe(said[name])}\r\n" for name, header in _PAIRS if name in said]).encode("ascii")


def _each(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else ", ".join(values)


def _rung(decision: Decision) -> str:
    return "reference" if decision.rung is None else str(decision.rung)


def _score(decision: Decision) -> str:
    return f"{decision.score}={decision.value:.6g}" if decision.score else "-"


def _passed_on(decision: Decision) -> str:
    return " ".join([f"{one.tier}={one.reason}" for one in decision.passed_on]) or "-"


def _safe(text: str) -> str:
    """A header's value: printable ASCII."""
    return text if text.isascii() and text.isprintable() else "".join(c if " " <= c <= "~" else "_" for c in text)
