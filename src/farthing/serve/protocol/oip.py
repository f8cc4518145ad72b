"""Inference requests of the Open Inference Protocol over HTTP: read, checked strictly, made into arrays.

A request is JSON, or JSON followed by raw tensors (the binary tensor extension: the header
``Inference-Header-Content-Length`` gives the JSON's length, each tensor's ``binary_data_size`` its own). The JSON part
of binary requests is the same for every request of a client that sends the same shapes, so what it means is kept with
the model.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from farthing.serve.limits import Limits
from farthing.serve.protocol.dtypes import elements_of, raw_array
from farthing.serve.protocol.json_values import array_of_values, flat_values, wrong_elements
from farthing.serve.protocol.signatures import (
    Signature,
    Slot,
    Wish,
    check_datatype,
    check_id,
    check_payloads,
    check_shape,
    checked_texts,
    estimate_tokens,
    gather,
    images_from_base64,
    shown,
    signature_of,
)
from farthing.serve.protocol.strict_json import check_keys, check_scalars, read_json
from farthing.serve.requests import Problem, Request
from farthing.serve.served import LiveModel

__all__ = ["decode_document", "decode_infer", "refuse_unoffered", "request_parameters", "wishes_of"]

_REQUEST_KEYS = frozenset({"id", "inputs", "model_name", "model_version", "outputs", "parameters"})
_INPUT_KEYS = frozenset({"data", "datatype", "name", "parameters", "shape"})
_OUTPUT_KEYS = frozenset({"name", "parameters"})
_DATA = b'"data":'
_DATA_END = b"]}"
_MARK = b"8193217406551923847"
_PLANS = 256
_PLAN_BYTES = 8192
_MAX_PRIORITY = 2**32 - 1
_MAX_CLASSES = 2**20
_MICROSECONDS = 1e6
_MAX_TIMEOUT_US = 2**63 - 1
_NOT_OFFERED = ("sequence_", "shared_memory_")


@dataclass(slots=True, kw_only=True)
class _Given:
    """One input as the client described it; ``data`` of the JSON form or the place of its bytes.

    ``count`` numbers lie there just as arrays hold them; 0 when they must be looked at (BYTES, BOOL).
    """

    slot: Slot
    shape: tuple[int, ...]
    data: Any = None
    start: int = -1
    stop: int = -1
    count: int = 0


@dataclass(slots=True, kw_only=True)
class _Plan:
    """What the JSON part says, apart from values."""

    given: list[_Given]
    rows: int
    shape_key: Any
    payload: bool
    wishes: tuple[Wish, ...]
    id: str
    timeout_s: float | None
    priority: int
    binary_bytes: int
    one_text: bool


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
    if header_bytes > len(body):
        raise Problem(400, f"Inference-Header-Content-Length is {header_bytes:,}, the body has {len(body):,} bytes")
    head = body[:header_bytes]
    plan = signature.plans.get(head)
    if plan is None:
        plan = _plan(signature, read_json(head, limits.json_depth), limits)
        _keep(signature, head, plan)
    if header_bytes + plan.binary_bytes != len(body):
        raise Problem(
            400,
            f"the tensors have {plan.binary_bytes:,} bytes by their binary_data_size, "
            f"{len(body) - header_bytes:,} follow the JSON part",
        )
    return _request(signature, plan, body, header_bytes, limits)


def _decode_json(signature: Signature, body: bytes, limits: Limits) -> Request:
    """Read a request that is wholly JSON.

    What stands around the values of a single input is the same in every request of a client. Once such a frame has
    been read with its values and, to be sure that they stand where the input's data belong, with a number that
    occurs nowhere else, later values are read alone: any JSON value in that place makes the same document.
    """
    start = body.find(_DATA) + len(_DATA)
    stop = body.find(_DATA_END, start) + 1
    frame = (body[:start], body[stop:]) if len(_DATA) <= start < stop else None
    plan = signature.frames.get(frame) if frame is not None else None
    if plan is not None:
        try:
            values = orjson.loads(body[start:stop])
        except orjson.JSONDecodeError:
            plan = None
        else:
            if plan.one_text and type(values) is list and len(values) == 1 and type(values[0]) is str:
                return _of_one_text(signature, plan, values, limits)
            given = plan.given[0]
            only = _Given(slot=given.slot, shape=given.shape, data=values)
            return _request(signature, plan, b"", 0, limits, only)
    document = read_json(body, limits.json_depth)
    request = decode_document(signature, document, limits)
    if frame is not None and not request.id and len(document["inputs"]) == 1:
        _keep_frame(signature, frame, limits)
    return request


def _keep_frame(signature: Signature, frame: tuple[bytes, bytes], limits: Limits) -> None:
    """Remember a frame when the place between its halves is that of the only input's data."""
    before, after = frame
    if len(before) + len(after) > _PLAN_BYTES or _MARK in before or _MARK in after:
        return
    try:
        plan = _plan(signature, read_json(b"".join([before, b"[", _MARK, b"]", after]), limits.json_depth), limits)
    except Problem:
        return
    if len(plan.given) == 1 and plan.given[0].data == [int(_MARK)]:
        if len(signature.frames) >= _PLANS:
            signature.frames.clear()
        signature.frames[frame] = plan


