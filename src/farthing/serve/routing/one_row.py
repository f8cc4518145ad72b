"""A request of one row: most of what routes are asked, so nothing is done here that one row does not need."""

from __future__ import annotations

from farthing.core.route.following import Gate, ReadyPolicy
from farthing.serve.routing.cascades import NAN, Audit, Cascade, CascadeRouter
from farthing.serve.routing.inputs import text_of
from farthing.wire.decisions import Decision, Escalation, Routed
from farthing.wire.requests import Answer, Problem, Request

__all__ = ["OneRow"]


class OneRow(Cascade):
    """One row, which is its whole request (a :class:`~farthing.serve.routing.cascades.RoutedRequest`).

    Args:
        router: The router.
        request: The client's.
        policy: Followed.
        steered: The policy was chosen by load.
    """

    __slots__ = ("_busy_core_s", "_charged_usd", "_done", "_margin", "_seen")

    def __init__(self, router: CascadeRouter, request: Request, policy: ReadyPolicy, steered: bool) -> None:
        super().__init__(router, request, policy, steered, None)
        self._done = False
        self._busy_core_s = self._charged_usd = 0.0
        self._seen: tuple[tuple[str, float], ...] = ()
        self._margin = NAN

    def fail(self, problem: Problem) -> None:
        """See :class:`~farthing.serve.routing.cascades.RoutedRequest`."""
        if not self._done:
            self._done = True
            self.router.landed(self, problem, ())

    _give_up = fail

    def _is_over(self) -> bool:
        return self._done

    def _paid(self, busy_core_s: float, charged_usd: float) -> None:
        self._busy_core_s += busy_core_s
        self._charged_usd += charged_usd

    def _value(self, gate: Gate) -> float:
        """A score, NaN where it cannot be computed."""
        if gate.reads_first:
            called = self._answers.get(gate.reads_first)
            outputs = () if called is None else called.answer.outputs
            return gate.compute([outputs[0][0]], None) if outputs else NAN
        tables = self._read(gate)
        if tables is None:
            return NAN
        rows = [tables[0][0]] if len(tables) == 1 else [table[0] for table in tables]
        return gate.compute(rows, text_of(self.request, 0) if gate.reads_text else None)

    def _choose(self, gate: Gate) -> None:
        value, policy = self._value(gate), self.policy
        stage = policy.choice(value)
        self._seen, self._margin = (
            ((gate.name, value),),
            value - policy.thresholds[min(stage, len(policy.thresholds) - 1)],
        )
        if value != value:  # NaN
            self._passed_on += (Escalation(tier=policy.tiers[0], reason="invalid"),)
        self.enter(stage)

    def _judge_by(self, gate: Gate, tier: str, threshold: float) -> None:
        value = self._value(gate)
        self._seen += ((gate.name, value),)
        self._margin = value - threshold
        if value >= threshold:
            self._take(tier)
        else:
            self._pass_on("score" if value == value else "invalid", None)

    def _take(self, tier: str) -> None:
        if self._done:
            return
        self._done = True
        router, seen = self.router, self._seen
        name, value = seen[-1] if seen else ("", NAN)
        marginal_usd, audit_frac, audit = router.priced(tier)
        decision = Decision(
            rung=self.policy.rung,
            steered=self.steered,
            tier=tier,
            called=self._called,
            passed_on=self._passed_on,
            score=name,
            value=value,
            margin=self._margin,
            seen=seen,
            cost_usd=self._usd_per_row,
            marginal_usd=marginal_usd,
            audit_frac=audit_frac,
            audit=audit,
        )
        called = self._answers[tier]
        outputs = called.outputs
        if outputs[0].dtype is not router.dtypes[0] or len(outputs) > 1:
            outputs = [output.astype(dtype, copy=False) for output, dtype in zip(outputs, router.dtypes)]
        answer = Answer(
            outputs=outputs,
            queue_s=self.queue_s,
            service_s=self.service_s,
            batch_rows=called.answer.batch_rows,
            route=Routed(decisions=(decision,), busy_core_s=self._busy_core_s, charged_usd=self._charged_usd),
        )
        audits = (Audit(decision=decision, reference=self.reference(0)),) if audit else ()
        router.landed(self, answer, audits)
