"""Who is told of what a route decided, and who decides which answers are compared with the reference's."""

from __future__ import annotations

from typing import Protocol

from farthing.wire.decisions import Decision
from farthing.wire.requests import Answer, Request

__all__ = ["Auditor", "Nobody", "RouteObserver"]


class RouteObserver(Protocol):
    """Told of every row that was answered through a route; must be cheap and must not raise."""

    def routed(self, decision: Decision, request: Request, answer: Answer) -> None:
        """One row was answered.

        Args:
            decision: How; ``decision.row`` is the row's place in ``request`` and ``answer``.
            request: As the client sent it to the route's name.
            answer: All its rows as the client is sent them.
        """
        ...


class Auditor(Protocol):
    """Decides which answers are compared with the reference's; cheap, must not raise."""

    audit_frac: float
    """Probability with which the next answer is compared; it depends on what is past alone, never on the request or
    its score."""

    def wants_audit(self) -> bool:
        """Whether the answer that was just given is to be compared: drawn with ``audit_frac``, once a row that the
        reference did not answer.
        """
        ...

    def audited(self, decision: Decision, answer: Answer, reference: Answer, cost_usd: float) -> None:
        """The reference has answered too.

        Args:
            decision: Of the row.
            answer: What the client was sent, cut to this row.
            reference: What the reference says, of this row.
            cost_usd: Of asking the reference on the usage basis, NaN when it has no price.
        """
        ...

    def not_audited(self, decision: Decision, why: str) -> None:
        """The reference could not be asked, or did not answer; the row is missing from the comparison."""
        ...


class Nobody:
    """Observer and auditor of a route that is not watched: no audits."""

    audit_frac = 0.0

    def routed(self, decision: Decision, request: Request, answer: Answer) -> None:
        """Nothing."""

    def wants_audit(self) -> bool:
        """Never."""
        return False

    def audited(self, decision: Decision, answer: Answer, reference: Answer, cost_usd: float) -> None:
        """Nothing."""

    def not_audited(self, decision: Decision, why: str) -> None:
        """Nothing."""
