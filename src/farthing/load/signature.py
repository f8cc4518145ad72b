"""What an ONNX file says about itself, read without its weights: inputs, outputs, number of nodes.

Walks the protobuf wire format (https://protobuf.dev/programming-guides/encoding/) over a memory map, so that a
gigabyte of weights costs neither time nor memory; a truncated or foreign file is told apart on the way.
Field numbers are those of onnx.proto (ModelProto, GraphProto, ValueInfoProto, TypeProto, TensorShapeProto).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from farthing.errors import ModelError
from farthing.nouns import TensorSpec

__all__ = ["Signature", "onnx_signature"]

_MODEL_GRAPH, _MODEL_OPSET = 7, 8
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_TENSOR_NAME = 8
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_ELEMENT_TYPES: Mapping[int, str] = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "bfloat16",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a model takes and gives.

    Attributes:
        inputs: In the model's order, weights left out.
        outputs: In the model's order.
        nodes: Number of nodes of the main graph, ≥ 1.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    nodes: int


class _MalformedError(Exception):
    """The bytes are no protobuf message."""


_Buffer = mmap.mmap | bytes


def _varint(data: _Buffer, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise _MalformedError(f"a number is cut off at byte {at:,}")


def _fields(data: _Buffer, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Fields of one message: ``(number, value, start, stop)``; value for varints, start and stop for bytes."""
    while at < end:
        tag, at = _varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        value, start, stop = 0, at, at
        if wire == _VARINT:
            value, stop = _varint(data, at, end)
        elif wire == _BYTES:
            length, start = _varint(data, at, end)
            stop = start + length
        elif wire in (_FIXED64, _FIXED32):
            stop = at + (8 if wire == _FIXED64 else 4)
        else:
            raise _MalformedError(f"unknown wire type {wire} at byte {at:,}")
        if number == 0 or stop > end:
            raise _MalformedError(f"a field of {stop - start:,} bytes at byte {start:,} ends after the data ({end:,})")
        yield number, value, start, stop
        at = stop


def _first(data: _Buffer, span: tuple[int, int], number: int) -> tuple[int, int] | None:
    return next(((start, stop) for k, _, start, stop in _fields(data, *span) if k == number), None)


def _string(data: _Buffer, span: tuple[int, int] | None) -> str:
    return "" if span is None else bytes(data[span[0] : span[1]]).decode("utf-8", "replace")


def _dimension(data: _Buffer, start: int, stop: int) -> int | None:
    """Size of a dimension, None when it is symbolic or unknown."""
    return next((value for number, value, _, _ in _fields(data, start, stop) if number == 1 and value > 0), None)


def _value_info(data: _Buffer, start: int, stop: int) -> TensorSpec:
    name = _string(data, _first(data, (start, stop), 1))
    kind = _first(data, (start, stop), 2)
    tensor = None if kind is None else _first(data, kind, 1)
    if tensor is None:
        raise _MalformedError(f"{name!r} is not a tensor")
    element = next((value for number, value, _, _ in _fields(data, *tensor) if number == 1), 0)
    shape = _first(data, tensor, 2)
    dimensions = (
        () if shape is None else tuple(_dimension(data, a, b) for k, _, a, b in _fields(data, *shape) if k == 1)
    )
    return TensorSpec(name=name, dtype=_ELEMENT_TYPES.get(element, f"type {element}"), shape=dimensions)


def _graph(data: _Buffer, start: int, stop: int) -> Signature:
    inputs: list[TensorSpec] = []
    outputs: list[TensorSpec] = []
    weights: set[str] = set()
    nodes = 0
    for number, _, a, b in _fields(data, start, stop):
        if number == _GRAPH_NODE:
            nodes += 1
        elif number == _GRAPH_INITIALIZER:
            weights.add(_string(data, _first(data, (a, b), _TENSOR_NAME)))
        elif number == _GRAPH_INPUT:
            inputs.append(_value_info(data, a, b))
        elif number == _GRAPH_OUTPUT:
            outputs.append(_value_info(data, a, b))
    given = tuple(spec for spec in inputs if spec.name not in weights)
    return Signature(inputs=given, outputs=tuple(outputs), nodes=nodes)


def _signature(data: _Buffer) -> Signature:
    graph, has_opset = None, False
    for number, _, start, stop in _fields(data, 0, len(data)):
        has_opset |= number == _MODEL_OPSET
        if number == _MODEL_GRAPH:
            graph = (start, stop)
    if graph is None or not has_opset:
        raise _MalformedError("no graph or no opset")
    found = _graph(data, *graph)
    if not found.nodes or not found.outputs:
        raise _MalformedError(f"a graph of {found.nodes} nodes and {len(found.outputs)} outputs")
    return found


def onnx_signature(path: Path) -> Signature:
    """Read inputs and outputs of an ONNX file; external data is not opened.

    Raises:
        ModelError: when the file is missing, empty, truncated or no ONNX model.
    """
    try:
        with path.open("rb") as f:
            if path.stat().st_size == 0:
                raise ModelError(f"{path} is empty (0 bytes)", hint="export the model again")
            with mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _signature(data)
    except OSError as e:
        raise ModelError(f"cannot read the model {path}: {e.strerror or e}") from e
    except _MalformedError as e:
        size_mib = path.stat().st_size / 2**20
        raise ModelError(
            f"{path} ({size_mib:,.1f} MiB) is no complete ONNX model: {e}",
            hint="it may be cut off by a copy or a download; export or fetch it again",
        ) from e
