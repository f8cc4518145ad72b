"""The resolved ONNX file of a run: where it is built, and whether it still is what was made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from farthing.models.digests import digest
from farthing.models.onnx_files import check_external_data
from farthing.nouns import ModelRef
from farthing.variants.export import MODULE_FOLDER

__all__ = ["ARTEFACTS", "Resolved", "free_folder"]

ARTEFACTS = "artefacts"
"""Folder of what is built, below the folder of the builds."""


def free_folder(out: Path) -> str:
    """Below ``out``, where there are no artefacts yet: ``out`` itself, ``build-2``, ``build-3`` …"""
    k = 1
    while (out / (name := "." if k == 1 else f"build-{k}") / ARTEFACTS).exists():
        k += 1
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """An ONNX file below the output folder, and what it was when it was made.

    Attributes:
        path: Relative to the output folder.
        sha256: Of it, of the files that its weights lie in, and of the program that was exported beside it.
    """

    path: str
    sha256: str

    @classmethod
    def of(cls, model: ModelRef, out: Path) -> Resolved:
        """Describe what was exported just now."""
        path = Path(model.onnx_path or "")
        return cls(path=os.path.relpath(path.absolute(), out.absolute()), sha256=_digests(path))

    def is_still(self, out: Path) -> bool:
        """Whether it lies in the output folder as it was made."""
        return (out / self.path).is_file() and _digests(out / self.path) == self.sha256


def _digests(path: Path) -> str:
    beside = (path.parent.parent if path.parent.name == "model" else path.parent) / MODULE_FOLDER
    files = [path, *check_external_data(path), *([beside] if beside.is_dir() else [])]
    return " ".join(digest(file) for file in files)