def decode_document(signature: Signature, document: Any, limits: Limits) -> Request:
    """Check a request that is wholly JSON (parsed strictly) and make its arrays.

    Raises:
        Problem: 400 or 413.
    """
    plan = _plan(signature, document, limits)
    if plan.binary_bytes:
        raise Problem(400, "binary_data_size without the header Inference-Header-Content-Length")
    return _request(signature, plan, b"", 0, limits)


def _keep(signature: Signature, head: bytes, plan: _Plan) -> None:
    """Remember a plan that other requests can use: nothing in it belongs to one request only."""
    if plan.id or len(head) > _PLAN_BYTES or any(given.start < 0 for given in plan.given):
        return
    if len(signature.plans) >= _PLANS:
        signature.plans.clear()
    signature.plans[head] = plan


def _plan(signature: Signature, document: Any, limits: Limits) -> _Plan:
    request = check_keys(document, _REQUEST_KEYS, "the request")
    _check_model(signature, request)
    parameters = request.get("parameters")
    timeout_s, priority, binary = request_parameters({} if parameters is None else parameters)
    given, at = _given(signature, request.get("inputs"), limits)
    payload = given[0].slot.index < 0
    if payload:
        rows, shape_key = given[0].shape[0], None
    else:
        shapes: list[tuple[int, ...] | None] = [None] * len(signature.inputs)
        for one in given:
            shapes[one.slot.index] = one.shape
        rows, shape_key = gather(signature, shapes)
        given.sort(key=_place)
    return _Plan(
        given=given,
        rows=rows,
        shape_key=shape_key,
        payload=payload,
        wishes=wishes_of(signature, request.get("outputs"), binary, limits),
        id=check_id("" if request.get("id") is None else request["id"]),
        timeout_s=timeout_s,
        priority=priority,
        binary_bytes=at,
        one_text=payload and rows == 1 and signature.model.spec.pipeline.kind == "text",
    )


def _place(given: _Given) -> int:
    return given.slot.index


def _check_model(signature: Signature, request: dict[str, Any]) -> None:
    """A body that names another model than the address is a mistake."""
    spec = signature.model.spec
    for key, wanted in (("model_name", spec.name), ("model_version", spec.version)):
        named = request.get(key)
        if named is not None and named != wanted:
            raise Problem(400, f"{key} is {shown(named)} in the body, {wanted} answers at this address")


def request_parameters(found: Any) -> tuple[float | None, int, bool]:
    """Timeout in seconds (None for none), priority and whether outputs are binary where they do not say.

    Raises:
        Problem: 400 for parameters of the wrong type and for those that are not offered (sequences, shared memory).
    """
    parameters = check_scalars(found, "parameters")
    if not parameters:
        return None, 0, False
    refuse_unoffered(parameters)
    timeout_us = _whole(parameters, "timeout", _MAX_TIMEOUT_US)
    priority = _whole(parameters, "priority", _MAX_PRIORITY)
    binary = parameters.get("binary_data_output", False)
    if type(binary) is not bool:
        raise Problem(400, f"binary_data_output is true or false, got {shown(binary)}")
    if "binary_data_size" in parameters:
        raise Problem(400, "binary_data_size belongs to an input")
    return (timeout_us / _MICROSECONDS if timeout_us else None), priority, binary


def refuse_unoffered(parameters: dict[str, Any]) -> None:
    """Raise a 400 for parameters of sequences and shared memory, which this server has not."""
    for name in parameters:
        if name.startswith(_NOT_OFFERED):
            raise Problem(400, f"the parameter {shown(name)} is not offered by this server")


def _whole(parameters: dict[str, Any], name: str, most: int) -> int:
    value = parameters.get(name, 0)
    if type(value) is not int or not 0 <= value <= most:
        raise Problem(400, f"{name} is a whole number from 0 to {most}, got {shown(value)}")
    return value


def _given(signature: Signature, inputs: object, limits: Limits) -> tuple[list[_Given], int]:
    """All inputs as described, and how many raw bytes they have together."""
    if type(inputs) is not list or not inputs or len(inputs) > limits.tensors:
        raise Problem(400, f"inputs is a list of 1 to {limits.tensors} tensors, got {shown(inputs)}")
    found: list[_Given] = []
    at = 0
    for described in inputs:
        one = _one_given(signature, described, at, limits)
        at = max(at, one.stop)
        if any(one.slot is other.slot for other in found):
            raise Problem(400, f"input {one.slot.name} is there twice")
        found.append(one)
    if len(found) > 1 and any(one.slot.index < 0 for one in found):
        assert signature.payload is not None
        raise Problem(400, f"input {signature.payload.name} stands for all tensors; send it alone or send tensors")
    return found, at


