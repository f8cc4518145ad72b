"""All workers of one model: started, warmed up, watched, started again when they die."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from farthing.codec import from_plain, to_plain
from farthing.errors import EngineError, FarthingError
from farthing.models.batch_check import Batching
from farthing.nouns import LocalModel, TensorSpec
from farthing.ports import Clock
from farthing.workers.batching import BatchQueue
from farthing.workers.curve import Curve, sizes_to_time
from farthing.workers.frames import Kind
from farthing.workers.placing import may_run_inline, worker_limit_mib
from farthing.workers.remote import RemoteWorker, proportional_mib, resident_mib
from farthing.workers.restarts import Death, Deaths
from farthing.workers.warm_parents import WarmParents

__all__ = ["Crew", "Facts", "Terms"]

REPEATS = 3
TIMED_S = 0.01
"""A batch of a model that may run in the server's thread is timed for so long: where it runs is no matter of luck."""
"""Runs of each batch size that is timed, after one that is not."""
PATIENCE_S = 1.0
"""With no worker left, requests wait for the next one if it starts within so long; else they are refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds for all workers of a pool.

    Attributes:
        clock: Time.
        budget_mib: Memory of all models together.
        hang_floor_s: No batch is said to hang before.
        load_limit_s: Longest time for one step of loading or warming up.
    """

    clock: Clock
    budget_mib: float
    hang_floor_s: float
    load_limit_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a loaded model turned out to be.

    Attributes:
        inputs: Of the engine, types in the server's words.
        outputs: As above.
        batching: Whether requests may share a batch, and how that was shown.
        seconds: Service time by batch size.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batching: Batching
    seconds: dict[int, float]


class _TriedInVain(Exception):
    """A worker has ended while requests were tried together."""


