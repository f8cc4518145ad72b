"""Plans and resolved workloads as files. What was received is data: nothing in it is imported or run."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import cattrs

from farthing.codec import from_plain
from farthing.errors import SchemaError
from farthing.load.schema import read_document
from farthing.nouns import Plan, Workload

__all__ = ["load_plan", "load_resolved_workload"]

T = TypeVar("T")
_SHOWN = 5


def _read(path: Path, kind: str, noun: type[T]) -> T:
    data = read_document(path, kind)
    try:
        return from_plain(noun, data)
    except (cattrs.BaseValidationError, ValueError, TypeError, KeyError, AttributeError) as e:
        problems = cattrs.transform_error(e, path=kind)
        more = f" (and {len(problems) - _SHOWN} more)" if len(problems) > _SHOWN else ""
        raise SchemaError(
            f"{path} is no valid {kind}: {'; '.join(problems[:_SHOWN])}{more}",
            hint="it is written by `farthing optimize`; a changed one must keep every key",
        ) from e


def load_plan(path: Path | str) -> Plan:
    """Read a plan as farthing wrote it.

    Raises:
        InputError: when the file is missing or unreadable.
        SchemaError: when it is no plan, has a newer version, or keys are missing, unknown or of the wrong type.
    """
    return _read(Path(path), "plan", Plan)


def load_resolved_workload(path: Path | str) -> Workload:
    """Read the workload that a run used, with every default and file already looked up.

    An import path in it is only a text here; whoever runs it asks for trust.

    Raises:
        InputError: when the file is missing or unreadable.
        SchemaError: when it is no resolved workload, has a newer version, or does not fit.
    """
    return _read(Path(path), "workload-resolved", Workload)
