"""The run journal: every finished step is one line on disk, so that an interrupted run resumes.

Append-only JSON lines. The first names what the run is about (workload, seed, versions, machine); a run about
something else starts a journal of its own and keeps the old one beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from farthing.codec import from_plain, to_plain
from farthing.store.documents import disk_errors

__all__ = ["Journal"]

T = TypeVar("T")
SCHEMA = "farthing/journal/1"


class Journal:
    """Steps of one run by key.

    Args:
        path: The journal's file.
        about: What the run is about; two runs that differ in it share nothing.

    Attributes:
        resumed: Number of steps found from an earlier, interrupted run.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path = path
        self._about = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()
        self._steps = self._read()
        self.resumed = len(self._steps)
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")
        if not self.resumed and path.stat().st_size == 0:
            self._append({"schema": SCHEMA, "about": self._about, "what": to_plain(dict(about))})

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()

    def _read(self) -> dict[str, Any]:
        if not self.path.exists():
            return {}
        lines = self.path.read_text(encoding="utf-8").splitlines()
        rows = [row for line in lines if (row := _row(line)) is not None]
        if not rows or rows[0].get("about") != self._about:
            with disk_errors(self.path):
                self.path.rename(_free_name(self.path))
            return {}
        if len(rows) < len(lines):  # a line cut short by a kill: write the whole ones again
            with disk_errors(self.path):
                self.path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
        return {row["key"]: row["value"] for row in rows[1:]}

    def _append(self, row: Mapping[str, Any]) -> None:
        with disk_errors(self.path):
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def __contains__(self, key: str) -> bool:
        return key in self._steps

    def get(self, key: str, kind: type[T]) -> T | None:
        """The step's result when it is there."""
        return from_plain(kind, self._steps[key]) if key in self._steps else None

    def once(self, key: str, kind: type[T], compute: Callable[[], T]) -> T:
        """The step's result: from the journal when it is there, else computed and kept.

        Args:
            key: Name of the step, unique in the run.
            kind: Type of the result: a noun, or a type made of plain values.
            compute: Does the work; what it raises is not kept.

        Raises:
            StoreError: when the disk is full; steps finished before are safe.
        """
        if key not in self._steps:
            plain = to_plain(compute())
            self._append({"key": key, "value": plain})
            self._steps[key] = json.loads(json.dumps(plain))
        return from_plain(kind, self._steps[key])

    def forget(self) -> None:
        """Drop every step (``--fresh``); the old journal stays beside the new one."""
        self._file.close()
        with disk_errors(self.path):
            first = self.path.read_text(encoding="utf-8").splitlines()[:1]
            self.path.rename(_free_name(self.path))
            self._file = self.path.open("a", encoding="utf-8")
        self._steps = {}
        self.resumed = 0
        if first:
            self._append(json.loads(first[0]))


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    return row if isinstance(row, dict) else None


def _free_name(path: Path) -> Path:
    k = 1
    while (other := path.with_suffix(f".{k}{path.suffix}")).exists():
        k += 1
    return other
