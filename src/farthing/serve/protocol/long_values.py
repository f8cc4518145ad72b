"""Values of long requests made into arrays, texts and images in steps.

Where an array takes much more memory than its text (``1,`` as FP64) all values are checked before any array is made, so
that a request that is refused in the end has not taken it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from farthing.serve.limits import Limits
from farthing.serve.protocol.dtypes import Datatype, raw_array
from farthing.serve.protocol.json_values import array_of_values, wrong_elements
from farthing.serve.protocol.long_json import LongText
from farthing.serve.protocol.number_lists import NumberList
from farthing.serve.protocol.signatures import Signature, Slot, check_payloads, images_from_base64, shown
from farthing.serve.requests import Problem
from farthing.serve.turns import LONG_BYTES, Steps

__all__ = ["Values", "array_in_steps", "check_in_steps", "elements_in_steps", "payloads_in_steps", "raw_in_steps"]

_VALUES_A_STEP = 4096
_SLICES_A_STEP = 256
_ELEMENTS_A_STEP = 1024
_ELEMENT_BYTES = 64
"""What a short element of a BYTES tensor takes, its places in a list and an array included."""
_SPARE = 4
"""Such elements may take so many times the bytes of their tensor."""


class Values(Protocol):
    """Values that are not parsed yet, in another form than JSON's lists (``text/csv``)."""

    def values(self, shape: tuple[int, ...], name: str) -> Iterator[list[Any]]:
        """In row-major order, some thousands at a time; a 400 when they are not as the shape says."""
        ...


def _slices(data: object, shape: tuple[int, ...], name: str) -> Iterator[list[Any]]:
    """Values in row-major order; a client nests them as the shape says or not at all."""
    if isinstance(data, NumberList):
        flat = data.levels == 1
        yield from data.slices((math.prod(shape),) if flat else shape, name)
    elif isinstance(data, list) and data and isinstance(data[0], (list, NumberList)):
        yield from _nested(data, shape, name)
    elif isinstance(data, list):
        count = math.prod(shape)
        if len(data) != count:
            raise Problem(400, f"input {name}: shape {list(shape)} needs {count:,} values, data has {len(data):,}")
        for at in range(0, count, _VALUES_A_STEP):
            yield data[at : at + _VALUES_A_STEP]
    elif hasattr(data, "values") and not isinstance(data, dict):
        yield from data.values(shape, name)
    else:
        raise Problem(400, f"input {name}: data is a list, got {shown(data)}")


def _nested(part: object, shape: tuple[int, ...], name: str) -> Iterator[list[Any]]:
    if isinstance(part, NumberList):
        yield from part.slices(shape, name)
        return
    if type(part) is not list or not shape or len(part) != shape[0]:
        raise Problem(400, f"input {name}: data is not nested as the shape says")
    if len(shape) == 1:
        yield part
        return
    for inner in part:
        yield from _nested(inner, shape[1:], name)


def _joined(slices: Iterator[list[Any]]) -> Iterator[list[Any]]:
    """Fewer and longer ones; an empty one now and then where all are."""
    found: list[Any] = []
    for k, values in enumerate(slices, 1):
        if not found and len(values) >= _VALUES_A_STEP // 8:
            yield values
            continue
        found += values
        if len(found) >= _VALUES_A_STEP // 4 or k % _SLICES_A_STEP == 0:
            yield found
            found = []
    yield found


def check_in_steps(datatype: Datatype, data: object, shape: tuple[int, ...], name: str) -> Steps[None]:
    """Raise what :func:`array_in_steps` would raise, and make no array."""
    seen = 0
    for values in _joined(_slices(data, shape, name)):
        if datatype.name == "BYTES":
            yield from _settle(values)
        seen += array_of_values(datatype, values, name).size if values else 0
        yield
    _check_count(seen, shape, name)


def array_in_steps(datatype: Datatype, data: object, shape: tuple[int, ...], name: str) -> Steps[NDArray[Any]]:
    """An array of what a client gave as data.

    Args:
        datatype: Of its elements.
        data: A list, nested or not, or what stands in its place.
        shape: Checked.
        name: Of the input.

    Raises:
        Problem: 400 when the values are others than type and shape say.
    """
    count = math.prod(shape)
    array = np.empty(count, dtype=datatype.dtype)
    at = 0
    for values in _joined(_slices(data, shape, name)):
        if datatype.name == "BYTES":
            yield from _settle(values)
        yield
        if at + len(values) > count:
            at += len(values)
            break
        if values:
            array[at : at + len(values)] = array_of_values(datatype, values, name)
            at += len(values)
    _check_count(at, shape, name)
    return array.reshape(shape)


