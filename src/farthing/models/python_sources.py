"""Files of the user's own Python code, found without running it: a module, and the local modules that it imports."""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

__all__ = ["sources_of"]

_PARTS_NOT_FOLLOWED = ("site-packages", "dist-packages")


def sources_of(import_path: str, folder: Path | None = None) -> tuple[Path, ...]:
    """Source files behind ``package.module:callable`` or ``file.py:callable``, sorted.

    Imports are followed as far as they lead to files below the folder that the module itself is found in. Code that is
    installed counts by its version: of an installed module, the files of its own package alone are followed. Modules
    that are made at run time, and data that code reads, are not seen.

    Args:
        import_path: As the user gives it.
        folder: Searched first, None for the working folder.

    Returns:
        Empty when there is no such file.
    """
    where = import_path.rpartition(":")[0]
    if where.endswith(".py"):
        file = Path(where).absolute()
        return _followed(file, file.parent, "") if file.is_file() else ()
    top = where.partition(".")[0]
    for place in (folder or Path.cwd(), *map(Path, sys.path)):
        found = tuple(_files(place, where.split(".")))
        if found:
            return _followed(found[-1], place, top if _installed(place) else "", *found[:-1])
    return ()


def _installed(place: Path) -> bool:
    library = sysconfig.get_paths()["stdlib"]
    return any(part in _PARTS_NOT_FOLLOWED for part in place.parts) or place.resolve().is_relative_to(library)


def _files(place: Path, parts: list[str]) -> Iterator[Path]:
    """Files that importing ``parts`` runs below a place: the packages above, then the module; nothing when it lacks."""
    found = []
    for k in range(1, len(parts) + 1):
        base = place.joinpath(*parts[:k])
        package, module = base / "__init__.py", base.with_suffix(".py")
        if package.is_file():
            found.append(package)
        elif module.is_file():
            found.append(module)
            break  # what follows is a name in it
        elif not base.is_dir():
            break
    yield from found


def _followed(file: Path, root: Path, only: str, *more: Path) -> tuple[Path, ...]:
    todo, seen = [file, *more], set[Path]()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        for parts in _imported(path, root):
            if not only or parts[0] == only:
                todo += _files(root, parts)
                todo += () if path.parent == root else _files(path.parent, parts)
    return tuple(sorted(seen))


def _imported(path: Path, root: Path) -> Iterator[list[str]]:
    """Modules that a file imports anywhere, as parts from the root; each name imported from one may be a module too."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    package = list(path.relative_to(root).parent.parts) if path.is_relative_to(root) else []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = [*above, *(node.module or "").split(".")] if node.module else above
            yield from ([*base, alias.name] for alias in node.names)
