"""A client's request on its way through tiers, answered once when all its rows are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from farthing.serve.requests import Answer, Problem, Request
from farthing.serve.routing.calls import Called
from farthing.serve.routing.decisions import Decision, Reason, Routed
from farthing.serve.routing.groups import Group
from farthing.serve.routing.plans import Plan
from farthing.serve.routing.tiers import LiveTier

__all__ = ["Audit", "Flight", "Way"]


class Way(Protocol):
    """What flights know of their router."""

    reference: str
    """The tier that losses are counted against."""
    dtypes: tuple[np.dtype[Any], ...]
    """Of the outputs."""

    def tier(self, name: str) -> LiveTier:
        """A tier by name."""
        ...

    def now_s(self) -> float:
        """Monotonic time."""
        ...

    def marginal_usd(self, tier: str) -> float:
        """What one more request sent there costs now, NaN when unknown."""
        ...

    @property
    def audit_frac(self) -> float:
        """Probability with which the next answer below the reference is to be compared."""
        ...

    def wants_audit(self, tier: str) -> bool:
        """Whether an answer of that tier is to be compared with the reference's."""
        ...

    def passed_on(self, tier: str, reason: Reason, rows: int) -> None:
        """Rows go on since a tier did not answer them."""
        ...

    def landed(self, flight: Flight, outcome: Answer | Problem, audits: Sequence[Audit]) -> None:
        """A flight has ended; its request is to be answered."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Audit:
    """One row that the reference is to be asked about.

    Attributes:
        decision: Of the row.
        reference: Its answer where it was called anyway, for a score; None else.
    """

    decision: Decision
    reference: Answer | None


class Flight:
    """One request.

    Args:
        way: The router.
        request: The client's.
        plan: Followed from its start to its end, whatever is steered meanwhile.
        steered: The plan was chosen by load.

    Attributes:
        done: It is answered.
    """

    __slots__ = (
        "_audits",
        "_batch_rows",
        "_busy_core_s",
        "_charged_usd",
        "_decisions",
        "_outputs",
        "_queue_s",
        "_service_s",
        "done",
        "plan",
        "request",
        "steered",
        "way",
    )

    def __init__(self, way: Way, request: Request, plan: Plan, *, steered: bool) -> None:
        self.way, self.request, self.plan, self.steered = way, request, plan, steered
        self.done = False
        self._decisions: list[Decision] = []
        self._outputs: Sequence[NDArray[Any]] | None = None
        self._busy_core_s = self._charged_usd = self._queue_s = self._service_s = 0.0
        self._batch_rows = 0
        self._audits: list[Audit] = []

    def begin(self) -> None:
        """Ask the first tiers."""
        Group(self, None).begin()

    def count(self, called: Called) -> None:
        """A tier was paid for."""
        self._busy_core_s += called.busy_core_s
        self._charged_usd += called.charged_usd

    def fail(self, problem: Problem) -> None:
        """No answer: the first reason ends the whole request."""
        if not self.done:
            self.done = True
            self.way.landed(self, problem, ())

    def settle(self, group: Group, rows: Sequence[int], called: Called, decisions: Sequence[Decision]) -> None:
        """Some rows are answered.

        Args:
            group: That they are of.
            rows: Their places in the group's rows.
            called: By whom.
            decisions: One a row.
        """
        if self.done:
            return
        outputs = [self._typed(k, output) for k, output in enumerate(called.outputs)]
        for k, decision in zip(rows, decisions):
            if decision.audit:
                self._audits.append(Audit(decision=decision, reference=group.reference(k)))
        self._queue_s, self._service_s = max(self._queue_s, group.queue_s), max(self._service_s, group.service_s)
        self._batch_rows = called.answer.batch_rows
        if len(rows) == self.request.rows:
            self._land(outputs, tuple(decisions))
            return
        self._place(outputs, rows, [decision.row for decision in decisions])
        self._decisions += decisions
        if len(self._decisions) == self.request.rows and self._outputs is not None:
            self._land(self._outputs, tuple(sorted(self._decisions, key=lambda decision: decision.row)))

    def _typed(self, k: int, output: NDArray[Any]) -> NDArray[Any]:
        dtype = self.way.dtypes[k]
        return output if output.dtype is dtype or output.dtype == dtype else output.astype(dtype)

    def _place(self, outputs: Sequence[NDArray[Any]], rows: Sequence[int], places: Sequence[int]) -> None:
        """Put rows of one tier where they belong among those of all."""
        if self._outputs is None:
            total = self.request.rows
            self._outputs = [np.empty((total, *output.shape[1:]), output.dtype) for output in outputs]
        for merged, output in zip(self._outputs, outputs):
            if merged.shape[1:] != output.shape[1:]:
                self.fail(Problem(500, "two tiers gave rows of different shapes to one request; send its rows alone"))
                return
            merged[list(places)] = output[list(rows)]

    def _land(self, outputs: Sequence[NDArray[Any]], decisions: tuple[Decision, ...]) -> None:
        if self.done:
            return
        self.done = True
        answer = Answer(
            outputs=outputs,
            queue_s=self._queue_s,
            service_s=self._service_s,
            batch_rows=self._batch_rows,
            route=Routed(decisions=decisions, busy_core_s=self._busy_core_s, charged_usd=self._charged_usd),
        )
        self.way.landed(self, answer, self._audits)
