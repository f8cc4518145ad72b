"""All models of a server and the memory they share: start, stop, sleep when idle, wake on demand."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from farthing.errors import EngineError
from farthing.nouns import LocalModel
from farthing.ports import Clock
from farthing.wire.requests import LiveModel
from farthing.workers.batching import BatchQueue
from farthing.workers.crew import Crew, Facts, Terms
from farthing.workers.curve import Curve
from farthing.workers.inline import InlineRunner, KeptTokens
from farthing.workers.placing import Held, cores_for, inline_rows, planned_mib, runs_inline, to_evict
from farthing.workers.remote import proportional_mib
from farthing.workers.scaled_crew import Headcount, ScaledCrew, ScalingTerms
from farthing.workers.tally import Counted, Tally
from farthing.workers.warm_parents import WarmParents

__all__ = ["Pool"]

GUARD_S = 0.1
"""How often deadlines, hanging and memory are looked at; some 20 µs for each worker."""
MEMORY_TURNS = 100
"""Turns of the guard between two looks at what whole models hold; some 1 ms for each worker."""
ROOM_POLL_S = 0.05
"""How often a model that must wake looks whether others have become idle."""
HANG_FLOOR_S = 10.0
LOAD_LIMIT_S = 300.0
PLATFORMS = {"onnxruntime": "onnxruntime_onnx"}
"""Where metadata has a usual word for an engine that is not its name."""


@dataclass(slots=True, eq=False, kw_only=True)
class _Seat:
    """One model in the pool."""

    key: int
    spec: LocalModel
    queue: BatchQueue
    crew: Crew
    held_mib: float
    live: LiveModel | None = None
    inline: InlineRunner | None = None
    asleep: bool = False
    waking: asyncio.Task[None] | None = None
    cores: list[tuple[int, ...]] = field(default_factory=list)


class Pool:
    """Workers of all models under one memory budget.

    A model that is idle may be put to sleep to make room for another; it stays *ready*, and its next request
    wakes it. Models that run in the loop thread are small and never sleep.

    Args:
        clock: Time.
        memory_budget_mib: Of all workers together.
        hang_floor_s: No batch is said to hang before; see :data:`farthing.workers.remote.HANG_FACTOR`.
        load_limit_s: Longest time for one step of loading or warming up.
        scaling: Of the one model whose workers are started and stopped while it serves; None for no such model. It
            neither sleeps nor runs in the loop thread.
    """

    def __init__(
        self,
        clock: Clock,
        memory_budget_mib: float,
        *,
        hang_floor_s: float = HANG_FLOOR_S,
        load_limit_s: float = LOAD_LIMIT_S,
        scaling: ScalingTerms | None = None,
    ) -> None:
        self._clock, self._scaling = clock, scaling
        self._terms = Terms(
            clock=clock, budget_mib=memory_budget_mib, hang_floor_s=hang_floor_s, load_limit_s=load_limit_s
        )
        self._parents = WarmParents()
        self._kept = KeptTokens()
        self._seats: dict[int, _Seat] = {}
        self._taken: Counter[int] = Counter()
        self._number = 0
        self._guard: asyncio.Task[None] | None = None

    # — what the repository calls ——————————————————————————————————————————————————————————————————

    async def start(self, spec: LocalModel) -> LiveModel:
        """Load a model in its workers, warm it up, and return it when it is ready.

        Raises:
            EngineError: when there is not enough memory, the engine is missing or refuses it, or a worker dies.
        """
        if self._guard is None:
            self._guard = asyncio.get_running_loop().create_task(self._watch())
        seat = self._seat(spec)
        try:
            await self._make_room(seat)
            await self._open(seat)
        except BaseException:
            self._clear(seat)
            raise
        assert seat.live is not None
        return seat.live

    async def stop(self, model: LiveModel, drain: bool = True) -> None:
        """Answer what was taken (or refuse what still waits), then end the workers; once is enough."""
        seat = next((s for s in self._seats.values() if s.live is model), None)
        if seat is None:
            return
        model.state = "unloading"
        seat.queue.closed = f"model {model.spec.name} version {model.spec.version} is being unloaded"
        if drain:
            await seat.queue.quiet()
        self._clear(seat)
        model.state = "unloaded"

    async def close(self) -> None:
        """End everything; what still waits is answered with 503."""
        for seat in list(self._seats.values()):
            if seat.live is not None:
                await self.stop(seat.live, drain=False)
            else:
                self._clear(seat)
        if self._guard is not None:
            self._guard.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._guard
            self._guard = None
        self._parents.close()

    def pids(self, model: LiveModel) -> tuple[int, ...]:
        """Worker processes of a model that are ready; none when it runs inline or sleeps."""
        return next((s.crew.pids for s in self._seats.values() if s.live is model), ())

    def in_loop(self, model: LiveModel) -> bool:
        """Whether a model runs in the server's own thread; one that sleeps, or does not run here, does not."""
        return any(s.live is model and not s.asleep and not s.crew.pids for s in self._seats.values())

    def died(self, model: LiveModel) -> int:
        """Workers of a model that ended without being told to, since it was loaded."""
        return next((s.crew.died for s in self._seats.values() if s.live is model), 0)

    def memory_mib(self, model: LiveModel) -> float:
        """What a model was last seen to hold, 0 while it sleeps."""
        return next((s.held_mib for s in self._seats.values() if s.live is model), 0.0)

    # — scaling ————————————————————————————————————————————————————————————————————————————————————

    def headcount(self, model: LiveModel) -> Headcount | None:
        """Replicas of the model that is scaled, None for others."""
        seat = next((s for s in self._seats.values() if s.live is model), None)
        return seat.crew.headcount if seat is not None and isinstance(seat.crew, ScaledCrew) else None

    def counted(self, model: LiveModel) -> Counted | None:
        """What the queue of the model that is scaled has counted, None for others."""
        return next((s.queue.counted() for s in self._seats.values() if s.live is model), None)

    def turned_away(self, model: LiveModel) -> None:
        """A request for a model was refused before it came to its queue."""
        for seat in self._seats.values():
            if seat.live is model and seat.queue.tally is not None:
                seat.queue.tally.turned_away()

    def scale(self, model: LiveModel, wanted: int) -> int:
        """Have so many worker processes of the model that is scaled, as far as there is memory for them.

        Returns:
            How many there are to be; fewer than wanted when not even putting idle models to sleep makes room.
        """
        seat = next((s for s in self._seats.values() if s.live is model), None)
        if seat is None or not isinstance(seat.crew, ScaledCrew):
            return 0
        count = seat.crew.headcount
        more = wanted - count.ready - count.starting
        each_mib = seat.crew.memory_mib() / count.ready if more > 0 and count.ready else 0.0
        while more > 0 and not self._evict(each_mib * more):
            more -= 1
        allowed = count.ready + count.starting + more
        seat.held_mib += each_mib * max(0, more)
        seat.crew.scale(allowed)
        return allowed

    # — seats ——————————————————————————————————————————————————————————————————————————————————————

    def _seat(self, spec: LocalModel) -> _Seat:
        candidate = spec.candidate
        curve = Curve(candidate.max_batch, {rows: ms / 1000 for rows, ms in spec.service_ms.items()})
        queue = BatchQueue(
            max_rows=candidate.max_batch,
            max_waiting=spec.max_waiting,
            max_delay_s=spec.max_delay_s,
            curve=curve,
            clock=self._clock,
        )
        allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
        scaled = self._scaling if self._scaling is not None and self._scaling.model == spec.name else None
        cores = [] if scaled else cores_for(allowed, self._taken, candidate.instances, candidate.threads)
        self._number += 1
        key = self._number
        given = spec, queue, self._parents, self._terms, cores, lambda reason: self._say(key, reason)
        if scaled is None:
            crew = Crew(*given)
        else:
            queue.tally = Tally(promise_s=scaled.promise_s, now_s=self._clock.monotonic_s())
            crew = ScaledCrew(scaled, *given)
        seat = _Seat(key=key, spec=spec, queue=queue, crew=crew, held_mib=0.0, cores=cores)
        self._seats[key] = seat
        return seat

    def _say(self, key: int, reason: str | None) -> None:
        """A crew takes requests, or not."""
        seat = self._seats.get(key)
        if seat is None or seat.live is None or seat.live.state not in ("ready", "unavailable"):
            return
        seat.live.state = "ready" if reason is None else "unavailable"
        seat.live.reason = reason or ""
        seat.queue.closed = reason

    async def _open(self, seat: _Seat) -> None:
        """Probe a model in a worker, decide where it runs, and make it live."""
        first, facts = await seat.crew.probe()
        if facts.seconds:
            seat.queue.curve.measured(facts.seconds)
        if not facts.batching.batched:
            seat.queue.limit_rows(1)
        if runs_inline(seat.spec, seat.queue.curve):
            seat.held_mib = proportional_mib(first.pid)
            first.dismiss()
            await self._open_inline(seat, facts)
        else:
            await seat.crew.go(first)
            seat.held_mib = seat.crew.memory_mib()
        seat.live = LiveModel(
            spec=seat.spec,
            inputs=facts.inputs,
            outputs=facts.outputs,
            batched=facts.batching.batched,
            queue=seat.queue,
            batching=facts.batching.sentence,
            one_row=facts.batching.one_row,
            state="ready",
            platform="emulated" if seat.spec.emulated else _platform(seat.spec),
        )
        self._evict(0.0, seat)

    async def _open_inline(self, seat: _Seat, facts: Facts) -> None:
        batched = facts.batching.batched
        seat.inline = await InlineRunner.load(seat.spec, seat.queue, self._kept, batched=batched)
        if batched:
            seat.queue.limit_rows(inline_rows(seat.queue.curve, seat.spec.candidate.max_batch))
        seat.queue.attach(seat.inline)

    def _clear(self, seat: _Seat) -> None:
        """End a model's workers and give back what it had."""
        if self._seats.pop(seat.key, None) is None:
            return
        if seat.waking is not None:
            seat.waking.cancel()
        seat.crew.stop()
        if seat.inline is not None:
            seat.inline.close()
        self._taken.subtract(core for cores in seat.cores for core in cores)
        seat.queue.closed = seat.queue.closed or "the model was stopped"
        seat.queue.abandon(seat.queue.closed)

    # — memory —————————————————————————————————————————————————————————————————————————————————————

    async def _make_room(self, seat: _Seat) -> None:
        """Reserve memory for a model that is about to be loaded.

        Raises:
            EngineError: when not even putting all idle models to sleep makes enough room.
        """
        artefact_mib = await asyncio.to_thread(_size_mib, seat.spec.path)
        need_mib = planned_mib(seat.spec, artefact_mib, self._terms.budget_mib)
        if not self._evict(need_mib, seat):
            held_mib = sum(s.held_mib for s in self._seats.values() if s is not seat)
            raise EngineError(
                f"{seat.spec.name} needs {need_mib:,.0f} MiB; of {self._terms.budget_mib:,.0f} MiB "
                f"{held_mib:,.0f} are held by models that are busy",
                hint="a larger memory budget, fewer models, or fewer instances",
            )
        seat.held_mib = need_mib

    def _evict(self, need_mib: float, newcomer: _Seat | None = None) -> bool:
        """Put idle models to sleep until so much is free; whether that is enough."""
        held = [
            Held(key=s.key, mib=s.held_mib, last_used_s=s.queue.last_used_s, idle=self._may_sleep(s, newcomer))
            for s in self._seats.values()
            if not s.asleep and (s is not newcomer or need_mib == 0.0)
        ]
        keys = to_evict(held, need_mib, self._terms.budget_mib)
        for key in keys or ():
            self._sleep(self._seats[key])
        return keys is not None

    def _may_sleep(self, seat: _Seat, newcomer: _Seat | None) -> bool:
        may = seat.live is not None and seat.inline is None and not isinstance(seat.crew, ScaledCrew)
        return seat is not newcomer and may and seat.queue.idle

    def _sleep(self, seat: _Seat) -> None:
        seat.crew.stop()
        seat.asleep, seat.held_mib = True, 0.0
        seat.queue.wake = lambda: self._wake(seat)

    def _wake(self, seat: _Seat) -> None:
        if seat.waking is None:
            seat.waking = asyncio.get_running_loop().create_task(self._waken(seat))

    async def _waken(self, seat: _Seat) -> None:
        """Load a sleeping model again, as soon as there is room."""
        while True:
            try:
                await self._make_room(seat)
                break
            except EngineError:
                await asyncio.sleep(ROOM_POLL_S)  # requests wait until their deadlines; some model will be idle
        seat.asleep, seat.queue.wake, seat.waking = False, None, None
        seat.crew.resume()

    # — watch ——————————————————————————————————————————————————————————————————————————————————————

    async def _watch(self) -> None:
        """Deadlines of what waits, hanging batches, memory."""
        for k in count(1):
            await asyncio.sleep(GUARD_S)
            now_s = self._clock.monotonic_s()
            for seat in list(self._seats.values()):
                seat.queue.expire(now_s)
                seat.crew.check(now_s)
            if k % MEMORY_TURNS == 0:
                self._weigh()

    def _weigh(self) -> None:
        """See what models hold by now, and make room when it has become too much."""
        for seat in self._seats.values():
            if seat.crew.pids and seat.live is not None:
                seat.held_mib = seat.crew.memory_mib()
        self._evict(0.0)


def _platform(spec: LocalModel) -> str:
    return PLATFORMS.get(spec.candidate.engine, spec.candidate.engine)


def _size_mib(path: Path) -> float:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(p.stat().st_size for p in files) / 2**20
