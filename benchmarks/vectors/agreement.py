"""Whether what a controller gave is what its vector expects: key for key, only keys that the vector has."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Difference", "Judge", "differences"]

Judge = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""From a whole case to what was got, under the keys of its ``expected``."""
REL = 1e-9
"""Doubles agree within this: powers differ in their last digits between libraries."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One key of one case."""

    case: str
    key: str
    expected: object
    got: object

    def __str__(self) -> str:
        return f"{self.case}: {self.key}: expected {self.expected!r}, got {self.got!r}"


def differences(judge: Judge, case: Mapping[str, Any]) -> list[Difference]:
    """All of a case; one that raises differs under the key ``(raised)``."""
    try:
        got = judge(case)
    except Exception as e:  # noqa: BLE001 - whatever a case raises is its difference
        return [Difference(case["id"], "(raised)", case["expected"], e)]
    return [Difference(case["id"], key, want, had) for key, want, had in _unequal(case["expected"], got)]


def _unequal(expected: Mapping[str, Any], got: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any, Any]]:
    for key, want in expected.items():
        had = got.get(key, "(nothing)")
        if isinstance(want, Mapping) and isinstance(had, Mapping):
            yield from _unequal(want, had, f"{above}{key}.")
        elif not _same(want, had):
            yield f"{above}{key}", want, had


def _same(want: Any, had: Any) -> bool:
    if isinstance(want, bool) or want is None or isinstance(want, str):
        return type(want) is type(had) and want == had
    if isinstance(want, list):
        return isinstance(had, (list, tuple)) and len(want) == len(had) and all(map(_same, want, had))
    if isinstance(want, Mapping):
        return isinstance(had, Mapping) and all(_same(value, had.get(key)) for key, value in want.items())
    if isinstance(had, bool) or not isinstance(had, (int, float)):
        return False
    exact = isinstance(want, int) and isinstance(had, int)
    return want == had if exact else math.isclose(want, had, rel_tol=REL, abs_tol=REL)
