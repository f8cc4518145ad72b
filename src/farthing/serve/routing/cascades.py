"""Some rows of one request on their way: ask tiers, gather their answers, go on.

A request of one row is one cascade from beginning to end (``one_row.py``). One of several rows begins as one cascade
that parts where its rows go different ways, and is answered when all have arrived (``many_rows.py``).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from farthing.core.route.following import Gate, ReadyPolicy
from farthing.serve.routing.calls import TierAnswer
from farthing.serve.routing.tiers import LiveTier
from farthing.wire.decisions import Decision, Escalation, Reason
from farthing.wire.requests import Answer, Problem, Request

__all__ = ["NAN", "Audit", "Cascade", "CascadeRouter", "RoutedRequest"]

NAN = math.nan


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Audit:
    """One row that the reference is to be asked about.

    Attributes:
        decision: Of the row.
        reference: Its answer where it was called anyway, for a score; None else.
    """

    decision: Decision
    reference: Answer | None


class RoutedRequest(Protocol):
    """One request from its beginning to its answer."""

    request: Request
    """The client's."""

    def fail(self, problem: Problem) -> None:
        """No answer: the first reason ends the whole request."""
        ...


class CascadeRouter(Protocol):
    """What cascades know of their router."""

    reference: str
    """The tier that losses are counted against."""
    tiers: dict[str, LiveTier]
    """By name."""
    dtypes: tuple[np.dtype[Any], ...]
    """Of the outputs."""

    def now_s(self) -> float:
        """Monotonic time."""
        ...

    def priced(self, tier: str) -> tuple[float, float, bool]:
        """What surrounds the answer of a tier now.

        Returns:
            What one more request sent there costs, NaN when unknown; the probability with which an answer is
            compared with the reference's; whether this one is, drawn anew by each call.
        """
        ...

    def passed_on(self, tier: str, reason: Reason, rows: int) -> None:
        """Rows go on since a tier did not answer them."""
        ...

    def landed(self, routed: RoutedRequest, outcome: Answer | Problem, audits: Sequence[Audit]) -> None:
        """A request has come to its end."""
        ...


