"""Plans as files. A received plan is data: nothing in it is imported or run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from farthing.core.plan.parts import EVIDENCE, whole
from farthing.errors import InputError, SchemaError
from farthing.load.schema import as_noun, read_document
from farthing.models.digests import digest
from farthing.nouns import Plan

__all__ = ["PLAN_FILE", "check_finished", "load_plan", "plan_file"]

PLAN_FILE = "plan.yaml"
_DOCUMENTS = (PLAN_FILE, "route.yaml")
_WRITTEN_BY = "farthing optimize"
_WITHOUT_A_PLAN = {
    "first-look.json": ("a first look only", "run the same `farthing optimize …` without --quick: it makes the plan"),
    "baseline.yaml": ("a profile of the baseline only", "`farthing optimize …` makes a plan"),
    "work/journal.jsonl": (
        "the journal of a run that has not ended",
        "run the same `farthing optimize …` (without --fresh): it goes on from there and makes the plan",
    ),
}
"""What a folder holds in which no run came to a plan, and what to do about it; what says most comes first."""


def check_finished(path: Path | str) -> None:
    """Refuse what a run leaves that made no plan (a first look, a profile, one that was interrupted) in its own words.

    Args:
        path: A folder, or a document in one; nothing is said of any other.

    Raises:
        InputError: when there is no plan and no route, but what such a run leaves.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    known = {folder / name: said for name, said in _WITHOUT_A_PLAN.items()}
    if not path.is_dir() and path not in known and (path.name not in _DOCUMENTS or path.is_file()):
        return
    plan = next((folder / name for name in _DOCUMENTS if (folder / name).is_file()), None)
    if plan is not None:
        if path in known:
            raise InputError(f"{path} holds {known[path][0]}", hint=f"the plan beside it is {plan}")
        return
    for file, (what, todo) in known.items():
        if file.is_file():
            raise InputError(f"{folder} holds {what} ({file.relative_to(folder)}), no plan", hint=todo)


def plan_file(path: Path | str) -> Path:
    """The document: the path itself, or in a folder its plan.yaml, else its route.yaml, as ``farthing serve`` does.

    Raises:
        InputError: when a folder has neither; in the words of :func:`check_finished` where a run left it so.
    """
    path = Path(path)
    check_finished(path)
    if not path.is_dir():
        return path
    found = next((path / name for name in _DOCUMENTS if (path / name).is_file()), None)
    if found is None:
        raise InputError(f"{path} has no {PLAN_FILE}", hint="name the output folder of `farthing optimize`")
    return found


def load_plan(path: Path | str) -> Plan:
    """Read a plan as farthing wrote it, with the evidence beside it; plans of versions 1 and 2 hold it themselves.

    Args:
        path: plan.yaml, or the folder that it lies in.

    Raises:
        InputError: when a file is missing or unreadable, or was changed since the plan named its digest.
        SchemaError: when it is no plan, has a newer version, or keys are missing, unknown or of the wrong type.
    """
    path = plan_file(path)
    data = read_document(path, "plan")
    named, files = (_section(data.pop(key, None), path, key) for key in ("evidence", "files"))
    for name, sha256 in files.items():
        if (path.parent / name).is_file() and name.startswith("pipeline/"):
            _check(path, name, sha256)
    if named:
        data = _merged(path, data, named)
    return as_noun(path, "plan", Plan, data, written_by=_WRITTEN_BY)


def _section(value: Any, path: Path, key: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(k, str) for k in value):
        raise SchemaError(f"{path} is no valid plan: {key} is {value!r}, not keys and values")
    return value


def _merged(path: Path, head: Mapping[str, Any], named: Mapping[str, Any]) -> dict[str, Any]:
    missing = [part for part in EVIDENCE if part not in named]
    if missing:
        raise SchemaError(f"{path} is no valid plan: its evidence lacks {', '.join(missing)}")
    try:
        return whole(head, {part: _evidence(path, named[part]) for part in EVIDENCE})
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise SchemaError(
            f"{path} is no valid plan: its evidence does not fit it ({type(e).__name__}: {e})",
            hint=f"it is written by `{_WRITTEN_BY}`; a changed one must keep every key",
        ) from e


def _evidence(path: Path, named: Any) -> dict[str, Any]:
    file = _check(path, str(named["path"]), named["sha256"])
    return read_document(file, "evidence")


def _check(path: Path, name: str, sha256: Any) -> Path:
    """A file beside the plan, once it is found to be the one that the plan names.

    Raises:
        InputError: when it lies elsewhere, is missing or was changed.
    """
    root = path.parent.resolve()
    file = (root / name).resolve()
    if not file.is_relative_to(root):
        raise InputError(f"{name}, named by {path}, lies outside {path.parent}")
    if not file.is_file():
        raise InputError(f"{path.parent / name} is missing", hint=f"copy the whole folder of {path.name}, not it alone")
    found = digest(file)
    if found != sha256:
        raise InputError(
            f"{path.parent / name} was changed: sha256 {found[:12]}…, {path.name} says {str(sha256)[:12]}…",
            hint="run `farthing optimize` again",
        )
    return file
