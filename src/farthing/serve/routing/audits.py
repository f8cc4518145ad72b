"""Looks after a followed route: audits a share of its answers, steps the watch, has the route fall back on an alarm."""

from __future__ import annotations

import logging
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farthing.core.route.routes import Route
from farthing.core.route.watching.losses import loss_estimate
from farthing.core.route.watching.scores import bins_of
from farthing.core.route.watching.watch import (
    Alarm,
    WatchState,
    audit_frac_of,
    begin,
    observe_audits,
    observe_score,
    watch_of,
)
from farthing.load.route.command import calibrate_again
from farthing.nouns import Estimate
from farthing.serve.routing.audit_samples import AuditSamples
from farthing.wire.decisions import Decision
from farthing.wire.requests import Answer, Request

__all__ = ["AuditCounts", "RouteAuditor", "class_of"]

_LOG = logging.getLogger("farthing.serve.routing.audits")
_BLOCK, _CLOSE_BLOCK = 128, 16
"""Requests that are taken in together, fewer while looking closer; a difference is taken in at once."""
_LONGEST_LINE = 4096
"""Entries behind an audit that is on its way."""


@dataclass(slots=True, kw_only=True)
class AuditCounts:
    """What audits came to.

    Attributes:
        asked: Begun.
        same: Answers that were the reference's.
        differed: Answers that were not.
        missed: Of which the reference gave no answer that can be compared.
        usd: Of asking the reference, on the usage basis; those without a price are left out.
        unpriced: Those.
    """

    asked: int = 0
    same: int = 0
    differed: int = 0
    missed: int = 0
    usd: float = 0.0
    unpriced: int = 0


@dataclass(slots=True, eq=False)
class _Run:
    """Requests in a row that nobody audits, all drawn with one probability."""

    audit_frac: float
    n: int


@dataclass(slots=True, eq=False)
class _Waiting:
    """One request that is audited; ``loss`` is None until that has come back."""

    audit_frac: float
    decision: Decision
    request: Request | None
    loss: float | None = None


