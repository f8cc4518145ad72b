"""One worker process as the server sees it: commands, batches, the watch over hanging and memory, its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from farthing.errors import EngineError
from farthing.ports import Clock
from farthing.wire.requests import Problem
from farthing.workers.batching import Batch, BatchQueue, Outcome
from farthing.workers.frames import Frame, FrameError, Kind, Part, frame, packed, unpacked
from farthing.workers.links import Link
from farthing.workers.restarts import Death, Killing, death_of
from farthing.workers.warm_parents import Forked

__all__ = ["RemoteWorker", "batch_frame", "proportional_mib", "resident_mib"]

REPORT_S = 5.0
"""Longest wait for the exit status of a worker whose socket has closed."""
HANG_FACTOR = 30.0
"""A batch that takes so many times its expected time hangs, if it takes longer than the floor too."""
PAGE_MIB = (os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096) / 2**20


def resident_mib(pid: int) -> float:
    """Resident memory of a process, 0 when it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_MIB
    except (OSError, IndexError):
        import psutil

        with contextlib.suppress(psutil.Error):
            return float(psutil.Process(pid).memory_info().rss / 2**20)
        return 0.0


def proportional_mib(pid: int) -> float:
    """Its share of memory: pages that it shares with its siblings are divided among them; else all that it holds."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return resident_mib(pid)


def batch_frame(batch: Batch, number: int) -> list[Part]:
    """A batch as it goes to a worker."""
    requests = batch.requests
    header: dict[str, Any] = {"rows": [request.rows for request in requests]}
    if requests[0].tensors is not None:
        pieces = list(zip(*[request.tensors or () for request in requests], strict=True))
        header["tensors"], parts = packed(pieces)
        return frame(Kind.BATCH, number, header, parts)
    raw: list[Part] = []
    text = False
    for payload in (p for request in requests for p in request.payloads or ()):
        text = isinstance(payload, str)
        raw.append(payload.encode("utf-8", "replace") if isinstance(payload, str) else payload)
    return frame(Kind.BATCH, number, {**header, "payloads": [len(p) for p in raw], "text": text}, raw)


class RemoteWorker:
    """A runner in another process.

    Args:
        forked: The process.
        queue: Told of finished batches; of the death by whoever waits for ``ended``.
        clock: Time.
        hang_floor_s: No batch is said to hang before.
        memory_limit_mib: Resident memory at which it is ended; may be changed.
    """

    inline = False

    def __init__(
        self, forked: Forked, queue: BatchQueue, clock: Clock, *, hang_floor_s: float, memory_limit_mib: float
    ) -> None:
        self.memory_limit_mib = memory_limit_mib
        self.batched, self.is_ready = True, False
        self._forked, self._queue, self._clock, self._hang_floor_s = forked, queue, clock, hang_floor_s
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Death] = loop.create_future()
        self._asked: asyncio.Future[Frame] | None = None
        self._number = 0
        self._batch: Batch | None = None
        self._at_rest = False
        self._killing: tuple[Killing, str] | None = None
        self._burial: asyncio.Task[None] | None = None
        self._link = Link(forked.sock, self._heard, self._closed)

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._forked.pid

    async def ask(self, kind: Kind, header: Mapping[str, Any], *, limit_s: float) -> Frame:
        """Send a command and wait for its answer.

        Raises:
            EngineError: what the worker says about a failure, that it died, or that it took too long.
        """
        if self.ended.done():
            raise EngineError(f"the worker died ({self.ended.result().how})")
        self._number += 1
        self._asked = asyncio.get_running_loop().create_future()
        self._link.send(frame(kind, self._number, header))
        try:
            answer = await asyncio.wait_for(self._asked, limit_s)
        except TimeoutError as e:
            self.kill("hang", f"no answer within {limit_s:g} s")
            raise EngineError(f"the worker did not answer within {limit_s:g} s") from e
        if answer.kind is Kind.FAILED:
            raise EngineError(str(answer.header["message"]), hint=answer.header["hint"])
        return answer

    def run(self, batch: Batch) -> None:
        """Send a batch."""
        self._number += 1
        self._batch = batch
        self._at_rest = False
        self._link.send(batch_frame(batch, self._number))

    def _heard(self, received: Frame) -> None:
        if received.number != self._number:
            self._nonsense(f"an answer to {received.number} instead of {self._number}")
        elif self._asked is not None and not self._asked.done():
            self._asked.set_result(received)
        elif self._batch is not None and received.kind is Kind.RESULT:
            try:
                outcome = _outcome(received, self._batch, rows_checked=self.batched)
            except (FrameError, LookupError, TypeError, ValueError) as e:
                self._nonsense(str(e))
                return
            self._batch = None
            self._queue.finished(self, outcome)
        else:
            self._nonsense(f"a frame of kind {received.kind.name}")

    def _nonsense(self, what: str) -> None:
        self.kill("nonsense", f"it answered with {what}")

    def check(self, now_s: float) -> None:
        """End it when it hangs or holds too much memory; one that rests is weighed once."""
        batch = self._batch
        if batch is not None:
            limit_s = max(self._hang_floor_s, HANG_FACTOR * self._queue.curve.expected_s(batch.rows))
            if now_s - batch.sent_s > limit_s:
                self.kill("hang", f"no answer within {limit_s:.3g} s")
                return
        if self._at_rest:
            return
        self._at_rest = batch is None and self.is_ready
        used_mib = resident_mib(self.pid)
        if used_mib > self.memory_limit_mib:
            self.kill("memory", f"{used_mib:,.0f} MiB of memory; the limit is {self.memory_limit_mib:,.0f}")

    def kill(self, killing: Killing, detail: str) -> None:
        """End it, and remember why."""
        if self._killing is None:
            self._killing = killing, detail
            self._forked.kill()

    def dismiss(self) -> None:
        """End it though nothing is wrong."""
        self._link.close()
        self._forked.kill()
        self._queue.detach(self)

    def _closed(self, reason: str) -> None:
        self._queue.detach(self)
        if reason:
            self._nonsense(reason)
        self._burial = asyncio.get_running_loop().create_task(self._bury())

    async def _bury(self) -> None:
        """Find out how it ended; one that only closed its socket is ended."""
        self._link.close()
        try:
            status = await asyncio.wait_for(asyncio.shield(self._forked.ended), REPORT_S)
        except TimeoutError:
            self._forked.kill()
            status = None
        killing, detail = self._killing or (None, "")
        death = death_of(status, killing, detail, ready=self.is_ready)
        if self._asked is not None and not self._asked.done():
            self._asked.set_exception(EngineError(f"the worker died ({death.how})"))
        self.ended.set_result(death)


def _outcome(received: Frame, batch: Batch, *, rows_checked: bool) -> Outcome:
    """Read a worker's answer, and check that it has a row for each row that went well."""
    outputs: Sequence[NDArray[Any]] = unpacked(received.header["tensors"], received.body)
    bad: dict[int, Problem] = {}
    rows = batch.rows
    if received.header["bad"]:
        bad = {int(k): Problem(int(status), str(message)) for k, status, message in received.header["bad"]}
        rows -= sum(batch.requests[k].rows for k in bad)
        if len(bad) == len(batch.requests):
            return Outcome(outputs=(), service_s=received.nanos / 1e9, bad=bad)
    if not outputs or (rows_checked and not all(output.shape[:1] == (rows,) for output in outputs)):
        raise ValueError(f"outputs of the shapes {[output.shape for output in outputs]} for {rows:,} rows")
    return Outcome(outputs=outputs, service_s=received.nanos / 1e9, bad=bad)
