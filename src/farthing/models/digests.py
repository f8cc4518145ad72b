"""Digest and size of a model file or folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["digest", "is_digest", "size_mib"]


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())


def digest(path: Path) -> str:
    """SHA-256 of a file, or of the relative names and contents of a folder's files in sorted order."""
    total = hashlib.sha256()
    for file in _files(path):
        if path.is_dir():
            total.update(str(file.relative_to(path)).encode() + b"\0")
        with file.open("rb") as f:
            while chunk := f.read(1 << 20):
                total.update(chunk)
    return total.hexdigest()


def is_digest(path: Path, sha256: str) -> bool:
    """Whether a file or folder is there and has that digest."""
    return path.exists() and digest(path) == sha256


def size_mib(path: Path) -> float:
    """Size on disk in MiB, all files of a folder."""
    return sum(f.stat().st_size for f in _files(path)) / 2**20
