"""Journals of the ledger: what is not in Parquet yet, appended within a second, safe against a kill at any byte.

A journal is a row of blocks: ``fLJ1``, kind (``J`` JSON, ``R`` request records), length and CRC-32 of the payload,
payload. The first block is JSON and names schema, kind, replica and deployment. A block that was cut short by a kill
fails its checksum and ends the reading. The writer holds ``flock`` on its journal, so that others can tell a journal
in use from one whose writer is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from farthing.errors import SchemaError, StoreError
from farthing.store.ledger_rows import SCHEMA, Kind, Names, plain_table, read_requests_block, request_table

__all__ = ["SUFFIX", "JournalFile", "block", "claimed", "json_block", "read_journal"]

SUFFIX = ".journal"
_HEAD = struct.Struct("<4scII")
_MAGIC = b"fLJ1"
_ROWS_PER_TABLE = 131_072


def block(letter: bytes, payload: bytes) -> bytes:
    """One block as it lies in the file."""
    return _HEAD.pack(_MAGIC, letter, len(payload), zlib.crc32(payload)) + payload


def json_block(said: Mapping[str, Any]) -> bytes:
    """A block that holds one JSON object."""
    return block(b"J", json.dumps(said, ensure_ascii=False).encode("utf-8", "replace"))


class JournalFile:
    """One journal that this process appends to.

    Args:
        folder: Of the ledger; must exist.
        kind: Of its rows.
        writer: Unique name of the writer.
        number: Counts the writer's journals of this kind.
        about: Goes into the first block beside schema and kind.

    Attributes:
        size_bytes: Written so far, whole blocks only.

    Raises:
        OSError: when it cannot be made.
    """

    def __init__(self, folder: Path, kind: Kind, writer: str, number: int, about: Mapping[str, Any]) -> None:
        name = f"{kind}-{writer}-{number:06d}{SUFFIX}"
        self.path = folder / name
        hidden = folder / f".{name}"
        self.size_bytes = self._head_bytes = 0
        self._fd = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.append([json_block({"schema": SCHEMA, "kind": kind, **about})])
            self._head_bytes = self.size_bytes
            os.rename(hidden, self.path)
        except BaseException:
            os.close(self._fd)
            hidden.unlink(missing_ok=True)
            raise

    @property
    def has_rows(self) -> bool:
        """Whether anything follows the first block."""
        return self.size_bytes > self._head_bytes

    def append(self, blocks: Sequence[bytes]) -> None:
        """Write blocks whole or not at all, and on to the disk.

        Raises:
            OSError: when they could not be written; the journal ends as it did before.
        """
        left = memoryview(b"".join(blocks))
        whole = len(left)
        try:
            while left:
                left = left[os.write(self._fd, left) :]
            os.fdatasync(self._fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self.size_bytes)
            raise
        self.size_bytes += whole

    def close(self) -> None:
        """Let others have it."""
        os.close(self._fd)


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether the journal's writer is gone and nobody else compacts it; while inside, nobody else will.

    Yields:
        False when it is in use or has vanished.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _lock(fd) and _is_still(path, fd)
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, fd: int) -> bool:
    try:
        return os.stat(path).st_ino == os.fstat(fd).st_ino
    except FileNotFoundError:
        return False


def _blocks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Whole blocks up to the first that is not."""
    with path.open("rb") as f:
        while len(head := f.read(_HEAD.size)) == _HEAD.size:
            magic, letter, length, checksum = _HEAD.unpack(head)
            payload = f.read(length)
            if magic != _MAGIC or len(payload) < length or zlib.crc32(payload) != checksum:
                return
            yield letter, payload


def check_schema(found: str, path: Path) -> None:
    """Refuse what a newer farthing wrote.

    Raises:
        SchemaError: with both versions named.
    """
    if found != SCHEMA:
        raise SchemaError(f"{path} has schema {found or 'none'}, this farthing reads {SCHEMA}", hint="upgrade farthing")


def read_journal(path: Path) -> Iterator[Any]:
    """Arrow tables of a journal, of bounded length each; a last block that was cut short is left out.

    Raises:
        SchemaError: when a newer farthing wrote it.
        StoreError: when it is no journal.
        FileNotFoundError: when it was compacted meanwhile.
    """
    blocks = _blocks(path)
    first = next(blocks, None)
    if first is None or first[0] != b"J":
        raise StoreError(f"{path} is no journal of a ledger")
    about = json.loads(first[1])
    check_schema(str(about.get("schema", "")), path)
    if about["kind"] == "requests":
        yield from _request_tables(blocks, about)
        return
    rows = [json.loads(payload) for _, payload in blocks]
    if rows:
        yield plain_table(about["kind"], rows)


def _request_tables(blocks: Iterator[tuple[bytes, bytes]], about: Mapping[str, Any]) -> Iterator[Any]:
    import pyarrow as pa

    names, tables, n = Names(), [], 0
    for letter, payload in blocks:
        if letter == b"J":
            names.learn(json.loads(payload))
            continue
        tables.append(request_table(*read_requests_block(payload), names, about))
        n += tables[-1].num_rows
        if n >= _ROWS_PER_TABLE:
            yield pa.concat_tables(tables)
            tables, n = [], 0
    if tables:
        yield pa.concat_tables(tables)
