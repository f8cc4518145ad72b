"""Workers of one model whose number changes while it serves: hired, and relieved without losing a request."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from farthing.errors import EngineError, FarthingError
from farthing.workers.crew import Crew, Facts
from farthing.workers.remote import RemoteWorker
from farthing.workers.restarts import Death, Deaths

__all__ = ["Headcount", "Life", "Roster", "ScaledCrew", "ScalingTerms"]

MOST_LIVES = 10_000
Event = Literal["ready", "not_ready", "died", "leaving", "gone"]


@dataclass(slots=True, eq=False, kw_only=True)
class Life:
    """One replica: a worker process, and those that took its place when it died. Times are the clock's.

    Attributes:
        number: From 0 in the order of being asked for.
        asked_s: When it was asked for.
        started_s: When its machine was there and the process was asked for, None before.
        ready_s: When it first took requests, None before.
        leaving_s: From when on it took no more, None before.
        gone_s: When its process was told to end, None before.
        pid: Of the process that is ready, or was last.
        deaths: Of its processes, once ready.
        failed_starts: Processes that did not become ready.
        reason: Why it went, empty while it is there.
    """

    number: int
    asked_s: float
    started_s: float | None = None
    ready_s: float | None = None
    leaving_s: float | None = None
    gone_s: float | None = None
    pid: int | None = None
    deaths: int = 0
    failed_starts: int = 0
    reason: str = ""


@dataclass(slots=True, eq=False, kw_only=True)
class Roster:
    """All replicas of one model, over its versions.

    Attributes:
        present: By number.
        past: Those that are gone, the last 10,000.
        on_event: Told what became of one, and a few words more.
        on_gone: Told of each once it is gone.
    """

    present: dict[int, Life] = field(default_factory=dict)
    past: deque[Life] = field(default_factory=lambda: deque(maxlen=MOST_LIVES))
    on_event: Callable[[Event, Life, str], object] = lambda what, life, words: None
    on_gone: Callable[[Life], object] = lambda life: None
    _next: int = 0

    def ask(self, now_s: float) -> Life:
        """One more is asked for."""
        life = self.present[self._next] = Life(number=self._next, asked_s=now_s)
        self._next += 1
        return life

    def bury(self, life: Life, now_s: float, reason: str) -> None:
        """One is gone; once is enough."""
        if self.present.pop(life.number, None) is not None:
            life.gone_s, life.reason = now_s, life.reason or reason
            self.past.append(life)
            self.on_gone(life)
            self.on_event("gone", life, life.reason)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ScalingTerms:
    """How the workers of one model are scaled.

    Attributes:
        model: Its name.
        lag_s: From asking for a replica to asking for its process, ≥ 0.
        ready_within_s: Longest time from there to being ready, > 0.
        promise_s: From arrival to answer, for the tally.
        roster: Takes down all replicas.
    """

    model: str
    lag_s: float
    ready_within_s: float
    promise_s: float
    roster: Roster


@dataclass(frozen=True, slots=True, kw_only=True)
class Headcount:
    """Replicas now.

    Attributes:
        ready: That take requests.
        starting: Asked for and not ready, those whose process died and starts again included.
        leaving: That answer what they have.
    """

    ready: int
    starting: int
    leaving: int


class ScaledCrew(Crew):
    """As :class:`~farthing.workers.crew.Crew`, and :meth:`scale`.

    Args:
        terms_of_scaling: See :class:`ScalingTerms`.
        crew: What the other one takes.
    """

    def __init__(self, terms_of_scaling: ScalingTerms, *crew: Any) -> None:
        super().__init__(*crew)
        self._scaling = terms_of_scaling
        self._lives: dict[int, Life] = {}
        self._keepers: dict[int, asyncio.Task[None]] = {}
        self._leaving: set[RemoteWorker] = set()
        self._next_slot = 0

    @property
    def headcount(self) -> Headcount:
        """Replicas now."""
        ready = len(self._workers)
        return Headcount(ready=ready, starting=len(self._lives) - ready, leaving=len(self._leaving))

    async def probe(self) -> tuple[RemoteWorker, Facts]:
        """As the other one does; the first replica, and those there are at the start, have no lag."""
        for _ in range(self.spec.candidate.instances):
            life = self._enrol()
            life.started_s = life.asked_s
        return await super().probe()

    def scale(self, wanted: int) -> None:
        """Ask for more replicas, or let some go: those that are not ready first, the newest first.

        What a replica is working on when it is let go is still answered by it; what waits goes to the others.
        """
        while len(self._lives) < wanted:
            slot = self._next_slot
            self._enrol()
            self._keepers[slot] = self._keep_up(self._hired(slot))
        by_need = sorted(self._lives, key=lambda slot: (slot in self._workers, -slot))
        for slot in by_need[: len(self._lives) - wanted]:
            self._let_go(slot)
        if not self._lives:
            self.queue.wake = _held

    def stop(self) -> None:
        """End all at once."""
        leaving, self._leaving = self._leaving, set()
        super().stop()
        for worker in leaving:
            worker.dismiss()
        now_s = self._now_s()
        for life in self._lives.values():
            self._scaling.roster.bury(life, now_s, "the model was unloaded")
        self._lives.clear()
        self._keepers.clear()

    def check(self, now_s: float) -> None:
        """Look after all of them, those that are leaving too."""
        super().check(now_s)
        for worker in tuple(self._leaving):
            worker.check(now_s)

    # — one replica ————————————————————————————————————————————————————————————————————————————————

    def _now_s(self) -> float:
        return self._terms.clock.monotonic_s()

    def _enrol(self) -> Life:
        life = self._lives[self._next_slot] = self._scaling.roster.ask(self._now_s())
        self._next_slot += 1
        return life

    def _keep_on(self, slot: int) -> None:
        self._keepers[slot] = self._keep_up(self._keep(slot))

    def _keep_up(self, life: Any) -> asyncio.Task[None]:
        task = super()._keep_up(life)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[None]) -> None:
        if task in self._tasks:
            self._tasks.remove(task)

    async def _hired(self, slot: int) -> None:
        await asyncio.sleep(self._scaling.lag_s)
        self._lives[slot].started_s = self._now_s()
        await self._keep(slot)

    def _join(self, slot: int, worker: RemoteWorker) -> None:
        life = self._lives[slot]
        life.pid = worker.pid
        first = life.ready_s is None
        if first:
            life.ready_s = self._now_s()
        self.queue.wake = None
        super()._join(slot, worker)
        self._scaling.roster.on_event("ready", life, "" if first else "again")

    async def _again(self, slot: int) -> RemoteWorker:
        """Start one, as often as it takes: a start that fails makes only its own replica wait."""
        tried = Deaths()
        while True:
            await asyncio.sleep(max(self._deaths.delay_s, tried.delay_s))
            try:
                worker, _ = await self._launch(slot, again=True)
            except FarthingError as e:
                death = Death(how=e.message, own=True, ready=False)
                tried = tried.after(death, self._now_s())
                self._not_ready(slot, death, tried.delay_s)
            else:
                return worker

    def _not_ready(self, slot: int, death: Death, delay_s: float) -> None:
        life = self._lives[slot]
        life.failed_starts += 1
        self._scaling.roster.on_event("not_ready", life, f"{death.how}; next start in {delay_s:g} s")
        if self._workers:
            self.died += 1
        else:  # nobody answers: whoever asks is told
            self._died(death)
            self._report()

    async def _launch(self, slot: int, *, timed: bool = False, again: bool = False) -> tuple[RemoteWorker, Facts]:
        if timed:  # the first one also finds out what the model is
            return await super()._launch(slot, timed=timed, again=again)
        limit_s = self._scaling.ready_within_s
        try:
            async with asyncio.timeout(limit_s):
                return await super()._launch(slot, again=again)
        except TimeoutError as e:
            raise EngineError(f"the worker was not ready within {limit_s:g} s") from e

    def _died(self, death: Death) -> None:
        super()._died(death)
        if death.ready:
            self._note_deaths(death)

    def _note_deaths(self, death: Death) -> None:
        """Whose process is gone although it was ready."""
        for slot, life in self._lives.items():
            if life.pid is not None and slot not in self._workers and life.ready_s is not None:
                life.deaths, life.pid = life.deaths + 1, None
                self._scaling.roster.on_event("died", life, death.how)

    def _report(self) -> None:
        if self._lives:
            super()._report()
        else:  # there is none on purpose, whatever befell those before
            self._say(None)
        if self.queue.tally is not None:
            self.queue.tally.has_ready(len(self._workers), self._now_s())

    def _let_go(self, slot: int) -> None:
        life = self._lives.pop(slot)
        keeper, worker = self._keepers.pop(slot, None), self._workers.pop(slot, None)
        if keeper is not None:
            keeper.cancel()  # one that starts is ended by that
        if worker is None:
            self._scaling.roster.bury(life, self._now_s(), "scaled in before it was ready")
            return
        life.leaving_s, life.reason = self._now_s(), "scaled in"
        self._scaling.roster.on_event("leaving", life, "")
        self._leaving.add(worker)
        self.queue.detach(worker)
        self._keep_up(self._see_off(worker, life))
        self._report()

    async def _see_off(self, worker: RemoteWorker, life: Life) -> None:
        """Let it answer what it has, then end it; one that dies meanwhile loses that to the others."""
        relieved = asyncio.ensure_future(self.queue.relieve(worker))
        either: list[asyncio.Future[Any]] = [relieved, worker.ended]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if worker.ended.done():
                life.deaths += 1
                super()._died(worker.ended.result())
                self.queue.lost(worker, worker.ended.result())
            else:
                worker.dismiss()
        finally:
            relieved.cancel()
            self._leaving.discard(worker)
            self._scaling.roster.bury(life, self._now_s(), "scaled in")


def _held() -> None:
    """Requests that come while there is no replica are held; the rule decides when there is one."""
