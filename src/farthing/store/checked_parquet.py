"""Parquet files that know their own checksums, so that no flipped byte goes unseen.

The footer's key ``farthing:groups`` holds, for each row group, where its bytes end and their CRC-32; the key
``farthing:footer`` the CRC-32 of the footer to the end of the file, with its own eight digits as zeros. Any reader of
Parquet reads such a file. A row group counts when its bytes have their checksum, and a footer in which one byte is
damaged is mended: which one, and what it was, follows from its checksum (``store/crc32_mending.py``).
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from farthing.store.crc32_mending import damaged_byte, nearly_found

__all__ = ["Salvaged", "salvaged", "state_of", "write_parquet"]

_GROUPS, _FOOTER = b"farthing:groups", b"farthing:footer"
_FOOTER_STRING = _FOOTER + b"\x18\x08"
"""The key as Thrift's compact protocol writes it, with type and length of what follows."""
_NONE = b"0" * 8
_MAGIC, _TAIL = b"PAR1", 8
"""Length of the footer and magic, at the end."""
_CHUNK = 1 << 20


class _Summing:
    """A file that sums up what is written to it, a row group at a time, and remembers the footer."""

    def __init__(self, f: IO[bytes]) -> None:
        self._f, self._at, self._crc32 = f, 0, 0
        self.groups: list[str] = []
        self.footer: bytearray | None = None
        self.closed = False

    def end_group(self) -> None:
        """A row group is written."""
        self.groups.append(f"{self._at:x}:{self._crc32:08x}")
        self._crc32 = 0

    def begin_footer(self) -> None:
        """What follows is the footer."""
        self.footer = bytearray()

    def write(self, data: Any) -> int:
        """Write all of it."""
        n = memoryview(data).nbytes
        if self.footer is None:
            self._crc32 = zlib.crc32(data, self._crc32)
        else:
            self.footer += data
        self._f.write(data)
        self._at += n
        return n

    def tell(self) -> int:
        """Bytes so far."""
        return self._at

    def flush(self) -> None:
        """On to the system."""
        self._f.flush()

    def close(self) -> None:
        """The file belongs to whoever opened it."""
        self.closed = True

    def readable(self) -> bool:
        """No."""
        return False

    def writable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """No."""
        return False


def write_parquet(f: IO[bytes], tables: Iterable[Any], schema: Any) -> int:
    """Write tables, one row group each, with all checksums.

    Args:
        f: Open for writing, empty.
        tables: Arrow tables.
        schema: Theirs.

    Returns:
        Number of rows.

    Raises:
        OSError: when the disk does not take them.
    """
    import pyarrow.parquet as pq

    sink, n = _Summing(f), 0
    writer = pq.ParquetWriter(sink, schema, compression="zstd")
    try:
        for table in tables:
            writer.write_table(table, row_group_size=max(1, table.num_rows))
            sink.end_group()
            n += table.num_rows
        writer.add_key_value_metadata({_GROUPS: ",".join(sink.groups).encode(), _FOOTER: _NONE})
    except BaseException:
        with contextlib.suppress(Exception):  # it wants to write a footer on what has failed
            writer.close()
        raise
    sink.begin_footer()
    writer.close()
    footer = bytes(sink.footer or b"")
    f.seek(sink.tell() - len(footer) + footer.rindex(_FOOTER_STRING) + len(_FOOTER_STRING))
    f.write(b"%08x" % zlib.crc32(footer))
    return n


def state_of(path: Path) -> Literal["whole", "damaged", "unchecked"]:
    """Whether a file is what was written, from its checksums; all of it is read. ``unchecked`` has none.

    Raises:
        OSError: when it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as f:
        f.seek(max(0, size - _TAIL))
        start = size - _TAIL - int.from_bytes(f.read(_TAIL)[:4], "little")
        if start < len(_MAGIC):
            return "damaged"
        f.seek(start)
        footer = f.read()
        if footer[-len(_MAGIC) :] != _MAGIC:
            return "damaged"
        if nearly_found(_FOOTER_STRING, footer) is None:
            return "unchecked"
        if not _footer_holds(footer):
            return "damaged"
        f.seek(0)
        at = 0
        for end, crc32 in _groups(footer):
            if _crc32_of(f, end - at) != crc32:
                return "damaged"
            at = end
        return "whole" if at in (0, start) else "damaged"


def _crc32_of(f: IO[bytes], n: int) -> int:
    found = 0
    while n and (chunk := f.read(min(n, _CHUNK))):
        found, n = zlib.crc32(chunk, found), n - len(chunk)
    return found


def _parted(footer: bytes) -> tuple[bytes, bytes] | None:
    """A footer with its own checksum as zeros, and that checksum; None where it has none."""
    key = nearly_found(_FOOTER_STRING, footer)
    if key is None or key + len(_FOOTER_STRING) + len(_NONE) > len(footer):
        return None
    at = key + len(_FOOTER_STRING)
    return footer[:at] + _NONE + footer[at + len(_NONE) :], footer[at : at + len(_NONE)]


def _footer_holds(footer: bytes) -> bool:
    parts = _parted(footer)
    return parts is not None and b"%08x" % zlib.crc32(parts[0]) == parts[1]


def _groups(footer: bytes) -> list[tuple[int, int]]:
    """End and checksum of each row group's bytes, from a footer that holds."""
    at = footer.rindex(_GROUPS) + len(_GROUPS) + 1
    length, shift = 0, 0
    while footer[at] & 0x80:  # Thrift's varint
        length, shift, at = length | (footer[at] & 0x7F) << shift, shift + 7, at + 1
    length |= footer[at] << shift
    said = footer[at + 1 : at + 1 + length].decode("ascii")
    return [(int(end, 16), int(crc32, 16)) for end, _, crc32 in (one.partition(":") for one in said.split(",") if one)]


