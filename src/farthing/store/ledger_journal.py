"""Journals of the ledger: what is not in Parquet yet, appended within a second, safe against a kill at any byte.

A journal is a row of blocks (``store/ledger_blocks.py``). The first is JSON and names schema, kind, replica and
deployment. A last block that was cut short by a kill is left out; damage anywhere costs the blocks that it touches, and
is counted. The writer holds ``flock`` on its journal, so that others can tell a journal in use from one whose writer is
gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from farthing.errors import SchemaError, StoreError
from farthing.store.ledger_blocks import Block, Gap, block, blocks_of, json_block
from farthing.store.ledger_damage import Damage
from farthing.store.ledger_rows import (
    KINDS,
    SCHEMA,
    Kind,
    Names,
    plain_table,
    read_requests_block,
    request_table,
    rows_in_block,
)

__all__ = ["SUFFIX", "JournalFile", "block", "check_schema", "claimed", "json_block", "kind_of", "read_journal"]

SUFFIX = ".journal"
_ROWS_PER_TABLE = 16_384
"""Of a row group too: what damage to one page costs."""


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


def check_schema(found: str, path: Path) -> None:
    """Refuse what a newer farthing wrote.

    Raises:
        SchemaError: with both versions named.
    """
    if found != SCHEMA:
        raise SchemaError(f"{path} has schema {found or 'none'}, this farthing reads {SCHEMA}", hint="upgrade farthing")


def read_journal(path: Path, damage: list[Damage] | None = None) -> Iterator[Any]:
    """Arrow tables of a journal, of bounded length each.

    Args:
        path: Of the journal.
        damage: Gets what could not be read, once all tables were taken.

    Raises:
        SchemaError: when a newer farthing wrote it.
        StoreError: when its name is none of a ledger's.
        FileNotFoundError: when it was compacted meanwhile.
    """
    blocks = iter(blocks_of(path.read_bytes()))
    lost = _Lost(kind_of(path))
    about, first = _about(path, blocks, lost)
    rest = blocks if first is None else itertools.chain([first], blocks)
    if lost.kind == "requests":
        yield from _request_tables(rest, about, lost)
    elif rows := [found.said for found in lost.counted(rest) if found.said is not None]:
        yield plain_table(lost.kind, rows)
    if damage is not None and lost.parts:
        damage.append(
            Damage(file=path.name, parts=lost.parts, n_bytes=lost.n_bytes, rows=lost.rows, unnamed_rows=lost.unnamed)
        )


def kind_of(path: Path) -> Kind:
    """Kind of a file's rows, from its name.

    Raises:
        StoreError: when it is none of a ledger's.
    """
    for kind in KINDS:
        if path.name.startswith(f"{kind}-"):
            return kind
    raise StoreError(f"{path} is no file of a ledger: its name starts with none of {', '.join(KINDS)}")


class _Lost:
    """Counts what a journal's gaps held."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.parts = self.n_bytes = self.unnamed = 0
        self.rows: int | None = 0

    def counted(self, found: Iterable[Block | Gap]) -> Iterator[Block]:
        """The blocks; gaps are counted on the way."""
        for one in found:
            if isinstance(one, Block):
                yield one
            else:
                self.add(one)

    def add(self, gap: Gap) -> None:
        """Count one, as far as what is left of it says how many rows it held."""
        self.parts += len(gap.parts)
        self.n_bytes += gap.n_bytes
        for payload in gap.parts:
            n = (0 if payload[:1] == b"{" else rows_in_block(payload)) if self.kind == "requests" else 1
            self.rows = None if n is None or self.rows is None else self.rows + n


def _about(path: Path, blocks: Iterator[Block | Gap], lost: _Lost) -> tuple[Mapping[str, Any], Block | Gap | None]:
    """What the first block says; where it is damaged, what the file's name does. Also a block that was taken too far.

    Raises:
        SchemaError: when a newer farthing wrote the journal.
    """
    first = next(blocks, None)
    if isinstance(first, Block) and first.said is not None and "schema" in first.said:
        check_schema(str(first.said["schema"]), path)
        return first.said, None
    writer = path.stem.removeprefix(f"{lost.kind}-").rpartition("-")[0]
    return {"kind": lost.kind, "replica": writer, "deployment": None}, first


def _request_tables(blocks: Iterable[Block | Gap], about: Mapping[str, Any], lost: _Lost) -> Iterator[Any]:
    import pyarrow as pa

    names, tables, n = Names(), [], 0
    for found in lost.counted(blocks):
        if found.said is not None:
            names.learn(found.said, certain=not lost.parts)
            continue
        records, ids, tenants = read_requests_block(found.payload)
        lost.unnamed += names.unknown_in(records) if lost.parts else 0
        tables.append(request_table(records, ids, tenants, names, about))
        n += tables[-1].num_rows
        if n >= _ROWS_PER_TABLE:
            yield pa.concat_tables(tables)
            tables, n = [], 0
    if tables:
        yield pa.concat_tables(tables)
