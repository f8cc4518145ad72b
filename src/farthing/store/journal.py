"""The run journal: every finished step is one line on disk, so that an interrupted run resumes.

Append-only JSON lines. The first names what the run is about (digests of its inputs, seed, versions, machine); a run
about something else starts a journal of its own and keeps the old one beside it. Each step carries a checksum over
what the run is about, its key and its value: a damaged line is set aside and its step done anew, a line of another
run is never taken for one of this.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from farthing.codec import from_plain, to_plain
from farthing.store.documents import disk_errors, write_bytes

__all__ = ["Journal"]

T = TypeVar("T")
SCHEMA, FIRST_SCHEMA = "farthing/journal/2", "farthing/journal/1"
_START = re.compile(rb'\{"(?:key|schema)"')


class Journal:
    """Steps of one run by key.

    Args:
        path: The journal's file.
        about: What the run is about; two runs that differ in it share nothing.
        beside: Written into the first line too, for people and tools; runs may differ in it.

    Attributes:
        resumed: Number of steps found from an earlier run.
        found_at: When that run wrote its last step, None without one.
        reused: Of those, how many were asked for.
        done: Steps that were computed.
        damaged: Lines that were set aside because they are not what was written.
        other: What the journal was about that lay here and was set aside, empty when its first line is damaged, None
            when there was none.

    Raises:
        StoreError: when the file cannot be read or written.
    """

    def __init__(self, path: Path, about: Mapping[str, Any], beside: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self._about = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()
        self._header = {"schema": SCHEMA, "about": self._about, "what": to_plain(dict(about))}
        if beside:
            self._header["beside"] = to_plain(dict(beside))
        self.other: Mapping[str, Any] | None = None
        self.found_at: datetime | None = None
        self.damaged = self.done = 0
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._steps = self._read()
        self.resumed = len(self._steps)
        self._old, self._used = frozenset(self._steps), set[str]()
        self._open()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with disk_errors(self.path) if kind is None else contextlib.suppress(OSError):
            os.close(self._fd)

    @property
    def reused(self) -> int:
        """Steps of the earlier run that this one asked for."""
        return len(self._used)

    def _open(self) -> None:
        with disk_errors(self.path):
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            self._size = os.fstat(self._fd).st_size
        if not self._size:
            try:
                self._append(self._header)
            except BaseException:
                os.close(self._fd)
                raise

    def _read(self) -> dict[str, Any]:
        if not self.path.exists():
            return {}
        found = _lines(self.path.read_bytes(), self._about)
        mine = found.header.get("about") == self._about
        if not mine and not found.proven:
            self.other = found.header.get("what", {})
            self.path.rename(_free_name(self.path))
            return {}
        self.found_at = datetime.fromtimestamp(self.path.stat().st_mtime, UTC).astimezone()
        unproven = found.unproven if found.header.get("schema") == FIRST_SCHEMA else []
        rows = [*found.proven, *(row for row, _ in unproven)]
        bad = [*found.bad, *([] if unproven else (raw for _, raw in found.unproven))]
        if bad or found.ragged or not mine:
            self._mend(found.header if mine else self._header, rows, bad)
        return {row["key"]: row["value"] for row in rows}

    def _mend(self, header: Mapping[str, Any], rows: list[dict[str, Any]], bad: list[bytes]) -> None:
        """Write the whole lines again; those that are damaged go into a file beside, and only then out of this one."""
        self.damaged = len(bad)
        if bad:
            with self.damaged_path.open("ab") as aside:
                aside.write(b"".join(line + b"\n" for line in bad))
                aside.flush()
                os.fsync(aside.fileno())
        write_bytes(self.path, b"".join(map(_line, [header, *rows])))

    @property
    def damaged_path(self) -> Path:
        """Where damaged lines are set aside."""
        return self.path.with_suffix(f".damaged{self.path.suffix}")

    def _append(self, row: Mapping[str, Any]) -> None:
        """Write a line whole or not at all."""
        left = memoryview(_line(row))
        whole = len(left)
        with disk_errors(self.path):
            try:
                while left:
                    left = left[os.write(self._fd, left) :]
                os.fsync(self._fd)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._fd, self._size)
                raise
        self._size += whole

    def __contains__(self, key: str) -> bool:
        return key in self._steps

    def holds(self, prefix: str) -> bool:
        """Whether a step whose key begins so is there."""
        return any(key.startswith(prefix) for key in self._steps)

    def get(self, key: str, kind: type[T]) -> T | None:
        """The step's result when it is there."""
        return from_plain(kind, self._steps[key]) if key in self._steps else None

    def once(self, key: str, kind: type[T], compute: Callable[[], T], *, still: Callable[[T], bool] | None = None) -> T:
        """The step's result: from the journal when it is there, else computed and kept.

        Args:
            key: Name of the step, unique in the run.
            kind: Type of the result: a noun, or a type made of plain values.
            compute: Does the work; what it raises is not kept.
            still: Whether a result that is there still holds (its files are what they were), None when it always
                does. One that does not is computed anew.

        Raises:
            StoreError: when the disk is full; steps finished before are safe.
        """
        if key in self._steps and (still is None or still(from_plain(kind, self._steps[key]))):
            self._used |= {key} & self._old
        else:
            plain = json.loads(json.dumps(to_plain(compute())))
            self._append({"key": key, "value": plain, "crc32": _checksum(self._about, key, plain)})
            self._steps[key] = plain
            self._old -= {key}
            self.done += 1
        return from_plain(kind, self._steps[key])

    def forget(self) -> None:
        """Drop every step (``--fresh``); the old journal stays beside the new one."""
        with disk_errors(self.path):
            os.close(self._fd)
            self.path.rename(_free_name(self.path))
        self._steps, self._old, self._used = {}, frozenset(), set()
        self.resumed, self.found_at, self.other = 0, None, None
        self._open()


