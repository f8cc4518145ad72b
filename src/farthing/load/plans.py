"""Plans as files. A received plan is data: nothing in it is imported or run."""

from __future__ import annotations

from pathlib import Path

from farthing.load.schema import read_noun
from farthing.nouns import Plan

__all__ = ["load_plan"]


def load_plan(path: Path | str) -> Plan:
    """Read a plan as farthing wrote it.

    Raises:
        InputError: when the file is missing or unreadable.
        SchemaError: when it is no plan, has a newer version, or keys are missing, unknown or of the wrong type.
    """
    return read_noun(Path(path), "plan", Plan, written_by="farthing optimize")
