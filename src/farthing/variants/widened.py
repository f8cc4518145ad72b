"""A model in FP32 that computes, or stores weights, in FP16 or BF16; inputs and outputs as they were.

Weights, constants and casts are widened; casts between stored weights and the operators that read them go, so that
quantisers find the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from farthing.models.onnx_files import graphs_of

__all__ = ["widen", "write_model"]

_LARGE_BYTES = 1_800_000_000
"""Weights beyond this go into a file of their own: protobuf ends at 2 GiB."""

_STORED_ALONE_IR = 4
"""From this version of the format on stored tensors need not be inputs too."""


def widen(model: Any) -> None:
    """Change a loaded model, weights included, so that it computes in FP32.

    What comes in and goes out keeps its type: casts stand at the edges.
    """
    from onnx import TensorProto

    narrow = {TensorProto.FLOAT16, TensorProto.BFLOAT16}
    for graph in graphs_of(model.graph):
        for tensor in _tensors(graph):
            if tensor.data_type in narrow:
                _widen_tensor(tensor)
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.name in ("to", "dtype") and attribute.i in narrow:
                    attribute.i = TensorProto.FLOAT
        del graph.value_info[:]
    for graph in list(graphs_of(model.graph))[1:]:
        for value in (*graph.input, *graph.output):
            if value.type.tensor_type.elem_type in narrow:
                value.type.tensor_type.elem_type = TensorProto.FLOAT
    if model.ir_version >= _STORED_ALONE_IR:
        _store_constants(model.graph)
    _drop_casts_of_weights(model.graph)
    _cast_at_the_edges(model.graph, narrow)


def _store_constants(graph: Any) -> None:
    """Keep what Constant nodes hold among the stored tensors, where quantisers look for weights.

    What the model gives as it is stays a node, so that the output has one that writes it.
    """
    given = {value.name for value in graph.output}
    for node in list(graph.node):
        held = next((a.t for a in node.attribute if a.name == "value"), None)
        if node.op_type == "Constant" and held is not None and node.output[0] not in given:
            graph.initializer.add().CopyFrom(held)
            graph.initializer[-1].name = node.output[0]
            graph.node.remove(node)


def _drop_casts_of_weights(graph: Any) -> None:
    """Let operators read a stored FP32 tensor itself where they read a cast of it to FP32."""
    from onnx import TensorProto

    wide = {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT}
    given = {value.name for value in graph.output}
    for node in list(graph.node):
        to = next((a.i for a in node.attribute if a.name == "to"), None)
        idle = node.op_type == "Cast" and to == TensorProto.FLOAT and node.input[0] in wide
        if idle and node.output[0] not in given:
            _rename(graph, node.output[0], node.input[0], reads=True)
            graph.node.remove(node)


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _widen_tensor(tensor: Any) -> None:
    from onnx import numpy_helper

    name = tensor.name
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(numpy_helper.to_array(tensor), dtype=np.float32), name))


def _cast_at_the_edges(graph: Any, narrow: set[int]) -> None:
    from onnx import TensorProto, helper

    stored = {t.name for t in graph.initializer}
    before, after = [], []
    for value in graph.input:
        if value.name in stored:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
        elif value.type.tensor_type.elem_type in narrow:
            wide = f"{value.name}/wide"
            _rename(graph, value.name, wide, reads=True)
            before.append(helper.make_node("Cast", [value.name], [wide], f"{wide}/cast", to=TensorProto.FLOAT))
    for value in graph.output:
        kind = value.type.tensor_type.elem_type
        if kind in narrow and value.name not in {v.name for v in graph.input}:
            wide = f"{value.name}/wide"
            _rename(graph, value.name, wide, reads=False)
            _rename(graph, value.name, wide, reads=True)
            for tensor in graph.initializer:
                tensor.name = wide if tensor.name == value.name else tensor.name
            after.append(helper.make_node("Cast", [wide], [value.name], f"{wide}/cast", to=kind))
    nodes = [*before, *graph.node, *after]
    del graph.node[:]
    graph.node.extend(nodes)


def _rename(graph: Any, old: str, new: str, *, reads: bool) -> None:
    for inner in graphs_of(graph):
        for node in inner.node:
            names = node.input if reads else node.output
            for k, name in enumerate(names):
                if name == old:
                    names[k] = new
        if reads and inner is not graph:
            for value in inner.output:
                value.name = new if value.name == old else value.name


def write_model(model: Any, path: Path) -> None:
    """Write a model, weights beside it where they are too large for one file."""
    import onnx

    path.parent.mkdir(parents=True, exist_ok=True)
    size = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    onnx.save(model, str(path), save_as_external_data=size > _LARGE_BYTES, location=f"{path.stem}.weights")
