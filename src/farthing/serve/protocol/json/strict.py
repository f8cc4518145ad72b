"""JSON read fast and strictly: no duplicate keys, no NaN or Infinity, no deep nesting.

orjson reads it (and refuses what is no JSON, NaN and bad UTF-8 included) but keeps the last of two equal keys without
a word. Colons tell: outside of strings there is one for each key, so a document with as many colons as keys has no
duplicates. Where strings hold colons as well they are counted too, and only when an escape could hide one
(a backslash and ``u003a``) Python's own, slower parser looks at every pair.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import orjson

from farthing.serve.protocol.json.long_texts import LongText
from farthing.serve.protocol.signatures import shown
from farthing.wire.requests import Problem

__all__ = ["check_depth", "check_keys", "check_scalars", "read_json"]

_PARAMETERS = 256


def read_json(raw: bytes | memoryview, depth: int) -> Any:
    """Parse a document.

    Args:
        raw: UTF-8.
        depth: Nesting allowed.

    Raises:
        Problem: 400 when it is no JSON, has a key twice or is nested too deeply.
    """
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as e:
        raise Problem(400, f"the body is no JSON: {str(e)[:200]}") from e
    colons = bytes(raw).count(b":")
    if colons != _keys(document, depth):
        _look_closely(bytes(raw), document, depth, colons)
    return document


def _keys(value: Any, depth: int) -> int:
    """Keys of all objects, those in lists whose first element is an object included."""
    if depth <= 0:
        raise Problem(400, "the body is nested too deeply")
    if type(value) is dict:
        found = len(value)
        for member in value.values():
            if type(member) is dict or type(member) is list:
                found += _keys(member, depth - 1)
        return found
    if type(value) is list and value and type(value[0]) is dict:
        return sum(_keys(member, depth - 1) for member in value)
    return 0


def _look_closely(raw: bytes, document: Any, depth: int, colons: int) -> None:
    check_depth(document, depth)
    if b"\\u003" not in raw and colons == _keys_and_colons(document):
        return
    try:
        json.loads(raw, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as e:
        raise Problem(400, f"the body is no JSON: {str(e)[:200]}") from e


def _keys_and_colons(value: Any) -> int:
    """Colons that a document without duplicate keys and without escaped colons was written with."""
    found, waiting = 0, [value]
    while waiting:
        member = waiting.pop()
        kind = type(member)
        if kind is str:
            found += member.count(":")
        elif kind is list:
            waiting.extend(m for m in member if type(m) in (str, list, dict))
        elif kind is dict:
            found += len(member) + sum(key.count(":") for key in member)
            waiting.extend(m for m in member.values() if type(m) in (str, list, dict))
    return found


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise ValueError(f"the key {shown(counts.most_common(1)[0][0])} is there twice")
    return found


def check_depth(document: Any, depth: int) -> None:
    """Raise a 400 when lists and objects are nested more deeply than that."""
    level = [document]
    for _ in range(depth + 1):
        level = [
            inner
            for member in level
            if type(member) in (list, dict)
            for inner in (member.values() if type(member) is dict else member)
            if type(inner) in (list, dict)
        ]
        if not level:
            return
    raise Problem(400, f"the body is nested more than {depth} deep")


def check_keys(found: object, allowed: frozenset[str], what: str) -> dict[str, Any]:
    """The object itself, or a 400 when it is none or has a key that means nothing here."""
    if type(found) is not dict:
        raise Problem(400, f"{what} is an object, got {shown(found)}")
    if not found.keys() <= allowed:
        strange = next(key for key in found if key not in allowed)
        raise Problem(400, f"{what} has the unknown key {shown(strange)}; known are {', '.join(sorted(allowed))}")
    return found


def check_scalars(found: object, what: str) -> dict[str, Any]:
    """Parameters: an object of texts, numbers and booleans; a 400 else."""
    if type(found) is not dict:
        raise Problem(400, f"{what} is an object, got {shown(found)}")
    if len(found) > _PARAMETERS:
        raise Problem(400, f"{what}: {len(found):,} members; the limit is {_PARAMETERS}")
    for key, value in found.items():
        if type(value) not in (str, int, float, bool) and not (isinstance(value, LongText) and value.checked):
            raise Problem(400, f"{what}: {shown(key)} is a text, a number or a boolean, got {shown(value)}")
    return found
