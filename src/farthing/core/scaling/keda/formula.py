"""Formulas that join the triggers of a ScaledObject into one metric (``scalingModifiers.formula``).

KEDA hands them to expr (https://expr-lang.org); read here is the part of that language that works on numbers: ``+ - *
/ ** ^``, comparisons, ``and or not && || !``, ``a ? b : c``, ``a ?? b``, lists, and the functions ``abs ceil floor
round float int min max sum mean median len count``, the last with a predicate such as ``{# > 1}``. Nothing of Python's
is reachable from a formula. Source: KEDA, ``pkg/scaling/modifiers/formula.go``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias

from farthing.core.scaling.fixed_width import ratio, to_int64
from farthing.core.scaling.keda.fallback import Fallback

__all__ = ["Formula", "composite_m", "parse"]

Value: TypeAlias = "float | bool | tuple[Value, ...] | None"
_Names = Mapping[str, Value]
_Node = Callable[[_Names], Value]

MAX_LENGTH = 1000
MAX_DEPTH = 40
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z_$][\w$]*)|(?P<sign>\*\*|\?\?|&&|\|\||[=!<>]=|[-+*/^<>!?:(),\[\]{}#]))"
)
_BINDING = {"||": 10, "or": 10, "&&": 15, "and": 15, "==": 20, "!=": 20, "<": 20, ">": 20, "<=": 20, ">=": 20}
_BINDING |= {"+": 30, "-": 30, "*": 60, "/": 60, "**": 100, "^": 100, "??": 500}
_NOT, _SIGN = 50, 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """A formula that was read.

    Attributes:
        text: As written.
        names: Of the triggers in it.
        node: Computes it.
    """

    text: str
    names: frozenset[str]
    node: _Node

    def value(self, triggers: Mapping[str, float | None]) -> float | None:
        """The formula's number.

        Args:
            triggers: Values by name; None (nil) of one that fails.

        Returns:
            None where all that could give a number is nil.

        Raises:
            ValueError: when a trigger is missing, nil is computed with, or the result is no number.
        """
        unknown = sorted(self.names - triggers.keys())
        if unknown:
            raise ValueError(f"the formula {self.text!r} names {', '.join(unknown)}, which is no trigger")
        found = self.node(dict(triggers))
        return None if found is None else _number(found)


def composite_m(
    formula: Formula,
    values_m: Mapping[str, int | None],
    *,
    failures: Mapping[str, int] | None = None,
    fallback: Fallback | None = None,
    target: float | None = None,
) -> int | None:
    """What the autoscaler is told, in thousandths.

    Args:
        formula: Of the ScaledObject.
        values_m: Of triggers, in thousandths; None of one without a value.
        failures: In a row, by trigger; with a fallback to ``scalingModifiers`` one beyond the threshold is nil.
        fallback: Of the ScaledObject; where the formula gives nil its replicas are asked for.
        target: Of the composite metric.

    Returns:
        None where the formula gives nil and there is no fallback, which is an error.

    Raises:
        ValueError: as of :meth:`Formula.value`.
    """
    scoped = fallback is not None and fallback.behavior == "scalingModifiers"
    threshold = fallback.failure_threshold if fallback is not None else 0
    broken = {name for name, count in (failures or {}).items() if scoped and count > threshold}
    triggers = {
        name: None if value_m is None or name in broken else value_m / 1000 for name, value_m in values_m.items()
    }
    value = formula.value(triggers)
    if value is None and fallback is not None and target is not None:
        value = fallback.replicas * target
    return None if value is None else to_int64(value * 1000)


def parse(text: str) -> Formula:
    """Read a formula.

    Raises:
        ValueError: when it is empty, too long, nested too deeply or not understood; the message names the place.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"a formula may have {MAX_LENGTH} characters, this one has {len(text)}")
    reader = _Reader(text)
    node = reader.expression(0)
    reader.expect("")
    return Formula(text=text, names=frozenset(reader.names), node=node)


