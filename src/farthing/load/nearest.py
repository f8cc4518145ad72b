"""The file that was probably meant by a name that does not exist."""

from __future__ import annotations

import difflib
from pathlib import Path

__all__ = ["nearest"]


def nearest(path: Path) -> str:
    """What to say of a path that does not exist: a name beside it that is alike, else where was looked."""
    parent = path.parent
    names = sorted(p.name for p in parent.iterdir()) if parent.is_dir() else []
    close = difflib.get_close_matches(path.name, names, n=1)
    if close:
        return f"did you mean {parent / close[0]}?"
    return f"looked in {parent.resolve()}" if parent.is_dir() else f"there is no folder {parent} either"
