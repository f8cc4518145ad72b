"""``make mutation``: what is drawn, and that a run tells noticed, unnoticed and endless mutants apart."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytest.importorskip("cosmic_ray", reason="the mutation tool belongs to the development group")
TOOL = Path(__file__).parents[2] / "tools" / "mutation"
sys.path.append(str(TOOL))
import mutants

SOURCE = '''"""A room."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bound:
    ms: float | None = 3.5


def kept(x: float | None, *, most: int = 3) -> bool:
    """Whether 1 < 2."""
    return x is not None and x <= most
'''


@pytest.fixture
def room(tmp_path: Path) -> Path:
    (tmp_path / "room.py").write_text(SOURCE)
    return tmp_path


def test_annotations_decorators_and_words_are_not_drawn(room: Path) -> None:
    changes = [change for _, change in mutants.sample(room, ["room.py"], 1000, 1)]
    assert changes
    assert not [c for c in changes if "dataclass" in c.was or "Whether" in c.was]
    assert not [c for c in changes if "/" in c.now or "**" in c.now]
    assert {c.now for c in changes if "ms:" in c.was} == {"ms: float | None = 4.5", "ms: float | None = 2.5"}


def test_comparisons_operators_and_constants_are(room: Path) -> None:
    now = {change.now for _, change in mutants.sample(room, ["room.py"], 1000, 1)}
    for line in (
        "return x is not None and x < most",
        "return x is not None or x <= most",
        "return x is None and x <= most",
        "def kept(x: float | None, *, most: int = 4) -> bool:",
    ):
        assert line in now


def test_every_place_is_drawn_once_before_any_is_drawn_again(room: Path) -> None:
    everything = mutants.sample(room, ["room.py"], 1000, 1)
    places = len({m.place for m, _ in everything})
    first = mutants.sample(room, ["room.py"], places, 1)
    assert len({m.place for m, _ in first}) == places < len(everything)
    assert mutants.sample(room, ["room.py"], 4, 1) == everything[:4]
    assert mutants.sample(room, ["room.py"], 1000, 2) != everything


TESTS = {
    "passed": "assert kept(3)",
    "failed": "assert not kept(3)",
    "timeout": "while kept(3): pass",
    "died": "__import__('os')._exit(9)",
}


def test_a_run_tells_what_the_tests_said(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "mutated_room.py").write_text(SOURCE)
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\nmarkers = ["slow: long"]\n')
    for name, body in TESTS.items():
        text = f"from mutated_room import kept\n\ndef test_it():\n    {body}\n"
        (tmp_path / f"test_{name}.py").write_text(text)
    script = (
        f"import pathlib, trials\n"
        f"for name in {list(TESTS)!r}:\n"
        f"    print(trials.run(pathlib.Path({str(tmp_path)!r}), [f'test_{{name}}.py'], 1).outcome)"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], cwd=TOOL, capture_output=True, text=True, check=True, timeout=120
    )
    assert said.stdout.split() == ["passed", "failed", "timeout", "failed"]


def test_the_mutants_said_to_be_equivalent_are_readable_and_each_has_a_reason() -> None:
    entries = yaml.safe_load((TOOL.parents[1] / "tests" / "equivalent_mutants.yaml").read_text())
    assert entries
    for entry in entries:
        assert set(entry) == {"path", "was", "now", "why"}
        assert entry["was"] != entry["now"]
        assert (TOOL.parents[1] / "src" / "farthing" / entry["path"]).exists()