class RouteAuditor:
    """Observer and auditor of one route (``observers.py``).

    Requests are taken in in their order: behind one whose audit is on its way the others wait, so that what is known
    later is not taken in earlier.

    Args:
        route: What is followed.
        fall_back: Called with the reason when the watch raises its alarm.
        folder: Of route.yaml, which its tiers' sources are relative to.
        kept: Keeps a sample of requests with the reference's answers, None for none.
        rng: Source of what is drawn.

    Attributes:
        audit_frac: Probability with which the next answer is audited.
        audits: What came of them.
        unpriced_rows: Answered rows whose cost is unknown.
        rows: Answered.
        scored: How often each score was computed.
        watching: Whether anything can raise an alarm.
    """

    def __init__(
        self,
        route: Route,
        fall_back: Callable[[str], object],
        *,
        folder: Path = Path(),
        kept: AuditSamples | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.route, self.kept, self._folder = route, kept, folder
        self._fall_back, self._rng = fall_back, rng or random.Random()  # noqa: S311 - a sample, no secret
        self.watch = watch_of(route.monitoring, route.n)
        self.audits = AuditCounts()
        self.unpriced_rows, self.rows = 0, 0
        self.scored: Counter[str] = Counter()
        self.watching = route.chosen is not None
        self._begin()

    def _begin(self) -> None:
        self.state = begin(self.watch)
        self.audit_frac = audit_frac_of(self.watch, self.state) if self.watching else 0.0
        self._block = _BLOCK
        self._line: deque[_Run | _Waiting] = deque()
        self._ready = 0
        self._waiting: dict[Decision, _Waiting] = {}
        self._values: dict[str, list[float]] = {name: [] for name in self.watch.scores}

    # — observer ———————————————————————————————————————————————————————————————————————————————————

    def routed(self, decision: Decision, request: Request, answer: Answer) -> None:
        """Take in one row."""
        self.rows += 1
        self.unpriced_rows += decision.cost_usd != decision.cost_usd
        self.audits.asked += decision.audit
        for name, _ in decision.seen:
            self.scored[name] += 1
        if decision.rung is None or self.state.alarm is not None:
            self._keep_answer(decision, request, answer)
            return
        self._stand_in_line(decision, request, answer)
        if decision.seen:
            name, value = decision.seen[0]
            values = self._values.get(name)
            if values is not None:
                values.append(value)
                if len(values) >= self._block:
                    self._score(name)
        if self._ready >= self._block:
            self.take_in()

    def _stand_in_line(self, decision: Decision, request: Request, answer: Answer) -> None:
        line, frac = self._line, decision.audit_frac
        if decision.audit:
            self._waiting[decision] = waiting = _Waiting(frac, decision, request)
            line.append(waiting)
            if len(line) > _LONGEST_LINE:
                self._give_up(line[0])
            return
        last = line[-1] if line else None
        if isinstance(last, _Run) and last.audit_frac == frac:
            last.n += 1
        else:
            line.append(_Run(frac, 1))
        self._ready += 1
        if decision.tier == self.route.reference:
            self._keep_answer(decision, request, answer)

    # — auditor ————————————————————————————————————————————————————————————————————————————————————

    def wants_audit(self) -> bool:
        """Draw whether the answer that was just given is compared."""
        return self._rng.random() < self.audit_frac

    def audited(self, decision: Decision, answer: Answer, reference: Answer, cost_usd: float) -> None:
        """The reference has answered too."""
        if cost_usd == cost_usd:
            self.audits.usd += cost_usd
        else:
            self.audits.unpriced += 1
        given, wanted = class_of(answer), class_of(reference)
        if given is None or wanted is None:
            self._settle(decision, None)
            return
        differs = given != wanted
        self.audits.differed += differs
        self.audits.same += not differs
        waiting = self._waiting.get(decision)
        if self.kept is not None and waiting is not None and waiting.request is not None:
            self.kept.keep(waiting.request, decision.row, wanted, self._share(waiting.audit_frac))
        self._settle(decision, float(differs))

    def not_audited(self, decision: Decision, why: str) -> None:
        """It has not: the request counts as one that was not drawn, which hides losses and never invents one."""
        _LOG.debug("an audit of %s is missing: %s", self.route.name, why)
        self._settle(decision, None)

    def _settle(self, decision: Decision, loss: float | None) -> None:
        if loss is None:
            self.audits.missed += 1
        waiting = self._waiting.pop(decision, None)
        if waiting is not None:  # else it is of an earlier watch, or was given up
            waiting.loss, waiting.request = -1.0 if loss is None else loss, None
            self._ready += 1
            if loss:
                self.take_in()

    def _give_up(self, first: _Run | _Waiting) -> None:
        """Wait no longer for the audit that all others stand behind."""
        if isinstance(first, _Waiting) and first.loss is None:
            del self._waiting[first.decision]
            first.loss, first.request = -1.0, None
            self._ready += 1
        self.take_in()

    def _share(self, audit_frac: float) -> float:
        """Probability with which an audited request is kept, such that all are kept with the route's audit share."""
        return min(1.0, self.watch.audit_frac / audit_frac) if audit_frac > 0 else 0.0

    def _keep_answer(self, decision: Decision, request: Request, answer: Answer) -> None:
        if self.kept is None or decision.tier != self.route.reference:
            return
        wanted = class_of(answer, decision.row)
        if wanted is not None:
            share = self.watch.audit_frac
            self.kept.keep(request, decision.row, wanted, share if decision.rung is not None else max(share, 0.1))

    # — the watch ——————————————————————————————————————————————————————————————————————————————————

    def take_in(self) -> None:
        """Step the watch with everything that has come back."""
        for name in self._values:
            self._score(name)
        fracs: list[NDArray[np.float64]] = []
        losses: list[NDArray[np.float64]] = []
        line = self._line
        while line and not (isinstance(line[0], _Waiting) and line[0].loss is None):
            entry = line.popleft()
            n = entry.n if isinstance(entry, _Run) else 1
            loss = -1.0 if isinstance(entry, _Run) or entry.loss is None else entry.loss
            fracs.append(np.full(n, entry.audit_frac))
            losses.append(np.full(n, loss))
            self._ready -= n
        if fracs:
            all_losses = np.concatenate(losses)
            audited = all_losses >= 0
            self._now(observe_audits(self.watch, self.state, np.concatenate(fracs), audited, all_losses * audited))

    def _score(self, name: str) -> None:
        values = self._values[name]
        if values:
            coins = [self._rng.random() for _ in values]
            bins = bins_of(self.watch.scores[name], values, coins)
            self._values[name] = []
            self._now(observe_score(self.watch, self.state, name, bins))

    def _now(self, state: WatchState) -> None:
        had, self.state = self.state.alarm, state
        self.audit_frac = audit_frac_of(self.watch, state) if state.alarm is None else 0.0
        self._block = _BLOCK if self.audit_frac <= self.watch.audit_frac else _CLOSE_BLOCK
        if state.alarm is not None and had is None:
            self._fall_back(f"{state.alarm.message}; {self.advice}")

    @property
    def alarm(self) -> Alarm | None:
        """The alarm that was raised, None while all is well."""
        return self.state.alarm

    @property
    def loss(self) -> Estimate | None:
        """Mean loss of all requests since the watch began, None before the first audit."""
        if self.watch.loss is None or self.state.loss is None:
            return None
        return loss_estimate(self.watch.loss, self.state.loss)

    def renew(self) -> None:
        """Begin a new watch: the route is followed again."""
        self._begin()

    def adopt(self, state: WatchState) -> None:
        """Go on with the evidence of an earlier watch of the same route."""
        self.state = state
        if self.watching:
            self.audit_frac = audit_frac_of(self.watch, state) if state.alarm is None else 0.0
            self._block = _BLOCK if self.audit_frac <= self.watch.audit_frac else _CLOSE_BLOCK

    @property
    def advice(self) -> str:
        """The command that calibrates anew, with all that the first one was given."""
        kept = None if self.kept is None else self.kept.path
        return f"calibrate anew: {calibrate_again(self.route, self._folder, kept=kept)}"


def class_of(answer: Answer, row: int = 0) -> int | None:
    """Class that a row's answer names: place of the largest number, or the number itself; None when it is no number."""
    if not answer.outputs:
        return None
    values = np.asarray(answer.outputs[0][row]).reshape(-1)
    if not np.issubdtype(values.dtype, np.number) or not values.size or not np.isfinite(values).all():
        return None
    return int(values.argmax()) if values.size > 1 else int(values[0])
