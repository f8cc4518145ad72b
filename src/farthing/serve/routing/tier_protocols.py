"""The two protocols that requests are forwarded by: the Open Inference Protocol, and chat as OpenAI's API has it."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from farthing.core.route.served import UpstreamModel
from farthing.nouns import TensorSpec
from farthing.serve.protocol.json.values import array_of_values, flat_values
from farthing.serve.protocol.oip_answers import json_values
from farthing.serve.routing.calls import Charged
from farthing.serve.routing.http_client import HttpClient, Reply
from farthing.serve.routing.upstreams import UpstreamProtocol, api_key, refusal_of
from farthing.wire.chat import DEFAULT_PROMPT, chat_document, class_index, classes_by_name, told
from farthing.wire.dtypes import DATATYPES, Datatype, datatype_of, elements_of, raw_array, raw_bytes
from farthing.wire.requests import Answer, LiveModel, Problem, Request
from farthing.wire.token_usage import token_usage

__all__ = ["Chat", "OpenInference", "protocol_of"]

_JSON = b"Content-Type: application/json\r\n"
_BINARY_EXTENSION = "binary_tensor_data"
_WRONG = (LookupError, TypeError, ValueError)


def protocol_of(spec: UpstreamModel) -> UpstreamProtocol:
    """The protocol of a place."""
    return OpenInference(spec) if spec.kind == "open_inference" else Chat(spec)


def _document(reply: Reply) -> dict[str, Any]:
    """A JSON object.

    Raises:
        Problem: when the status refuses, or the body is none.
    """
    refused = refusal_of(reply)
    if refused is not None:
        raise refused
    try:
        found = orjson.loads(reply.body)
    except orjson.JSONDecodeError as e:
        raise Problem(500, f"the forwarded model answered what is no JSON: {e}") from e
    if not isinstance(found, dict):
        raise Problem(500, "the forwarded model answered JSON that is no object")
    return found


class OpenInference:
    """The Open Inference Protocol; tensors go in binary where the server there says that it takes them.

    Args:
        spec: Where.
    """

    def __init__(self, spec: UpstreamModel) -> None:
        self._spec = spec
        self.one_by_one = False
        self.path = f"/v2/models/{spec.remote_name}/infer"
        self.ready_path = f"/v2/models/{spec.remote_name}/ready"
        self._binary = True

    async def learn(self, client: HttpClient) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        """See :meth:`UpstreamProtocol.learn <farthing.serve.routing.upstreams.UpstreamProtocol.learn>`."""
        said = _document(await client.ask("GET", f"/v2/models/{self._spec.remote_name}"))
        server = _document(await client.ask("GET", "/v2"))
        self._binary = _BINARY_EXTENSION in server.get("extensions", ())
        try:
            return _specs(said["inputs"]), _specs(said["outputs"])
        except _WRONG as e:
            raise Problem(500, f"{self._spec.name}: its metadata cannot be read: {e!r}") from e

    def encode(self, request: Request, model: LiveModel, left_s: float) -> tuple[bytes, bytes]:
        """JSON, with the tensors' bytes behind it where they go in binary."""
        if request.tensors is None:
            raise Problem(500, f"{self._spec.name} takes tensors")
        parameters: dict[str, Any] = {"binary_data_output": True} if self._binary else {}
        if left_s != math.inf:
            parameters["timeout"] = max(1, round(left_s * 1e6))
        if request.priority:
            parameters["priority"] = request.priority
        parts: list[bytes] = []
        inputs = []
        for spec, array in zip(model.inputs, request.tensors):
            datatype = datatype_of(spec.dtype)
            described: dict[str, Any] = {"name": spec.name, "shape": list(array.shape), "datatype": datatype.name}
            if self._binary:
                parts.append(raw_bytes(datatype, array))
                described["parameters"] = {"binary_data_size": len(parts[-1])}
            else:
                described["data"] = orjson.Fragment(_json_values(spec, array))
            inputs.append(described)
        document: dict[str, Any] = {"parameters": parameters, "inputs": inputs}
        if request.id:
            document["id"] = request.id
        head = orjson.dumps(document)
        length = b"Inference-Header-Content-Length: %d\r\n" % len(head) if self._binary else _JSON
        if request.trace is not None:
            length += b"traceparent: %b\r\n" % request.trace.encode("latin-1")
        return b"".join([head, *parts]), length

    def decode(self, reply: Reply, request: Request, model: LiveModel) -> Answer:
        """Outputs in the model's order."""
        length = reply.headers.get("inference-header-content-length", "")
        size = int(length) if length.isdecimal() else len(reply.body)
        document = _document(Reply(reply.status, reply.headers, reply.body[:size]))
        try:
            found = _outputs(document["outputs"], memoryview(reply.body)[size:])
        except (*_WRONG, Problem) as e:  # a problem here is the answer's, never the client's
            raise Problem(500, f"{self._spec.name}: its answer cannot be read: {e!r}") from e
        missing = [spec.name for spec in model.outputs if spec.name not in found]
        if missing:
            raise Problem(500, f"{self._spec.name}: its answer lacks the output {missing[0]}")
        return _answer([found[spec.name] for spec in model.outputs], request)


