"""Single mutations of a source file by cosmic-ray's operators, less those that decide nothing or fail at once."""

from __future__ import annotations

import ast
import difflib
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

COMPARED = "(Lt|LtE|Gt|GtE|Eq|NotEq)"
CALCULATED = "(Add|Sub|Mul|Div|FloorDiv|Mod|Pow)"
BITWISE = "(BitAnd|BitOr|BitXor)"
KINDS = re.compile(
    f"core/(ReplaceComparisonOperator_({COMPARED}_{COMPARED}|Is_IsNot|IsNot_Is)"
    f"|ReplaceBinaryOperator_({CALCULATED}_{CALCULATED}|{BITWISE}_{BITWISE})"
    "|ReplaceUnaryOperator_(USub_UAdd|Delete_.*)"
    "|NumberReplacer|AddNot|ReplaceAndWithOr|ReplaceOrWithAnd|ReplaceTrueWithFalse|ReplaceFalseWithTrue"
    "|ReplaceBreakWithContinue|ReplaceContinueWithBreak|ZeroIterationForLoop)"
)
"""Which operators are drawn. Left out: `<` → `is` and `+` → `<<`, which fail at once or change nothing; decorators and
exception classes, which are not decisions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change at one place.

    Attributes:
        path: the file, relative to ``src/farthing``.
        line: where, counted from 1.
        operator: cosmic-ray's name of the change.
        occurrence: which of the operator's places in the file, counted from 0.
        place: the first and the last character, as ``(line, column, line, column)``.
    """

    path: str
    line: int
    operator: str
    occurrence: int
    place: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A mutant's text beside the original: ``was`` and ``now`` hold the lines that differ, stripped."""

    text: str
    was: str
    now: str


def sample(root: Path, paths: Sequence[str], size: int, seed: int) -> list[tuple[Mutant, Change]]:
    """Draw up to ``size`` mutants of ``paths``, places first: no place twice until every place was drawn once.

    A comparison has five replacements and a number two, hence drawing from all mutants alike would favour the former.
    """
    places: dict[tuple[str, tuple[int, int, int, int]], list[Mutant]] = defaultdict(list)
    for path in paths:
        for mutant in every_mutant(root, path):
            places[path, mutant.place].append(mutant)
    drawn = random.Random(seed)  # noqa: S311 (a sample, not a secret)
    turns = []
    for place in sorted(places):
        found = places[place]
        drawn.shuffle(found)
        turns += [(turn, drawn.random(), mutant) for turn, mutant in enumerate(found)]
    taken: list[tuple[Mutant, Change]] = []
    for _, _, mutant in sorted(turns, key=lambda each: each[:2]):
        if len(taken) == size:
            break
        if (change := changed(root, mutant)) is not None:
            taken.append((mutant, change))
    return taken


def every_mutant(root: Path, path: str) -> Iterator[Mutant]:
    """Every place of every drawn operator in one file."""
    nodes = list(ast_nodes(get_ast((root / path).read_text(encoding="utf-8"))))
    for name in sorted(filter(KINDS.fullmatch, operator_names())):
        operator = get_operator(name)()
        places = (place for node in nodes for place in operator.mutation_positions(node))
        for occurrence, (start, end) in enumerate(places):
            yield Mutant(path=path, line=start[0], operator=name, occurrence=occurrence, place=(*start, *end))


def changed(root: Path, mutant: Mutant) -> Change | None:
    """The mutant's text, or None where only annotations or decorators differ, which decide nothing."""
    original = (root / mutant.path).read_text(encoding="utf-8")
    text = mutate_code(original, get_operator(mutant.operator)(), mutant.occurrence)
    if text is None:
        return None
    try:
        if _deciding(text) == _deciding(original):
            return None
    except SyntaxError:
        return None
    was, now = differing(original, text)
    return Change(text=text, was=was, now=now)


def differing(original: str, text: str) -> tuple[str, str]:
    """The lines that differ, before and after, stripped and joined by a space."""
    lines = list(difflib.ndiff(original.splitlines(), text.splitlines()))
    was, now = (" ".join(line[2:].strip() for line in lines if line.startswith(mark)) for mark in ("- ", "+ "))
    return was, now


@lru_cache(maxsize=8)
def _deciding(text: str) -> str:
    return ast.dump(_Bare().visit(ast.parse(text)))


class _Bare(ast.NodeTransformer):
    """A module without annotations, decorators, and the marks ``*`` and ``/`` of its signatures."""

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        node.args = [*node.posonlyargs, *node.args, *node.kwonlyargs]
        node.defaults = [*node.defaults, *(each for each in node.kw_defaults if each is not None)]
        node.posonlyargs, node.kwonlyargs, node.kw_defaults = [], [], []
        self.generic_visit(node)
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(value=None)
        self.generic_visit(node)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns, node.decorator_list = None, []
        self.generic_visit(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.decorator_list = []
        self.generic_visit(node)
        return node
