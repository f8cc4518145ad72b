"""Servers under test: started on given cores, waited for, measured from outside, ended."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from serving.models import Post

__all__ = ["ask", "cpu_s", "end", "family", "free_port", "replies", "rss_mb", "running", "start", "wait_until"]


def free_port() -> int:
    """A TCP port on loopback that nobody uses now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def ask(port: int, post: Post | str, *, timeout_s: float = 20.0) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (names in lower case) and body of one request; a string is a path to GET."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        if isinstance(post, str):
            connection.request("GET", post)
        else:
            connection.request("POST", post.path, post.body, post.headers())
        reply = connection.getresponse()
        return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()
    finally:
        connection.close()


def replies(port: int, path: str) -> bool:
    """Whether a GET of ``path`` is answered with a 2xx status now."""
    try:
        return 200 <= ask(port, path, timeout_s=2.0)[0] < 300
    except (OSError, http.client.HTTPException):
        return False


def wait_until(ready: Callable[[], bool], child: subprocess.Popen[bytes], log: Path, timeout_s: float) -> None:
    """Poll until ``ready``.

    Raises:
        RuntimeError: when the process ends or does not get ready in time; with the end of its log.
    """
    end_s = time.monotonic() + timeout_s
    while not ready():
        late = time.monotonic() > end_s
        if late or child.poll() is not None:
            what = f"not ready within {timeout_s:.0f} s" if late else f"ended with status {child.returncode}"
            raise RuntimeError(f"{what}: {log.read_text(errors='replace')[-1500:]}")
        time.sleep(0.1)


def start(
    command: Sequence[str], *, cores: Sequence[int], log: Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start ``command`` in a session of its own on ``cores``; its output goes to ``log``."""
    pinned = ["taskset", "-c", ",".join(map(str, cores)), *command]
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with log.open("ab") as out:
        return subprocess.Popen(
            pinned, stdout=out, stderr=out, env=os.environ | threads | dict(env or {}), start_new_session=True
        )


def end(child: subprocess.Popen[bytes], *, timeout_s: float = 15.0) -> None:
    """Ask it to stop; kill its whole session when it does not."""
    if child.poll() is None:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=timeout_s)
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        child.wait()


@contextmanager
def running(
    command: Sequence[str],
    *,
    cores: Sequence[int],
    ready: Callable[[], bool],
    log: Path,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 60.0,
) -> Iterator[psutil.Process]:
    """A server that is ready on entry and gone on exit."""
    child = start(command, cores=cores, log=log, env=env)
    try:
        wait_until(ready, child, log, timeout_s)
        yield psutil.Process(child.pid)
    finally:
        end(child)


def family(parent: psutil.Process) -> list[psutil.Process]:
    """The process and all that descend from it."""
    return [parent, *parent.children(recursive=True)]


def cpu_s(processes: Sequence[psutil.Process]) -> float:
    """User and system time that they have used so far."""
    total = 0.0
    for p in processes:
        try:
            times = p.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def rss_mb(process: psutil.Process) -> float:
    """Resident memory in MB."""
    return float(process.memory_info().rss) / 1e6
