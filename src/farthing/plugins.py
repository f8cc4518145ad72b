"""Finds engines, variants, metrics and the like over entry points; built-ins come in by the same door."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from farthing.errors import InputError

__all__ = ["Kind", "find", "import_callable", "names", "plugin_versions"]

Kind = Literal["arrivals", "engines", "exporters", "metrics", "pipelines", "prices", "variants"]
_MEASURED: tuple[Kind, ...] = ("engines", "metrics", "pipelines", "variants")
"""Kinds that decide what is measured."""


@cache
def _points(kind: Kind) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"farthing.{kind}")}


def names(kind: Kind) -> tuple[str, ...]:
    """Names of all plug-ins of a kind, sorted; none of them is imported."""
    return tuple(sorted(_points(kind)))


def find(kind: Kind, name: str) -> Any:
    """Import one plug-in and make an instance of it.

    Raises:
        InputError: when there is none of that name; the message lists those there are.
    """
    point = _points(kind).get(name)
    if point is None:
        raise InputError(f"no {kind.rstrip('s')} named {name!r}", hint=f"known: {', '.join(names(kind))}")
    return point.load()()


def plugin_versions() -> dict[str, str]:
    """Installed versions of others' packages that bring engines, variants, pipelines or metrics; none is imported."""
    points = [point for kind in _MEASURED for point in _points(kind).values()]
    return {p.dist.name: p.dist.version for p in points if p.dist is not None and p.dist.name != "farthing"}


def _importable(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _module(where: str) -> ModuleType:
    if where.endswith(".py"):
        return _module_of_file(Path(where))
    _importable(Path.cwd())
    return importlib.import_module(where)


def _module_of_file(path: Path) -> ModuleType:
    """Run a Python file as a module of its own; its folder is importable from it, as in ``python file.py``."""
    resolved = path.resolve()
    name = f"farthing_file_{hashlib.sha256(str(resolved).encode()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, resolved)
    if not resolved.is_file() or spec is None or spec.loader is None:
        raise InputError(f"{path} is not a Python file", hint="write file.py:function or package.module:function")
    module = importlib.util.module_from_spec(spec)
    _importable(resolved.parent)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def import_callable(import_path: str) -> Callable[..., Any]:
    """Import ``package.module:callable`` or ``folder/file.py:callable``; this runs the user's code.

    Callers must have made sure that the path was given on the command line or trusted. The working folder is
    searched last, as ``python -m`` would search it first.

    Raises:
        InputError: when the module, the file or the callable in it does not exist, or importing it fails.
    """
    where, _, name = import_path.rpartition(":")
    if not where or not name.isidentifier():
        raise InputError(
            f"{import_path!r} is not an import path", hint="write file.py:function or package.module:function"
        )
    try:
        module = _module(where)
    except InputError:
        raise
    except Exception as e:
        raise InputError(f"importing {where} failed: {type(e).__name__}: {e}") from e
    found = getattr(module, name, None)
    if not callable(found):
        known = sorted(k for k, v in vars(module).items() if callable(v) and not k.startswith("_"))
        raise InputError(f"{where} has no callable {name!r}", hint=f"it has: {', '.join(known) or 'none'}")
    return found  # type: ignore[no-any-return]
