"""How a route's decisions are told to clients: header lines of HTTP, parameters of the Open Inference Protocol.

A request of several rows has one value a row, in their order, parted by commas; ``-`` where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farthing.wire.decisions import Decision, Routed

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
    if len(decisions) == 1:
        return _of_one(decisions[0], with_cost)
    rows = [_of_one(decision, with_cost) for decision in decisions]
    said = {name for row in rows for name in row}
    found = {name: ", ".join([row.get(name, "-") for row in rows]) for name, _ in _PAIRS if name in said}
    found["route_rung"] = rows[0]["route_rung"]
    return found


def _of_one(decision: Decision, with_cost: bool) -> dict[str, str]:
    """Parameters of one row."""
    found = {"route_tier": decision.tier, "route_rung": "reference" if decision.rung is None else str(decision.rung)}
    if decision.score:
        found["route_score"] = f"{decision.score}={decision.value:.6g}"
    if decision.passed_on:
        found["route_passed_on"] = " ".join([f"{one.tier}={one.reason}" for one in decision.passed_on])
    if with_cost and decision.marginal_usd == decision.marginal_usd:  # not NaN
        found[MARGINAL_PARAMETER] = f"{decision.marginal_usd:.6g}"
    return found


def header_lines(said: Mapping[str, str]) -> bytes:
    """Header lines of an answer with such parameters, each with its end."""
    lines = ""
    for name, header in _PAIRS:
        text = said.get(name)
        if text is not None:
            lines += f"{header}: {text if text.isascii() and text.isprintable() else _safe(text)}\r\n"
    return lines.encode("ascii")


def _safe(text: str) -> str:
    """A header's value: printable ASCII."""
    return "".join(c if " " <= c <= "~" else "_" for c in text)
