"""The workload of a finished run, as ``workload.json`` beside its plan: what ``verify`` replays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cattrs

from farthing.codec import from_plain
from farthing.errors import DataError, SchemaError
from farthing.load.schema import read_document
from farthing.nouns import Workload

__all__ = ["load_resolved_workload"]


def load_resolved_workload(path: Path, *, payloads: bool = True) -> Workload:
    """Read a resolved workload; nothing in it is imported or run.

    Args:
        path: workload.json.
        payloads: Whether its payloads will be read, and must be there.

    Raises:
        InputError: when the file is missing or unreadable.
        SchemaError: when it is something else.
        DataError: when payloads that it names are gone.
    """
    try:
        workload = from_plain(Workload, read_document(path, "workload-resolved"))
    except (cattrs.BaseValidationError, ValueError, TypeError, KeyError) as e:
        problems = cattrs.transform_error(e, path="workload")
        raise SchemaError(f"{path} is no resolved workload: {'; '.join(problems[:5])}") from e
    tokenizer = workload.pipeline.tokenizer
    if tokenizer is not None and not Path(tokenizer).is_absolute():
        found = (path.parent / tokenizer).absolute()
        workload = replace(workload, pipeline=replace(workload.pipeline, tokenizer=str(found)))
    data = workload.holdout
    if not payloads:
        return workload
    files = data.items if data.kind == "image" else data.items[:1] if data.kind == "tensor" else ()
    gone = next((f for f in files if not Path(f).exists()), None)
    if gone is not None:
        raise DataError(f"the payload {gone} of {workload.name} is gone", hint="put it back where optimize read it")
    return workload
