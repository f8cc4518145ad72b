"""Inference requests and answers of the gRPC protocol: messages to checked arrays and back.

Tensors come raw (all of them in ``raw_input_contents``, in the order of ``inputs``) or typed (each in the one field of
its ``contents`` that belongs to its datatype); FP16 and BF16 have no such field. Names, types, shapes, parameters and
payloads are checked by the same functions as over HTTP.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.serve.grpc.long_messages import Contents, array_of_packed
from farthing.serve.grpc.messages import message
from farthing.serve.limits import Limits
from farthing.serve.protocol.inference_headers import refuse_unoffered, request_parameters, wishes_of
from farthing.serve.protocol.json.long_values import payloads_in_steps, raw_in_steps
from farthing.serve.protocol.oip_answers import best_classes
from farthing.serve.protocol.route_words import parameters_of
from farthing.serve.protocol.signatures import (
    EMULATED,
    Signature,
    Slot,
    Wish,
    check_datatype,
    check_id,
    check_shape,
    gather,
    shown,
    signature_of,
)
from farthing.serve.turns import Steps, at_once
from farthing.wire.dtypes import DATATYPES, Datatype, elements_of, raw_array, raw_bytes
from farthing.wire.requests import Answer, LiveModel, Problem, Request

__all__ = ["Values", "answer_in_steps", "answer_message", "decode_in_steps", "decode_message", "plain_parameters"]

_VALUES_A_STEP = 4096

_FIELDS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Which field of ``contents`` holds the elements of a datatype."""

_InferResponse = message("inference.ModelInferResponse")


