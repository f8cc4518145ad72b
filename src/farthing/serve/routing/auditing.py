"""Asks the reference about answers that smaller tiers gave, behind all clients' requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from farthing.serve.routing.calls import TierAnswer
from farthing.serve.routing.cascades import Audit
from farthing.serve.routing.observers import Auditor
from farthing.serve.routing.tiers import LiveTier
from farthing.wire.decisions import Decision, Reason, Routed
from farthing.wire.requests import Answer, Problem, Request

__all__ = ["Audits"]

LOWEST = 9
"""Priority of the copies: behind every client's (see ``workers/lanes.py``)."""
AT_ONCE = 4
"""Copies that the reference has at a time: its queue tells clients how long they would wait, and copies count there."""
MOST_OPEN = 256
"""Copies that are sent or wait to be; further ones are left out, and counted by who watches."""


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
        self._line: deque[tuple[Request, Decision, Answer]] = deque()
        self._sent, self._sending = 0, False

    def begin(self, audit: Audit, request: Request, answer: Answer) -> None:
        """Have one row compared.

        Args:
            audit: Which.
            request: The client's.
            answer: What it was sent.
        """
        row = audit.decision.row
        given = replace(answer, outputs=[output[row : row + 1] for output in answer.outputs], route=None)
        if audit.reference is not None:
            self.auditor.audited(audit.decision, given, audit.reference, 0.0)
        elif self.open >= MOST_OPEN:
            self.auditor.not_audited(audit.decision, f"{self.open} audits are open already")
        else:
            self.open += 1
            self._line.append((request, audit.decision, given))
            self.send()

    def done(self) -> None:
        """One that was sent has come to its end; :meth:`send` follows."""
        self.open -= 1
        self._sent -= 1

    def send(self) -> None:
        """Send the next ones."""
        if self._sending:  # a reference that answers at once calls back from here
            return
        self._sending = True
        while self._line and self._sent < AT_ONCE:
            request, decision, given = self._line.popleft()
            self._sent += 1
            now_s = self._now_s()
            copy = replace(
                request,
                priority=LOWEST,
                arrived_s=now_s,
                deadline_s=now_s + self._reference.spec.timeout_s,
                deaths=0,
                solo_deaths=0,
            )
            self._reference.ask(_Copy(self, copy, decision, given))
        self._sending = False


class _Copy:
    """One row that the reference is asked about; an :class:`~farthing.serve.routing.calls.TierCaller`."""

    __slots__ = ("_audits", "_decision", "_given", "request", "rows")

    def __init__(self, audits: Audits, request: Request, decision: Decision, given: Answer) -> None:
        self._audits, self._decision, self._given = audits, decision, given
        self.request = request
        self.rows: tuple[int, ...] | None = (decision.row,)

    def got(self, tier: str, called: TierAnswer) -> None:
        """The reference has answered."""
        audits, decision, answer = self._audits, self._decision, called.answer
        audits.done()
        reference = replace(
            answer,
            outputs=called.outputs,
            route=Routed(
                decisions=(Decision(rung=None, tier=tier, called=(tier,), cost_usd=called.usd, audit=True),),
                busy_core_s=called.busy_core_s,
                charged_usd=called.charged_usd,
                is_audit=True,
            ),
        )
        audits.auditor.audited(decision, self._given, reference, called.usd)
        audits.on_answer(replace(self.request, rows=1, size_bytes=0), reference)
        audits.send()

    def spent(self, usd: float, charged_usd: float) -> None:
        """An answer that cannot be used; the tier's own sums have it."""

    def missed(self, tier: str, reason: Reason, problem: Problem) -> None:
        """It has not."""
        self._missing(f"{reason}: {problem.message}")

    def wrong(self, problem: Problem) -> None:
        """It takes no such request."""
        self._missing(problem.message)

    def _missing(self, why: str) -> None:
        self._audits.done()
        self._audits.auditor.not_audited(self._decision, why)
        self._audits.send()
