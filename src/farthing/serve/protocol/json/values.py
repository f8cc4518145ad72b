"""Values of JSON lists as arrays, checked element by element."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.serve.protocol.signatures import shown
from farthing.wire.dtypes import Datatype, bf16_from_float32
from farthing.wire.requests import Problem

__all__ = ["array_of_values", "flat_values", "wrong_elements"]

_PACKED = {"FP16": "e", "FP32": "f"}
_FEW = 4096
_BF16_INFINITY = 0x7F80
_BF16_MAGNITUDE = 0x7FFF


def flat_values(data: object, shape: tuple[int, ...], name: str) -> list[Any]:
    """Values in row-major order; a client nests them as the shape says or not at all."""
    if type(data) is not list:
        raise Problem(400, f"input {name}: data is a list, got {shown(data)}")
    count = math.prod(shape)
    if not data or type(data[0]) is not list:
        if len(data) != count:
            raise Problem(400, f"input {name}: shape {list(shape)} needs {count:,} values, data has {len(data):,}")
        return data
    level: list[Any] = [data]
    for dim in shape:
        if not all(type(part) is list and len(part) == dim for part in level):
            raise Problem(400, f"input {name}: data is not nested as the shape {list(shape)} says")
        level = list(chain.from_iterable(level))
    return level


def array_of_values(datatype: Datatype, flat: Sequence[Any], name: str) -> NDArray[Any]:
    """An array of JSON's values; a 400 when one is of another type or does not fit."""
    if not set(map(type, flat)) <= datatype.json_types:
        raise wrong_elements(datatype, name)
    if datatype.name == "BYTES":
        array = np.empty(len(flat), dtype=object)
        array[:] = [text.encode() for text in flat]
        return array
    if float in datatype.json_types:
        return _real(datatype, flat, name)
    try:
        return np.array(flat, dtype=datatype.dtype)
    except OverflowError as e:
        raise _does_not_fit(datatype, name) from e


def _real(datatype: Datatype, flat: Sequence[Any], name: str) -> NDArray[Any]:
    """Finite numbers, as the reader gave them, in the input's type; a 400 for one that would become infinite."""
    if datatype.name == "FP64":
        return np.array(flat, dtype=datatype.dtype)
    try:
        if len(flat) <= _FEW and datatype.name in _PACKED:  # half the time of what follows
            return np.frombuffer(struct.pack(f"={len(flat)}{_PACKED[datatype.name]}", *flat), dtype=datatype.dtype)
        with np.errstate(over="raise"):
            if datatype.name != "BF16":
                return np.array(flat, dtype=datatype.dtype)
            array: NDArray[Any] = bf16_from_float32(np.array(flat, dtype=np.float32))
    except (FloatingPointError, OverflowError, struct.error) as e:
        raise _does_not_fit(datatype, name) from e
    if ((array & _BF16_MAGNITUDE) >= _BF16_INFINITY).any():
        raise _does_not_fit(datatype, name)
    return array


def _does_not_fit(datatype: Datatype, name: str) -> Problem:
    return Problem(400, f"input {name}: a value does not fit {datatype.name}")


def wrong_elements(datatype: Datatype, name: str) -> Problem:
    """The 400 for a value of another type than the input's."""
    words = {"BOOL": "true or false", "BYTES": "texts"}.get(
        datatype.name, "numbers" if float in datatype.json_types else "whole numbers"
    )
    return Problem(400, f"input {name}: the data of {datatype.name} are {words}")
