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
from farthing.serve.protocol.json.long_texts import LongText, check_length
from farthing.serve.protocol.json.number_lists import NumberList
from farthing.serve.protocol.json.values import array_of_values, wrong_elements
from farthing.serve.protocol.signatures import Signature, Slot, check_payloads, checked_texts, images_from_base64, shown
from farthing.serve.turns import LONG_BYTES, Steps
from farthing.wire.dtypes import Datatype, raw_array
from farthing.wire.requests import Problem

__all__ = ["Values", "array_in_steps", "check_in_steps", "elements_in_steps", "payloads_in_steps", "raw_in_steps"]

_VALUES_A_STEP = 4096
_SLICES_A_STEP = 256
_ELEMENTS_A_STEP = 1024
_TEXTS_A_STEP = 16
"""Of up to 64 KiB each."""
_MOST_UTF8_BYTES = 4
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


def check_in_steps(datatype: Datatype, data: object, shape: tuple[int, ...], name: str, limits: Limits) -> Steps[None]:
    """Raise what :func:`array_in_steps` would raise, and make no array."""
    seen = 0
    for values in _joined(_slices(data, shape, name)):
        if datatype.name == "BYTES":
            yield from _check_texts(datatype, values, name, limits)
            seen += len(values)
        else:
            seen += array_of_values(datatype, values, name).size if values else 0
        yield
    _check_count(seen, shape, name)


def array_in_steps(
    datatype: Datatype, data: object, shape: tuple[int, ...], name: str, limits: Limits
) -> Steps[NDArray[Any]]:
    """An array of what a client gave as data.

    Args:
        datatype: Of its elements.
        data: A list, nested or not, or what stands in its place.
        shape: Checked.
        name: Of the input.
        limits: Bytes of a text.

    Raises:
        Problem: 400 when the values are others than type and shape say, 413 for a text that is too long.
    """
    count = math.prod(shape)
    array = np.empty(count, dtype=datatype.dtype)
    at = 0
    for values in _joined(_slices(data, shape, name)):
        yield
        if at + len(values) > count:
            at += len(values)
            break
        if datatype.name == "BYTES":
            yield from _put_texts(array, at, values, name, limits)
            at += len(values)
        elif values:
            array[at : at + len(values)] = array_of_values(datatype, values, name)
            at += len(values)
    _check_count(at, shape, name)
    return array.reshape(shape)


def _check_texts(datatype: Datatype, values: list[Any], name: str, limits: Limits) -> Steps[None]:
    """Raise a 400 for a value that is no text, a 413 for one that is too long."""
    what = f"input {name}: a text"
    for k, value in enumerate(values, 1):
        if isinstance(value, LongText):
            yield from value.size(limits.text_bytes, what)
        elif type(value) is not str:
            raise wrong_elements(datatype, name)
        elif len(value) * _MOST_UTF8_BYTES > limits.text_bytes:
            check_length(len(value.encode()), limits.text_bytes, what)
        if k % _TEXTS_A_STEP == 0:
            yield


def _put_texts(array: NDArray[Any], at: int, values: list[Any], name: str, limits: Limits) -> Steps[None]:
    """Bytes of checked texts, into the array from ``at`` on."""
    for k, value in enumerate(values, at):
        if isinstance(value, LongText):
            array[k] = yield from value.utf8(limits.text_bytes, name)
        else:
            array[k] = value.encode()
        if (k + 1) % _TEXTS_A_STEP == 0:
            yield


def _check_count(found: int, shape: tuple[int, ...], name: str) -> None:
    count = math.prod(shape)
    if found != count:
        has = f"{found:,}" if found < count else "more"
        raise Problem(400, f"input {name}: shape {list(shape)} needs {count:,} values, data has {has}")


def raw_in_steps(
    datatype: Datatype, shape: Sequence[int], raw: memoryview, name: str, most: int
) -> Steps[NDArray[Any]]:
    """As :func:`farthing.wire.dtypes.raw_array`, with elements of BYTES cut out in steps.

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
    for values in _slices(data, shape, slot.name):
        if image:
            _check_images(slot, values)
        else:
            yield from _check_texts(slot.datatype, values, slot.name, limits)
        yield
    found: list[Any] = []
    for values in _slices(data, shape, slot.name):
        for text in values:
            if not isinstance(text, LongText):
                found.append(images_from_base64([text])[0] if image else text)
            elif image:
                found.append((yield from text.from_base64(limits.image_bytes)))
            else:
                found.append((yield from text.text(limits.text_bytes, f"text {len(found)}")))
            yield
    if len(found) != math.prod(shape):
        raise Problem(400, f"input {slot.name}: shape {list(shape)} needs {math.prod(shape):,} values")
    return found


def _check_images(slot: Slot, values: list[Any]) -> None:
    """Raise a 400 for a value that is no text."""
    if any(type(text) not in (str, LongText) for text in values):
        raise wrong_elements(slot.datatype, slot.name)


def payloads_in_steps(
    signature: Signature, elements: list[Any], limits: Limits
) -> Steps[tuple[list[bytes | str], int]]:
    """As :func:`farthing.serve.protocol.signatures.check_payloads`, one element in each step.

    Args:
        signature: Of a model with a payload.
        elements: Of a request; each goes as what is made of it is kept, since a text may take four times its bytes.
        limits: Bytes of one.

    Raises:
        Problem: 400 or 413.
    """
    found: list[bytes | str] = []
    longest = 0
    for k, element in enumerate(elements if len(elements) > 1 else []):
        if signature.model.spec.pipeline.kind == "text":
            checked_texts([element], limits, first=k)
        else:
            check_payloads(signature, [element], limits, first=k)
        yield
    for k, element in enumerate(elements):
        elements[k] = b""
        checked, length = check_payloads(signature, [element], limits, first=k)
        found += checked
        longest = max(longest, length)
        yield
    return found, longest
