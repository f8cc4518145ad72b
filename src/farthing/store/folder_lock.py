"""One run at a time in an output folder: a lock that ends with its process, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from farthing.errors import StoreError
from farthing.store.documents import disk_errors

__all__ = ["only_run_in"]

NAME = ".farthing.lock"


@contextlib.contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder, which is made when it does not exist.

    The lock is ``flock`` on a small file that says who holds it. The kernel lets go of it when its process ends, by
    ``kill -9`` too; the file that is then left behind locks nothing.

    Raises:
        StoreError: when another run is at work there, or the folder cannot be written.
    """
    path, new = folder / NAME, not folder.exists()
    with disk_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        fd = _taken(path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # while it is still ours: whoever opened it sees that it is gone, and makes another
            if new:
                folder.rmdir()  # as it was, where nothing was written
        os.close(fd)


def _taken(path: Path) -> int:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(path, fd):
                _say_who(fd)
                return fd
        except BlockingIOError:
            raise _in_use(path, fd) from None
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _is_still(path: Path, fd: int) -> bool:
    try:
        return os.stat(path).st_ino == os.fstat(fd).st_ino
    except FileNotFoundError:
        return False


def _say_who(fd: int) -> None:
    """Write who holds the lock; on a full disk nobody is named."""
    since = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
    who = {"pid": os.getpid(), "host": platform.node(), "since": since}
    with contextlib.suppress(OSError):
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps(who).encode(), 0)


def _in_use(path: Path, fd: int) -> StoreError:
    with os.fdopen(fd, "rb") as f:
        said = f.read(1024)
    try:
        who = json.loads(said)
        pid, since, host = int(who["pid"]), str(who["since"])[:16].replace("T", " "), str(who["host"])
    except (ValueError, KeyError, TypeError):
        return StoreError(f"another run is at work in {path.parent}", hint="wait for it, or name another --output-dir")
    where = "" if host == platform.node() else f" on {host}"
    return StoreError(
        f"another run is at work in {path.parent}: process {pid}{where}, since {since}",
        hint=f"wait for it, end it (kill {pid}), or name another folder (--output-dir)",
    )