def _one_given(signature: Signature, described: object, at: int, limits: Limits) -> _Given:
    tensor = check_keys(described, _INPUT_KEYS, "an input")
    slot = signature.slot(tensor.get("name"), tensor.get("datatype"))
    check_datatype(slot, tensor.get("datatype"))
    shape = check_shape(signature, slot, tensor.get("shape"), limits)
    parameters = check_scalars(tensor["parameters"], "parameters") if "parameters" in tensor else {}
    refuse_unoffered(parameters)
    if "binary_data_size" not in parameters:
        if "data" not in tensor:
            raise Problem(400, f"input {slot.name} has no data")
        return _Given(slot=slot, shape=shape, data=tensor["data"])
    if "data" in tensor:
        raise Problem(400, f"input {slot.name} has data and binary_data_size")
    size = _whole(parameters, "binary_data_size", limits.body_bytes)
    need = math.prod(shape) * slot.datatype.size_bytes
    if need and size != need:
        raise Problem(
            400,
            f"input {slot.name}: {slot.datatype.name} {list(shape)} needs {need:,} bytes, binary_data_size is {size:,}",
        )
    as_is = need > 0 and slot.datatype.name != "BOOL" and sys.byteorder == "little"
    return _Given(slot=slot, shape=shape, start=at, stop=at + size, count=math.prod(shape) if as_is else 0)


def wishes_of(signature: Signature, outputs: object, binary: bool, limits: Limits) -> tuple[Wish, ...]:
    """Which outputs are asked for and how; all of them when the list is empty or missing.

    Args:
        signature: Of the model.
        outputs: A list of objects with ``name`` and ``parameters``.
        binary: As raw bytes where an output does not say.
        limits: Bounds the list.

    Raises:
        Problem: 400.
    """
    if outputs is None or outputs == []:
        if not binary:
            return signature.all_json
        return tuple(Wish(index=slot.index, binary=True) for slot in signature.outputs)
    if type(outputs) is not list or len(outputs) > limits.tensors:
        raise Problem(400, f"outputs is a list of at most {limits.tensors} outputs, got {shown(outputs)}")
    found = [_wish(signature, described, binary) for described in outputs]
    if len({wish.index for wish in found}) != len(found):
        raise Problem(400, "an output is asked for twice")
    return tuple(found)


def _wish(signature: Signature, described: object, binary: bool) -> Wish:
    output = check_keys(described, _OUTPUT_KEYS, "an output")
    name = output.get("name")
    slot = signature.outputs_by_name.get(name) if isinstance(name, str) else None
    if slot is None:
        known = ", ".join(signature.outputs_by_name)
        raise Problem(400, f"model {signature.model.spec.name} has no output {shown(name)}; it has {known}")
    parameters = check_scalars(output["parameters"], "parameters") if "parameters" in output else {}
    refuse_unoffered(parameters)
    wants_binary = parameters.get("binary_data", binary)
    if type(wants_binary) is not bool:
        raise Problem(400, f"binary_data is true or false, got {shown(wants_binary)}")
    classes = _whole(parameters, "classification", _MAX_CLASSES)
    if classes and slot.datatype.name in ("BYTES", "BOOL"):
        raise Problem(400, f"output {slot.name} is {slot.datatype.name}; classification needs numbers")
    return Wish(index=slot.index, binary=wants_binary, classes=classes)


def _request(
    signature: Signature, plan: _Plan, body: bytes, raw_from: int, limits: Limits, only: _Given | None = None
) -> Request:
    """A request from its plan and its values: raw ones, those of the plan, or those of its only input.

    Args:
        signature: Of the model.
        plan: What the JSON part says.
        body: That raw tensors are in; of the length that the plan wants.
        raw_from: Where they begin.
        limits: Bounds of payloads.
        only: The only input, in place of the plan's.
    """
    given = plan.given if only is None else [only]
    request = _without_values(signature, plan)
    if plan.payload:
        elements = _payload_elements(signature, given[0], memoryview(body)[raw_from:], limits)
        request.payloads, request.length = check_payloads(signature, elements, limits)
    else:
        request.tensors = [_tensor(one, body, raw_from) for one in given]
    return request


def _of_one_text(signature: Signature, plan: _Plan, texts: list[str], limits: Limits) -> Request:
    """As :func:`_request` for the request that text models are asked most."""
    request = _without_values(signature, plan)
    request.payloads = checked_texts(texts, limits)
    request.length = estimate_tokens(texts[0], signature.model.spec.pipeline.max_length)
    return request


def _without_values(signature: Signature, plan: _Plan) -> Request:
    return Request(
        model=signature.model,
        rows=plan.rows,
        shape_key=plan.shape_key,
        wishes=plan.wishes,
        id=plan.id,
        timeout_s=plan.timeout_s,
        priority=plan.priority,
    )


def _tensor(given: _Given, body: bytes, raw_from: int) -> NDArray[Any]:
    slot = given.slot
    if given.count:
        return np.frombuffer(body, slot.datatype.dtype, given.count, raw_from + given.start).reshape(given.shape)
    if given.start < 0:
        flat = flat_values(given.data, given.shape, slot.name)
        return array_of_values(slot.datatype, flat, slot.name).reshape(given.shape)
    return raw_array(
        slot.datatype, given.shape, memoryview(body)[raw_from + given.start : raw_from + given.stop], slot.name
    )


def _payload_elements(signature: Signature, given: _Given, raw: memoryview, limits: Limits) -> list[Any]:
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
