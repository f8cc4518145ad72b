"""docs/architecture.md is the tree: every folder stands in it, every path that it names is there."""

from __future__ import annotations

import re

from snippets import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()
SRC = ROOT / "src" / "farthing"


def drawn() -> set[str]:
    """Paths of the tree, by the indentation of its lines; several folders may share one."""
    block = PAGE.split("```text\n")[1].split("```")[0]
    found: set[str] = set()
    above: list[tuple[int, str]] = []
    for line in block.splitlines()[1:]:
        indent = len(line) - len(line.lstrip())
        names = re.findall(r"[\w.]+/|[\w.]+\.py", line.split("   ")[0] if indent == 2 else line.strip())
        above = [(depth, name) for depth, name in above if depth < indent]
        parent = "".join(name for _, name in above)
        found |= {parent + name for name in names}
        above.append((indent, names[-1]))
    return found


def test_the_tree_is_that_of_the_sources() -> None:
    folders = {f"{path.parent.relative_to(SRC)}/" for path in SRC.rglob("__init__.py")} - {"./"}
    files = {path.name for path in SRC.glob("*.py")} - {"__init__.py"}
    assert drawn() - {"data/"} == folders | files


def test_every_path_that_is_named_is_there() -> None:
    after = PAGE.split("## To change X, open Y")[1]
    named = set(re.findall(r"`([\w/.]+(?:\.py|\.j2|/))`", after))
    assert len(named) > 25
    assert not {path for path in named if not (SRC / path).exists() and not (ROOT / path).exists()}
