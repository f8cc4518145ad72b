"""SageMaker's ``/invocations``: whatever a client has, for the one model there is or the one it names.

``application/json`` holds a request of the Open Inference Protocol or ``{"instances": …}`` / ``{"inputs": …}`` with
plain values; ``text/plain`` a text; ``text/csv`` rows of numbers; ``image/*`` or ``application/octet-stream`` an image
(for a text model: a text). Protocol requests get protocol answers, all others ``{"predictions": […]}`` with one entry
a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import orjson
from numpy.typing import NDArray

from farthing.serve.limits import Limits
from farthing.serve.protocol.csv_numbers import measured_csv, number
from farthing.serve.protocol.json.long_bodies import read_long
from farthing.serve.protocol.json.long_texts import LongText
from farthing.serve.protocol.json.number_lists import NumberList
from farthing.serve.protocol.json.strict import check_depth, check_keys, read_json
from farthing.serve.protocol.long_requests import document_in_steps, infer_in_steps
from farthing.serve.protocol.oip import decode_document, decode_infer
from farthing.serve.protocol.oip_answers import json_values
from farthing.serve.protocol.signatures import Signature, Slot, check_payloads, shown, signature_of
from farthing.serve.turns import Steps
from farthing.wire.requests import LiveModel, Models, Problem, Request

__all__ = ["best_of", "chosen_model", "decode_invocation", "encode_predictions", "invocation_in_steps", "named_classes"]

_PLAIN_KEYS = frozenset({"inputs", "instances", "parameters"})
_STANDING = ("ready", "unavailable")
"""States of models that are here to stay: not on their way in or out."""
_TOP = 5


def chosen_model(models: Models, target: str) -> LiveModel:
    """The model that answers ``/invocations``.

    Args:
        models: That there are.
        target: ``name`` or ``name/version``; empty for the only one that answers or would, were it not broken.

    Raises:
        Problem: 400 when there are several and none is named, 503 when none answers yet, 404 when there is none.
    """
    if target:
        name, _, version = target.partition("/")
        return models.find(name, version or None)
    names = {model.spec.name for model in models.known() if model.state in _STANDING}
    if not names:
        raise models.not_ready() or Problem(404, "there is no model")
    if len(names) > 1:
        raise Problem(400, f"there are {len(names)} models; name one in the header X-Amzn-SageMaker-Target-Model")
    return models.find(next(iter(names)))


def decode_invocation(
    model: LiveModel, body: bytes, media_type: str, json_bytes: int | None, limits: Limits
) -> tuple[Request, bool]:
    """Read a request.

    Args:
        model: Who is asked.
        body: After decompression.
        media_type: Without parameters; empty means JSON.
        json_bytes: Length of the JSON part when raw tensors follow.
        limits: Bounds.

    Returns:
        The request, and whether its answer is plain (predictions) rather than the protocol's.

    Raises:
        Problem: 400, 413, or 415 when the model does not take that kind of body.
    """
    if json_bytes is not None:
        return decode_infer(model, body, json_bytes, limits), False
    signature = signature_of(model)
    kind = model.spec.pipeline.kind
    if media_type in ("", "application/json"):
        document = read_json(body, limits.json_depth)
        plain = not _is_protocol(document)
        if plain:
            check_depth(document, limits.json_depth)
            document = _protocol(signature, document)
        return decode_document(signature, document, limits), plain
    if media_type == "text/csv" and kind == "tensor":
        return decode_document(signature, _numbers(signature, body), limits), True
    _check_taken(model, media_type)
    payloads, length = check_payloads(signature, [body], limits)
    return Request(model=model, payloads=payloads, length=length, wishes=signature.all_json), True


def invocation_in_steps(
    model: LiveModel, body: bytes | bytearray, media_type: str, json_bytes: int | None, limits: Limits
) -> Steps[tuple[Request, bool]]:
    """As :func:`decode_invocation` for a long body: in steps, and in memory bounded by a few times the body.

    Raises:
        Problem: as there, and 413 when its JSON would take too much memory.
    """
    if json_bytes is not None:
        return (yield from infer_in_steps(model, body, json_bytes, limits)), False
    signature = signature_of(model)
    if media_type in ("", "application/json"):
        document = yield from read_long(body, limits.json_depth, limits.values)
        plain = not _is_protocol(document)
        if plain:
            document = _protocol(signature, document)
        return (yield from document_in_steps(signature, document, len(body), limits)), plain
    if media_type == "text/csv" and model.spec.pipeline.kind == "tensor":
        slot = _numeric(signature)
        table = yield from measured_csv(body, whole=float not in slot.datatype.json_types)
        described = {"inputs": [_input(slot, list(table.shape), table)]}
        return (yield from document_in_steps(signature, described, len(body), limits)), True
    _check_taken(model, media_type)
    payloads, length = check_payloads(signature, [cast(bytes, body)], limits)
    return Request(model=model, payloads=payloads, length=length, wishes=signature.all_json), True


def _check_taken(model: LiveModel, media_type: str) -> None:
    kind = model.spec.pipeline.kind
    taken = {"text": ("text/plain", "application/octet-stream"), "image": ("application/octet-stream",)}.get(kind, ())
    if media_type not in taken and not (kind == "image" and media_type.startswith("image/")):
        raise Problem(415, f"model {model.spec.name} ({kind}) does not take {media_type[:80]}")


def _protocol(signature: Signature, document: Any) -> dict[str, Any]:
    """A plain request in the protocol's words."""
    found = check_keys(document, _PLAIN_KEYS, "the request")
    if ("instances" in found) == ("inputs" in found):
        raise Problem(400, "a plain request has either instances or inputs")
    if "instances" in found:
        inputs = _from_instances(signature, found["instances"])
    else:
        inputs = _from_inputs(signature, found["inputs"])
    request: dict[str, Any] = {"inputs": inputs}
    if "parameters" in found:
        request["parameters"] = found["parameters"]
    return request


