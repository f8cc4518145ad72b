"""Asks the reference about answers that smaller tiers gave, behind all clients' requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from farthing.serve.requests import Answer, Problem, Request
from farthing.serve.routing.calls import Called
from farthing.serve.routing.decisions import Auditor, Decision, Reason, Routed
from farthing.serve.routing.flights import Audit
from farthing.serve.routing.tiers import LiveTier

__all__ = ["Audits"]

LOWEST = 9
"""Priority of the copies: behind every client's (see ``serve/workers/lanes.py``)."""
MOST_OPEN = 64
"""Copies at the same time; further ones are left out, and counted by who watches."""


class Audits:
    """Copies of requests on their way to the reference.

    Args:
        reference: The tier asked.
        auditor: Told what came of it.
        now_s: Monotonic time.
        on_answer: Told of each copy's answer as of a request of its own.
    """

    def __init__(
        self,
        reference: LiveTier,
        auditor: Auditor,
        now_s: Callable[[], float],
        on_answer: Callable[[Request, Answer], object],
    ) -> None:
        self.open = 0
        self.auditor, self.on_answer = auditor, on_answer
        self._reference, self._now_s = reference, now_s

    def begin(self, audit: Audit, request: Request, answer: Answer) -> None:
        """Have one row compared.

        Args:
            audit: Which.
            request: The client's.
            answer: What it was sent.
        """
        row = audit.decision.row
        given = Answer(
            outputs=[output[row : row + 1] for output in answer.outputs],
            queue_s=answer.queue_s,
            service_s=answer.service_s,
            batch_rows=answer.batch_rows,
        )
        if audit.reference is not None:
            self.auditor.audited(audit.decision, given, audit.reference, 0.0)
        elif self.open >= MOST_OPEN:
            self.auditor.not_audited(audit.decision, f"{self.open} audits are open already")
        else:
            self.open += 1
            now_s = self._now_s()
            copy = replace(
                request,
                priority=LOWEST,
                arrived_s=now_s,
                deadline_s=now_s + self._reference.spec.timeout_s,
                deaths=0,
                solo_deaths=0,
            )
            self._reference.ask(_Copy(self, copy, audit.decision, given))


class _Copy:
    """One row that the reference is asked about; an :class:`~farthing.serve.routing.calls.Asker`."""

    __slots__ = ("_audits", "_decision", "_given", "request", "rows")

    def __init__(self, audits: Audits, request: Request, decision: Decision, given: Answer) -> None:
        self._audits, self._decision, self._given = audits, decision, given
        self.request = request
        self.rows: tuple[int, ...] | None = (decision.row,)

    def got(self, tier: str, called: Called) -> None:
        """The reference has answered."""
        audits, decision, answer = self._audits, self._decision, called.answer
        audits.open -= 1
        reference = Answer(
            outputs=called.outputs,
            queue_s=answer.queue_s,
            service_s=answer.service_s,
            batch_rows=answer.batch_rows,
            route=Routed(
                decisions=(Decision(rung=None, tier=tier, called=(tier,), cost_usd=called.usd, audit=True),),
                busy_core_s=called.busy_core_s,
                charged_usd=called.charged_usd,
                is_audit=True,
            ),
        )
        audits.auditor.audited(decision, self._given, reference, called.usd)
        audits.on_answer(replace(self.request, rows=1, size_bytes=0), reference)

    def missed(self, tier: str, reason: Reason, problem: Problem) -> None:
        """It has not."""
        self._audits.open -= 1
        self._audits.auditor.not_audited(self._decision, f"{reason}: {problem.message}")

    def wrong(self, problem: Problem) -> None:
        """It takes no such request."""
        self._audits.open -= 1
        self._audits.auditor.not_audited(self._decision, problem.message)
