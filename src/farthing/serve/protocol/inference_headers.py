"""What the JSON part of a request says apart from its values: inputs, wishes, parameters, all checked."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

from farthing.serve.limits import Limits
from farthing.serve.protocol.json.strict import check_keys, check_scalars
from farthing.serve.protocol.signatures import (
    Signature,
    Slot,
    Wish,
    check_datatype,
    check_id,
    check_shape,
    gather,
    shown,
)
from farthing.wire.requests import Problem

__all__ = ["Given", "InferenceHeader", "header_of", "refuse_unoffered", "request_parameters", "wishes_of"]

_REQUEST_KEYS = frozenset({"id", "inputs", "model_name", "model_version", "outputs", "parameters"})
_INPUT_KEYS = frozenset({"data", "datatype", "name", "parameters", "shape"})
_OUTPUT_KEYS = frozenset({"name", "parameters"})
_MAX_PRIORITY = 2**32 - 1
_MAX_CLASSES = 2**20
_MICROSECONDS = 1e6
_MAX_TIMEOUT_US = 2**63 - 1
_NOT_OFFERED = ("sequence_", "shared_memory_")


@dataclass(slots=True, kw_only=True)
class Given:
    """One input as the client described it.

    Attributes:
        slot: Which.
        shape: Checked.
        data: Values of the JSON form.
        start: Of its bytes among the raw ones, -1 for the JSON form.
        stop: Of them.
        count: Numbers that lie there just as arrays hold them; 0 when they must be looked at (BYTES, BOOL).
    """

    slot: Slot
    shape: tuple[int, ...]
    data: Any = None
    start: int = -1
    stop: int = -1
    count: int = 0


@dataclass(slots=True, kw_only=True)
class InferenceHeader:
    """What the JSON part says.

    Attributes:
        given: Inputs, tensors in the model's order.
        rows: Of the request.
        shape_key: As in :class:`~farthing.wire.requests.Request`.
        payload: Whether images or texts came instead of tensors.
        wishes: Which outputs and how.
        id: The client's.
        timeout_s: The client's, None for none.
        priority: The client's.
        binary_bytes: Raw bytes of all inputs.
        one_text: Whether it is a single text.
    """

    given: list[Given]
    rows: int
    shape_key: Any
    payload: bool
    wishes: tuple[Wish, ...]
    id: str
    timeout_s: float | None
    priority: int
    binary_bytes: int
    one_text: bool


def header_of(signature: Signature, document: Any, limits: Limits) -> InferenceHeader:
    """Check what a parsed document says; values are not looked at.

    Raises:
        Problem: 400, or 501 for what is not offered.
    """
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
    return InferenceHeader(
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


def _place(given: Given) -> int:
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
        Problem: 400 for parameters of the wrong type, 501 for those that are not offered (sequences, shared memory).
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
    """Raise a 501 for parameters of sequences and shared memory, which this server has not."""
    for name in parameters:
        if name.startswith(_NOT_OFFERED):
            raise Problem(501, f"the parameter {shown(name)} is not offered by this server")


def _whole(parameters: dict[str, Any], name: str, most: int) -> int:
    value = parameters.get(name, 0)
    if type(value) is not int or not 0 <= value <= most:
        raise Problem(400, f"{name} is a whole number from 0 to {most}, got {shown(value)}")
    return value


def _given(signature: Signature, inputs: object, limits: Limits) -> tuple[list[Given], int]:
    """All inputs as described, and how many raw bytes they have together."""
    if type(inputs) is not list or not inputs or len(inputs) > limits.tensors:
        raise Problem(400, f"inputs is a list of 1 to {limits.tensors} tensors, got {shown(inputs)}")
    found: list[Given] = []
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


def _one_given(signature: Signature, described: object, at: int, limits: Limits) -> Given:
    tensor = check_keys(described, _INPUT_KEYS, "an input")
    slot = signature.slot(tensor.get("name"), tensor.get("datatype"))
    check_datatype(slot, tensor.get("datatype"))
    shape = check_shape(signature, slot, tensor.get("shape"), limits)
    parameters = check_scalars(tensor["parameters"], "parameters") if "parameters" in tensor else {}
    refuse_unoffered(parameters)
    if "binary_data_size" not in parameters:
        if "data" not in tensor:
            raise Problem(400, f"input {slot.name} has no data")
        return Given(slot=slot, shape=shape, data=tensor["data"])
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
    return Given(slot=slot, shape=shape, start=at, stop=at + size, count=math.prod(shape) if as_is else 0)


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
