"""What a route decided about one row of a request.

Everything here happens on the one loop thread. A request of several rows is decided row by row, so that each row is
treated as the calibration treated it; there is one :class:`Decision` a row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

__all__ = ["Decision", "Escalation", "Reason", "Routed"]

Reason = Literal["score", "invalid", "timeout", "down", "full", "failed"]
"""Why a tier that was asked did not answer: its score was below the threshold (``score``); its answer or score was
missing or no finite number (``invalid``); it took longer than its ``timeout_s`` (``timeout``); it is not loaded, not
reachable or not ready (``down``); it refused for want of room or time (``full``); its model failed on the row
(``failed``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """One tier that was asked and did not answer.

    Attributes:
        tier: Its name.
        reason: Why not.
    """

    tier: str
    reason: Reason


@dataclass(slots=True, kw_only=True, eq=False)
class Decision:
    """How one row was answered; never changed once it is made (freezing it would cost a microsecond).

    Attributes:
        row: Its place in the request, from 0.
        rung: Index in the route's ladder that was followed; None for the safe policy (always the reference).
        steered: The rung was chosen by load and replicas and is not the route's ``chosen`` one.
        tier: Who answered.
        called: Tiers that were asked, in order, those included whose answers only a score needed.
        passed_on: Tiers that were asked to answer and did not, in order.
        score: Name of the score that was looked at last, empty when none was.
        value: That score, NaN when none or not computable.
        margin: ``value`` less its threshold; ≥ 0 where ``tier`` answered by it, NaN when no score was looked at.
        seen: All scores that were looked at, in order, each with its value.
        cost_usd: On the usage basis, of all calls and scores; NaN when a tier that was called has no price.
        marginal_usd: What sending one more request to ``tier`` costs now, NaN when unknown.
        audit: The reference is asked as well, afterwards and for comparison only; its cost is not in ``cost_usd``.
        audit_frac: Probability with which it was to be, before that was drawn.
    """

    row: int = 0
    rung: int | None
    steered: bool = False
    tier: str
    called: tuple[str, ...]
    passed_on: tuple[Escalation, ...] = ()
    score: str = ""
    value: float = float("nan")
    margin: float = float("nan")
    seen: tuple[tuple[str, float], ...] = ()
    cost_usd: float = float("nan")
    marginal_usd: float = float("nan")
    audit: bool = False
    audit_frac: float = 0.0

    @property
    def escalated_because(self) -> Reason | None:
        """Why the last of the tiers that did not answer did not; None when the first one asked answered."""
        return self.passed_on[-1].reason if self.passed_on else None


@dataclass(slots=True, kw_only=True, eq=False)
class Routed:
    """How all rows of one request were answered, never changed; part of its :class:`~farthing.wire.requests.Answer`.

    Attributes:
        decisions: One a row, in their order.
        busy_core_s: Core-seconds of this machine's workers that all its calls kept busy.
        charged_usd: What other end points charge for its calls.
        is_audit: It is the reference's answer for comparison only; no client waits for it.
    """

    decisions: tuple[Decision, ...]
    busy_core_s: float
    charged_usd: float
    is_audit: bool = False

    @property
    def usage_usd(self) -> float:
        """What all its calls and scores cost on the usage basis, NaN when that of one is unknown."""
        return math.fsum(decision.cost_usd for decision in self.decisions)
