"""Parquet files that know their own checksums, so that no flipped byte goes unseen.

Each page carries its CRC-32, as Parquet has it. Beyond that the footer's key ``farthing:crc32`` holds two sums, eight
hexadecimal digits each: of all bytes before the footer, and of the footer to the end of the file with these last eight
digits as zeros. Any reader of Parquet reads such a file.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

__all__ = ["Salvaged", "salvaged", "state_of", "write_parquet"]

_KEY = b"farthing:crc32"
_DIGITS = 8
_TAIL = 8
"""Length of the footer and ``PAR1``."""
_CHUNK = 1 << 20


class _Summing:
    """A file that sums up what is written to it, and remembers what is written after :meth:`mark`."""

    def __init__(self, f: IO[bytes]) -> None:
        self._f, self._at, self.crc32 = f, 0, 0
        self.footer: bytearray | None = None
        self.closed = False

    def mark(self) -> None:
        """The footer begins here."""
        self.footer = bytearray()

    def write(self, data: Any) -> int:
        """Write all of it."""
        n = memoryview(data).nbytes
        if self.footer is None:
            self.crc32 = zlib.crc32(data, self.crc32)
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
    writer = pq.ParquetWriter(sink, schema, compression="zstd", write_page_checksum=True)
    try:
        for table in tables:
            writer.write_table(table, row_group_size=max(1, table.num_rows))
            n += table.num_rows
        writer.add_key_value_metadata({_KEY: b"%08x" % sink.crc32 + b"0" * _DIGITS})
    except BaseException:
        with contextlib.suppress(Exception):  # it wants to write a footer on what has failed
            writer.close()
        raise
    sink.mark()
    writer.close()
    footer = bytes(sink.footer or b"")
    at = _sums_at(footer) + _DIGITS
    f.seek(sink.tell() - len(footer) + at)
    f.write(b"%08x" % zlib.crc32(footer))
    return n


def _sums_at(footer: bytes) -> int:
    """Where the sums stand: after the key and two bytes for type and length; -1 where there are none."""
    key = footer.rfind(_KEY)
    return -1 if key < 0 else key + len(_KEY) + 2


def state_of(path: Path) -> Literal["whole", "damaged", "unchecked"]:
    """Whether a file is what was written, from its checksums; all of it is read. ``unchecked`` has none.

    Raises:
        OSError: when it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as f:
        f.seek(max(0, size - _TAIL))
        tail = f.read(_TAIL)
        start = size - _TAIL - int.from_bytes(tail[:4], "little")
        if tail[4:] != b"PAR1" or start < len(b"PAR1"):
            return "damaged"
        f.seek(start)
        footer = f.read()
        at = _sums_at(footer)
        if at < 0:
            return "unchecked"
        f.seek(0)
        said = footer[at : at + 2 * _DIGITS]
        sums = b"%08x" % _crc32_of(f, start) + b"%08x" % zlib.crc32(
            footer[: at + _DIGITS] + b"0" * _DIGITS + footer[at + 2 * _DIGITS :]
        )
    return "whole" if said == sums else "damaged"


def _crc32_of(f: IO[bytes], n: int) -> int:
    found = 0
    while n and (chunk := f.read(min(n, _CHUNK))):
        found, n = zlib.crc32(chunk, found), n - len(chunk)
    return found


@dataclass(slots=True, kw_only=True)
class Salvaged:
    """What can be read of a damaged file.

    Attributes:
        tables: Row groups all of whose pages are what was written.
        lost_groups: The others; the whole file counts as one where its footer cannot be read.
        lost_rows: In them, None when unknown.
    """

    tables: list[Any] = field(default_factory=list)
    lost_groups: int = 0
    lost_rows: int | None = 0


def salvaged(path: Path, schema: Any) -> Salvaged:
    """Read the row groups that can be read.

    Args:
        path: Of a file that is damaged.
        schema: That it was written with.
    """
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        if not file.schema_arrow.equals(schema):
            return Salvaged(lost_groups=1, lost_rows=None)
        sizes = [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)]
    except Exception:  # noqa: BLE001 - what a damaged footer leads to
        return Salvaged(lost_groups=1, lost_rows=None)
    found = Salvaged()
    for k, n in enumerate(sizes):
        try:
            table = file.read_row_group(k)
            table.validate(full=True)
            if table.num_rows != n or {len(column) for column in table.columns} != {n}:
                raise ValueError(f"{table.num_rows} rows instead of {n}")
        except Exception:  # noqa: BLE001 - as above
            found.lost_groups += 1
            found.lost_rows = None if found.lost_rows is None else found.lost_rows + max(0, n)
        else:
            found.tables.append(table.cast(schema))
    if sum(sizes) != file.metadata.num_rows:
        found.lost_groups, found.lost_rows = found.lost_groups + 1, None
    return found
