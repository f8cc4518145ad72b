"""Whether an import path leads somewhere, told from the source without running it: typos cost no measuring."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from farthing.errors import InputError

__all__ = ["check_import_path"]

_AT_RUN_TIME = ("globals", "setattr", "exec", "__getattr__")
"""Names in a module that let it have names which its source does not show."""
_SHOWN = 8


def check_import_path(import_path: str, key: str) -> None:
    """Refuse ``file.py:name`` or ``package.module:name`` that cannot lead to anything.

    Modules that are compiled, or make names at run time, are left to importing them.

    Args:
        import_path: As the user gave it.
        key: What it is, for messages (``the model``).

    Raises:
        InputError: when there is no such file, module or name, or the source is no Python.
    """
    where, _, name = import_path.rpartition(":")
    file = Path(where) if where.endswith(".py") else _module_file(where, key)
    if file is None:
        return
    tree = _parsed(file, key)
    names = list(dict.fromkeys(_names(tree.body)))
    if name in names or not names or _more_at_run_time(tree):
        return
    close = difflib.get_close_matches(name, names, n=1)
    own = [node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    shown = ", ".join(n for n in own if not n.startswith("_")) or ", ".join(names[:_SHOWN])
    hint = f"did you mean {where}:{close[0]}?" if close else f"it has {shown}"
    raise InputError(f"{key} {import_path}: {file.name} has no {name!r}", hint=hint)


def _parsed(file: Path, key: str) -> ast.Module:
    try:
        return ast.parse(file.read_bytes())
    except OSError as e:
        raise InputError(f"cannot read {file}: {e.strerror or e}") from e
    except (SyntaxError, ValueError) as e:
        line = f" line {e.lineno}" if isinstance(e, SyntaxError) and e.lineno else ""
        said = e.msg if isinstance(e, SyntaxError) else str(e)
        raise InputError(f"{key}: {file}{line} is no valid Python: {said}") from e


def _names(body: Sequence[ast.stmt]) -> Iterator[str]:
    """Names that statements bind in their module, also within ``if``, ``try``, ``with`` and loops."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
        else:
            yield from _bound(node)


def _bound(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.For, ast.With)):
        yield from (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    for part in ("body", "orelse", "finalbody"):
        yield from _names(getattr(node, part, ()))
    for handler in getattr(node, "handlers", ()):
        yield from _names(handler.body)


def _more_at_run_time(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            return True
        if isinstance(node, ast.Name) and node.id in _AT_RUN_TIME:
            return True
        if isinstance(node, ast.FunctionDef) and node.name in _AT_RUN_TIME:
            return True
    return False


def _module_file(where: str, key: str) -> Path | None:
    """Source of a module, None where it is there without one that can be read.

    Raises:
        InputError: when there is no such module.
    """
    parts = where.split(".")
    places = [Path.cwd(), *map(Path, sys.path)]
    for place in places:
        base = place.joinpath(*parts)
        found = next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)
        if found is not None:
            return found
    top = next((place / parts[0] for place in places if (place / parts[0]).is_dir()), None)
    if len(parts) > 1 and top is not None:
        folder = top.joinpath(*parts[1:-1])
        beside = sorted({p.name.partition(".")[0] for p in folder.iterdir()}) if folder.is_dir() else []
        if parts[-1] in beside:
            return None
        close = difflib.get_close_matches(parts[-1], beside, n=1)
        hint = f"did you mean {'.'.join([*parts[:-1], close[0]])}?" if close else f"looked in {folder}"
        raise InputError(f"{key}: there is no module {where}", hint=hint)
    if importlib.util.find_spec(parts[0]) is None:
        close = difflib.get_close_matches(f"{parts[0]}.py", [p.name for p in Path.cwd().glob("*.py")], n=1)
        hint = f"did you mean {close[0]}?" if close else "modules are looked for from the working folder on"
        raise InputError(f"{key}: there is no module {where}", hint=hint)
    return None
