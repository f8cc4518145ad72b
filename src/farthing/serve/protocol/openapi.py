"""The OpenAPI 3.1 description of what the HTTP door speaks, served at ``/openapi.json``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from farthing.serve.limits import Limits
from farthing.serve.protocol.route_words import HEADERS, MARGINAL_HEADER, MARGINAL_PARAMETER, PARAMETERS
from farthing.serve.protocol.signatures import signature_of
from farthing.wire.dtypes import DATATYPES
from farthing.wire.requests import LiveModel

__all__ = ["description"]

_Schema = dict[str, Any]

_EXAMPLE_VALUES = 4096
_MAX_DIM = 2**31 - 1
_NAME = "^[A-Za-z0-9._-]{1,128}$"
_TEXT: _Schema = {"type": "string"}
_FLAG: _Schema = {"type": "boolean"}
_COUNT: _Schema = {"type": "integer", "minimum": 0}
_RAW: _Schema = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}


_ROUTE_HEADERS = {**HEADERS, MARGINAL_HEADER: "What one more request to that tier costs now, in USD."}


def _object(properties: _Schema, required: tuple[str, ...] = (), *, closed: bool = False) -> _Schema:
    found: _Schema = {"type": "object", "properties": properties}
    if required:
        found["required"] = list(required)
    if closed:
        found["additionalProperties"] = False
    return found


def _list(items: _Schema, **bounds: int) -> _Schema:
    return {"type": "array", "items": items, **bounds}


def _ref(name: str) -> _Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def description(limits: Limits, known: Sequence[LiveModel] = ()) -> _Schema:
    """The whole description.

    Args:
        limits: Bounds that are part of it.
        known: The models that there are; the first is everyone's example.
    """
    example = known[0] if known else None
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "farthing",
            "version": version("farthing"),
            "description": "The Open Inference Protocol v2 with binary tensors, and SageMaker's addresses.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": _paths(example),
        "components": {"schemas": _schemas(limits), "responses": {"Problem": _problem()}},
    }


def _problem() -> _Schema:
    return {"description": "Why not.", "content": {"application/json": {"schema": _ref("Error")}}}


def _responses(schema: _Schema, *, binary: bool = False, csv: bool = False) -> _Schema:
    content: _Schema = {"application/json": {"schema": schema}}
    if csv:
        content["text/csv"] = {"schema": _TEXT}
    answer: _Schema = {"description": "The answer.", "content": content}
    if binary:
        content["application/octet-stream"] = {
            "schema": {"type": "string", "contentMediaType": "application/octet-stream"}
        }
        answer["headers"] = {
            "Inference-Header-Content-Length": {
                "description": "Length of the JSON part; raw tensors follow it.",
                "schema": _COUNT,
            },
            **{name: {"description": f"Of a route: {said}", "schema": _TEXT} for name, said in _ROUTE_HEADERS.items()},
        }
    problem = {"$ref": "#/components/responses/Problem"}
    return {"200": answer, "4XX": problem, **dict.fromkeys(("500", "501", "503", "504"), problem)}


def _get(name: str, summary: str, schema: _Schema, parameters: list[_Schema] | None = None) -> _Schema:
    """A path that is read; HEAD answers alike without a body."""
    common = {"parameters": parameters or []}
    read = {"operationId": name, "summary": summary, "responses": _responses(schema)}
    empty = {"description": "As for GET, without the body."}
    head = {
        "operationId": f"{name}_head",
        "summary": summary,
        "responses": dict.fromkeys(("200", "4XX", "503"), empty),
    }
    return {**common, "get": read, "head": head}


def _paths(example: LiveModel | None) -> _Schema:
    stats = _object({"model_stats": _list(_ref("ModelStatistics"))}, ("model_stats",))
    found: _Schema = {
        "/v2": _get("server", "Name, version and extensions.", _ref("Server")),
        "/v2/health/live": _get("live", "The process answers.", _object({"live": _FLAG}, ("live",))),
        "/v2/health/ready": _get("ready", "All models are ready.", _object({"ready": _FLAG}, ("ready",))),
        "/ping": _get("ping", "All models are ready, for SageMaker.", _object({"ready": _FLAG}, ("ready",))),
        "/v2/models/stats": _get("all_statistics", "Counts and times of all models.", stats),
        "/openapi.json": _get("openapi", "This description.", {"type": "object"}),
        "/v2/repository/index": {"post": _index()},
        "/invocations": {"post": _invocations()},
    }
    for prefix, suffix, parameters in (
        ("/v2/models/{model}", "", ["model"]),
        ("/v2/models/{model}/versions/{version}", "_version", ["model", "version"]),
    ):
        named = [_in_path(name, example) for name in parameters]
        found.update(_model_paths(prefix, suffix, named, stats, example))
    return found


def _in_path(name: str, example: LiveModel | None) -> _Schema:
    found: _Schema = {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": _NAME}}
    if example is not None:
        found["example"] = example.spec.name if name == "model" else example.spec.version
    return found


def _model_paths(
    prefix: str, suffix: str, parameters: list[_Schema], stats: _Schema, example: LiveModel | None
) -> _Schema:
    ready = _object({"name": _TEXT, "ready": _FLAG}, ("name", "ready"))
    return {
        prefix: _get(f"metadata{suffix}", "Inputs and outputs of a model.", _ref("Model"), parameters),
        f"{prefix}/ready": _get(f"model_ready{suffix}", "The model is ready.", ready, parameters),
        f"{prefix}/stats": _get(f"statistics{suffix}", "Counts and times of a model.", stats, parameters),
        f"{prefix}/config": _get(f"config{suffix}", "Its configuration.", {"type": "object"}, parameters),
        f"{prefix}/infer": {"parameters": parameters, "post": _infer(f"infer{suffix}", example)},
    }


def _example_request(model: LiveModel) -> _Schema:
    """One row of ones (of the word ``hello``, of a picture's first bytes in base64)."""
    signature = signature_of(model)
    inputs = []
    for slot in signature.inputs if signature.payload is None else (signature.payload,):
        shape = [1 if dim is None else dim for dim in slot.shape]
        one: Any = {"BOOL": True, "BYTES": "hello" if slot.name != "image" else "iVBORw0KGgo="}.get(
            slot.datatype.name, 1
        )
        values = [one] * min(math.prod(shape), _EXAMPLE_VALUES)
        inputs.append({"name": slot.name, "shape": shape, "datatype": slot.datatype.name, "data": values})
    return {"inputs": inputs}


def _infer(name: str, example: LiveModel | None) -> _Schema:
    request: _Schema = {"schema": _ref("InferRequest")}
    if example is not None:
        request["example"] = _example_request(example)
    return {
        "operationId": name,
        "summary": "Run the model.",
        "parameters": [
            {
                "name": "Inference-Header-Content-Length",
                "in": "header",
                "description": "Length of the JSON part when raw tensors follow it.",
                "schema": _COUNT,
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": request,
                "application/octet-stream": _RAW,
            },
        },
        "responses": _responses(_ref("InferResponse"), binary=True),
    }


def _index() -> _Schema:
    return {
        "operationId": "index",
        "summary": "All models and their states.",
        "requestBody": {"content": {"application/json": {"schema": _object({"ready": _FLAG}, closed=True)}}},
        "responses": _responses(_list(_ref("IndexEntry"))),
    }


def _invocations() -> _Schema:
    plain = _object({"predictions": {"type": "array"}}, ("predictions",))
    return {
        "operationId": "invocations",
        "summary": "Run the only model, or the one named.",
        "parameters": [
            {"name": "X-Amzn-SageMaker-Target-Model", "in": "header", "schema": _TEXT},
            {"name": "Inference-Header-Content-Length", "in": "header", "schema": _COUNT},
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"anyOf": [_ref("InferRequest"), _ref("PlainRequest")]}},
                "application/octet-stream": _RAW,
                "image/*": _RAW,
                "text/csv": {"schema": _TEXT},
                "text/plain": {"schema": _TEXT},
            },
        },
        "responses": _responses({"anyOf": [plain, _ref("InferResponse")]}, binary=True, csv=True),
    }


