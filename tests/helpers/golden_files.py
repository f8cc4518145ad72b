"""Golden files: compared as they stand; FARTHING_GOLDEN=write (`make golden`) writes them anew for review."""

from __future__ import annotations

import os
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden"


def compare(path: Path, said: str) -> None:
    """Hold a text against its golden file below tests/golden."""
    if os.environ.get("FARTHING_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(said, encoding="utf-8")
    name = path.relative_to(GOLDEN)
    assert path.exists(), f"no golden file {name}: `make golden` writes it; review what it says"
    assert said == path.read_text(encoding="utf-8"), f"{name} says otherwise: if that is meant, `make golden`"
