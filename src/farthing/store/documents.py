"""Writing documents: atomically, with the schema they follow, so that a full disk or Ctrl-C loses nothing."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import yaml
from numpy.typing import NDArray

from farthing.errors import StoreError

__all__ = [
    "disk_errors",
    "full_disk",
    "write_array",
    "write_bytes",
    "write_json",
    "write_text",
    "write_whole",
    "write_yaml",
]

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says when a disk, a quota or the largest size of a file is reached."""


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the file system says into a StoreError that names the file, what is kept and what to do."""
    try:
        yield
    except OSError as e:
        if (full := full_disk(e, path)) is not None:
            raise full from e
        raise StoreError(f"cannot write {path}: {e.strerror or e}", hint="--output-dir names another folder") from e


def full_disk(error: BaseException, path: Path) -> StoreError | None:
    """What to say when an exception, or one behind it, comes of a full disk; None when none does.

    Libraries wrap what the system said in exceptions of their own, some of them in words alone.
    """
    seen: BaseException | None = error
    while seen is not None:
        if (isinstance(seen, OSError) and seen.errno in FULL) or os.strerror(errno.ENOSPC) in str(seen):
            return StoreError(
                f"no space left on the disk for {path}; what was written before is whole and kept",
                hint="free some space and run the same command (without --fresh): it resumes",
            )
        seen = seen.__cause__ or seen.__context__
    return None


def write_text(path: Path, text: str) -> Path:
    """Write a file whole or not at all.

    Raises:
        StoreError: when the disk is full or the folder cannot be written.
    """
    return write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes, *, mode: int = 0o644) -> Path:
    """Write a file whole or not at all; ``mode`` says who may read it from its first moment on.

    Raises:
        StoreError: when the disk is full or the folder cannot be written.
    """
    return write_whole(path, lambda f: f.write(content), mode=mode)


def write_array(path: Path, array: NDArray[Any]) -> Path:
    """Write an array as ``.npy``, whole or not at all.

    Raises:
        StoreError: when the disk is full or the folder cannot be written.
    """
    return write_whole(path, lambda f: np.lib.format.write_array(f, array, allow_pickle=False))


def write_whole(path: Path, write: Callable[[IO[bytes]], object], *, mode: int = 0o644) -> Path:
    """Let ``write`` fill a file that takes the place of an older one when it is whole, or leaves no trace.

    Until it is whole only its owner can read it; ``mode`` holds from then on.

    Raises:
        StoreError: when the disk is full or the folder cannot be written.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(fd, "wb") as f:
                write(f)
                f.flush()
                os.fsync(f.fileno())
            os.chmod(temporary, mode)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    return path


def write_yaml(path: Path, schema: str, content: Mapping[str, Any]) -> Path:
    """Write a YAML document that starts with its schema, for example ``farthing/plan/2``."""
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    body = yaml.dump({"schema": schema, **content}, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120)
    return write_text(path, body)


def write_json(path: Path, schema: str, content: Mapping[str, Any]) -> Path:
    """Write a JSON document that starts with its schema."""
    return write_text(path, json.dumps({"schema": schema, **content}, ensure_ascii=False, indent=1) + "\n")
