"""Answers of the Open Inference Protocol over HTTP: JSON, or JSON followed by raw tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from farthing.serve.protocol.signatures import Signature, Slot, Wish
from farthing.wire.dtypes import DATATYPES, Datatype, elements_of, float32_from_bf16, raw_bytes
from farthing.wire.requests import Problem

__all__ = ["best_classes", "encode_answer", "json_values", "opening", "output_head"]

_HEADS = 1024
_NUMPY = orjson.OPT_SERIALIZE_NUMPY


def encode_answer(
    signature: Signature,
    wishes: Sequence[Wish],
    request_id: str,
    outputs: Sequence[NDArray[Any]],
    parameters: Mapping[str, str] | None = None,
) -> tuple[bytes, int | None]:
    """Encode what was asked for.

    Args:
        signature: Of the model.
        wishes: Which outputs and how.
        request_id: Sent back when the client gave one.
        outputs: One for each of the model's.
        parameters: Of the answer.

    Returns:
        The body, and the length of its JSON part when raw tensors follow (None when all is JSON).

    Raises:
        Problem: 400 when bytes that are no text were asked for as JSON.
    """
    described: list[bytes] = []
    raw: list[bytes] = []
    for wish in wishes:
        slot = signature.outputs[wish.index]
        array, datatype = outputs[wish.index], slot.datatype
        if wish.classes:
            array, datatype = best_classes(signature, slot, array, wish.classes), DATATYPES["BYTES"]
        head = output_head(signature, slot, datatype, array.shape)
        if wish.binary:
            raw.append(raw_bytes(datatype, array))
            described.append(b'%b"parameters":{"binary_data_size":%d}}' % (head, len(raw[-1])))
        else:
            described.append(b'%b"data":%b}' % (head, json_values(datatype, array, slot.name)))
    document = b"%b%b]}" % (opening(signature, request_id, parameters), b",".join(described))
    if not raw:
        return document, None
    return b"".join([document, *raw]), len(document)


def opening(signature: Signature, request_id: str, parameters: Mapping[str, str] | None) -> bytes:
    """An answer up to its first output."""
    said = b'"id":%b,' % orjson.dumps(request_id) if request_id else b""
    if parameters:
        said += b'"parameters":%b,' % orjson.dumps(parameters)
    return b'%b%b"outputs":[' % (signature.opening, said)


def output_head(signature: Signature, slot: Slot, datatype: Datatype, shape: tuple[int, ...]) -> bytes:
    """Name, type and shape of one output as an object's beginning; kept, since shapes repeat."""
    key = (slot.index, datatype.name, shape)
    found = signature.heads.get(key)
    if found is None:
        if len(signature.heads) >= _HEADS:
            signature.heads.clear()
        described = {"name": slot.name, "datatype": datatype.name, "shape": list(shape)}
        found = signature.heads[key] = orjson.dumps(described)[:-1] + b","
    return found


def json_values(datatype: Datatype, array: NDArray[Any], name: str) -> bytes:
    """An array's elements as a JSON list in row-major order; numbers that JSON lacks (NaN, infinity) become null.

    Raises:
        Problem: 400 when the elements are bytes that are no UTF-8.
    """
    if datatype.name == "BYTES":
        try:
            return orjson.dumps([element.decode() for element in elements_of(array)])
        except UnicodeDecodeError as e:
            raise Problem(400, f"output {name} holds bytes that are no text; ask for it with binary_data") from e
    if datatype.name == "BF16":
        array = float32_from_bf16(array)
    elif array.dtype != datatype.dtype:
        array = array.astype(datatype.dtype)
    return orjson.dumps(array.ravel(), option=_NUMPY)


def best_classes(signature: Signature, slot: Slot, array: NDArray[Any], count: int) -> NDArray[Any]:
    """The best classes of each row as ``score:index`` or ``score:index:name``, best first (Triton's form).

    Args:
        signature: Its model's class names are added where they are known.
        slot: The output.
        array: Scores, shape ``(rows, classes)`` once all but the first dimension are joined; of a model that is not
            batched all values are one row's.
        count: Classes wanted, cut to those there are.

    Returns:
        Shape ``(rows, count)``, or ``(count,)`` for a model that is not batched.
    """
    if slot.datatype.name == "BF16":
        array = float32_from_bf16(array)
    batched = signature.model.has_rows and array.ndim > 0
    scores = array.reshape(array.shape[0] if batched else 1, -1)
    count = min(count, scores.shape[1])
    order = np.argsort(-scores.astype(np.float64), axis=1, kind="stable")[:, :count]
    names = signature.model.spec.classes
    found = np.empty(order.shape, dtype=object)
    for row, indices in enumerate(order.tolist()):
        for place, index in enumerate(indices):
            name = f":{names[index]}" if index < len(names) else ""
            found[row, place] = f"{float(scores[row, index]):f}:{index}{name}".encode()
    return found if batched else found[0]