def plain_parameters(parameters: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Parameters as plain Python values.

    Args:
        parameters: A map of ``InferParameter``.
        what: Whose, for messages.

    Raises:
        Problem: 400 when one holds no value, or one of a kind that this server does not know.
    """
    found: dict[str, Any] = {}
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is None:
            raise Problem(400, f"{what}: the parameter {shown(name)} has no value")
        found[name] = getattr(parameter, choice)
    return found


def decode_message(model: LiveModel, message: Any, limits: Limits) -> tuple[Request, bool]:
    """Check a ``ModelInferRequest`` and make its arrays.

    Args:
        model: Who is asked.
        message: Raw tensors of it are not copied again, so that arrays are read-only.
        limits: Bounds.

    Returns:
        What it asks for, and whether the answer is raw (``binary_data_output`` false asks for typed contents).

    Raises:
        Problem: 400, or 413 for a payload over its limit.
    """
    return at_once(decode_in_steps(model, message, Values(message.raw_input_contents), limits))


@dataclass(slots=True)
class Values:
    """What a message holds beside what it says.

    Attributes:
        raw: ``raw_input_contents``.
        contents: Typed ones that were not parsed, by the input's index.
        size_bytes: Of a long message, whose values are read within bounds; 0 of a short one.
    """

    raw: Sequence[bytes | memoryview]
    contents: Mapping[int, Contents] = field(default_factory=dict)
    size_bytes: int = 0


def decode_in_steps(model: LiveModel, message: Any, values: Values, limits: Limits) -> Steps[tuple[Request, bool]]:
    """As :func:`decode_message`, with the message's values beside it."""
    signature = signature_of(model)
    named = plain_parameters(message.parameters, "parameters")
    raw_answer = named.get("binary_data_output", True)
    timeout_s, priority, _ = request_parameters(named)
    request = Request(
        model=model,
        wishes=_wishes(signature, message, limits),
        id=check_id(message.id),
        timeout_s=timeout_s,
        priority=priority,
        protocol="grpc",
    )
    yield from _fill(request, signature, message, values, limits)
    return request, raw_answer


def _wishes(signature: Signature, request: Any, limits: Limits) -> tuple[Wish, ...]:
    outputs = [
        {"name": output.name, "parameters": plain_parameters(output.parameters, f"output {shown(output.name)}")}
        for output in request.outputs[: limits.tensors + 1]
    ]
    return wishes_of(signature, outputs, True, limits)


def _fill(request: Request, signature: Signature, message: Any, values: Values, limits: Limits) -> Steps[None]:
    """Read all inputs into tensors or payloads."""
    inputs, raw = message.inputs, values.raw
    if not 1 <= len(inputs) <= limits.tensors:
        raise Problem(400, f"a request has 1 to {limits.tensors} inputs, got {len(inputs)}")
    if raw and len(raw) != len(inputs):
        raise Problem(400, f"raw_input_contents holds {len(raw):,} tensors for {len(inputs):,} inputs")
    described = [_described(signature, tensor, limits) for tensor in inputs]
    shapes: list[tuple[int, ...] | None] = [None] * len(signature.inputs)
    for slot, shape in described:
        if slot.index < 0:
            if len(described) > 1:
                raise Problem(400, f"input {slot.name} stands for all tensors; send it alone or send tensors")
            elements = elements_of((yield from _array(slot, shape, inputs[0], values, 0, limits)))
            request.rows = shape[0]
            steps = payloads_in_steps(signature, elements, limits)
            request.payloads, request.length = yield from steps
            return
        if shapes[slot.index] is not None:
            raise Problem(400, f"input {slot.name} is there twice")
        shapes[slot.index] = shape
    request.rows, request.shape_key = gather(signature, shapes)
    arrays: list[Any] = [None] * len(signature.inputs)
    for k, (slot, shape) in enumerate(described):
        arrays[slot.index] = yield from _array(slot, shape, inputs[k], values, k, limits)
    request.tensors = arrays


def _described(signature: Signature, tensor: Any, limits: Limits) -> tuple[Slot, tuple[int, ...]]:
    """Which input a tensor is, and its checked shape."""
    slot = signature.slot(tensor.name, tensor.datatype)
    check_datatype(slot, tensor.datatype)
    shape = check_shape(signature, slot, list(tensor.shape[: limits.dims + 1]), limits)
    if tensor.parameters:
        refuse_unoffered(plain_parameters(tensor.parameters, f"input {slot.name}"))
    return slot, shape


def _array(
    slot: Slot, shape: tuple[int, ...], tensor: Any, given: Values, k: int, limits: Limits
) -> Steps[NDArray[Any]]:
    """Elements of input ``k``; either raw or typed, never both."""
    names = [field.name for field, _ in tensor.contents.ListFields()] if tensor.HasField("contents") else []
    contents = given.contents.get(k)
    if contents is not None and contents.name:
        names.append(contents.name)
    if given.raw:
        if names:
            raise Problem(400, f"input {slot.name} has {names[0]} besides raw_input_contents; send one of them")
        if not given.size_bytes:
            return raw_array(slot.datatype, shape, given.raw[k], slot.name)
        return (yield from raw_in_steps(slot.datatype, shape, memoryview(given.raw[k]), slot.name, limits.values))
    wanted = _FIELDS.get(slot.datatype.name)
    if wanted is None:
        raise Problem(400, f"input {slot.name}: {slot.datatype.name} has no typed contents; send raw_input_contents")
    for name in names:
        if name != wanted:
            raise Problem(400, f"input {slot.name}: the elements of {slot.datatype.name} go into {wanted}, got {name}")
    if contents is not None and contents.name:
        if len(names) > 1:
            raise Problem(400, f"input {slot.name}: {wanted} comes packed and in single values; send it packed")
        return (yield from _unparsed(slot, shape, contents, given.size_bytes))
    values = getattr(tensor.contents, wanted)
    count = math.prod(shape)
    if len(values) != count:
        raise Problem(400, f"input {slot.name}: {list(shape)} needs {count:,} values in {wanted}, got {len(values):,}")
    return _typed(slot.datatype, values, count, slot.name).reshape(shape)


def _unparsed(slot: Slot, shape: tuple[int, ...], contents: Contents, size_bytes: int) -> Steps[NDArray[Any]]:
    """Typed elements that lie where they came."""
    count = math.prod(shape)
    if contents.spans:
        array = yield from array_of_packed(contents, slot.datatype.dtype, count, slot.name, size_bytes)
        return array.reshape(shape)
    if len(contents.elements) != count:
        n = len(contents.elements)
        raise Problem(400, f"input {slot.name}: {list(shape)} needs {count:,} values in {contents.name}, got {n:,}")
    elements, contents.elements = contents.elements, []  # each may go as it is used
    return _typed(slot.datatype, elements, count, slot.name).reshape(shape)


def _typed(datatype: Datatype, values: Any, count: int, name: str) -> NDArray[Any]:
    """An array of typed contents; a 400 when a value does not fit the narrower type (300 as UINT8)."""
    if datatype.size_bytes == 0:
        array = np.empty(count, dtype=object)
        array[:] = list(values)
        return array
    if _FIELDS[datatype.name] not in ("int_contents", "uint_contents"):
        return np.fromiter(values, dtype=datatype.dtype, count=count)
    wide = np.fromiter(values, dtype=np.int64, count=count)
    bounds = np.iinfo(datatype.dtype)
    if wide.min() < bounds.min or wide.max() > bounds.max:
        raise Problem(400, f"input {name}: {datatype.name} goes from {bounds.min} to {bounds.max}, got a value outside")
    return wide.astype(datatype.dtype)


def answer_message(
    model: LiveModel, request: Request, raw_answer: bool, answer: Answer, *, with_cost: bool = False
) -> Any:
    """As :func:`answer_in_steps`, at once."""
    return at_once(answer_in_steps(model, request, raw_answer, answer, with_cost=with_cost))


def answer_in_steps(
    model: LiveModel, request: Request, raw_answer: bool, answer: Answer, *, with_cost: bool = False
) -> Steps[Any]:
    """A ``ModelInferResponse`` with the outputs that the client asked for, in its order; a route says how it went."""
    signature = signature_of(model)
    response = _InferResponse(model_name=model.spec.name, model_version=model.spec.version, id=request.id)
    if answer.route is not None:
        for name, said in parameters_of(answer.route, with_cost=with_cost).items():
            response.parameters[name].string_param = said
    for name, said in EMULATED.items() if signature.emulated else ():
        response.parameters[name].string_param = said
    typed = not raw_answer and all(_datatype(signature, wish).name in _FIELDS for wish in request.wishes)
    for wish in request.wishes:
        slot, array, datatype = signature.outputs[wish.index], answer.outputs[wish.index], _datatype(signature, wish)
        if wish.classes:
            array = best_classes(signature, slot, array, wish.classes)
        output = response.outputs.add(name=slot.name, datatype=datatype.name, shape=array.shape)
        if typed:
            yield from _extend(getattr(output.contents, _FIELDS[datatype.name]), datatype, array.reshape(-1))
        else:
            response.raw_output_contents.append(raw_bytes(datatype, array))
            yield
    return response


def _extend(values: Any, datatype: Datatype, flat: NDArray[Any]) -> Steps[None]:
    """Add typed elements, some thousands in a step."""
    for at in range(0, flat.size, _VALUES_A_STEP):
        piece = flat[at : at + _VALUES_A_STEP]
        values.extend(elements_of(piece) if datatype.size_bytes == 0 else piece.tolist())
        if flat.size > _VALUES_A_STEP:
            yield


def _datatype(signature: Signature, wish: Wish) -> Datatype:
    """Of an output as it is sent: classes are texts."""
    return DATATYPES["BYTES"] if wish.classes else signature.outputs[wish.index].datatype