def _settle(values: list[Any]) -> Steps[None]:
    """Put texts in the places of long ones."""
    for k, value in enumerate(values):
        if isinstance(value, LongText):
            values[k] = (yield from value.utf8()).decode()


def _check_count(found: int, shape: tuple[int, ...], name: str) -> None:
    count = math.prod(shape)
    if found != count:
        has = f"{found:,}" if found < count else "more"
        raise Problem(400, f"input {name}: shape {list(shape)} needs {count:,} values, data has {has}")


def raw_in_steps(
    datatype: Datatype, shape: Sequence[int], raw: memoryview, name: str, most: int
) -> Steps[NDArray[Any]]:
    """As :func:`farthing.serve.protocol.dtypes.raw_array`, with elements of BYTES cut out in steps.

    Raises:
        Problem: 400 as there; 413 when there are more than ``most``, or so many short ones that they take more than
            four times their bytes.
    """
    if datatype.size_bytes or len(raw) <= LONG_BYTES:
        return raw_array(datatype, shape, raw, name)
    count, view = math.prod(shape), raw
    _check_room(count, len(view), name, most)
    array = np.empty(count, dtype=object)
    at = 0
    for k in range(count):
        start = at + 4
        at = start + int.from_bytes(view[at:start], "little")
        if start > len(view) or at > len(view):
            raise Problem(400, f"input {name}: element {k} of {count:,} ends after the {len(view):,} bytes")
        array[k] = bytes(view[start:at])
        if k % _ELEMENTS_A_STEP == 0:
            yield
    if at != len(view):
        raise Problem(400, f"input {name}: {len(view) - at:,} bytes follow the last of {count:,} elements")
    return array.reshape(shape)


def _check_room(count: int, size_bytes: int, name: str, most: int) -> None:
    if count > most:
        raise Problem(413, f"input {name}: {count:,} elements; beyond {LONG_BYTES:,} bytes the limit is {most:,}")
    if count * _ELEMENT_BYTES > _SPARE * size_bytes:
        raise Problem(
            413,
            f"input {name}: {count:,} elements in {size_bytes:,} bytes would take more than {_SPARE} times as much "
            f"memory; beyond {LONG_BYTES:,} bytes a request has at most one element for each "
            f"{_ELEMENT_BYTES // _SPARE} bytes",
        )


def elements_in_steps(
    slot: Slot, data: object, shape: tuple[int, ...], limits: Limits, *, image: bool
) -> Steps[list[Any]]:
    """Texts or images that came within JSON.

    Args:
        slot: The payload.
        data: A list of them.
        shape: ``(n,)`` or ``(n, 1)``.
        limits: Bytes of one.
        image: Whether they are images in base64.

    Raises:
        Problem: 400 or 413.
    """
    found: list[Any] = []
    for values in _slices(data, shape, slot.name):
        for text in values:
            if type(text) not in (str, LongText):
                raise wrong_elements(slot.datatype, slot.name)
            if image:
                found.append((yield from _image(text, limits)))
            else:
                found.append((yield from _text(text, len(found), limits)))
            yield
    if len(found) != math.prod(shape):
        raise Problem(400, f"input {slot.name}: shape {list(shape)} needs {math.prod(shape):,} values")
    return found


def _image(text: str | LongText, limits: Limits) -> Steps[bytes]:
    if isinstance(text, LongText):
        return (yield from text.from_base64(limits.image_bytes))
    return images_from_base64([text])[0]


def _text(text: str | LongText, k: int, limits: Limits) -> Steps[str]:
    if isinstance(text, str):
        return text
    if len(text) > limits.text_bytes:
        raise Problem(413, f"text {k} has {len(text):,} bytes; the limit is {limits.text_bytes:,}")
    return (yield from text.utf8()).decode()


def payloads_in_steps(
    signature: Signature, elements: Sequence[bytes | str], limits: Limits
) -> Steps[tuple[list[bytes | str], int]]:
    """As :func:`farthing.serve.protocol.signatures.check_payloads`, one element in each step."""
    found: list[bytes | str] = []
    longest = 0
    for k, element in enumerate(elements):
        checked, length = check_payloads(signature, [element], limits, first=k)
        found += checked
        longest = max(longest, length)
        yield
    return found, longest
