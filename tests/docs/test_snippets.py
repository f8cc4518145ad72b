"""README.md and docs/: what they tell a reader to type works."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from example_plan import met_plan
from snippets import ROOT, check_console, commands, compare
from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

import farthing as ft

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SYBIL = Sybil(
    parsers=[PythonCodeBlockParser(), CodeBlockParser("console", check_console)], path=str(ROOT), patterns=["*.md"]
)


def stand_in(verb: Callable[..., Any], result: Any) -> Callable[..., Any]:
    """A long verb whose arguments are checked against the real signature and which answers at once."""
    signature = inspect.signature(verb)

    def answer(*arguments: Any, **named: Any) -> Any:
        signature.bind(*arguments, **named)
        return result

    return answer


def page_of(path: Path) -> Any:
    """The pages that price a month again and again take half a minute each."""
    marks = [pytest.mark.slow] if path.name in ("traffic.md", "report.md") else []
    return pytest.param(path, id=str(path.relative_to(ROOT)), marks=marks)


@pytest.mark.parametrize("page", [page_of(path) for path in PAGES])
def test_snippets(page: Path, newcomer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for verb in ("optimize", "profile", "verify"):
        monkeypatch.setattr(ft, verb, stand_in(getattr(ft, verb), met_plan()), raising=False)
    for example in SYBIL.parse(page).examples():
        example.evaluate()


def test_the_readme_is_among_them() -> None:
    kinds = [example.region.parsed for example in SYBIL.parse(ROOT / "README.md").examples()]
    assert sum("$ farthing" in text for text in kinds) >= 2
    assert any("import farthing" in text for text in kinds)


def test_commands_are_told_from_output() -> None:
    assert list(commands("$ a \\\n  b\none\n$ c\n")) == [("a    b", ["one"]), ("c", [])]


@pytest.mark.parametrize("said", ["a 1\nb\n", "a 1\nb\nmore\nc 2\n"])
def test_output_is_compared(said: str) -> None:
    if "c 2" in said:
        compare(said, ["a   1", "…", "c 2"])
    with pytest.raises(AssertionError, match="the page says"):
        compare(said, ["a 2", "…"])


@pytest.mark.parametrize(
    "block",
    [
        "$ farthing optimize nowhere.onnx --labels holdout/ --bill 10000 --offer aws/m7i.large",
        "$ farthing optimize model.onnx --labels holdout/ --bil 10000",
        "$ farthing optimize model.onnx --labels holdout/ --bill 10000 --offer aws/m7i.lrge",
        "$ farthing verify elsewhere/plan.yaml",
        "$ farthing optimise model.onnx",
        "$ make everything",
        "$ pip install farthing[everything]",
        "$ unheard-of",
    ],
)
def test_a_wrong_command_is_found_out(block: str, newcomer: Path) -> None:
    page = newcomer / "page.md"
    page.write_text(f"```console\n{block}\n```\n")
    (example,) = Sybil(parsers=[CodeBlockParser("console", check_console)]).parse(page).examples()
    with pytest.raises(Exception):  # noqa: B017, PT011 - each is found out by what reads it: click, the loader, a check
        example.evaluate()
