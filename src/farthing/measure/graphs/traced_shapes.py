"""Shapes of all tensors of a model from one run of it: exact where shape inference leaves some open.

Exporters of text models work shapes out at run time (Shape, Gather, Concat, Reshape), which inference cannot always
follow. A copy of the model gives the shape of each of its tensors instead of its answers, so that none is kept.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["fill_in_shapes"]

_NO_TENSORS = {"Optional", "SequenceConstruct", "SequenceEmpty", "SequenceInsert", "SplitToSequence", "ZipMap"}
_PREFIX = "shape of "


def fill_in_shapes(inferred: Any, model: Any, folder: Path, shapes: Mapping[str, Sequence[int]]) -> bool:
    """Put the shapes that one run shows into an inferred model.

    Args:
        inferred: What shape inference made; its ``value_info`` is completed.
        model: The model with its weights, functions inlined.
        folder: Where weights lie that are stored beside the model.
        shapes: Whole shape of each input.

    Returns:
        Whether the run succeeded; a message goes to stderr where it did not.
    """
    inputs = [v for v in model.graph.input if v.name not in {t.name for t in model.graph.initializer}]
    if any(v.name not in shapes for v in inputs):
        return False
    try:
        seen = _run(model, folder, {v.name: _values(v, shapes[v.name]) for v in inputs})
    except Exception as problem:  # noqa: BLE001 — ONNX Runtime raises what it likes; the shapes then stay unknown
        print(f"shapes cannot be read off a run: {problem}", file=sys.stderr)
        return False
    _put(inferred.graph, seen)
    return True


def _values(value: Any, shape: Sequence[int]) -> NDArray[Any]:
    """Something that every model takes: words and masks of 1, token types of 0, small numbers elsewhere."""
    import onnx

    dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    if np.dtype(dtype).kind in "iub":
        return np.full(shape, 0 if "type" in value.name else 1, dtype=dtype)
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def _run(model: Any, folder: Path, feeds: Mapping[str, NDArray[Any]]) -> dict[str, list[int]]:
    import onnxruntime as ort
    from onnx import TensorProto, helper

    wanted = [n for node in model.graph.node if node.op_type not in _NO_TENSORS for n in node.output if n]
    model.graph.node.extend(helper.make_node("Shape", [name], [_PREFIX + name]) for name in wanted)
    del model.graph.output[:]
    model.graph.output.extend(
        helper.make_tensor_value_info(_PREFIX + name, TensorProto.INT64, [None]) for name in wanted
    )
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    session = ort.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    found = session.run([_PREFIX + name for name in wanted], dict(feeds))
    return {name: [int(d) for d in shape] for name, shape in zip(wanted, found, strict=True)}


def _put(graph: Any, seen: Mapping[str, Sequence[int]]) -> None:
    """Shapes seen, with the element types that inference knows; of other nodes the type of their first input."""
    values = {v.name: v for v in (*graph.value_info, *graph.output, *graph.input)}
    kinds = {name: v.type.tensor_type.elem_type for name, v in values.items()}
    kinds |= {t.name: t.data_type for t in graph.initializer}
    for node in graph.node:
        for name in (n for n in node.output if n in seen):
            kinds[name] = kinds.get(name) or next((kinds[n] for n in node.input if kinds.get(n)), 0)
            value = values.get(name)
            if value is None:
                value = graph.value_info.add()
                value.name = name
            value.type.tensor_type.elem_type = kinds[name]
            value.type.tensor_type.shape.Clear()
            value.type.tensor_type.shape.SetInParent()
            for size in seen[name]:
                value.type.tensor_type.shape.dim.add().dim_value = size
