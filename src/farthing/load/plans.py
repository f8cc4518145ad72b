"""Plans as files. A received plan is data: nothing in it is imported or run."""

from __future__ import annotations

from pathlib import Path

import cattrs

from farthing.codec import from_plain
from farthing.errors import SchemaError
from farthing.load.schema import read_document
from farthing.nouns import Plan

__all__ = ["load_plan"]

_SHOWN = 5


def load_plan(path: Path | str) -> Plan:
    """Read a plan as farthing wrote it.

    Raises:
        InputError: when the file is missing or unreadable.
        SchemaError: when it is no plan, has a newer version, or keys are missing, unknown or of the wrong type.
    """
    data = read_document(Path(path), "plan")
    try:
        return from_plain(Plan, data)
    except (cattrs.BaseValidationError, ValueError, TypeError, KeyError, AttributeError) as e:
        problems = cattrs.transform_error(e, path="plan")
        more = f" (and {len(problems) - _SHOWN} more)" if len(problems) > _SHOWN else ""
        raise SchemaError(
            f"{path} is no valid plan: {'; '.join(problems[:_SHOWN])}{more}",
            hint="it is written by `farthing optimize`; a changed one must keep every key",
        ) from e
