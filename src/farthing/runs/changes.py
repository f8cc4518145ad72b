"""What is no longer as it was when a plan was made."""

from __future__ import annotations

from collections.abc import Mapping

from farthing.load.workload.content import changes
from farthing.measure.workbench import Workbench

__all__ = ["say_changes"]


def say_changes(planned: Mapping[str, str], bench: Workbench) -> None:
    """Say which of the data and settings are no longer those that the plan was made with."""
    changed = changes({"content": planned}, {"content": {k: v for k, v in bench.content.items() if k in planned}})
    if planned and changed:
        said = f"{', '.join(changed)} changed since the plan was made: measured on what is there now"
        bench.tell("changed", 1, 1, said)
