"""An independent reading of the protocol: whether a JSON request is one that a server may accept.

Slow and plain, with Python's own JSON parser; the fuzzer holds a server's verdict against it.
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any

from farthing.conformance.target import Target

__all__ = ["acceptable"]

_MOST = {"FP16": 65504.0, "BF16": 3.3895313892515355e38, "FP32": 3.4028234663852886e38, "FP64": math.inf}
_HALF_STEP = {"FP16": 16.0, "BF16": 6.6e35, "FP32": 1.1e31, "FP64": 0.0}


class _Malformed(ValueError):
    """Not JSON as the standard says, or a key twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Malformed("a key is there twice")
    return found


def _constant(word: str) -> Any:
    raise _Malformed(f"{word} is no JSON")


def _read(body: bytes) -> Any:
    text = body.decode()
    document = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    json.dumps(document, ensure_ascii=False).encode()  # half surrogates are no text
    return document


def acceptable(target: Target, body: bytes) -> bool:
    """Whether a body without raw tensors is a well-formed request for the target's model.

    Optional members (parameters, outputs, id) are looked at for their types only, so True does not promise that a
    server must accept; False means that none may.
    """
    try:
        document = _read(body)
    except (ValueError, RecursionError):
        return False
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), list):
        return False
    inputs = document["inputs"]
    if not all(isinstance(one, dict) for one in inputs):
        return False
    given = [one.get("name") for one in inputs]
    if not all(isinstance(name, str) for name in given) or sorted(given) != sorted(i.name for i in target.inputs):
        return False
    return all(_input(target, one) for one in inputs) and _rest(target, document)


def _rest(target: Target, document: dict[str, Any]) -> bool:
    outputs = document.get("outputs") or []
    if not isinstance(outputs, list) or not all(isinstance(one, dict) for one in outputs):
        return False
    names = [one.get("name") for one in outputs]
    known = all(name in target.outputs for name in names) and len(set(names)) == len(names)
    return (
        known and isinstance(document.get("parameters") or {}, dict) and isinstance(document.get("id", ""), str | None)
    )


def _input(target: Target, given: dict[str, Any]) -> bool:
    described = next(i for i in target.inputs if i.name == given["name"])
    shape, data = given.get("shape"), given.get("data")
    if given.get("datatype") != described.datatype or not isinstance(shape, list) or not isinstance(data, list):
        return False
    if any(type(dim) is not int or dim < 0 for dim in shape):
        return False
    dims = described.dims
    payload = described.datatype == "BYTES" and len(dims) == 1 and len(shape) == 2 and shape[1] == 1
    if not payload and (len(shape) != len(dims) or any(w not in (-1, g) for w, g in zip(dims, shape))):
        return False
    values = _values(data, shape)
    return values is not None and all(_element(described.datatype, value) for value in values)


def _values(data: list[Any], shape: list[int]) -> list[Any] | None:
    """All elements, when they are as many as the shape says and nested alike or not at all."""
    count = math.prod(shape)
    if not any(isinstance(part, list) for part in data):
        return data if len(data) == count else None
    level: list[Any] = [data]
    for dim in shape:
        if any(not isinstance(part, list) or len(part) != dim for part in level):
            return None
        level = [value for part in level for value in part]
    return level


def _element(datatype: str, value: Any) -> bool:
    if datatype == "BOOL":
        return type(value) is bool
    if datatype == "BYTES":
        return type(value) is str
    if datatype in _MOST:
        return type(value) in (int, float) and _finite(value) and abs(value) < _MOST[datatype] + _HALF_STEP[datatype]
    bits = int("".join(filter(str.isdigit, datatype)))
    low, high = (0, 2**bits - 1) if datatype.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return type(value) is int and low <= value <= high


def _finite(value: float) -> bool:
    try:
        return math.isfinite(struct.unpack("<d", struct.pack("<d", value))[0])
    except (OverflowError, struct.error):
        return False
