"""Writing documents: atomically, with the schema they follow, so that a full disk or Ctrl-C loses nothing."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from farthing.errors import StoreError

__all__ = ["disk_errors", "write_bytes", "write_json", "write_text", "write_yaml"]


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the file system says into a StoreError that names the file and what to do."""
    try:
        yield
    except OSError as e:
        if e.errno == errno.ENOSPC:
            raise StoreError(
                f"no space left on the disk for {path}", hint="free some space and run the same command: it resumes"
            ) from e
        raise StoreError(f"cannot write {path}: {e.strerror or e}", hint="--output-dir names another folder") from e


def write_text(path: Path, text: str) -> Path:
    """Write a file whole or not at all.

    Raises:
        StoreError: when the disk is full or the folder cannot be written.
    """
    return write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file whole or not at all.

    Raises:
        StoreError: when the disk is full or the folder cannot be written.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(fd, "wb") as f:
                f.write(content)
                f.flush()
                os.fsync(f.fileno())
            os.chmod(temporary, 0o644)
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
