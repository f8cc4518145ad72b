"""A request of several rows, answered once when all of them are: each way that some of them go is a group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.core.route.following import Gate, ReadyPolicy
from farthing.serve.routing.calls import TierAnswer
from farthing.serve.routing.cascades import NAN, Audit, Cascade, CascadeRouter
from farthing.serve.routing.inputs import text_of
from farthing.wire.decisions import Decision, Escalation, Reason, Routed
from farthing.wire.requests import Answer, Problem, Request

__all__ = ["ManyRows"]

_Seen = tuple[str, Sequence[float], Sequence[float]]
"""A score that was looked at: its name, and of each row of a group its value and the threshold."""


class ManyRows:
    """One request of several rows (a :class:`~farthing.serve.routing.cascades.RoutedRequest`).

    Args:
        router: The router.
        request: The client's.
        policy: Followed from its start to its end, whatever is steered meanwhile.
        steered: The policy was chosen by load.

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
        "policy",
        "request",
        "router",
        "steered",
    )

    def __init__(self, router: CascadeRouter, request: Request, policy: ReadyPolicy, steered: bool) -> None:
        self.router, self.request, self.policy, self.steered = router, request, policy, steered
        self.done = False
        self._decisions: list[Decision] = []
        self._outputs: list[NDArray[Any]] | None = None
        self._busy_core_s = self._charged_usd = self._queue_s = self._service_s = 0.0
        self._batch_rows = 0
        self._audits: list[Audit] = []

    def begin(self) -> None:
        """Ask the first tiers."""
        RowGroup(self, None).begin()

    def pay(self, busy_core_s: float, charged_usd: float) -> None:
        """A call was paid for."""
        self._busy_core_s += busy_core_s
        self._charged_usd += charged_usd

    def fail(self, problem: Problem) -> None:
        """See :class:`~farthing.serve.routing.cascades.RoutedRequest`."""
        if not self.done:
            self.done = True
            self.router.landed(self, problem, ())

    def settle(self, group: RowGroup, rows: Sequence[int], called: TierAnswer, decisions: Sequence[Decision]) -> None:
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
            self._outputs = [np.empty((total, *o.shape[1:]), dtype) for o, dtype in zip(outputs, self.router.dtypes)]
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
        self.router.landed(self, answer, self._audits)


class RowGroup(Cascade):
    """Rows of one request that have gone the same way so far.

    Args:
        whole: The request that they are of.
        rows: Which, None for all.
    """

    __slots__ = ("_seen", "_whole")

    def __init__(self, whole: ManyRows, rows: tuple[int, ...] | None) -> None:
        super().__init__(whole.router, whole.request, whole.policy, whole.steered, rows)
        self._whole = whole
        self._seen: tuple[_Seen, ...] = ()

    def _is_over(self) -> bool:
        return self._whole.done

    def _give_up(self, problem: Problem) -> None:
        self._whole.fail(problem)

    def _paid(self, busy_core_s: float, charged_usd: float) -> None:
        self._whole.pay(busy_core_s, charged_usd)

    def _values(self, gate: Gate) -> list[float]:
        """A score of each row, NaN where it cannot be computed."""
        tables = self._read(gate)
        if tables is None:
            return [NAN] * self.count
        request, compute = self.request, gate.compute
        if not gate.reads_text:
            return [compute([table[k] for table in tables], None) for k in range(self.count)]
        rows = range(self.count) if self.rows is None else self.rows
        return [compute([table[k] for table in tables], text_of(request, row)) for k, row in enumerate(rows)]

    def _choose(self, gate: Gate) -> None:
        policy, values = self.policy, self._values(gate)
        stages = [policy.choice(value) for value in values]
        limits = [policy.thresholds[min(stage, len(policy.thresholds) - 1)] for stage in stages]
        self._seen = ((gate.name, values, limits),)
        keys = [(stage, value != value) for stage, value in zip(stages, values)]
        parts = [(key, self._part([k for k, other in enumerate(keys) if other == key])) for key in sorted(set(keys))]
        for (stage, invalid), part in parts:
            if invalid:
                part._passed_on += (Escalation(tier=policy.tiers[0], reason="invalid"),)
            part.enter(stage)

    def _judge_by(self, gate: Gate, tier: str, threshold: float) -> None:
        values = self._values(gate)
        self._seen += ((gate.name, values, (threshold,) * self.count),)
        taken = [k for k, value in enumerate(values) if value >= threshold]
        below = [k for k, value in enumerate(values) if value < threshold]
        invalid = [k for k, value in enumerate(values) if value != value]
        rest: tuple[tuple[Reason, list[int]], ...] = (("score", below), ("invalid", invalid))
        parts = [(reason, self._part(mine)) for reason, mine in rest if mine]
        if taken:
            self._settle(tier, taken)
        for reason, part in parts:
            part._pass_on(reason, None)

    def _take(self, tier: str) -> None:
        self._settle(tier, range(self.count))

    def _part(self, mine: Sequence[int]) -> RowGroup:
        """Some of these rows as a group of their own, this one itself when it is all of them."""
        if len(mine) == self.count:
            return self
        rows = tuple(mine) if self.rows is None else tuple(self.rows[k] for k in mine)
        part = RowGroup(self._whole, rows)
        part._stage, part._called, part._passed_on = self._stage, self._called, self._passed_on
        part._choosing = False
        part._usd_per_row, part.queue_s, part.service_s = self._usd_per_row, self.queue_s, self.service_s
        part._failed = None if self._failed is None else dict(self._failed)
        part._answers = {name: called.of_rows(mine) for name, called in self._answers.items()}
        part._seen = tuple(
            (name, [values[k] for k in mine], [limits[k] for k in mine]) for name, values, limits in self._seen
        )
        return part

    def _settle(self, tier: str, mine: Sequence[int]) -> None:
        """Take a tier's answers to some of these rows."""
        router, policy, rows = self.router, self.policy, self.rows
        name, values, limits = self._seen[-1] if self._seen else ("", None, ())
        decisions = [
            Decision(
                row=k if rows is None else rows[k],
                rung=policy.rung,
                steered=self.steered,
                tier=tier,
                called=self._called,
                passed_on=self._passed_on,
                score=name,
                value=NAN if values is None else values[k],
                margin=NAN if values is None else values[k] - limits[k],
                seen=tuple([(name, values[k]) for name, values, _ in self._seen]),
                cost_usd=self._usd_per_row,
                marginal_usd=marginal_usd,
                audit_frac=audit_frac,
                audit=audit,
            )
            for k, (marginal_usd, audit_frac, audit) in ((k, router.priced(tier)) for k in mine)
        ]
        self._whole.settle(self, mine, self._answers[tier], decisions)
