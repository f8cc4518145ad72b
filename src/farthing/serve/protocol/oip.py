"""Inference requests of the Open Inference Protocol over HTTP: read, checked strictly, made into arrays.

A request is JSON, or JSON followed by raw tensors (the binary tensor extension: the header
``Inference-Header-Content-Length`` gives the JSON's length, each tensor's ``binary_data_size`` its own). The JSON part
of binary requests is the same for every request of a client that sends the same shapes, so what it means is kept with
the model.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from farthing.serve.limits import Limits
from farthing.serve.protocol.inference_headers import Given, InferenceHeader, header_of
from farthing.serve.protocol.json.strict import read_json
from farthing.serve.protocol.json.values import array_of_values, flat_values, wrong_elements
from farthing.serve.protocol.signatures import (
    Signature,
    check_payloads,
    checked_texts,
    estimate_tokens,
    images_from_base64,
    signature_of,
)
from farthing.wire.dtypes import elements_of, raw_array
from farthing.wire.requests import LiveModel, Problem, Request

__all__ = [
    "check_binary",
    "check_header",
    "decode_document",
    "decode_infer",
    "keep_header",
    "tensor_of",
    "without_values",
]

_DATA = b'"data":'
_DATA_END = b"]}"
_MARK = b"8193217406551923847"
_HEADERS = 256
_HEADER_BYTES = 8192


def decode_infer(model: LiveModel, body: bytes, header_bytes: int | None, limits: Limits) -> Request:
    """Read one request.

    Args:
        model: Who is asked.
        body: After decompression.
        header_bytes: Length of the JSON part when raw tensors follow, None when all is JSON.
        limits: Bounds.

    Raises:
        Problem: 400, or 413 for a payload over its limit.
    """
    signature = signature_of(model)
    if header_bytes is None:
        return _decode_json(signature, body, limits)
    check_header(header_bytes, body)
    head = body[:header_bytes]
    header = signature.headers.get(head)
    if header is None:
        header = header_of(signature, read_json(head, limits.json_depth), limits)
        keep_header(signature, head, header)
    check_binary(header, header_bytes, body)
    return _request(signature, header, body, header_bytes, limits)


def check_header(header_bytes: int, body: bytes | bytearray) -> None:
    """Raise a 400 when the JSON part is said to be longer than the body."""
    if header_bytes > len(body):
        raise Problem(400, f"Inference-Header-Content-Length is {header_bytes:,}, the body has {len(body):,} bytes")


def check_binary(header: InferenceHeader, header_bytes: int, body: bytes | bytearray) -> None:
    """Raise a 400 when what follows the JSON part is not as long as its tensors."""
    if header_bytes + header.binary_bytes != len(body):
        raise Problem(
            400,
            f"the tensors have {header.binary_bytes:,} bytes by their binary_data_size, "
            f"{len(body) - header_bytes:,} follow the JSON part",
        )


def _decode_json(signature: Signature, body: bytes, limits: Limits) -> Request:
    """Read a request that is wholly JSON.

    What stands around the values of a single input is the same in every request of a client. Once such a frame has
    been read with its values and, to be sure that they stand where the input's data belong, with a number that
    occurs nowhere else, later values are read alone: any JSON value in that place makes the same document.
    """
    start = body.find(_DATA) + len(_DATA)
    stop = body.find(_DATA_END, start) + 1
    frame = (body[:start], body[stop:]) if len(_DATA) <= start < stop else None
    header = signature.frames.get(frame) if frame is not None else None
    if header is not None:
        try:
            values = orjson.loads(body[start:stop])
        except orjson.JSONDecodeError:
            header = None
        else:
            if header.one_text and type(values) is list and len(values) == 1 and type(values[0]) is str:
                return _of_one_text(signature, header, values, limits)
            given = header.given[0]
            only = Given(slot=given.slot, shape=given.shape, data=values)
            return _request(signature, header, b"", 0, limits, only)
    document = read_json(body, limits.json_depth)
    request = decode_document(signature, document, limits)
    if frame is not None and not request.id and len(document["inputs"]) == 1:
        _keep_frame(signature, frame, limits)
    return request


def _keep_frame(signature: Signature, frame: tuple[bytes, bytes], limits: Limits) -> None:
    """Remember a frame when the place between its halves is that of the only input's data."""
    before, after = frame
    if len(before) + len(after) > _HEADER_BYTES or _MARK in before or _MARK in after:
        return
    try:
        header = header_of(
            signature, read_json(b"".join([before, b"[", _MARK, b"]", after]), limits.json_depth), limits
        )
    except Problem:
        return
    if len(header.given) == 1 and header.given[0].data == [int(_MARK)]:
        if len(signature.frames) >= _HEADERS:
            signature.frames.clear()
        signature.frames[frame] = header