@dataclass(slots=True)
class _Lines:
    """What a journal's file holds.

    Attributes:
        header: Its first line, empty when that cannot be read.
        proven: Steps whose checksum is right for this run.
        unproven: Steps without a checksum (files of the first version), with their bytes.
        bad: Bytes that are not what was written.
        ragged: The file does not consist of whole lines.
    """

    header: dict[str, Any] = field(default_factory=dict)
    proven: list[dict[str, Any]] = field(default_factory=list)
    unproven: list[tuple[dict[str, Any], bytes]] = field(default_factory=list)
    bad: list[bytes] = field(default_factory=list)
    ragged: bool = False


def _lines(content: bytes, about: str) -> _Lines:
    """Read what can be read; a line that a damaged end of line has joined with the next one is parted again."""
    found = _Lines()
    *lines, tail = content.split(b"\n")
    for line in lines:
        _take(found, line, about)
    if tail:  # cut short by a kill, or its end of line is damaged
        whole = len(found.bad)
        _take(found, tail, about)
        del found.bad[whole:]
        found.ragged = True
    return found


def _take(found: _Lines, line: bytes, about: str) -> None:
    """Sort one line in."""
    at = 0
    for start, end, row in _rows(line):
        _set_aside(found, line[at:start])
        at = end
        if "schema" in row:
            found.header = found.header or row
        elif "crc32" not in row:
            found.unproven.append((row, line[start:end]))
        elif row["crc32"] == _checksum(about, row["key"], row["value"]):
            found.proven.append(row)
        else:
            found.bad.append(line[start:end])
    _set_aside(found, line[at:])


def _set_aside(found: _Lines, rest: bytes) -> None:
    """Bytes between steps: one alone is a damaged end of line, more are damaged steps."""
    found.ragged |= bool(rest)
    if len(rest) > 1:
        found.bad.append(rest)


def _rows(line: bytes) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Steps and headers that begin somewhere in a line, with their first byte and the one behind their last."""
    end = 0
    for start in (match.start() for match in _START.finditer(line)):
        if start < end:
            continue  # inside a value
        text = line[start:].decode("utf-8", "surrogateescape")
        with contextlib.suppress(ValueError):
            row, length = json.JSONDecoder().raw_decode(text)
            if "schema" in row or ("key" in row and "value" in row):
                end = start + len(text[:length].encode("utf-8", "surrogateescape"))
                yield start, end, row


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row).encode() + b"\n"


def _checksum(about: str, key: str, value: Any) -> int:
    return zlib.crc32(f"{about} {json.dumps([key, value])}".encode())


def _free_name(path: Path) -> Path:
    k = 1
    while (other := path.with_suffix(f".{k}{path.suffix}")).exists():
        k += 1
    return other
