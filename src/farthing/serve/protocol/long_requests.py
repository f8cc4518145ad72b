"""Long requests of the Open Inference Protocol over HTTP: the same checks in steps, and in bounded memory.

A body of more than 64 KiB takes at most three times its bytes when it is refused and six times when it is taken.
"""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from farthing.serve.limits import Limits
from farthing.serve.protocol.inference_headers import Given, InferenceHeader, header_of
from farthing.serve.protocol.json.long_bodies import read_long
from farthing.serve.protocol.json.long_values import (
    array_in_steps,
    check_in_steps,
    elements_in_steps,
    payloads_in_steps,
    raw_in_steps,
)
from farthing.serve.protocol.json.strict import read_json
from farthing.serve.protocol.oip import check_binary, check_header, keep_header, tensor_of, without_values
from farthing.serve.protocol.signatures import Signature, signature_of
from farthing.serve.turns import LONG_BYTES, Steps
from farthing.wire.dtypes import elements_of
from farthing.wire.requests import LiveModel, Problem, Request

__all__ = ["document_in_steps", "infer_in_steps"]

_CHECKED_FIRST = 1.5
"""Where arrays take more than so many times the body, or hold texts, all values are checked before any is made."""


def infer_in_steps(
    model: LiveModel, body: bytes | bytearray, header_bytes: int | None, limits: Limits
) -> Steps[Request]:
    """As :func:`decode_infer` for a long body: in steps, and in memory bounded by a few times the body.

    Raises:
        Problem: as there, and 413 when the JSON part would take too much memory.
    """
    signature = signature_of(model)
    if header_bytes is None:
        document = yield from read_long(body, limits.json_depth, limits.values)
        return (yield from document_in_steps(signature, document, len(body), limits))
    check_header(header_bytes, body)
    header = yield from _header_of_head(signature, body, header_bytes, limits)
    check_binary(header, header_bytes, body)
    yield from _check_values(header, len(body), limits)
    return (yield from _request(signature, header, body, header_bytes, limits))


def _header_of_head(
    signature: Signature, body: bytes | bytearray, header_bytes: int, limits: Limits
) -> Steps[InferenceHeader]:
    """What the JSON part says; a long one is read where it lies."""
    if header_bytes > LONG_BYTES:
        document = yield from read_long(body, limits.json_depth, limits.values, header_bytes)
        return header_of(signature, document, limits)
    head = bytes(memoryview(body)[:header_bytes])
    found: InferenceHeader | None = signature.headers.get(head)
    if found is None:
        found = header_of(signature, read_json(head, limits.json_depth), limits)
        keep_header(signature, head, found)
    return found


def document_in_steps(signature: Signature, document: Any, size_bytes: int, limits: Limits) -> Steps[Request]:
    """As :func:`decode_document` for what was read of a long body of ``size_bytes``.

    Raises:
        Problem: 400 or 413.
    """
    header = header_of(signature, document, limits)
    if header.binary_bytes:
        raise Problem(400, "binary_data_size without the header Inference-Header-Content-Length")
    yield from _check_values(header, size_bytes, limits)
    return (yield from _request(signature, header, b"", 0, limits))


def _check_values(header: InferenceHeader, size_bytes: int, limits: Limits) -> Steps[None]:
    """Refuse wrong values in JSON before any array is made, where those would take much."""
    tensors = [] if header.payload else [one for one in header.given if one.start < 0]
    taken = sum(math.prod(one.shape) * one.slot.datatype.size_bytes for one in tensors)
    if taken > _CHECKED_FIRST * size_bytes or any(one.slot.datatype.name == "BYTES" for one in tensors):
        for one in tensors:
            yield from check_in_steps(one.slot.datatype, one.data, one.shape, one.slot.name, limits)


def _request(
    signature: Signature, header: InferenceHeader, body: bytes | bytearray, raw_from: int, limits: Limits
) -> Steps[Request]:
    """As :func:`_request`."""
    request = without_values(signature, header)
    raw = memoryview(body)[raw_from:]
    if header.payload:
        elements = yield from _elements(signature, header.given[0], raw, limits)
        request.payloads, request.length = yield from payloads_in_steps(signature, elements, limits)
        return request
    tensors: list[NDArray[Any]] = []
    for one in header.given:
        slot = one.slot
        if one.count:
            tensors.append(tensor_of(one, body, raw_from))
        elif one.start < 0:
            tensors.append((yield from array_in_steps(slot.datatype, one.data, one.shape, slot.name, limits)))
        else:
            part = raw[one.start : one.stop]
            tensors.append((yield from raw_in_steps(slot.datatype, one.shape, part, slot.name, limits.values)))
    request.tensors = tensors
    return request


def _elements(signature: Signature, given: Given, raw: memoryview, limits: Limits) -> Steps[list[Any]]:
    """As :func:`_payload_elements`."""
    slot, image = given.slot, signature.model.spec.pipeline.kind == "image"
    if given.start < 0:
        return (yield from elements_in_steps(slot, given.data, given.shape, limits, image=image))
    part = raw[given.start : given.stop]
    array = yield from raw_in_steps(slot.datatype, given.shape, part, slot.name, limits.values)
    return elements_of(array)