def decode_document(signature: Signature, document: Any, limits: Limits) -> Request:
    """Check a request that is wholly JSON (parsed strictly) and make its arrays.

    Raises:
        Problem: 400 or 413.
    """
    header = header_of(signature, document, limits)
    if header.binary_bytes:
        raise Problem(400, "binary_data_size without the header Inference-Header-Content-Length")
    return _request(signature, header, b"", 0, limits)


def keep_header(signature: Signature, head: bytes, header: InferenceHeader) -> None:
    """Remember a header that other requests can use: nothing in it belongs to one request only."""
    if header.id or len(head) > _HEADER_BYTES or any(given.start < 0 for given in header.given):
        return
    if len(signature.headers) >= _HEADERS:
        signature.headers.clear()
    signature.headers[head] = header


def _request(
    signature: Signature, header: InferenceHeader, body: bytes, raw_from: int, limits: Limits, only: Given | None = None
) -> Request:
    """A request from its header and its values: raw ones, those of the header, or those of its only input.

    Args:
        signature: Of the model.
        header: What the JSON part says.
        body: That raw tensors are in; of the length that the header wants.
        raw_from: Where they begin.
        limits: Bounds of payloads.
        only: The only input, in place of the header's.
    """
    given = header.given if only is None else [only]
    request = without_values(signature, header)
    if header.payload:
        elements = _payload_elements(signature, given[0], memoryview(body)[raw_from:], limits)
        request.payloads, request.length = check_payloads(signature, elements, limits)
    else:
        request.tensors = [tensor_of(one, body, raw_from) for one in given]
    return request


def _of_one_text(signature: Signature, header: InferenceHeader, texts: list[str], limits: Limits) -> Request:
    """As :func:`_request` for the request that text models are asked most."""
    request = without_values(signature, header)
    request.payloads = checked_texts(texts, limits)
    request.length = estimate_tokens(texts[0], signature.model.spec.pipeline.max_length)
    return request


def without_values(signature: Signature, header: InferenceHeader) -> Request:
    """A request whose values are filled in by whoever asked."""
    return Request(
        model=signature.model,
        rows=header.rows,
        shape_key=header.shape_key,
        wishes=header.wishes,
        id=header.id,
        timeout_s=header.timeout_s,
        priority=header.priority,
    )


def tensor_of(given: Given, body: bytes | bytearray, raw_from: int) -> NDArray[Any]:
    """One input's array: of the values in JSON, or of the bytes of ``body`` from ``raw_from`` on."""
    slot = given.slot
    if given.count:
        return np.frombuffer(body, slot.datatype.dtype, given.count, raw_from + given.start).reshape(given.shape)
    if given.start < 0:
        flat = flat_values(given.data, given.shape, slot.name)
        return array_of_values(slot.datatype, flat, slot.name).reshape(given.shape)
    return raw_array(
        slot.datatype, given.shape, memoryview(body)[raw_from + given.start : raw_from + given.stop], slot.name
    )


def _payload_elements(signature: Signature, given: Given, raw: memoryview, limits: Limits) -> list[Any]:
    slot = given.slot
    if given.start >= 0:
        return elements_of(raw_array(slot.datatype, given.shape, raw[given.start : given.stop], slot.name))
    flat = flat_values(given.data, given.shape, slot.name)
    if not set(map(type, flat)) <= slot.datatype.json_types:
        raise wrong_elements(slot.datatype, slot.name)
    if signature.model.spec.pipeline.kind == "image":
        most = 4 * (limits.image_bytes // 3 + 1)
        if any(len(text) > most for text in flat):
            raise Problem(413, f"an image has more than {limits.image_bytes:,} bytes")
        return images_from_base64(flat)
    return list(flat)