def _schemas(limits: Limits) -> _Schema:
    return {
        "Error": _object({"error": _TEXT}, ("error",)),
        **_request_schemas(limits),
        **_answer_schemas(),
        **_statistics_schemas(),
    }


def _request_schemas(limits: Limits) -> _Schema:
    scalar: _Schema = {"type": ["string", "number", "boolean"]}
    dims = _list({"type": "integer", "minimum": 1, "maximum": _MAX_DIM}, maxItems=limits.dims)

    def parameters(known: _Schema) -> _Schema:
        names: _Schema = {"not": {"pattern": "^(sequence_|shared_memory_)"}}
        return {"type": "object", "properties": known, "propertyNames": names, "additionalProperties": scalar}

    asked = parameters(
        {
            "timeout": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1, "description": "Microseconds."},
            "priority": {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
            "binary_data_output": _FLAG,
            "binary_data_size": False,
        }
    )
    size: _Schema = {"type": "integer", "minimum": 0, "maximum": limits.body_bytes}
    wish = parameters({"binary_data": _FLAG, "classification": {"type": "integer", "minimum": 0, "maximum": 2**20}})
    given: _Schema = {
        "name": _TEXT,
        "shape": dims,
        "datatype": {"enum": list(DATATYPES)},
        "parameters": parameters({"binary_data_size": size}),
        "data": _list({"type": ["string", "number", "boolean", "array"]}),
    }
    return {
        "RequestInput": _object(given, ("name", "shape", "datatype"), closed=True),
        "RequestOutput": _object({"name": _TEXT, "parameters": wish}, ("name",), closed=True),
        "InferRequest": _object(
            {
                "id": {"type": ["string", "null"], "maxLength": 256},
                "model_name": {"type": ["string", "null"]},
                "model_version": {"type": ["string", "null"]},
                "parameters": {"anyOf": [asked, {"type": "null"}]},
                "inputs": _list(_ref("RequestInput"), minItems=1, maxItems=limits.tensors),
                "outputs": {"anyOf": [_list(_ref("RequestOutput"), maxItems=limits.tensors), {"type": "null"}]},
            },
            ("inputs",),
            closed=True,
        ),
        "PlainRequest": _object(
            {"instances": {"type": "array"}, "inputs": {"type": ["array", "object", "string"]}, "parameters": asked},
            closed=True,
        ),
    }


