"""A request of several rows, answered once when all of them are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.core.route.following import Plan
from farthing.serve.routing.calls import Called
from farthing.serve.routing.groups import Group
from farthing.serve.routing.walks import Audit, Way
from farthing.wire.decisions import Decision, Routed
from farthing.wire.requests import Answer, Problem, Request

__all__ = ["Flight"]


class Flight:
    """One request of several rows (a :class:`~farthing.serve.routing.walks.Journey`).

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

    def __init__(self, way: Way, request: Request, plan: Plan, steered: bool) -> None:
        self.way, self.request, self.plan, self.steered = way, request, plan, steered
        self.done = False
        self._decisions: list[Decision] = []
        self._outputs: list[NDArray[Any]] | None = None
        self._busy_core_s = self._charged_usd = self._queue_s = self._service_s = 0.0
        self._batch_rows = 0
        self._audits: list[Audit] = []

    def begin(self) -> None:
        """Ask the first tiers."""
        Group(self, None).begin()

    def pay(self, busy_core_s: float, charged_usd: float) -> None:
        """A call was paid for."""
        self._busy_core_s += busy_core_s
        self._charged_usd += charged_usd

    def fail(self, problem: Problem) -> None:
        """See :class:`~farthing.serve.routing.walks.Journey`."""
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
        for k, decision in zip(rows, decisions):
            if decision.audit:
                self._audits.append(Audit(decision=decision, reference=group.reference(k)))
        self._queue_s, self._service_s = max(self._queue_s, group.queue_s), max(self._service_s, group.service_s)
        self._batch_rows = called.answer.batch_rows
        self._place(called.outputs, rows, [decision.row for decision in decisions])
        self._decisions += decisions
        if len(self._decisions) == self.request.rows and self._outputs is not None:
            self._land(self._outputs, tuple(sorted(self._decisions, key=lambda decision: decision.row)))

    def _place(self, outputs: Sequence[NDArray[Any]], rows: Sequence[int], places: Sequence[int]) -> None:
        """Put rows of one tier where they belong among those of all."""
        if self._outputs is None:
            total = self.request.rows
            self._outputs = [np.empty((total, *o.shape[1:]), dtype) for o, dtype in zip(outputs, self.way.dtypes)]
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
