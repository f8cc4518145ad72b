"""Evidence of routes that are followed, in the user's state folder: it outlives restarts of the server.

Servers that follow the same file at the same time have a place each: whoever holds a place's lock writes there. Each
begins with the newest evidence of any of them, so that a server that starts before the old one ends goes on from it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from farthing.errors import StoreError
from farthing.store.documents import disk_errors, write_bytes

__all__ = ["EvidenceFile"]

SCHEMA = "farthing/watch-evidence/1"
_PLACES = 64


class EvidenceFile:
    """Where one server keeps the evidence of one route.

    Args:
        route: File that is followed; its place and content, and ``digests``, make another route of it.
        digests: Of what lies beside it.

    Raises:
        StoreError: when the folder cannot be made, or more than 64 servers follow the route.
    """

    def __init__(self, route: Path, digests: tuple[str, ...] = ()) -> None:
        self.key = _key(route, digests)
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        folder = Path(state) / "farthing" / "watch"
        self._written = 0
        self._lock = threading.Lock()
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for place in range(_PLACES):
                self.path = folder / f"{self.key[:32]}.{place}.json"
                self._fd = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                except BlockingIOError:
                    os.close(self._fd)
        raise StoreError(f"{_PLACES} servers follow {route} already", hint="stop one of them")

    def read(self) -> dict[str, Any] | None:
        """What was written last of this route, by whichever server; None when nothing was.

        Raises:
            StoreError: when it cannot be read.
        """
        for path in _newest_first(self.path.parent, self.key):
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile: the next one counts
                return _read(path)
        return None

    def write(self, number: int, content: Mapping[str, Any]) -> None:
        """Write the evidence, for its owner's eyes only; may be called from other threads.

        Args:
            number: Of this state; one that is older than what was written is left out.
            content: Plain values.

        Raises:
            StoreError: when the disk does not take it.
        """
        with self._lock:
            if number > self._written:
                write_bytes(self.path, json.dumps({"schema": SCHEMA, **content}).encode(), mode=0o600)
                self._written = number

    def close(self) -> None:
        """Let another server have the place."""
        with self._lock, contextlib.suppress(OSError):
            os.close(self._fd)


def _newest_first(folder: Path, key: str) -> list[Path]:
    """Evidence of a route in all places; what vanishes meanwhile is left out."""
    written_ns = {}
    for path in folder.glob(f"{key[:32]}.*.json"):
        with contextlib.suppress(OSError):
            written_ns[path] = path.stat().st_mtime_ns
    return sorted(written_ns, key=lambda path: -written_ns[path])


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as e:
        raise StoreError(f"cannot read the evidence {path}: {e}", hint="remove it; the watch begins anew") from e
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise StoreError(f"{path} is no {SCHEMA}", hint="remove it; the watch begins anew")
    return found


def _key(route: Path, digests: tuple[str, ...]) -> str:
    found = hashlib.sha256(str(route.absolute()).encode())
    with contextlib.suppress(OSError):
        found.update(hashlib.sha256(route.read_bytes()).digest())
    found.update("".join(digests).encode())
    return found.hexdigest()
