"""A warm parent: ``python -P -m farthing.workers.zygote`` imports an engine's libraries and forks workers.

There is one for each engine and thread count. It imports while it has a single thread, so that a fork is safe and
takes milliseconds; should a library start threads when it is imported, this program starts itself again *cold* and
its workers import for themselves. Commands and answers are JSON lines on a socket; the worker's end of a socket
pair comes with the command to fork (SCM_RIGHTS). It reaps its workers and tells how each ended, and it ends with
the server, its workers with it.

Commands: ``{"fork": number}`` with a descriptor, ``{"kill": pid}``. Answers: ``{"ready": cold}``,
``{"forked": number, "pid": pid}`` or ``{"refused": number, "message": text}``, ``{"ended": pid, "status": status}``
with the status as ``subprocess`` has it (minus the signal).
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from farthing.errors import FarthingError
from farthing.machine.lifeline import end_with_parent
from farthing.machine.offline import go_offline
from farthing.plugins import find

__all__ = ["Zygote", "main"]

DESCRIPTORS = 16
LINE_BYTES = 64 * 2**10
PIPELINES = ("image", "text")


def preload(engine: str) -> None:
    """Import what workers of an engine need; what is missing here is a worker's to report."""
    go_offline()
    with contextlib.suppress(ImportError, FarthingError):
        for library in getattr(find("engines", engine), "libraries", ()):
            importlib.import_module(library)
    for kind in PIPELINES:
        with contextlib.suppress(ImportError, FarthingError):
            find("pipelines", kind)
    with contextlib.suppress(ImportError):
        importlib.import_module("tokenizers")
    importlib.import_module("farthing.workers.worker")


def threads_now() -> int:
    """Threads of this process, 1 where the system does not say."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else 1


class Zygote:
    """Forks, reaps, reports.

    Args:
        control: Socket to the server.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._descriptors: list[int] = []
        self._text = b""
        self._workers: set[int] = set()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)

    def say(self, answer: Mapping[str, Any]) -> None:
        """Send one line."""
        self._control.sendall(json.dumps(answer).encode() + b"\n")

    def run(self) -> None:
        """Work until the server is gone."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ, self._hear)
            selector.register(self._wake_read, selectors.EVENT_READ, self._reap)
            going = True
            while going:
                going = all(key.data() for key, _ in selector.select())
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL)

    def _hear(self) -> bool:
        piece, descriptors, _, _ = socket.recv_fds(self._control, LINE_BYTES, DESCRIPTORS)
        self._descriptors += descriptors
        if not piece:
            return False
        *lines, self._text = (self._text + piece).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if "fork" in order:
                self._fork(order["fork"], socket.socket(fileno=self._descriptors.pop(0)))
            elif order["kill"] in self._workers:
                os.kill(order["kill"], signal.SIGKILL)
        return True

    def _fork(self, number: int, sock: socket.socket) -> None:
        parent = os.getpid()
        with sock:
            try:
                pid = os.fork()
            except OSError as e:  # no memory, too many processes
                self.say({"refused": number, "message": e.strerror})
                return
            if pid == 0:
                self._become_worker(parent, sock)
        self._workers.add(pid)
        self.say({"forked": number, "pid": pid})

    def _become_worker(self, parent: int, sock: socket.socket) -> None:
        """In the child: never returns, and runs nothing of what the parent would run at its exit."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            end_with_parent(parent)
            self._control.close()
            for descriptor in (*self._descriptors, self._wake_read, self._wake_write):
                os.close(descriptor)
            from farthing.workers.worker import run_worker

            run_worker(sock)
            status = 0
        except BaseException:  # noqa: BLE001 - printed; the exit status says the rest
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)
        while self._workers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            self._workers.discard(pid)
            self.say({"ended": pid, "status": os.waitstatus_to_exitcode(status)})
        return True


def main(argv: Sequence[str]) -> int:
    """Import, report, fork until the server is gone.

    Args:
        argv: Descriptor of the control socket, the server's process id, the engine's name, threads, and ``cold``
            when nothing is to be imported.
    """
    descriptor, server, engine, threads, *cold = argv
    end_with_parent(int(server))
    for number in (signal.SIGINT, signal.SIGTERM):  # the server drains first, and ends this process with itself
        signal.signal(number, signal.SIG_IGN)
    if not cold:
        preload(engine)
        if threads_now() > 1:
            os.execv(  # noqa: S606 - this program again
                sys.executable, [sys.executable, "-P", "-m", "farthing.workers.zygote", *argv, "cold"]
            )
    os.environ["OPENBLAS_NUM_THREADS"] = threads  # was 1 until here: NumPy's starts its threads on import
    gc.collect()
    gc.freeze()  # what is here now is never looked at again, and its pages stay shared
    with socket.socket(fileno=int(descriptor)) as control:
        zygote = Zygote(control)
        with contextlib.suppress(ConnectionError):  # the server has gone
            zygote.say({"ready": bool(cold)})
            zygote.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