def _is_protocol(document: Any) -> bool:
    """A request of the protocol describes its inputs."""
    if type(document) is not dict or type(document.get("inputs")) is not list or "instances" in document:
        return False
    inputs = document["inputs"]
    return bool(inputs) and type(inputs[0]) is dict and "datatype" in inputs[0]


def _from_instances(signature: Signature, instances: object) -> list[dict[str, Any]]:
    """One entry a row: a value, or an object of the inputs' values."""
    if isinstance(instances, NumberList):
        return [_described(_only(signature), instances)]
    if type(instances) is not list or not instances:
        raise Problem(400, f"instances is a list with one entry a row, got {shown(instances)}")
    _check_rows(signature, len(instances))
    if type(instances[0]) is not dict or signature.payload is not None:
        return [_described(_only(signature), [_unwrapped(entry) for entry in instances])]
    names = instances[0].keys()
    if any(type(entry) is not dict or entry.keys() != names for entry in instances):
        raise Problem(400, "all instances name the same inputs")
    return [_described(_named(signature, name), [entry[name] for entry in instances]) for name in names]


def _from_inputs(signature: Signature, inputs: object) -> list[dict[str, Any]]:
    """All rows of one input, or an object of them; a single text may stand alone."""
    if type(inputs) is dict:
        return [_described(_named(signature, name), values) for name, values in inputs.items()]
    if signature.payload is not None and isinstance(inputs, (str, LongText)):
        return [_described(signature.payload, [inputs])]
    if signature.payload is not None and type(inputs) is list:
        _check_rows(signature, len(inputs))
        return [_described(signature.payload, [_unwrapped(entry) for entry in inputs])]
    return [_described(_only(signature), inputs)]


def _check_rows(signature: Signature, rows: int) -> None:
    """Raise a 400 for more rows than a request may have, before each of them is looked at."""
    if (signature.model.batched or signature.payload is not None) and rows > signature.max_rows:
        raise Problem(400, f"{rows:,} rows; a request has at most {signature.max_rows:,}")


