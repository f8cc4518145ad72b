"""ONNX files: checked reading, external data kept inside the model's folder, inputs and outputs, kinds of work."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from farthing.errors import ModelError
from farthing.nouns import TensorSpec

__all__ = [
    "GraphSummary",
    "check_external_data",
    "check_onnx",
    "graphs_of",
    "input_specs",
    "model_file",
    "operator_kinds",
    "output_specs",
    "stored_values",
    "summarize",
    "tensor_dtype",
    "tensor_names",
]

_CHUNK = 1 << 20
_LOCATION = re.compile(rb"(?:\n|\x8a\x80{0,8}\x00)(?:\x08|\x88\x80{0,8}\x00)location")
"""Key of an external tensor on the wire: field 1 (StringStringEntryProto.key), 8 bytes, the word itself.

Both numbers may be written longer than need be, with up to ten bytes (protobuf.dev, *Encoding*, varints).
"""
_LONGEST_LOCATION = 2 * 10 + len("location")


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSummary:
    """What a graph consists of, as far as quantization cares.

    Attributes:
        kinds: Nodes of each operator type, subgraphs included.
        weighted_products: MatMul and Gemm nodes (quantized ones too) one of whose operands is a stored matrix.
        convolutions: Conv and ConvTranspose nodes, quantized ones too.
    """

    kinds: Counter[str]
    weighted_products: int
    convolutions: int

    @property
    def is_matmul_model(self) -> bool:
        """True when weighted matrix products outnumber convolutions (a transformer, not a CNN with a head)."""
        return self.weighted_products > self.convolutions


def model_file(path: Path, names: tuple[str, ...]) -> Path:
    """Find the file itself, or the one of ``names`` that lies in the folder.

    Raises:
        ModelError: when there is no such file.
    """
    if path.is_dir():
        found = next((path / n for n in names if (path / n).is_file()), None)
        if found is None:
            raise ModelError(f"{path} holds none of {', '.join(names)}")
        return found
    if not path.is_file():
        raise ModelError(f"{path} does not exist")
    return path


def _mentions_external_data(path: Path) -> bool:
    """Search the raw bytes in small pieces, so that large weights are never held in memory."""
    tail = b""
    with path.open("rb") as f:
        while chunk := f.read(_CHUNK):
            if _LOCATION.search(tail + chunk):
                return True
            tail = (tail + chunk)[-_LONGEST_LOCATION:]
    return False


def graphs_of(graph: Any) -> Iterator[Any]:
    """Walk a graph and all graphs inside its nodes, the graph itself first."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from graphs_of(inner)


