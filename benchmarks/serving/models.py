"""The models that are served in benchmarks, made from a seed, and requests for them in each form that servers take."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = [
    "SUBJECTS",
    "Floats",
    "Post",
    "Subject",
    "build",
    "floats_after",
    "json_post",
    "oip_binary_post",
    "oip_json_post",
    "raw_post",
    "upload_post",
]

Floats = NDArray[np.float32]
Layers = tuple[list[onnx.NodeProto], list[onnx.TensorProto], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model by which servers are compared.

    Attributes:
        name: Of the model and of its file.
        shape: One sample's shape, without the batch dimension.
        layers: Gives nodes, weights and the output's name.
        marked: It also answers ``mark`` = 2 × the first column of its input, exact in float32 below 2^23: so each
            answer shows whose row it was computed from.
    """

    name: str
    shape: tuple[int, ...]
    layers: Callable[[np.random.Generator], Layers]
    marked: bool = False

    def sample(self, rows: int = 1, seed: int = 0) -> Floats:
        """Inputs of shape ``(rows, *shape)`` with few digits, so that JSON is not longer than it would be in life."""
        rng = np.random.default_rng(seed)
        return np.round(rng.uniform(0, 1, (rows, *self.shape)), 3).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One HTTP request.

    Attributes:
        path: On the server.
        body: As sent.
        content_type: Of the body.
        json_bytes: Length of the JSON part before binary tensors, None when all is one piece.
    """

    path: str
    body: bytes
    content_type: str
    json_bytes: int | None = None

    def headers(self) -> dict[str, str]:
        """All but ``Host`` and ``Content-Length``."""
        own = {"Content-Type": self.content_type}
        return own if self.json_bytes is None else own | {"Inference-Header-Content-Length": str(self.json_bytes)}


def _dense(rng: np.random.Generator, widths: Sequence[int]) -> Layers:
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    name = "x"
    for i, (n, m) in enumerate(pairwise(widths)):
        w = (rng.standard_normal((n, m)) / np.sqrt(n)).astype(np.float32)
        weights += [
            numpy_helper.from_array(w, f"w{i}"),
            numpy_helper.from_array(np.zeros(m, dtype=np.float32), f"b{i}"),
        ]
        nodes += [
            helper.make_node("Gemm", [name, f"w{i}", f"b{i}"], [f"h{i}"]),
            helper.make_node("Relu", [f"h{i}"], [f"r{i}"]),
        ]
        name = f"r{i}"
    return nodes, weights, name


def _convolutions(rng: np.random.Generator, widths: Sequence[int], strides: Sequence[int]) -> Layers:
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    name = "x"
    for i, ((n, m), stride) in enumerate(zip(pairwise(widths), strides, strict=True)):
        w = (rng.standard_normal((m, n, 3, 3)) / np.sqrt(9 * n)).astype(np.float32)
        weights.append(numpy_helper.from_array(w, f"w{i}"))
        nodes += [
            helper.make_node(
                "Conv",
                [name, f"w{i}"],
                [f"c{i}"],
                kernel_shape=[3, 3],
                pads=[1, 1, 1, 1],
                strides=[stride, stride],
            ),
            helper.make_node("Relu", [f"c{i}"], [f"a{i}"]),
        ]
        name = f"a{i}"
    nodes += [
        helper.make_node("GlobalAveragePool", [name], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
    ]
    return nodes, weights, "flat"


SUBJECTS = {
    s.name: s
    for s in (
        Subject(name="mlp", shape=(32,), layers=lambda rng: _dense(rng, (32, 256, 256, 256, 8))),
        Subject(
            name="conv",
            shape=(3, 224, 224),
            layers=lambda rng: _convolutions(
                rng, (3, 32, 64, 128, 128, 128, 128, 128, 128, 128, 128), (2, 2, 2, 1, 1, 1, 1, 1, 1, 1)
            ),
        ),
        Subject(name="dense", shape=(512,), layers=lambda rng: _dense(rng, (512, 2048, 2048, 2048, 2048, 64))),
        Subject(name="marked", shape=(64,), layers=lambda rng: _dense(rng, (64, 512, 512, 8)), marked=True),
    )
}
"""Tens of µs; about 15 ms; a few ms and bound by memory, so that batches pay; and one whose answers name their row."""


def build(subject: Subject, folder: Path) -> Path:
    """Write ``<folder>/<name>.onnx`` and return it."""
    nodes, weights, last = subject.layers(np.random.default_rng(0))
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", None])]
    nodes.append(helper.make_node("Identity", [last], ["y"]))
    if subject.marked:
        picks = np.zeros((subject.shape[0], 1), dtype=np.float32)
        picks[0, 0] = 2.0
        weights.append(numpy_helper.from_array(picks, "picks"))
        nodes.append(helper.make_node("MatMul", ["x", "picks"], ["mark"]))
        outputs.append(helper.make_tensor_value_info("mark", TensorProto.FLOAT, ["batch", 1]))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *subject.shape])
    graph = helper.make_graph(nodes, subject.name, [x], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / f"{subject.name}.onnx"
    onnx.save(model, path)
    return path


def oip_binary_post(model: str, x: Floats, **parameters: Any) -> Post:
    """Open Inference Protocol with binary tensors both ways."""
    tensor = {"name": "x", "shape": list(x.shape), "datatype": "FP32", "parameters": {"binary_data_size": x.nbytes}}
    head = {"inputs": [tensor], "parameters": {"binary_data_output": True} | parameters}
    first = json.dumps(head, separators=(",", ":")).encode()
    return Post(
        path=f"/v2/models/{model}/infer",
        body=first + x.tobytes(),
        content_type="application/octet-stream",
        json_bytes=len(first),
    )


def oip_json_post(model: str, x: Floats) -> Post:
    """Open Inference Protocol in JSON only."""
    tensor = {"name": "x", "shape": list(x.shape), "datatype": "FP32", "data": _short(x.ravel())}
    body = json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode()
    return Post(path=f"/v2/models/{model}/infer", body=body, content_type="application/json")


def json_post(path: str, key: str, x: Floats) -> Post:
    """``{key: nested lists}``, as servers with their own Python interface take it."""
    body = json.dumps({key: _short(x)}, separators=(",", ":")).encode()
    return Post(path=path, body=body, content_type="application/json")


def raw_post(path: str, x: Floats) -> Post:
    """The tensor's bytes and nothing else; the server knows the shape."""
    return Post(path=path, body=x.tobytes(), content_type="application/octet-stream")


def upload_post(path: str, field: str, x: Floats) -> Post:
    """The tensor's bytes as an uploaded file (multipart form)."""
    edge = "farthing-benchmark-edge"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="{field}"; filename="x"\r\n'
    body = head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + x.tobytes()
    return Post(
        path=path, body=body + f"\r\n--{edge}--\r\n".encode(), content_type=f"multipart/form-data; boundary={edge}"
    )


def _short(x: Floats) -> Any:
    return np.round(x.astype(np.float64), 3).tolist()


def floats_after(body: bytes, skip_bytes: int) -> Floats:
    """Binary floats of a reply behind its JSON part (tail may hold several outputs)."""
    if (len(body) - skip_bytes) % struct.calcsize("f"):
        raise ValueError(f"{len(body) - skip_bytes} bytes are no float32s")
    return np.frombuffer(body, dtype=np.float32, offset=skip_bytes)