def _unwrapped(entry: object) -> object:
    """TensorFlow Serving writes bytes as ``{"b64": …}``."""
    return entry["b64"] if type(entry) is dict and entry.keys() == {"b64"} else entry


def _only(signature: Signature) -> Slot:
    if signature.payload is not None:
        return signature.payload
    if len(signature.inputs) != 1:
        names = ", ".join(signature.inputs_by_name)
        raise Problem(400, f"the model has the inputs {names}; name them")
    return signature.inputs[0]


def _named(signature: Signature, name: str) -> Slot:
    return signature.slot(name, "BYTES" if signature.payload is not None else None)


def _described(slot: Slot, values: object) -> dict[str, Any]:
    """Plain values as an input of the protocol; the shape is how they are nested."""
    shape, inner = [], values
    while type(inner) is list:
        shape.append(len(inner))
        inner = inner[0] if inner else None
    if isinstance(inner, NumberList):
        if inner.shape is None:
            raise Problem(400, f"input {slot.name}: lists of one level are not equally long")
        shape += inner.shape
    return _input(slot, shape, values)


def _input(slot: Slot, shape: list[int], values: object) -> dict[str, Any]:
    return {"name": slot.name, "shape": shape, "datatype": slot.datatype.name, "data": values}


def _numeric(signature: Signature) -> Slot:
    """The only input, which takes numbers."""
    slot = _only(signature)
    if slot.datatype.name in ("BYTES", "BOOL"):
        raise Problem(415, f"input {slot.name} is {slot.datatype.name}; text/csv holds numbers")
    return slot


def _numbers(signature: Signature, body: bytes) -> dict[str, Any]:
    """Lines of comma-separated numbers as one input; whole numbers where the model wants them."""
    slot = _numeric(signature)
    whole = float not in slot.datatype.json_types
    try:
        lines = body.decode("ascii").split("\n")
        rows = [[number(cell, whole=whole) for cell in line.split(",")] for line in lines if line.strip()]
    except (UnicodeDecodeError, ValueError) as e:
        raise Problem(400, f"text/csv holds numbers: {str(e)[:200]}") from e
    return {"inputs": [_described(slot, rows)]}


def named_classes(signature: Signature, outputs: Sequence[NDArray[Any]]) -> Sequence[str] | None:
    """Names of the classes that the first output scores; None when it is no classifier's."""
    names, first = signature.model.spec.classes, outputs[0]
    scores = signature.model.has_rows and first.ndim == 2 and first.dtype.kind == "f"
    return names if names and scores and first.shape[1] == len(names) else None


def encode_predictions(signature: Signature, outputs: Sequence[NDArray[Any]]) -> bytes:
    """One prediction a row: the best classes of a classifier, else its outputs."""
    batched = signature.model.has_rows
    names = named_classes(signature, outputs)
    if names is not None:
        predictions = [best_of(row, names) for row in outputs[0]]
        return orjson.dumps({"predictions": predictions}, option=orjson.OPT_SERIALIZE_NUMPY)
    values = {slot.name: _nested(slot, array) for slot, array in zip(signature.outputs, outputs)}
    rows = _rows(values) if batched else [values]
    single = len(signature.outputs) == 1
    plain = [next(iter(row.values())) if single else row for row in rows]
    return orjson.dumps({"predictions": plain})


def _rows(values: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(values, row)) for row in zip(*values.values())]


def _nested(slot: Slot, array: NDArray[Any]) -> Any:
    flat = np.empty(array.size, dtype=object)
    flat[:] = orjson.loads(json_values(slot.datatype, array, slot.name))
    return flat.reshape(array.shape).tolist()


def best_of(scores: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
    """The best class of a row: label, index, score, and those behind it as ``top``."""
    order = np.argsort(-scores.astype(np.float64), kind="stable")[:_TOP].tolist()
    top = [{"label": names[k], "index": k, "score": scores[k]} for k in order]
    return {**top[0], "top": top}