def _mended(content: bytearray) -> int | None:
    """Mend one damaged byte between the footer's beginning and the end of the file, where there is one.

    Returns:
        Where the footer begins; None when it cannot be mended.
    """
    content[-len(_MAGIC) :] = _MAGIC
    size = len(content)
    start = size - _TAIL - int.from_bytes(content[-_TAIL:-4], "little")
    if start >= len(_MAGIC):
        footer = bytes(content[start:])
        if _footer_holds(footer):
            return start
        if (place := _damaged_place(footer)) is not None:
            content[start + place[0]] ^= place[1]
            return start
    for k in range(size - _TAIL, size - 4):  # a byte of the footer's length
        was = content[k]
        for byte in range(256):
            content[k] = byte
            start = size - _TAIL - int.from_bytes(content[-_TAIL:-4], "little")
            if start >= len(_MAGIC) and _footer_holds(bytes(content[start:])):
                return start
        content[k] = was
    return None


def _damaged_place(footer: bytes) -> tuple[int, int] | None:
    """The one damaged byte of a footer and what to exclusive-or it with: 0 for a digit of the checksum itself."""
    parts = _parted(footer)
    if parts is None:
        return None
    zeroed, said = parts
    if sum(a != b for a, b in zip(b"%08x" % zlib.crc32(zeroed), said, strict=True)) == 1:
        return 0, 0
    try:
        return damaged_byte(zeroed, int(said, 16))
    except ValueError:
        return None


@dataclass(slots=True, kw_only=True)
class Salvaged:
    """What can be read of a damaged file.

    Attributes:
        tables: Row groups that are what was written.
        lost_groups: The others; the whole file counts as one where its footer cannot be read.
        lost_rows: In them, None when unknown.
    """

    tables: list[Any] = field(default_factory=list)
    lost_groups: int = 0
    lost_rows: int | None = 0


def salvaged(path: Path, schema: Any) -> Salvaged:
    """Read the row groups that can be read; of a file without checksums, those that any reader reads.

    Args:
        path: Of a file that may be damaged.
        schema: That it was written with.

    Raises:
        OSError: when it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = bytearray(path.read_bytes())
    checked = nearly_found(_FOOTER_STRING, bytes(content)) is not None
    start = _mended(content) if checked else 0
    if start is None:
        return Salvaged(lost_groups=1, lost_rows=None)
    try:
        file = pq.ParquetFile(pa.BufferReader(bytes(content)))
        sizes = [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)]
        alike = file.schema_arrow.equals(schema)
    except Exception:  # noqa: BLE001 - what a damaged footer leads to
        return Salvaged(lost_groups=1, lost_rows=None)
    if not alike:
        return Salvaged(lost_groups=1, lost_rows=None)
    good = _whole_groups(content, _groups(bytes(content[start:]))) if checked else [True] * len(sizes)
    found = Salvaged()
    for k, n in enumerate(sizes):
        table = _group(file, k, n) if good[k] else None
        if table is None:
            found.lost_groups += 1
            found.lost_rows = (found.lost_rows or 0) + max(0, n)
        else:
            found.tables.append(table.cast(schema))
    return found


def _whole_groups(content: bytearray, groups: list[tuple[int, int]]) -> list[bool]:
    starts = [0, *(end for end, _ in groups)]
    return [zlib.crc32(content[at:end]) == crc32 for at, (end, crc32) in zip(starts, groups, strict=False)]


def _group(file: Any, k: int, n: int) -> Any | None:
    """A row group, None when it cannot be read."""
    try:
        table = file.read_row_group(k)
        table.validate(full=True)
    except Exception:  # noqa: BLE001 - what damage leads to in a file without checksums
        return None
    return table if table.num_rows == n else None
