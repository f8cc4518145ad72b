"""Long answers written in steps, as parts that nobody joins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from farthing.serve.protocol.oip_answers import best_classes, json_values, opening, output_head
from farthing.serve.protocol.sagemaker import encode_predictions, named_classes
from farthing.serve.protocol.signatures import Signature, Slot, Wish
from farthing.serve.turns import LONG_BYTES, Steps
from farthing.wire.dtypes import DATATYPES, Datatype, float32_from_bf16, raw_bytes

__all__ = ["FEWEST_VALUES", "answer_in_steps", "is_long", "predictions_in_steps"]

Part = bytes | memoryview

_VALUES_A_STEP = 4096
_BYTES_A_VALUE = 256
"""Raw ones that are copied in the time in which a number is written."""
FEWEST_VALUES = 8192
"""Fewer are written at once: some tenths of a millisecond."""


def is_long(wishes: Sequence[Wish], outputs: Sequence[NDArray[Any]]) -> bool:
    """Whether an answer with these outputs is written in steps; raw bytes are copied and need not be written."""
    values = 0
    for wish in wishes:
        output = outputs[wish.index]
        values += output.nbytes // _BYTES_A_VALUE if wish.binary else output.size
    return values > FEWEST_VALUES


def answer_in_steps(
    signature: Signature,
    wishes: Sequence[Wish],
    request_id: str,
    outputs: Sequence[NDArray[Any]],
    parameters: Mapping[str, str] | None = None,
) -> Steps[tuple[list[Part], int | None]]:
    """As :func:`farthing.serve.protocol.oip_answers.encode_answer`, in parts.

    Raises:
        Problem: as there.
    """
    document: list[Part] = [opening(signature, request_id, parameters)]
    raw: list[Part] = []
    for k, wish in enumerate(wishes):
        slot = signature.outputs[wish.index]
        array, datatype = outputs[wish.index], slot.datatype
        if wish.classes:
            array, datatype = best_classes(signature, slot, array, wish.classes), DATATYPES["BYTES"]
        document.append(b"," * (k > 0) + output_head(signature, slot, datatype, array.shape))
        if wish.binary:
            part = _raw(datatype, array)
            raw.append(part)
            document.append(b'"parameters":{"binary_data_size":%d}}' % len(part))
            yield
        else:
            document.append(b'"data":')
            yield from _extend(document, _flat(datatype, array, slot.name))
            document.append(b"}")
    document.append(b"]}")
    return document + raw, sum(map(len, document)) if raw else None


def _raw(datatype: Datatype, array: NDArray[Any]) -> Part:
    if datatype.size_bytes and array.dtype == datatype.dtype and array.flags.c_contiguous and array.nbytes > LONG_BYTES:
        return array.data.cast("B")
    return raw_bytes(datatype, array)


def _extend(parts: list[Part], more: Iterator[bytes]) -> Steps[None]:
    for part in more:
        parts.append(part)
        yield


def _flat(datatype: Datatype, array: NDArray[Any], name: str) -> Iterator[bytes]:
    """The elements as a JSON list, some thousands at a time."""
    flat = array.reshape(-1)
    if not flat.size:
        yield b"[]"
    for at in range(0, flat.size, _VALUES_A_STEP):
        text = json_values(datatype, flat[at : at + _VALUES_A_STEP], name)
        yield (b"," if at else b"[") + text[1:-1]
    if flat.size:
        yield b"]"


def predictions_in_steps(signature: Signature, outputs: Sequence[NDArray[Any]]) -> Steps[list[Part]]:
    """As :func:`farthing.serve.protocol.sagemaker.encode_predictions`, in parts.

    Raises:
        Problem: as there.
    """
    if named_classes(signature, outputs) is not None:
        return [encode_predictions(signature, outputs)]
    batched, single = signature.model.has_rows, len(signature.outputs) == 1
    parts: list[Part] = [b'{"predictions":[']
    for row in range(len(outputs[0]) if batched else 1):
        parts.append(b"," * (row > 0) + (b"" if single else b"{"))
        for k, (slot, array) in enumerate(zip(signature.outputs, outputs, strict=True)):
            if not single:
                parts.append(b"," * (k > 0) + orjson.dumps(slot.name) + b":")
            yield from _extend(parts, _nested(slot, array[row] if batched else array))
        parts.append(b"" if single else b"}")
    parts.append(b"]}")
    return parts


def _nested(slot: Slot, array: NDArray[Any]) -> Iterator[bytes]:
    """An array as nested lists."""
    if array.ndim == 0:
        yield json_values(slot.datatype, array.reshape(1), slot.name)[1:-1]
    elif array.ndim == 1:
        yield from _flat(slot.datatype, array, slot.name)
    elif array.size <= _VALUES_A_STEP and slot.datatype.name != "BYTES":
        yield _at_once(slot.datatype, array)
    else:
        for k, inner in enumerate(array):
            yield b"," if k else b"["
            yield from _nested(slot, inner)
        yield b"]" if len(array) else b"[]"


def _at_once(datatype: Datatype, array: NDArray[Any]) -> bytes:
    if datatype.name == "BF16":
        array = float32_from_bf16(array)
    elif array.dtype != datatype.dtype:
        array = array.astype(datatype.dtype)
    return orjson.dumps(np.ascontiguousarray(array), option=orjson.OPT_SERIALIZE_NUMPY)
