"""The loop: each interval of the rule it looks at the fleet, asks the rule, and starts and stops worker processes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from farthing.core.simulation.rules.live import LivePolicy
from farthing.core.simulation.steering import Change
from farthing.nouns import FleetSeen, ScalingDecision
from farthing.ports import Clock
from farthing.serve.scaling.fleet_bill import FleetBill
from farthing.serve.scaling.fleet_watch import Totals, fleet_seen, since
from farthing.serve.scaling.policy_clock import PolicyClock
from farthing.serve.scaling.scaled_model import ScaledModel
from farthing.wire.requests import Answer, LiveModel, Problem, Request
from farthing.workers.pool import Pool
from farthing.workers.scaled_crew import Life, Roster, ScalingTerms
from farthing.workers.tally import Counted

__all__ = ["ScalingLoop"]

HOLDS_A_ROW = 20
"""Decisions that change nothing share a row of the ledger."""
MOST_SEEN = 20_000
_LOG = logging.getLogger("farthing.serve.scaling")
_ROWS = {"ready": "replica_ready", "not_ready": "replica_not_ready", "died": "replica_died", "gone": "replica_gone"}


class ScalingLoop:
    """Scales one model; an :class:`~farthing.wire.requests.Observer` of requests that never came to its queue.

    Args:
        policy: See :class:`LivePolicy`.
        scaled: The model.
        clock: The wall clock's monotonic time.
        decided: Takes a row of the ledger.
        say: Told one line at a time what a person should know.

    Attributes:
        policy: As above.
        scaled: As above.
        scaler: The rule.
        bill: What the fleet costs.
        roster: Of all replicas.
        clock: The policy's; begins with the loop.
        terms: For the pool, which is to be attached.
        wanted: Replicas, since the last decision.
        decisions: Made so far.
        changes: Those that changed something, the last 20,000.
        seen: What the rule was shown, the last 20,000.
        trouble: Why nothing is decided, empty when all is well.
    """

    def __init__(
        self,
        policy: LivePolicy,
        scaled: ScaledModel,
        clock: Clock,
        *,
        decided: Callable[[str, Mapping[str, Any]], object],
        say: Callable[[str], object],
    ) -> None:
        self.policy, self.scaled, self.scaler = policy, scaled, scaled.scaler(policy)
        self.clock = PolicyClock(policy.time_lapse)
        self._now_s, self._decided, self._say = clock.monotonic_s, decided, say
        self.roster = Roster(on_event=self._happened)
        self.bill = FleetBill(
            self.roster, self.clock, minimum_s=policy.minimum_bill_s, usd_per_hour=scaled.usd_per_hour
        )
        self.roster.on_gone = self.bill.close
        self.terms = ScalingTerms(
            model=scaled.spec.name,
            lag_s=self.clock.wall_s(policy.start_s),
            ready_within_s=policy.ready_within_s,
            promise_s=scaled.promise_s,
            roster=self.roster,
        )
        self.wanted, self.decisions, self.trouble = policy.initial, 0, ""
        self.changes: deque[Change] = deque(maxlen=MOST_SEEN)
        self.seen: deque[FleetSeen] = deque(maxlen=MOST_SEEN)
        self._changed = self._held = 0
        self._model: LiveModel | None = None
        self._before: Counted | None = None
        self._past: Totals = (0, 0, 0, 0)
        self._task: asyncio.Task[None] | None = None
        self._pool: Pool

    @property
    def changed(self) -> int:
        """Decisions that changed something."""
        return self._changed

    @property
    def begun(self) -> bool:
        """Whether the policy's clock runs."""
        return self._task is not None

    def attach(self, pool: Pool) -> None:
        """The pool that was given the terms."""
        self._pool = pool

    # — its life ———————————————————————————————————————————————————————————————————————————————————

    def follow(self, model: LiveModel) -> None:
        """A version of the model is ready: it is scaled from now on, to what is wanted."""
        if model.spec.name != self.scaled.spec.name or self._pool.headcount(model) is None:
            return
        if self._model is not None and self._model is not model:
            self._past = self.totals()
        self._model, self._before = model, self._pool.counted(model)
        if self._task is not None:
            self._pool.scale(model, self.wanted)

    def start(self) -> None:
        """Begin to decide; the policy's clock starts."""
        self.clock.begin(self._now_s())
        if self._model is not None:
            self._before = self._pool.counted(self._model)
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Decide no more; replicas stay as they are."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._note_held("stopping")  # a second time there are none

    async def _run(self) -> None:
        interval_s = self.clock.wall_s(self.scaler.interval_s)
        next_s = self._now_s() + interval_s
        while True:
            await asyncio.sleep(max(0.0, next_s - self._now_s()))
            try:
                self.step()
            except Exception as e:  # noqa: BLE001 - a rule that fails must not take the server along
                self._failed(e)
            next_s = max(next_s + interval_s, self._now_s())  # intervals that were missed are not made up for

    def _failed(self, error: Exception) -> None:
        trouble = f"{type(error).__name__}: {error}"
        if trouble != self.trouble:
            _LOG.exception("scaling")
            self._say(f"not scaled, replicas stay as they are: {trouble}")
            self._decided("scaling_failed", {**self._named(), "why": trouble})
        self.trouble = trouble

    # — a decision —————————————————————————————————————————————————————————————————————————————————

    def step(self) -> None:
        """Look, ask, act; nothing happens while no version of the model is ready."""
        model, before = self._model, self._before
        now = None if model is None else self._pool.counted(model)
        count = None if model is None else self._pool.headcount(model)
        if model is None or now is None or count is None or before is None or now.at_s <= before.at_s:
            return
        self._before = now
        seen = fleet_seen(before, now, count, model.queue.waiting, self.clock)
        self.seen.append(seen)
        self._act(model, seen, self._bounded(self.scaler.decide(seen)))
        self.trouble = ""

    def _bounded(self, decision: ScalingDecision) -> ScalingDecision:
        least, most = self.policy.min_replicas, self.policy.max_replicas
        if least <= decision.replicas <= most:
            return decision
        held = f"{decision.reason}; held to the policy's {least} to {most}"
        return ScalingDecision(replicas=min(most, max(least, decision.replicas)), reason=held)

    def _act(self, model: LiveModel, seen: FleetSeen, decision: ScalingDecision) -> None:
        self.decisions += 1
        before, self.wanted = self.wanted, decision.replicas
        got = self._pool.scale(model, self.wanted) if seen.replicas != self.wanted else self.wanted
        if before == self.wanted:
            self._held += 1
            if self._held == HOLDS_A_ROW:
                self._note_held(decision.reason)
            return
        self._note_held(f"until {decision.reason}")
        self._changed += 1
        self.changes.append(Change(at_s=seen.at_s, before=before, replicas=self.wanted, reason=decision.reason))
        short = f"; memory is enough for {got}" if got < self.wanted else ""
        told = {"from": before, "to": self.wanted, "reason": decision.reason + short}
        self._decided("scaled", {**self._named(), **told, **_shown(seen)})
        _LOG.info("scaled %s: %d → %d: %s", self.scaled.spec.name, before, self.wanted, told["reason"])
        self._say(f"scaled {self.scaled.spec.name} {before} → {self.wanted}{self._marks()}: {told['reason']}")

    def _note_held(self, reason: str) -> None:
        """A row for the decisions since the last one that changed nothing."""
        if self._held:
            row = {"decisions": self._held, "replicas": self.wanted, "reason": reason}
            self._decided("scaling_held", {**self._named(), **row})
        self._held = 0

    def _named(self) -> dict[str, Any]:
        return {
            "model": self.scaled.spec.name,
            "rule": self.policy.rule.name,
            "at_s": round(self.clock.at_s(self._now_s()), 3),
            "emulated": self.policy.emulated,
            "time_lapse": self.policy.time_lapse,
        }

    def _marks(self) -> str:
        marks = ["emulated"] if self.policy.emulated else []
        marks += [f"time lapse {self.policy.time_lapse:g}"] if self.policy.time_lapse != 1 else []
        return f" ({', '.join(marks)})" if marks else ""

    # — what happens to replicas ———————————————————————————————————————————————————————————————————

    def _happened(self, what: str, life: Life, words: str) -> None:
        if what not in _ROWS or self._task is None:
            return
        row = {**self._named(), "number": life.number, "pid": life.pid, "reason": words}
        self._decided(_ROWS[what], row)
        if what in ("not_ready", "died"):
            how = "did not become ready" if what == "not_ready" else "died"
            self._say(f"replica {life.number} of {self.scaled.spec.name} {how}: {words}")

    # — requests ———————————————————————————————————————————————————————————————————————————————————

    def answered(self, request: Request, answer: Answer) -> None:
        """The queue has counted it."""

    def failed(self, model: LiveModel | None, protocol: str, problem: Problem, request: Request | None) -> None:
        """Count those that were turned away by their head alone: refused, as nobody could answer in time."""
        if request is None and problem.status in (429, 503) and model is not None and model is self._model:
            self._pool.turned_away(model)

    def counted(self) -> Counted | None:
        """The queue's sums now, None without a version that is ready."""
        return None if self._model is None else self._pool.counted(self._model)

    def totals(self) -> Totals:
        """Requests since the start, over all versions."""
        now = self.counted()
        mine = (0, 0, 0, 0) if now is None else since(None, now)
        a, b, c, d = (x + y for x, y in zip(self._past, mine, strict=True))
        return a, b, c, d

    def wanted_of(self, model: LiveModel) -> int | None:
        """Replicas that are wanted of a model, None for one that is not scaled."""
        return self.wanted if model.spec.name == self.scaled.spec.name else None

    def headcount(self) -> tuple[int, int, int]:
        """Replicas that are ready, starting, leaving."""
        count = None if self._model is None else self._pool.headcount(self._model)
        return (0, 0, 0) if count is None else (count.ready, count.starting, count.leaving)


def _shown(seen: FleetSeen) -> dict[str, Any]:
    """Of what the rule was shown, for the ledger."""
    return {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(seen).items() if k != "at_s"}
