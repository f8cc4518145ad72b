"""JSON objects in the files beside a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from farthing.errors import ModelError

__all__ = ["json_object"]


def json_object(path: Path) -> dict[str, Any]:
    """Read a JSON object beside a model; empty when there is no such file.

    Raises:
        ModelError: when it is no readable JSON, or no object.
    """
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        raise ModelError(f"{path} is no readable JSON: {e}") from e
    if not isinstance(data, dict):
        raise ModelError(f"{path} holds {type(data).__name__}, not an object")
    return data