def _within(message: Any, kind: str) -> Iterator[Any]:
    """All messages of a type inside another, wherever they lie: subgraphs, functions, defaults, sparse tensors."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in (value,) if hasattr(value, "ListFields") else value:
                if field.message_type.name == kind:
                    yield inner
                yield from _within(inner, kind)


def _nodes(model: Any) -> Iterator[Any]:
    return _within(model, "NodeProto")


def _tensors(model: Any) -> Iterator[Any]:
    return _within(model, "TensorProto")


def check_external_data(path: Path) -> tuple[Path, ...]:
    """External data files of a model, all found to lie inside its folder.

    Args:
        path: The ``.onnx`` file.

    Raises:
        ModelError: when the file is no ONNX model, or a location is absolute, leaves the folder (also through a
            symbolic link), is missing, is no regular file, or has a second hard link elsewhere.
    """
    if not _mentions_external_data(path):
        return ()
    model = _parse(path)
    locations = {
        entry.value
        for tensor in _tensors(model)
        if tensor.data_location == tensor.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return tuple(_inside(path, location) for location in sorted(locations))


def _inside(path: Path, location: str) -> Path:
    folder = path.resolve().parent
    target = (folder / location).resolve()
    outside = PurePosixPath(location).is_absolute() or "\\" in location or not target.is_relative_to(folder)
    if outside:
        raise ModelError(
            f"{path}: external data {location!r} lies outside the model's folder {folder}",
            hint="keep the data beside the model",
        )
    if not target.is_file():
        raise ModelError(f"{path}: external data {location!r} is missing in {folder}")
    links = target.stat().st_nlink
    if links > 1:
        raise ModelError(
            f"{path}: external data {location!r} has {links} hard links; the limit is 1",
            hint="copy the file: another name of it may lie outside the model's folder",
        )
    return target


def _parse(path: Path) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load(str(path), load_external_data=False)
    except (DecodeError, OSError, ValueError) as e:
        raise ModelError(f"{path} is no readable ONNX model: {_first_line(e)}", hint="export the model again") from e


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def check_onnx(path: Path) -> Any:
    """Check a model with ONNX's own checker and return it without its external data.

    Raises:
        ModelError: when it is missing, corrupt or reaches outside its folder.
    """
    import onnx

    if not path.is_file():
        raise ModelError(f"{path} does not exist")
    check_external_data(path)
    model = _parse(path)
    if not model.graph.node:
        raise ModelError(f"{path} has no nodes", hint="is this an ONNX model?")
    try:
        onnx.checker.check_model(str(path))
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as e:
        raise ModelError(f"{path} is corrupt: {_first_line(e)}", hint="export the model again") from e
    return model


def tensor_dtype(element_type: int) -> str:
    """NumPy's name of an ONNX element type (``bfloat16`` and the like keep ONNX's own)."""
    import onnx

    name = onnx.TensorProto.DataType.Name(element_type).lower()
    return str({"float": "float32", "double": "float64"}.get(name, name))


def _spec(value: Any) -> TensorSpec:
    kind = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)
    return TensorSpec(name=value.name, dtype=tensor_dtype(kind.elem_type), shape=shape)


def input_specs(model: Any) -> tuple[TensorSpec, ...]:
    """Describe the inputs that are fed (stored weights that are also listed as inputs are left out)."""
    stored = {t.name for t in model.graph.initializer}
    return tuple(_spec(v) for v in model.graph.input if v.name not in stored)


def output_specs(model: Any) -> tuple[TensorSpec, ...]:
    """Describe the outputs in the model's order."""
    return tuple(_spec(v) for v in model.graph.output)


def summarize(model: Any) -> GraphSummary:
    """Count what matters for quantization; the weights themselves are not needed."""
    stored = {t.name: t for t in _tensors(model) if t.name}
    matrices = {name for name, t in stored.items() if len(t.dims) >= 2}
    kinds: Counter[str] = Counter()
    products = 0
    for node in _nodes(model):
        kinds[node.op_type] += 1
        if node.op_type == "DequantizeLinear" and node.input[0] in matrices:
            matrices.update(node.output)
        if node.op_type in ("Transpose", "Identity", "Cast") and node.input[0] in matrices:
            matrices.update(node.output)
        if ("MatMul" in node.op_type or "Gemm" in node.op_type) and matrices.intersection(node.input):
            products += 1
    return GraphSummary(
        kinds=kinds,
        weighted_products=products,
        convolutions=sum(n for k, n in kinds.items() if "Conv" in k and k not in ("ConvertLike",)),
    )


def stored_values(model: Any) -> dict[str, Any]:
    """Constant tensors of the main graph by the name under which nodes read them, as they stand in the model."""
    found = {t.name: t for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            found |= {name: a.t for a in node.attribute if a.name == "value" for name in node.output}
    return found


def tensor_names(path: Path) -> frozenset[str]:
    """Names of all nodes of the main graph and of what they write; weights are not read.

    Raises:
        ModelError: when the file is no ONNX model.
    """
    graph = _parse(path).graph
    return frozenset(name for node in graph.node for name in (node.name, *node.output) if name)


def operator_kinds(path: Path) -> frozenset[str]:
    """Operator types of a file, subgraphs and functions included, and ``float16`` where it stores such numbers.

    Raises:
        ModelError: when the file is no ONNX model.
    """
    model = _parse(path)
    halves = any(tensor.data_type in (tensor.FLOAT16, tensor.BFLOAT16) for tensor in _tensors(model))
    return frozenset(node.op_type for node in _nodes(model)) | (frozenset({"float16"}) if halves else frozenset())
