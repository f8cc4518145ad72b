"""Figures of style, beside those of the day they were first written down: none of them should get worse.

    python tools/style.py            # of src/farthing
    python tools/style.py FOLDER     # of any other tree

Length of a function: its lines without decorators, docstring and blank lines. Nesting: blocks (if, for, while, with,
try, match) inside each other; a function counts where three or more are. Documented: public functions, classes and
methods with a docstring.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SRC = Path(__file__).parents[1] / "src" / "farthing"
BEFORE = {
    "lines": 49_000,
    "files": 324,
    "function lines, median": 8,
    "function lines, p90": 23,
    "functions nested ≥ 3, %": 2.5,
    "documented, %": 93,
    "functions > 60 lines": None,
    "files > 400 lines": None,
    "most files in a folder": 38,
    "serve, % of all lines": 34,
}
"""As an audit of the tree before it was rebuilt found them; None where nobody had looked."""
_BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)
_DEEP, _LONG_FUNCTION, _LONG_FILE = 3, 60, 400
_TOP_DECILE = 9

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def lines(self) -> list[str]:
        """As they stand."""
        return self.text.splitlines()


def sources(root: Path) -> list[Source]:
    """All files below a folder."""
    found = []
    for path in sorted(root.rglob("*.py")):
        text = path.read_text()
        found.append(Source(path=path, text=text, tree=ast.parse(text)))
    return found


def functions(source: Source) -> Iterator[Function]:
    """All functions and methods, nested ones too."""
    return (node for node in ast.walk(source.tree) if isinstance(node, Function))


def length(function: Function, lines: list[str]) -> int:
    """Lines of code."""
    body = function.body
    documented = ast.get_docstring(function) is not None
    skipped = range(body[0].lineno, (body[0].end_lineno or body[0].lineno) + 1) if documented else range(0)
    end = function.end_lineno or function.lineno
    return sum(1 for k in range(function.lineno, end + 1) if k not in skipped and lines[k - 1].strip())


def depth(node: ast.AST, *, top: bool = True) -> int:
    """Blocks inside each other; functions inside are functions of their own, ``elif`` is no deeper than its ``if``."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.ClassDef | ast.Lambda):
            continue
        same = isinstance(node, ast.If) and node.orelse == [child] and isinstance(child, ast.If)
        deepest = max(deepest, depth(child, top=False) - (1 if same else 0))
    return deepest + (0 if top or not isinstance(node, _BLOCKS) else 1)


def documented(source: Source) -> Iterator[bool]:
    """Whether each public definition has a docstring; private classes and what is inside functions are not public."""
    todo: list[ast.Module | ast.ClassDef] = [source.tree]
    while todo:
        for node in todo.pop().body:
            if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
                yield ast.get_docstring(node) is not None
                if isinstance(node, ast.ClassDef):
                    todo.append(node)


def figures(root: Path) -> dict[str, float]:
    """All figures of a tree."""
    found = sources(root)
    total = sum(len(source.lines) for source in found)
    lengths = [length(f, source.lines) for source in found for f in functions(source)]
    deep = [depth(f) >= _DEEP for source in found for f in functions(source)]
    public = [known for source in found for known in documented(source)]
    folders = [sum(1 for _ in folder.glob("*.py")) for folder in {source.path.parent for source in found}]
    served = sum(len(source.lines) for source in found if (root / "serve") in source.path.parents)
    return {
        "lines": total,
        "files": len(found),
        "function lines, median": statistics.median(lengths),
        "function lines, p90": statistics.quantiles(lengths, n=10)[_TOP_DECILE - 1],
        "functions nested ≥ 3, %": 100 * statistics.fmean(deep),
        "documented, %": 100 * statistics.fmean(public),
        "functions > 60 lines": sum(n > _LONG_FUNCTION for n in lengths),
        "files > 400 lines": sum(len(source.lines) > _LONG_FILE for source in found),
        "most files in a folder": max(folders),
        "serve, % of all lines": 100 * served / total,
    }


def main() -> None:
    """Print now and before."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else SRC
    print(f"{'':28}{'now':>10}{'before':>10}")
    for name, now in figures(root).items():
        before = BEFORE[name]
        print(f"{name:28}{now:>10,.4g}{'' if before is None else f'{before:,.4g}':>10}")


if __name__ == "__main__":
    main()
