"""Artefacts on disk: whether they are still what the plan says."""

from __future__ import annotations

from pathlib import Path

from farthing.errors import StoreError
from farthing.models.digests import digest
from farthing.nouns import Artefact

__all__ = ["check_artefact"]


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