class _Reader:
    """Operator precedence parsing: each rule returns a function of the triggers."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth = text, 0, 0
        self.names: set[str] = set()
        self.kind, self.word, self.start = "", "", 0
        self.advance()

    def advance(self) -> None:
        rest = self.text[self.at :]
        self.start = self.at + len(rest) - len(rest.lstrip())
        if self.start == len(self.text):
            self.kind, self.word = "end", ""
            return
        found = _TOKEN.match(self.text, self.at)
        if found is None:
            raise ValueError(f"the formula {self.text!r} is not understood at character {self.start + 1}")
        self.kind, self.at = str(found.lastgroup), found.end()
        self.word = found[self.kind]

    def expect(self, word: str) -> None:
        if self.word != word:
            wanted = f"{word!r}" if word else "its end"
            raise ValueError(f"the formula {self.text!r} needs {wanted} at character {self.start + 1}")
        self.advance()

    def expression(self, binding: int) -> _Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ValueError(f"the formula {self.text!r} is nested deeper than {MAX_DEPTH}")
        left = self.prefix()
        while self.word in _BINDING and _BINDING[self.word] >= binding:
            sign = self.word
            self.advance()
            right = self.expression(_BINDING[sign] + (sign not in ("**", "^")))
            left = _joined(sign, left, right)
        if binding == 0 and self.word == "?":
            left = self.choice(left)
        self.depth -= 1
        return left

    def choice(self, condition: _Node) -> _Node:
        self.advance()
        then = self.expression(0)
        self.expect(":")
        otherwise = self.expression(0)
        return lambda names: then(names) if _truth(condition(names)) else otherwise(names)

    def prefix(self) -> _Node:
        kind, word = self.kind, self.word
        self.advance()
        if kind == "number":
            value = float(word)
            return lambda _: value
        if word in ("!", "not"):
            inner = self.expression(_NOT)
            return lambda names: not _truth(inner(names))
        if word in ("-", "+"):
            inner, factor = self.expression(_SIGN), -1.0 if word == "-" else 1.0
            return lambda names: factor * _number(inner(names))
        if word == "(":
            inner = self.expression(0)
            self.expect(")")
            return inner
        if word == "[":
            return _listed(self.several("]"))
        if word == "#" or kind == "name":
            return self.named(word)
        raise ValueError(f"the formula {self.text!r} is not understood before character {self.start + 1}")

    def named(self, name: str) -> _Node:
        if self.word == "(" and (name in _FUNCTIONS or name == "count"):
            self.advance()
            return self.counted() if name == "count" else _called(name, self.several(")"))
        if name in ("true", "false", "nil"):
            constant = {"true": True, "false": False, "nil": None}[name]
            return lambda _: constant
        if name != "#":
            self.names.add(name)
        return lambda names: _looked_up(names, name)

    def counted(self) -> _Node:
        values = self.expression(0)
        self.expect(",")
        self.expect("{")
        holds = self.expression(0)
        self.expect("}")
        self.expect(")")
        return lambda names: float(sum(_truth(holds({**names, "#": value})) for value in _list(values(names))))

    def several(self, end: str) -> list[_Node]:
        nodes: list[_Node] = []
        while self.word != end:
            nodes.append(self.expression(0))
            if self.word != end:
                self.expect(",")
        self.expect(end)
        return nodes


def _looked_up(names: _Names, name: str) -> Value:
    if name not in names:
        raise ValueError(f"{name} stands outside of a predicate")
    return names[name]


def _number(value: Value) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"a formula computes with numbers, not with {'nil' if value is None else value}")
    return float(value)


def _truth(value: Value) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"a condition must be true or false, not {'nil' if value is None else value}")
    return value


def _list(value: Value) -> tuple[Value, ...]:
    if not isinstance(value, tuple):
        raise ValueError(f"a list is needed, not {'nil' if value is None else value}")
    return value


def _power(a: float, b: float) -> float:
    try:
        return math.pow(a, b)
    except OverflowError:
        return math.inf
    except ValueError:
        return math.nan


_ARITHMETIC: dict[str, Callable[[float, float], Value]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": ratio,
    "**": _power,
    "^": _power,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}


def _joined(sign: str, left: _Node, right: _Node) -> _Node:
    if sign == "??":
        return lambda names: found if (found := left(names)) is not None else right(names)
    if sign in ("&&", "and"):
        return lambda names: _truth(left(names)) and _truth(right(names))
    if sign in ("||", "or"):
        return lambda names: _truth(left(names)) or _truth(right(names))
    if sign in ("==", "!="):
        return lambda names: (left(names) == right(names)) == (sign == "==")
    compute = _ARITHMETIC[sign]
    return lambda names: compute(_number(left(names)), _number(right(names)))


def _listed(nodes: Sequence[_Node]) -> _Node:
    return lambda names: tuple(node(names) for node in nodes)


def _rounded(value: float) -> float:
    whole = math.trunc(value)
    return float(whole + math.copysign(1, value) if abs(value - whole) >= 0.5 else whole)


_FUNCTIONS: dict[str, Callable[[list[float]], float]] = {
    "abs": lambda v: abs(v[0]),
    "ceil": lambda v: float(math.ceil(v[0])),
    "floor": lambda v: float(math.floor(v[0])),
    "float": lambda v: v[0],
    "int": lambda v: float(math.trunc(v[0])),
    "round": lambda v: _rounded(v[0]),
    "len": lambda v: float(len(v)),
    "max": max,
    "mean": lambda v: sum(v) / len(v),
    "median": median,
    "min": min,
    "sum": sum,
}
_OF_ONE = ("abs", "ceil", "floor", "float", "int", "round")
_OF_NONE_TOO = ("len", "sum")


def _called(name: str, nodes: Sequence[_Node]) -> _Node:
    function = _FUNCTIONS[name]

    def call(names: _Names) -> Value:
        values: list[float] = []
        for value in (node(names) for node in nodes):
            values += [_number(v) for v in value] if isinstance(value, tuple) else [_number(value)]
        wrong = len(values) != 1 if name in _OF_ONE else not values and name not in _OF_NONE_TOO
        if wrong or not all(map(math.isfinite, values)):
            raise ValueError(f"{name} cannot be taken of {values}")
        return float(function(values))

    return call