def _answer_schemas() -> _Schema:
    shape = _list({"type": "integer"})
    tensor = _object(
        {"name": _TEXT, "datatype": {"enum": list(DATATYPES)}, "shape": shape}, ("name", "datatype", "shape")
    )
    output = _object(
        {
            **tensor["properties"],
            "parameters": _object({"binary_data_size": _COUNT}),
            "data": _list({"type": ["string", "number", "boolean", "null"]}),
        },
        ("name", "datatype", "shape"),
    )
    return {
        "Tensor": tensor,
        "ResponseOutput": output,
        "InferResponse": _object(
            {
                "model_name": _TEXT,
                "model_version": _TEXT,
                "id": _TEXT,
                "parameters": _object(dict.fromkeys((*PARAMETERS, MARGINAL_PARAMETER), _TEXT)),
                "outputs": _list(_ref("ResponseOutput")),
            },
            ("model_name", "model_version", "outputs"),
        ),
        "Server": _object(
            {"name": _TEXT, "version": _TEXT, "extensions": _list(_TEXT)}, ("name", "version", "extensions")
        ),
        "Model": _object(
            {
                "name": _TEXT,
                "versions": _list(_TEXT),
                "platform": _TEXT,
                "inputs": _list(_ref("Tensor")),
                "outputs": _list(_ref("Tensor")),
                "properties": _object({"batching": _TEXT}),
            },
            ("name", "platform", "inputs", "outputs"),
        ),
        "IndexEntry": _object(
            {
                "name": _TEXT,
                "version": _TEXT,
                "state": {"enum": ["READY", "LOADING", "UNLOADING", "UNAVAILABLE"]},
                "reason": _TEXT,
            },
            ("name", "state"),
        ),
    }


def _statistics_schemas() -> _Schema:
    times = _ref("Times")
    stages = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss")
    batch = ("compute_input", "compute_infer", "compute_output")
    return {
        "Times": _object({"count": _COUNT, "ns": _COUNT}, ("count", "ns")),
        "BatchStatistics": _object({"batch_size": _COUNT, **dict.fromkeys(batch, times)}, ("batch_size", *batch)),
        "ModelStatistics": _object(
            {
                "name": _TEXT,
                "version": _TEXT,
                "last_inference": _COUNT,
                "inference_count": _COUNT,
                "execution_count": _COUNT,
                "inference_stats": _object(dict.fromkeys(stages, times), stages),
                "batch_stats": _list(_ref("BatchStatistics")),
            },
            ("name", "version", "inference_count", "execution_count", "inference_stats", "batch_stats"),
        ),
    }
