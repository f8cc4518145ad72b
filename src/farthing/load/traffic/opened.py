"""Files of traces, plain or compressed by gzip: how they begin, their text, their lines with numbers."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from farthing.errors import TraceError
from farthing.load.nearest import nearest

__all__ = ["Lines", "head_of", "lines_of", "mostly", "opened", "refusing"]

Lines = Iterator[tuple[int, str]]
"""Lines of a file with their numbers, counted from 1."""
_HEAD_BYTES = 65_536
_LOOKED_AT = 50
_GZIP = b"\x1f\x8b"
_GZIP_FORMAT = 31
"""zlib's ``wbits`` for gzip with the largest window."""


@contextmanager
def refusing(path: Path, what: str = "trace", where: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Turn what fails in reading a file into its TraceError.

    Args:
        path: Of the file.
        what: It holds, for messages.
        where: Says, once it fails, how far it was read.
    """
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise TraceError(
            f"the {what} {path} is cut off or damaged{where()}: its compressed data do not end as gzip's do",
            hint=f"copy it again; what can be saved of it: gzip -dc {path} > {path.stem or 'saved'}",
        ) from e
    except (OSError, UnicodeDecodeError) as e:
        hint = nearest(path) if isinstance(e, FileNotFoundError) else None
        why = e.strerror or e if isinstance(e, OSError) else e
        raise TraceError(f"cannot read the {what} {path}: {why}", hint=hint) from e


def head_of(path: Path) -> bytes:
    """Read the first 64 KiB of a file, decompressed where gzip made it; fewer where it is shorter or cut off.

    Raises:
        TraceError: when it cannot be read.
    """
    with refusing(path):
        with path.open("rb") as f:
            raw = f.read(_HEAD_BYTES)
        return zlib.decompressobj(wbits=_GZIP_FORMAT).decompress(raw, _HEAD_BYTES) if raw.startswith(_GZIP) else raw


def mostly(head: bytes, like: Callable[[str], object]) -> bool:
    """Whether at least half of the first lines are like those of some kind of file.

    Args:
        head: As :func:`head_of` gives it; its last line may be cut off and does not count where there are others.
        like: Something true of a line that is.
    """
    lines = [line for line in head.decode("utf-8", "replace").split("\n")[:_LOOKED_AT] if line.strip()]
    whole = lines[:-1] or lines
    return bool(whole) and 2 * sum(bool(like(line)) for line in whole) >= len(whole)


def opened(path: Path, *, errors: str = "strict", newline: str = "") -> TextIO:
    """Open a file as UTF-8 text, decompressed where gzip made it.

    Args:
        path: Of the file.
        errors: What becomes of bytes that are no UTF-8, as in :func:`open`.
        newline: As in :func:`open`.
    """
    with path.open("rb") as f:
        compressed = f.read(len(_GZIP)) == _GZIP
    if compressed:
        return gzip.open(path, "rt", encoding="utf-8-sig", errors=errors, newline=newline)
    return path.open(encoding="utf-8-sig", errors=errors, newline=newline)


def lines_of(path: Path) -> Lines:
    """Yield the lines of a file, one after the other; bytes that are no UTF-8 become ``�``.

    Raises:
        TraceError: when it cannot be read, or its compressed data are cut off.
    """
    number = 0
    with refusing(path, where=lambda: f" after line {number:,}"), opened(path, errors="replace", newline="\n") as f:
        for number, line in enumerate(f, start=1):
            yield number, line