class Cascade(ABC):
    """Rows that have gone the same way so far; an :class:`~farthing.serve.routing.calls.TierCaller`.

    Args:
        router: The router.
        request: The client's.
        policy: Followed to the end, whatever is steered meanwhile.
        steered: The policy was chosen by load.
        rows: Which of the request's, None for all.

    Attributes:
        count: How many rows.
        queue_s: What their calls waited, summed.
        service_s: What they took, summed.
    """

    __slots__ = (
        "_answers",
        "_awaited",
        "_called",
        "_choosing",
        "_failed",
        "_passed_on",
        "_stage",
        "_usd_per_row",
        "count",
        "policy",
        "queue_s",
        "request",
        "router",
        "rows",
        "service_s",
        "steered",
    )

    def __init__(
        self, router: CascadeRouter, request: Request, policy: ReadyPolicy, steered: bool, rows: tuple[int, ...] | None
    ) -> None:
        self.router, self.request, self.policy, self.steered, self.rows = router, request, policy, steered, rows
        self.count = request.rows if rows is None else len(rows)
        self._stage = self._awaited = 0
        self._choosing = policy.chooses
        self._answers: dict[str, TierAnswer] = {}
        self._failed: dict[str, tuple[Reason, Problem]] | None = None
        self._called: tuple[str, ...] = ()
        self._passed_on: tuple[Escalation, ...] = ()
        self._usd_per_row = self.queue_s = self.service_s = 0.0

    # — as a TierCaller ——————————————————————————————————————————————————————————————————————————————————————

    def got(self, tier: str, called: TierAnswer) -> None:
        """A tier has answered."""
        self._answers[tier] = called
        self._paid(called.busy_core_s, called.charged_usd)
        self._usd_per_row += called.usd / self.count
        self.queue_s += called.answer.queue_s
        self.service_s += called.answer.service_s
        self._awaited -= 1
        if self._awaited:
            return
        if self._choosing:
            self._go_on()
        else:
            self._judge()

    def spent(self, usd: float, charged_usd: float) -> None:
        """A call gave nothing and is paid for."""
        self._paid(0.0, charged_usd)
        self._usd_per_row += usd / self.count

    def missed(self, tier: str, reason: Reason, problem: Problem) -> None:
        """A tier has not."""
        if self._failed is None:
            self._failed = {}
        self._failed[tier] = reason, problem
        self._awaited -= 1
        if not self._awaited:
            self._go_on()

    def wrong(self, problem: Problem) -> None:
        """Nobody can answer it."""
        self._give_up(problem)

    # — tier by tier ————————————————————————————————————————————————————————————————————————————————————

    def begin(self) -> None:
        """Ask those whose answers choose a tier, or the first tier."""
        self._want(self.policy.gates[0].needs if self._choosing else self.policy.wants[0])

    def _want(self, tiers: tuple[str, ...]) -> None:
        """Have the answers of some tiers, those that are not there yet asked for, then go on."""
        if self._called:
            failed = self._failed or ()
            tiers = tuple([name for name in tiers if name not in self._answers and name not in failed])
        if not tiers:
            self._go_on()
            return
        self._awaited = len(tiers)
        self._called += tiers
        found = self.router.tiers
        for name in tiers:
            found[name].ask(self)

    def _go_on(self) -> None:
        if self._choosing:
            self._choosing = False
            self._usd_per_row += self.policy.gates[0].cost_usd
            self._choose(self.policy.gates[0])
        else:
            self._judge()

    def enter(self, stage: int) -> None:
        """Ask a tier, and those that its score needs."""
        self._stage = stage
        self._want(self.policy.wants[stage])

    def _judge(self) -> None:
        """A tier has answered: take its answers, or pass rows on."""
        policy, stage = self.policy, self._stage
        tier, gate = policy.tiers[stage], policy.judges[stage]
        if self._failed is not None and tier in self._failed:
            self._pass_on(*self._failed[tier])
        elif gate is None:
            self._take(tier)
        else:
            self._usd_per_row += gate.cost_usd
            self._judge_by(gate, tier, policy.thresholds[stage])

    def _pass_on(self, reason: Reason, problem: Problem | None) -> None:
        """The next tier, unless nobody waits any more or there is none."""
        policy, router = self.policy, self.router
        tier = policy.tiers[self._stage]
        self._passed_on += (Escalation(tier=tier, reason=reason),)
        router.passed_on(tier, reason, self.count)
        deadline_s = self.request.deadline_s
        if self._is_over():
            return
        if deadline_s != math.inf and router.now_s() >= deadline_s:
            self._give_up(Problem(504, f"the deadline passed after the tier {tier}"))
        elif self._stage + 1 < len(policy.tiers):
            self.enter(self._stage + 1)
        else:
            self._give_up(problem or Problem(503, "no tier could answer", retry_after_s=1.0))

    def _read(self, gate: Gate) -> list[Any] | None:
        """What a score is read from, a table of all rows a tier; None where one did not answer."""
        tables = []
        for name in gate.needs:
            called = self._answers.get(name)
            if called is None:
                return None
            outputs = called.answer.outputs
            column = self.router.tiers[name].column(called.model, gate.output) if gate.output else 0
            if not 0 <= column < len(outputs):
                return None
            tables.append(outputs[column])
        return tables

    def reference(self, k: int) -> Answer | None:
        """What the reference said of one of these rows where it was called for a score, None else."""
        called = self._answers.get(self.router.reference)
        if called is None:
            return None
        row = called.of_rows([k])
        return replace(row.answer, outputs=row.outputs, batch_rows=1)

    # — what one row and many do each in their way —————————————————————————————————————————————————————

    @abstractmethod
    def _choose(self, gate: Gate) -> None:
        """Choose each row's tier by a score, and ask it."""

    @abstractmethod
    def _judge_by(self, gate: Gate, tier: str, threshold: float) -> None:
        """Take the answers whose score suffices, pass the others on."""

    @abstractmethod
    def _take(self, tier: str) -> None:
        """A tier's answers are those of all rows."""

    @abstractmethod
    def _paid(self, busy_core_s: float, charged_usd: float) -> None:
        """A call was paid for."""

    @abstractmethod
    def _is_over(self) -> bool:
        """Whether the request has come to its end."""

    @abstractmethod
    def _give_up(self, problem: Problem) -> None:
        """No answer."""
