"""The server's side of the warm parents: starts one for each engine and thread count, has it fork and kill."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import orjson

from farthing.errors import EngineError
from farthing.machine.offline import child_environment

__all__ = ["Forked", "WarmParent", "WarmParents"]

READY_S = 120.0
"""Longest time to import an engine's libraries."""
FORK_S = 30.0
PIECE_BYTES = 64 * 2**10
OUTPUT = 2
"""Workers' output goes where the server's own words go."""


@dataclass(slots=True, eq=False, kw_only=True)
class Forked:
    """A worker just forked.

    Attributes:
        pid: Its process.
        sock: The server's end of its socket.
        ended: Its exit status (minus the signal), or None when its warm parent was lost.
        parent: Who can kill it.
    """

    pid: int
    sock: socket.socket
    ended: asyncio.Future[int | None]
    parent: WarmParent

    def kill(self) -> None:
        """End it; nothing happens when it has ended already."""
        self.parent.kill(self.pid)


class WarmParent:
    """One process of :mod:`farthing.workers.zygote`.

    Args:
        engine: Whose libraries it imports.
        threads: Of each of its workers.

    Attributes:
        lost: It has ended.
        cold: Its libraries would start threads when imported, so that each worker imports them.
    """

    def __init__(self, engine: str, threads: int) -> None:
        self.engine, self.threads = engine, threads
        self.lost = self.cold = False
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[bool] = self._loop.create_future()
        self._forks: dict[int, asyncio.Future[int]] = {}
        self._ended: dict[int, asyncio.Future[int | None]] = {}
        self._number = 0
        self._text = b""
        self._control, theirs = socket.socketpair()
        with theirs:
            self.process = self._start(theirs)
        self._control.setblocking(False)
        self._loop.add_reader(self._control, self._readable)

    def _start(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        # -P: a file in the working folder must not stand in for a library.
        program = [sys.executable, "-P", "-m", "farthing.workers.zygote"]
        return subprocess.Popen(
            [*program, str(theirs.fileno()), str(os.getpid()), self.engine, str(self.threads)],
            stdin=subprocess.DEVNULL,
            stdout=OUTPUT,
            stderr=OUTPUT,
            pass_fds=(theirs.fileno(),),
            env={**child_environment(self.threads), "OPENBLAS_NUM_THREADS": "1"},
            process_group=0,
        )

    async def ready(self) -> None:
        """Wait until it has imported everything.

        Raises:
            EngineError: when it died or took too long.
        """
        try:
            await asyncio.wait_for(asyncio.shield(self._ready), READY_S)
        except TimeoutError as e:
            self.close()
            raise EngineError(f"importing the libraries of {self.engine} took more than {READY_S:g} s") from e

    async def fork(self) -> Forked:
        """Fork one worker.

        Raises:
            EngineError: when that is impossible.
        """
        await self.ready()
        if self.lost:
            raise EngineError(f"the warm parent of {self.engine} has ended")
        ours, theirs = socket.socketpair()
        self._number += 1
        number = self._number
        answer = self._forks[number] = self._loop.create_future()
        try:
            with theirs:
                socket.send_fds(self._control, [orjson.dumps({"fork": number}) + b"\n"], [theirs.fileno()])
            pid = await asyncio.wait_for(answer, FORK_S)
        except BaseException as e:
            ours.close()
            self._forks.pop(number, None)
            if isinstance(e, OSError):  # TimeoutError is one
                raise EngineError(f"the warm parent of {self.engine} does not answer: {e}") from e
            raise
        return Forked(pid=pid, sock=ours, ended=self._ended[pid], parent=self)

    def kill(self, pid: int) -> None:
        """Have a worker ended; only the one who reaps it knows that its number is still its own."""
        if not self.lost and pid in self._ended:
            with contextlib.suppress(OSError):  # it is gone, and its workers with it
                self._control.send(orjson.dumps({"kill": pid}) + b"\n")

    def _readable(self) -> None:
        try:
            piece = self._control.recv(PIECE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self.close()
            return
        *lines, self._text = (self._text + piece).split(b"\n")
        for line in lines:
            self._heard(orjson.loads(line))

    def _heard(self, answer: dict[str, Any]) -> None:
        if "ready" in answer:
            self.cold = bool(answer["ready"])
            self._ready.set_result(True)
        elif "forked" in answer:
            pid = int(answer["pid"])
            self._ended[pid] = self._loop.create_future()
            waits = self._forks.pop(answer["forked"], None)
            if waits is None or waits.done():  # nobody waits any more
                self.kill(pid)
            else:
                waits.set_result(pid)
        elif "refused" in answer:
            waits = self._forks.pop(answer["refused"], None)
            if waits is not None and not waits.done():
                waits.set_exception(EngineError(f"no process for a worker: {answer['message']}"))
        else:
            self._ended.pop(int(answer["ended"])).set_result(int(answer["status"]))

    def close(self) -> None:
        """End it and its workers."""
        if self.lost:
            return
        self.lost = True
        self._loop.remove_reader(self._control)
        self._control.close()
        self.process.kill()
        self.process.wait()
        gone = EngineError(f"the warm parent of {self.engine} ended: exit status {self.process.returncode}")
        waiting: list[asyncio.Future[Any]] = [self._ready, *self._forks.values()]
        for waits in waiting:
            if not waits.done():
                waits.set_exception(gone)
                waits.exception()  # seen, should nobody wait for it
        for ended in self._ended.values():
            if not ended.done():
                ended.set_result(None)


class WarmParents:
    """Those there are, started when first needed and again when one was lost."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], WarmParent] = {}

    async def fork(self, engine: str, threads: int) -> Forked:
        """Fork one worker of an engine.

        Raises:
            EngineError: when that is impossible.
        """
        key = (engine, threads)
        found = self._known.get(key)
        if found is None or found.lost:
            found = self._known[key] = WarmParent(engine, threads)
        return await found.fork()

    def close(self) -> None:
        """End them all, and all workers."""
        for parent in self._known.values():
            parent.close()
        self._known.clear()
