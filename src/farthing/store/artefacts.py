"""Artefacts on disk: their digest, and whether they are still what the plan says."""

from __future__ import annotations

import hashlib
from pathlib import Path

from farthing.errors import StoreError
from farthing.nouns import Artefact

__all__ = ["check_artefact", "digest", "size_mib"]


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


def size_mib(path: Path) -> float:
    """Size on disk in MiB, all files of a folder."""
    return sum(f.stat().st_size for f in _files(path)) / 2**20


def check_artefact(artefact: Artefact, root: Path) -> Path:
    """Where the artefact lies, once its digest is found to be the plan's.

    Raises:
        StoreError: when it is missing, lies outside the plan's folder or was changed.
    """
    path = (root / artefact.path).resolve()
    if not path.is_relative_to(root.resolve()):
        raise StoreError(f"artefact {artefact.path} lies outside {root}")
    if not path.exists():
        raise StoreError(f"artefact {path} is missing", hint="copy the whole output folder, not plan.yaml alone")
    found = digest(path)
    if found != artefact.sha256:
        raise StoreError(
            f"artefact {path} was changed: sha256 {found[:12]}…, the plan says {artefact.sha256[:12]}…",
            hint="run `farthing optimize` again",
        )
    return path
