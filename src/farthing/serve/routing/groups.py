"""Some rows of a request of several: what comes back settles some of them and sends the others on as a new group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from farthing.core.route.following import Gate
from farthing.serve.routing.inputs import text_of
from farthing.serve.routing.walks import NAN, Walk
from farthing.wire.decisions import Decision, Escalation, Reason
from farthing.wire.requests import Problem

if TYPE_CHECKING:
    from farthing.serve.routing.flights import Flight

__all__ = ["Group"]

_Seen = tuple[str, Sequence[float], Sequence[float]]
"""A score that was looked at: its name, and of each row of a group its value and the threshold."""


class Group(Walk):
    """Rows of one flight that have gone the same way so far.

    Args:
        flight: Of the request.
        rows: Which, None for all.
    """

    __slots__ = ("_flight", "_seen")

    def __init__(self, flight: Flight, rows: tuple[int, ...] | None) -> None:
        super().__init__(flight.way, flight.request, flight.plan, flight.steered, rows)
        self._flight = flight
        self._seen: tuple[_Seen, ...] = ()

    def _is_over(self) -> bool:
        return self._flight.done

    def _give_up(self, problem: Problem) -> None:
        self._flight.fail(problem)

    def _paid(self, busy_core_s: float, charged_usd: float) -> None:
        self._flight.pay(busy_core_s, charged_usd)

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
        plan, values = self.plan, self._values(gate)
        stages = [plan.choice(value) for value in values]
        limits = [plan.thresholds[min(stage, len(plan.thresholds) - 1)] for stage in stages]
        self._seen = ((gate.name, values, limits),)
        keys = [(stage, value != value) for stage, value in zip(stages, values)]
        parts = [(key, self._part([k for k, other in enumerate(keys) if other == key])) for key in sorted(set(keys))]
        for (stage, invalid), part in parts:
            if invalid:
                part._passed_on += (Escalation(tier=plan.tiers[0], reason="invalid"),)
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

    def _part(self, mine: Sequence[int]) -> Group:
        """Some of these rows as a group of their own, this one itself when it is all of them."""
        if len(mine) == self.count:
            return self
        rows = tuple(mine) if self.rows is None else tuple(self.rows[k] for k in mine)
        part = Group(self._flight, rows)
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
        way, plan, rows = self.way, self.plan, self.rows
        name, values, limits = self._seen[-1] if self._seen else ("", None, ())
        decisions = [
            Decision(
                row=k if rows is None else rows[k],
                rung=plan.rung,
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
            for k, (marginal_usd, audit_frac, audit) in ((k, way.priced(tier)) for k in mine)
        ]
        self._flight.settle(self, mine, self._answers[tier], decisions)