class Crew:
    """Workers of one model.

    Args:
        spec: What to load.
        queue: In front of them.
        parents: Fork them.
        terms: Of the pool.
        cores: For each instance; empty where it is not pinned.
        say: Told of each change: None when requests are taken, else why not.
    """

    def __init__(
        self,
        spec: LocalModel,
        queue: BatchQueue,
        parents: WarmParents,
        terms: Terms,
        cores: Sequence[tuple[int, ...]],
        say: Callable[[str | None], None],
    ) -> None:
        self.spec, self.queue = spec, queue
        self.cores = cores
        self._parents, self._terms, self._say = parents, terms, say
        self._deaths = Deaths()
        self.died = 0
        """Workers that ended without being told to, failed starts included."""
        self._answered = 0
        self._workers: dict[int, RemoteWorker] = {}
        self._starting: set[RemoteWorker] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._start_s = 0.0
        self._batching: Batching | None = None
        self._resident_mib = 0.0

    @property
    def pids(self) -> tuple[int, ...]:
        """Processes that are ready, by instance."""
        return tuple(self._workers[slot].pid for slot in sorted(self._workers))

    def memory_mib(self) -> float:
        """What they hold now, shared pages counted once."""
        return sum(proportional_mib(worker.pid) for worker in self._workers.values())

    async def probe(self) -> tuple[RemoteWorker, Facts]:
        """Start the first worker and learn what the model is; no request reaches it yet.

        Raises:
            FarthingError: when it cannot be started, loaded or warmed up.
        """
        return await self._launch(0, timed=True)

    async def go(self, first: RemoteWorker) -> None:
        """Take requests with a first worker, and start the others.

        Raises:
            FarthingError: when one cannot be started; all are ended then.
        """
        self._join(0, first)
        self._keep_on(0)
        try:
            others = range(1, self.spec.candidate.instances)
            await asyncio.gather(*[self._keep_up(self._add(slot)) for slot in others])
        except BaseException:
            self.stop()
            raise

    async def _add(self, slot: int) -> None:
        worker, _ = await self._launch(slot)
        self._join(slot, worker)
        self._keep_on(slot)

    def _keep_on(self, slot: int) -> None:
        """Keep one instance alive from now on."""
        self._keep_up(self._keep(slot))

    def resume(self) -> None:
        """Start all workers again, in the background; requests wait meanwhile."""
        self.queue.available_s = self._terms.clock.monotonic_s() + self._start_s
        for slot in range(self.spec.candidate.instances):
            self._keep_on(slot)

    def stop(self) -> None:
        """End all workers at once."""
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        for worker in (*self._workers.values(), *self._starting):
            worker.dismiss()
        self._workers.clear()
        self._starting.clear()

    def check(self, now_s: float) -> None:
        """Look after all of them; call it often."""
        for worker in (*self._workers.values(), *self._starting):
            worker.check(now_s)

    # — one worker —————————————————————————————————————————————————————————————————————————————————

    def _keep_up(self, life: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(life)
        self._tasks.append(task)
        return task

    def _join(self, slot: int, worker: RemoteWorker) -> None:
        self._workers[slot] = worker
        self.queue.attach(worker)
        self._report()

    async def _keep(self, slot: int) -> None:
        """Keep one instance alive until cancelled."""
        while True:
            worker = self._workers.get(slot)
            if worker is None:
                worker = await self._again(slot)
                self._join(slot, worker)
            death = await asyncio.shield(worker.ended)
            del self._workers[slot]
            self._died(death)
            self.queue.lost(worker, death)
            self._report()

    async def _again(self, slot: int) -> RemoteWorker:
        """Start one, as often as it takes."""
        while True:
            await asyncio.sleep(self._deaths.delay_s)
            try:
                worker, _ = await self._launch(slot, again=True)
            except FarthingError as e:
                self._died(Death(how=e.message, own=True, ready=False))
                self._report()
            else:
                return worker

    def _died(self, death: Death) -> None:
        self.died += 1
        now_s = self._terms.clock.monotonic_s()
        answered, self._answered = self._answered, self.queue.answered_batches
        self._deaths = self._deaths.after(death, now_s, answered=self._answered > answered)
        self.queue.available_s = now_s + self._deaths.delay_s + self._start_s

    def _report(self) -> None:
        """Say whether requests are taken."""
        delay_s = self._deaths.delay_s
        if self._workers or delay_s <= PATIENCE_S:
            self._say(None)
        else:
            reason = self._deaths.reason
            self._say(reason)
            self.queue.fail_waiting(reason, retry_after_s=delay_s)

    async def _launch(self, slot: int, *, timed: bool = False, again: bool = False) -> tuple[RemoteWorker, Facts]:
        """Fork, load and warm up one worker, once more where trying requests together has ended the first."""
        try:
            return await self._launch_one(slot, timed=timed, again=again)
        except _TriedInVain:
            return await self._launch_one(slot, timed=timed, again=again)

    async def _launch_one(self, slot: int, *, timed: bool, again: bool) -> tuple[RemoteWorker, Facts]:
        """Fork, load and warm up one worker; one that is started again warms up with fewer batch sizes."""
        start_s = self._terms.clock.monotonic_s()
        candidate = self.spec.candidate
        forked = await self._parents.fork(candidate.engine, candidate.threads)
        worker = RemoteWorker(
            forked,
            self.queue,
            self._terms.clock,
            hang_floor_s=self._terms.hang_floor_s,
            memory_limit_mib=self._terms.budget_mib,
        )
        self._starting.add(worker)
        try:
            facts = await self._load(worker, slot)
            facts = await self._warm(worker, facts, timed=timed, again=again)
        except BaseException:
            worker.dismiss()
            raise
        finally:
            self._starting.discard(worker)
        self._start_s = self._terms.clock.monotonic_s() - start_s
        return worker, facts

    async def _load(self, worker: RemoteWorker, slot: int) -> Facts:
        loaded = await worker.ask(Kind.LOAD, self._order(slot), limit_s=self._terms.load_limit_s)
        inputs = from_plain(tuple[TensorSpec, ...], loaded.header["inputs"])
        outputs = from_plain(tuple[TensorSpec, ...], loaded.header["outputs"])
        if self._batching is None:
            self._batching = await self._check(worker)
        if self._batching.batched:  # some exporters write 1 where there is a row for each request
            outputs = tuple(replace(spec, shape=(None, *spec.shape[1:])) for spec in outputs)
        return Facts(inputs=inputs, outputs=outputs, batching=self._batching, seconds={})

    async def _check(self, worker: RemoteWorker) -> Batching:
        """Whether requests may share a batch, found out once by the first worker.

        Raises:
            _TriedInVain: when that was the end of it; requests are then answered one at a time.
        """
        try:
            checked = await worker.ask(Kind.CHECK, {}, limit_s=self._terms.load_limit_s)
        except EngineError as e:
            self._batching = Batching(alone=f"no requests could be tried together: {e.message}", one_row=False)
            raise _TriedInVain from e
        return from_plain(Batching, checked.header)

    async def _warm(self, worker: RemoteWorker, facts: Facts, *, timed: bool, again: bool) -> Facts:
        """Run every batch size; a model whose outputs have another number of rows at some size is not batched."""
        max_rows = self.spec.candidate.max_batch if facts.batching.batched else 1
        timed_sizes = sizes_to_time(max_rows)
        enough_s = TIMED_S if may_run_inline(self.spec) else 0.0
        seconds: dict[int, float] = {}
        batching = facts.batching
        for rows in timed_sizes if again else range(1, max_rows + 1):
            repeats = REPEATS if timed and rows in timed_sizes else 0
            took, batched = await self._run_made_up(worker, rows, 1 + repeats, enough_s if repeats else 0.0)
            if batching.batched and not batched:
                batching = self._batching = Batching(alone=f"{rows} requests together have another number of rows")
                break
            if not took:
                break
            if repeats:
                seconds[rows] = min(took[1:])
        worker.batched, worker.is_ready = batching.batched, True
        self._resident_mib = max(self._resident_mib, resident_mib(worker.pid))
        worker.memory_limit_mib = worker_limit_mib(self.spec, self._resident_mib, self._terms.budget_mib)
        return replace(facts, batching=batching, seconds=seconds)

    async def _run_made_up(
        self, worker: RemoteWorker, rows: int, repeats: int, enough_s: float
    ) -> tuple[list[float], bool]:
        order = {"rows": rows, "repeats": repeats, "enough_s": enough_s}
        try:
            warm = await worker.ask(Kind.WARM, order, limit_s=self._terms.load_limit_s)
        except EngineError as e:
            raise EngineError(f"{self.spec.name} fails on a batch of {rows}: {e.message}", hint=e.hint) from e
        return warm.header["seconds"], bool(warm.header["batched"])

    def _order(self, slot: int) -> dict[str, Any]:
        spec = self.spec
        options = {**spec.options, "trust": True} if spec.trust else dict(spec.options)
        return {
            "path": str(spec.path),
            "candidate": to_plain(spec.candidate),
            "pipeline": to_plain(spec.pipeline),
            "options": options,
            "cpus": self.cores[slot] if slot < len(self.cores) else (),
            "batched": None if self._batching is None else self._batching.batched,
            "emulated_s": _profiled_s(spec) if spec.emulated else None,
        }


def _profiled_s(spec: LocalModel) -> list[float]:
    """Service time of a batch of 1, 2, … rows."""
    profile = Curve(spec.max_batch, {rows: ms / 1000 for rows, ms in spec.service_ms.items()})
    return [profile.base_s(rows) for rows in range(1, spec.max_batch + 1)]
