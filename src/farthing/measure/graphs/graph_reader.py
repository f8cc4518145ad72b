"""Reads an ONNX file into plain node records; runs in a child process, so that the parent never imports onnx.

``python -m farthing.measure.graphs.graph_reader MODEL BATCH SEQUENCE_LENGTH SHAPES`` prints the
records as JSON; ``SHAPES`` is a JSON object of input shapes by name, ``{}`` for none.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, cast

from farthing.core.graphs.records import NodeRecord, TensorRecord
from farthing.errors import CandidateTimeout, FarthingError, ModelError
from farthing.measure.graphs.traced_shapes import fill_in_shapes

__all__ = ["read_graph", "read_graph_in_child"]

_SMALL_BYTES = 4096
"""Constants up to this size keep their values: they can be shapes, axes and the like that decide other shapes."""
_SCOPES_KEY = "pkg.torch.onnx.name_scopes"
"""Where PyTorch's exporter keeps the module path of a node."""


def read_graph(
    onnx_path: str,
    batch: int,
    sequence_length: int = 128,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> list[NodeRecord]:
    """Nodes of a model with all shapes worked out for one batch.

    Weights stored beside the model are not opened: shapes are all that is needed.

    Args:
        onnx_path: The model's file.
        batch: Samples in a batch, ≥ 1: the size of a dynamic first dimension of every input.
        sequence_length: Size of the other dynamic dimensions (tokens of a text).
        input_shapes: Whole shapes by input name where they are known; they win over the two above.

    Returns:
        Records in the graph's order; ``known`` is False for nodes some shape of which stays unknown.

    Raises:
        ModelError: when the file is missing, is no ONNX model or contradicts itself.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(onnx_path, load_external_data=False)
    except (OSError, DecodeError) as problem:
        raise ModelError(f"{onnx_path}: cannot be read as an ONNX model: {problem}") from problem
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    whole = _copy(model)
    weights = {t.name: _tensor(t.name, list(t.dims), t.data_type, weight=True) for t in model.graph.initializer}
    _bind_inputs(model.graph, set(weights), batch, sequence_length, input_shapes or {})
    _forget_values(model.graph)
    try:
        inferred = _infer_shapes(model)
        if not _all_known(inferred.graph):
            traced = fill_in_shapes(inferred, whole, Path(onnx_path).absolute().parent, input_shapes or {})
            inferred = inferred if traced else _infer_symbolically(inferred)
    except onnx.shape_inference.InferenceError as problem:
        raise ModelError(f"{onnx_path}: its shapes cannot be worked out: {problem}") from problem
    return _records(inferred.graph, weights)


def _bind_inputs(
    graph: Any, weights: set[str], batch: int, sequence_length: int, shapes: Mapping[str, Sequence[int]]
) -> None:
    named: dict[str, int] = {}
    for value in (v for v in graph.input if v.name not in weights):
        dims = value.type.tensor_type.shape.dim
        given = shapes.get(value.name)
        for index, dim in enumerate(dims):
            if given is not None and len(given) == len(dims):
                size = int(given[index])
            elif dim.HasField("dim_value") and dim.dim_value > 0:
                continue
            else:
                size = batch if index == 0 else named.get(dim.dim_param, sequence_length)
            if dim.dim_param:
                named[dim.dim_param] = size
            dim.dim_value = size
    for value in (*graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if not dim.HasField("dim_value"):
                _bind_named(dim, named)


def _bind_named(dim: Any, named: Mapping[str, int]) -> None:
    if dim.dim_param in named:
        dim.dim_value = named[dim.dim_param]
    else:
        dim.ClearField("dim_param")


def _forget_values(graph: Any) -> None:
    """Turn large constants into inputs of the same shape, so that inference carries no weights."""
    import onnx

    large = [t for t in graph.initializer if _stored_bytes(t) > _SMALL_BYTES]
    small = [t for t in graph.initializer if _stored_bytes(t) <= _SMALL_BYTES]
    known = {v.name for v in graph.input}
    graph.input.extend(
        onnx.helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in large if t.name not in known
    )
    del graph.initializer[:]
    graph.initializer.extend(t for t in small if not t.external_data)
    graph.input.extend(
        onnx.helper.make_tensor_value_info(t.name, t.data_type, list(t.dims))
        for t in small
        if t.external_data and t.name not in known
    )


def _stored_bytes(tensor: Any) -> float:
    return float(prod(tensor.dims)) * _element_bytes(tensor.data_type)


def _infer_shapes(model: Any) -> Any:
    import onnx

    return onnx.shape_inference.infer_shapes(model, check_type=False, strict_mode=False, data_prop=True)


def _copy(model: Any) -> Any:
    """The model as it is, before its inputs are bound and its weights forgotten."""
    import onnx

    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def _all_known(graph: Any) -> bool:
    known = {v.name for v in (*graph.value_info, *graph.output) if _declared(v)["shape"] is not None}
    return all(not name or name in known for node in graph.node for name in node.output)


def _infer_symbolically(model: Any) -> Any:
    """Shapes through ONNX Runtime's own operators and through arithmetic on shapes, which onnx leaves open.

    Where that tool cannot go on either, the nodes behind keep unknown shapes and are marked so. It then leaves a file
    in the working folder, which is therefore another one meanwhile.
    """
    from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        return _completed(SymbolicShapeInference, model)


def _completed(tool: Any, model: Any) -> Any:
    try:
        completed = tool.infer_shapes(model, auto_merge=True, guess_output_rank=False)
    except Exception as problem:  # noqa: BLE001 — a third-party tool that raises bare Exception and asserts
        print(f"some shapes stay unknown: {problem}", file=sys.stderr)
        return model
    return completed if completed is not None else model


def _element_bytes(data_type: int) -> float:
    import onnx

    bits = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4}.get(onnx.TensorProto.DataType.Name(data_type))
    if bits is not None:
        return bits / 8
    return float(onnx.helper.tensor_dtype_to_np_dtype(data_type).itemsize)


def _dtype(data_type: int) -> str:
    import onnx

    name = str(onnx.TensorProto.DataType.Name(data_type))
    return {"FLOAT": "float32", "DOUBLE": "float64"}.get(name, name.lower())


def _tensor(name: str, shape: list[int] | None, data_type: int, *, weight: bool) -> TensorRecord:
    known = data_type not in (0, 8)  # UNDEFINED, STRING
    return TensorRecord(
        name=name,
        shape=shape,
        dtype=_dtype(data_type) if known else "",
        element_bytes=_element_bytes(data_type) if known else 0.0,
        weight=weight,
    )


def _declared(value: Any) -> TensorRecord:
    kind = value.type.tensor_type
    dims = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
    shape = None if any(d is None for d in dims) or not kind.HasField("shape") else cast("list[int]", dims)
    return _tensor(value.name, shape, kind.elem_type, weight=False)


def _attributes(node: Any) -> dict[str, Any]:
    import onnx

    kept = {}
    for attribute in node.attribute:
        if attribute.type in (1, 2, 3, 6, 7, 8):  # FLOAT, INT, STRING, FLOATS, INTS, STRINGS
            value = onnx.helper.get_attribute_value(attribute)
            many = isinstance(value, Iterable) and not isinstance(value, bytes | str)
            kept[attribute.name] = [_plain(v) for v in value] if many else _plain(value)
    return kept


def _plain(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _scope(node: Any) -> str:
    """Find the module path, from PyTorch's metadata or from a name such as ``/encoder/layers.0/Gemm``."""
    for entry in node.metadata_props:
        if entry.key == _SCOPES_KEY:
            try:
                scopes = json.loads(entry.value.replace("'", '"'))
            except json.JSONDecodeError:
                return ""
            return str(scopes[-2]) if len(scopes) > 1 else ""
    parts = node.name.split("/")
    return ".".join(parts[1:-1]) if len(parts) > 2 and not parts[0] else ""


def _records(graph: Any, weights: Mapping[str, TensorRecord]) -> list[NodeRecord]:
    tensors: dict[str, TensorRecord] = {}
    for value in (*graph.value_info, *graph.input, *graph.output):
        tensors[value.name] = _declared(value)
    tensors.update(weights)
    records = []
    for node in graph.node:
        inputs = [_named(tensors, name) for name in node.input]
        folded = node.op_type == "Constant" or (
            bool(node.input) and all(t is None or t["weight"] for t in inputs) and not _draws(node.op_type)
        )
        outputs = [_named(tensors, name, weight=folded) for name in node.output]
        for tensor in (t for t in outputs if t is not None):
            tensors[tensor["name"]] = tensor
        records.append(_record(node, inputs, outputs, folded))
    return records


def _draws(kind: str) -> bool:
    return kind.startswith("Random") or kind in ("Bernoulli", "Multinomial")


def _named(tensors: Mapping[str, TensorRecord], name: str, *, weight: bool = False) -> TensorRecord | None:
    if not name:
        return None
    tensor = tensors.get(name) or _tensor(name, None, 0, weight=False)
    return TensorRecord(**{**tensor, "weight": True}) if weight else tensor


def _record(
    node: Any, inputs: list[TensorRecord | None], outputs: list[TensorRecord | None], folded: bool
) -> NodeRecord:
    tensors = [t for t in (*inputs, *outputs) if t is not None]
    stored = {t["name"]: t for t in inputs if t is not None and t["weight"] and t["shape"] is not None}
    return NodeRecord(
        name=node.name or next((name for name in node.output if name), node.op_type),
        kind=node.op_type,
        domain="" if node.domain == "ai.onnx" else node.domain,
        scope=_scope(node),
        inputs=inputs,
        outputs=outputs,
        attributes=_attributes(node),
        weight_bytes=sum(prod(t["shape"] or ()) * t["element_bytes"] for t in stored.values()),
        known=all(t["shape"] is not None for t in tensors),
        folded=folded,
    )


def read_graph_in_child(
    onnx_path: Path,
    batch: int,
    sequence_length: int = 128,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    timeout_s: float = 120.0,
) -> list[NodeRecord]:
    """Run :func:`read_graph` in a process of its own.

    Raises:
        ModelError: when the child cannot read the model; the message is the child's last line.
        CandidateTimeout: when it takes longer than ``timeout_s`` seconds.
    """
    asked = [str(onnx_path), str(batch), str(sequence_length), json.dumps(input_shapes or {})]
    command = [sys.executable, "-m", "farthing.measure.graphs.graph_reader", *asked]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as problem:
        raise CandidateTimeout(f"{onnx_path}: reading the graph took longer than {timeout_s:g} s") from problem
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ModelError(f"{onnx_path}: the graph cannot be read: {last}")
    return cast("list[NodeRecord]", json.loads(done.stdout))


def main(arguments: Sequence[str]) -> int:
    """Print the records of a model as JSON; 1 and a message on stderr when that fails."""
    path, batch, sequence_length, shapes = arguments
    try:
        records = read_graph(path, int(batch), int(sequence_length), json.loads(shapes))
    except FarthingError as problem:
        print(problem.message, file=sys.stderr)
        return 1
    json.dump(records, sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
