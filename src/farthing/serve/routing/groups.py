"""Rows of one request that have gone the same way so far.

A group asks tiers, and what comes back settles some of its rows and sends the others on as a new group. A request of
one row is one group all the way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from farthing.serve.requests import Answer, Problem
from farthing.serve.routing.calls import Called
from farthing.serve.routing.decisions import Decision, Escalation, Reason
from farthing.serve.routing.inputs import text_of
from farthing.serve.routing.plans import Gate

if TYPE_CHECKING:
    from farthing.serve.routing.flights import Flight

__all__ = ["Group"]

NAN = math.nan


_Seen = tuple[str, Sequence[float], Sequence[float]]
"""A score that was looked at: its name, and of each row of a group its value and the threshold."""


class Group:
    """Rows of one request that have gone the same way so far; an :class:`~farthing.serve.routing.calls.Asker`.

    Args:
        flight: Of the request.
        rows: Which, None for all.

    Attributes:
        request: The client's.
        queue_s: What its calls waited, summed.
        service_s: What they took, summed.
    """

    __slots__ = (
        "_answers",
        "_awaited",
        "_called",
        "_choosing",
        "_count",
        "_failed",
        "_flight",
        "_passed_on",
        "_seen",
        "_stage",
        "_usd_per_row",
        "queue_s",
        "request",
        "rows",
        "service_s",
    )

    def __init__(self, flight: Flight, rows: tuple[int, ...] | None) -> None:
        self._flight, self.rows, self.request = flight, rows, flight.request
        self._count = flight.request.rows if rows is None else len(rows)
        self._stage = 0
        self._awaited = 0
        self._choosing = (
            False  # what comes next is no bound method, which would make a cycle that only the collector frees
        )
        self._answers: dict[str, Called] = {}
        self._failed: dict[str, tuple[Reason, Problem]] = {}
        self._called: tuple[str, ...] = ()
        self._passed_on: tuple[Escalation, ...] = ()
        self._seen: tuple[_Seen, ...] = ()
        self._usd_per_row = self.queue_s = self.service_s = 0.0

    # — Asker ——————————————————————————————————————————————————————————————————————————————————————

    def got(self, tier: str, called: Called) -> None:
        """A tier has answered."""
        self._answers[tier] = called
        self._flight.count(called)
        self._usd_per_row += called.usd / self._count
        self.queue_s += called.answer.queue_s
        self.service_s += called.answer.service_s
        self._awaited -= 1
        if not self._awaited:
            self._go_on()

    def missed(self, tier: str, reason: Reason, problem: Problem) -> None:
        """A tier has not."""
        self._failed[tier] = reason, problem
        self._arrived()

    def wrong(self, problem: Problem) -> None:
        """Nobody can answer it."""
        self._flight.fail(problem)

    def _arrived(self) -> None:
        self._awaited -= 1
        if not self._awaited:
            self._go_on()

    # — the way ————————————————————————————————————————————————————————————————————————————————————

    def begin(self) -> None:
        """Choose a tier, or ask the first."""
        plan = self._flight.plan
        if plan.chooses:
            self._choosing = True
            self._want(plan.gates[0].needs)
        else:
            self.enter(0)

    def _want(self, tiers: tuple[str, ...]) -> None:
        """Have the answers of some tiers, those that are not there yet asked for, then go on."""
        missing = tiers
        if self._called:
            missing = tuple([name for name in tiers if name not in self._answers and name not in self._failed])
        if not missing:
            self._go_on()
            return
        self._awaited = len(missing)
        self._called += missing
        for name in missing:
            self._flight.way.tier(name).ask(self)

    def _go_on(self) -> None:
        if self._choosing:
            self._choosing = False
            self.choose()
        else:
            self.judge()

    def enter(self, stage: int) -> None:
        """Ask a tier, and those that its score needs."""
        self._stage = stage
        self._want(self._flight.plan.wants[stage])

    def choose(self) -> None:
        """Choose each row's tier by a score."""
        plan, gate = self._flight.plan, self._flight.plan.gates[0]
        values = self._values(gate)
        self._usd_per_row += gate.cost_usd
        stages = [plan.choice(value) for value in values]
        limits = [plan.thresholds[min(stage, len(plan.thresholds) - 1)] for stage in stages]
        self._seen = ((gate.name, values, limits),)
        keys = [(stage, value != value) for stage, value in zip(stages, values)]
        parts = [(key, self._part([k for k, other in enumerate(keys) if other == key])) for key in sorted(set(keys))]
        for (stage, invalid), part in parts:
            if invalid:
                part._passed_on += (Escalation(tier=plan.tiers[0], reason="invalid"),)
            part.enter(stage)

    def judge(self) -> None:
        """A tier has answered: take its answers, or pass rows on."""
        plan, stage = self._flight.plan, self._stage
        tier = plan.tiers[stage]
        failed, gate = self._failed.get(tier), plan.gate_of(stage)
        if failed is not None:
            self._pass_on(*failed)
        elif gate is None:
            self._settle(tier, range(self._count))
        else:
            self._usd_per_row += gate.cost_usd
            self._judge_by(gate, tier, plan.thresholds[stage])

    def _judge_by(self, gate: Gate, tier: str, threshold: float) -> None:
        values = self._values(gate)
        self._seen += ((gate.name, values, (threshold,) * self._count),)
        if len(values) == 1:
            if values[0] >= threshold:
                self._settle(tier, (0,))
            else:
                self._pass_on("score" if values[0] == values[0] else "invalid", None)
            return
        taken = [k for k, value in enumerate(values) if value >= threshold]
        below = [k for k, value in enumerate(values) if value < threshold]
        invalid = [k for k, value in enumerate(values) if value != value]
        rest: tuple[tuple[Reason, list[int]], ...] = (("score", below), ("invalid", invalid))
        parts = [(reason, self._part(mine)) for reason, mine in rest if mine]
        if taken:
            self._settle(tier, taken)
        for reason, part in parts:
            part._pass_on(reason, None)

    def _pass_on(self, reason: Reason, problem: Problem | None) -> None:
        """The next tier, unless nobody waits any more or there is none."""
        flight = self._flight
        plan, tier = flight.plan, flight.plan.tiers[self._stage]
        self._passed_on += (Escalation(tier=tier, reason=reason),)
        flight.way.passed_on(tier, reason, self._count)
        deadline_s = flight.request.deadline_s
        if flight.done:
            return
        if deadline_s != math.inf and flight.way.now_s() >= deadline_s:
            flight.fail(Problem(504, f"the deadline passed after the tier {tier}"))
        elif self._stage + 1 < len(plan.tiers):
            self.enter(self._stage + 1)
        else:
            flight.fail(problem or Problem(503, "no tier could answer", retry_after_s=1.0))

    def _part(self, mine: Sequence[int]) -> Group:
        """Some of these rows as a group of their own, this one itself when it is all of them."""
        if len(mine) == self._count:
            return self
        rows = tuple(mine) if self.rows is None else tuple(self.rows[k] for k in mine)
        part = Group(self._flight, rows)
        part._stage, part._called, part._passed_on = self._stage, self._called, self._passed_on
        part._usd_per_row, part.queue_s, part.service_s = self._usd_per_row, self.queue_s, self.service_s
        part._failed = dict(self._failed)
        part._answers = {name: called.of_rows(mine) for name, called in self._answers.items()}
        part._seen = tuple(
            (name, [values[k] for k in mine], [limits[k] for k in mine]) for name, values, limits in self._seen
        )
        return part

    # — scores and decisions ———————————————————————————————————————————————————————————————————————

    def _values(self, gate: Gate) -> list[float]:
        """A score of each row, NaN where it cannot be computed."""
        tables = []
        for name in gate.needs:
            called = self._answers.get(name)
            column = -1 if called is None else self._flight.way.tier(name).column(called.model, gate.output)
            if called is None or not 0 <= column < len(called.answer.outputs):
                return [NAN] * self._count
            tables.append(called.answer.outputs[column])
        request, rows, compute = self.request, self.rows, gate.compute
        if not gate.reads_text:
            return [compute([table[k] for table in tables], None) for k in range(self._count)]
        return [
            compute([table[k] for table in tables], text_of(request, row))
            for k, row in enumerate(range(self._count) if rows is None else rows)
        ]

    def _settle(self, tier: str, mine: Sequence[int]) -> None:
        """Take a tier's answers to some of these rows."""
        flight, rows = self._flight, self.rows
        way, plan = flight.way, flight.plan
        name, values, limits = self._seen[-1] if self._seen else ("", None, ())
        marginal_usd, audit_frac = way.marginal_usd(tier), way.audit_frac
        decisions = [
            Decision(
                row=k if rows is None else rows[k],
                rung=plan.rung,
                steered=flight.steered,
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
                audit=way.wants_audit(tier),
            )
            for k in mine
        ]
        flight.settle(self, mine, self._answers[tier], decisions)

    def reference(self, k: int) -> Answer | None:
        """What the reference said of one of these rows where it was called for a score, None else."""
        called = self._answers.get(self._flight.way.reference)
        if called is None:
            return None
        row = called.of_rows([k])
        return replace(row.answer, outputs=row.outputs, batch_rows=1)