def _answer(outputs: Sequence[NDArray[Any]], request: Request) -> Answer:
    return Answer(outputs=outputs, queue_s=0.0, service_s=0.0, batch_rows=request.rows)


def _specs(described: Sequence[Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            name=str(one["name"]),
            dtype=DATATYPES[one["datatype"]].word,
            shape=tuple(None if int(dim) < 0 else int(dim) for dim in one["shape"]),
        )
        for one in described
    )


def _json_values(spec: TensorSpec, array: NDArray[Any]) -> bytes:
    """Elements as JSON; bytes that are no text (an image) in base64."""
    datatype = datatype_of(spec.dtype)
    try:
        return json_values(datatype, array, spec.name)
    except Problem:
        return orjson.dumps([base64.b64encode(element).decode() for element in elements_of(array)])


def _outputs(described: Sequence[Mapping[str, Any]], raw: memoryview) -> dict[str, NDArray[Any]]:
    """Arrays by name, from JSON values or from the bytes behind."""
    found: dict[str, NDArray[Any]] = {}
    at = 0
    for one in described:
        name, shape, datatype = str(one["name"]), tuple(map(int, one["shape"])), DATATYPES[one["datatype"]]
        size = one.get("parameters", {}).get("binary_data_size")
        if size is None:
            found[name] = _from_json(datatype, flat_values(one["data"], shape, name), name).reshape(shape)
        else:
            found[name] = raw_array(datatype, shape, raw[at : at + int(size)], name)
            at += int(size)
    return found


def _from_json(datatype: Datatype, flat: Sequence[Any], name: str) -> NDArray[Any]:
    """Values as an array; null stands for a number that JSON lacks."""
    if None in flat and datatype.dtype.kind == "f":
        return np.array([math.nan if value is None else value for value in flat], dtype=datatype.dtype)
    return array_of_values(datatype, flat, name)


class Chat:
    """A chat model. It answers the name of a class: 1 for it and 0 for the others; without classes, in its own words.

    Args:
        spec: Where; its ``options`` may hold ``prompt`` and ``key_env``, its ``classes`` are told to the model.
    """

    one_by_one = True
    path = "/chat/completions"
    ready_path = "/models"

    def __init__(self, spec: UpstreamModel) -> None:
        self._spec = spec
        self._instruction = told(str(spec.options.get("prompt", DEFAULT_PROMPT if spec.classes else "")), spec.classes)
        self._known = classes_by_name(spec.classes)

    async def learn(self, client: HttpClient) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        """Known without asking: a text a request; a number a class, or a text."""
        api_key(self._spec)
        words = TensorSpec(name="text", dtype="bytes", shape=(None,))
        scores = TensorSpec(name="scores", dtype="float32", shape=(None, len(self._spec.classes)))
        return (words,), (scores if self._spec.classes else words,)

    def encode(self, request: Request, model: LiveModel, left_s: float) -> tuple[bytes, bytes]:
        """One text, told what it is to be classified as."""
        texts = request.payloads
        if texts is None and request.tensors is not None:
            texts = elements_of(request.tensors[0])
        if texts is None or len(texts) != 1:
            raise Problem(500, f"{self._spec.name} takes one text at a time")
        text = texts[0] if isinstance(texts[0], str) else texts[0].decode("utf-8", "replace")
        body = orjson.dumps(chat_document(self._spec.remote_name, self._instruction, text))
        return body, _JSON + api_key(self._spec)

    def decode(self, reply: Reply, request: Request, model: LiveModel) -> Answer:
        """The class that is named, or what is said; a 500 when there is none, so that another tier is asked."""
        document = _document(reply)
        tokens = _tokens(document, self._spec.cached_token_frac)
        try:
            said = document["choices"][0]["message"]["content"]
        except _WRONG as e:
            raise Charged(f"{self._spec.name}: its answer has no text: {e!r}", tokens) from e
        if not isinstance(said, str):
            raise Charged(f"{self._spec.name}: its answer has no text", tokens)
        answer = _answer([self._scores(said, tokens) if self._spec.classes else _words(said)], request)
        answer.tokens = tokens
        return answer

    def _scores(self, said: str, tokens: tuple[float, float] | None) -> NDArray[np.float32]:
        index = class_index(said, self._known)
        if index is None:
            raise Charged(f"{self._spec.name}: its answer names no class", tokens)
        scores = np.zeros((1, len(self._spec.classes)), dtype=np.float32)
        scores[0, index] = 1.0
        return scores


def _words(said: str) -> NDArray[Any]:
    """A text as a BYTES tensor of one element."""
    found = np.empty(1, dtype=object)
    found[0] = said.encode("utf-8", "replace")
    return found


def _tokens(document: Mapping[str, Any], cached_frac: float) -> tuple[float, float] | None:
    """Tokens read and written that are paid for, None when the answer does not say, or what cannot be.

    Cached ones count as the share of a token that they cost.
    """
    try:
        used = token_usage(document, "")
    except ValueError:
        return None
    return used.read - used.cached * (1 - cached_frac), used.written
