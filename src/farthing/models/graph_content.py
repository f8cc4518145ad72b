"""What an ONNX file holds, read without its weights: inputs and outputs, operators, types of what is stored, versions.

Field numbers are those of onnx.proto (ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto, ValueInfoProto,
TypeProto, FunctionProto).
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from farthing.errors import ModelError
from farthing.models.wire_format import Buffer, MalformedError, Span, fields, first, numbers, text
from farthing.nouns import TensorSpec

__all__ = ["GraphContent", "Node", "Stored", "graph_content", "is_tensor"]

_IR_VERSION, _PRODUCER, _GRAPH, _OPSET, _FUNCTION = 1, 2, 7, 8, 25
_GRAPH_NODE, _INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_KIND, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS = 1, 3, 5, 6, 11
_ATTRIBUTE_INTS, _ATTRIBUTE_STRINGS = 8, 9
_MANY = (7, 10)
"""Floats and tensors: attributes of which nothing is needed, and which can be long."""
_FUNCTION_NAME, _FUNCTION_NODE, _FUNCTION_OPSET, _FUNCTION_DOMAIN = 1, 7, 9, 10
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME = 1, 2, 8
_IS_TENSOR, _IS_SEQUENCE, _IS_MAP, _IS_SPARSE, _IS_OPTIONAL = 1, 4, 5, 8, 9
_CLASS_LABELS = ("classlabels_int64s", "classlabels_ints", "classlabels_strings", "class_labels")
_GIVEN_TYPES = ("to", "output_dtype")
ELEMENT_TYPES: Mapping[int, str] = {
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
    21: "uint4",
    22: "int4",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One operator.

    Attributes:
        kind: Operator type.
        domain: Operator set, empty for ONNX's own.
        inputs: Names of tensors; empty for an optional one that is not given.
        outputs: Names of tensors.
        classes: Class labels of a classifier or of a ZipMap in the order of their scores, empty for others.
        to: Element type that a Cast, or another operator that names one, gives; empty for others.
    """

    kind: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    classes: tuple[str, ...] = ()
    to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A constant tensor, without its values.

    Attributes:
        dtype: NumPy's name of the element type; ONNX's own where NumPy has none.
        shape: Its dimensions.
    """

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphContent:
    """What a model file holds.

    Attributes:
        ir_version: Version of the file format.
        opsets: Version of each operator set by domain, ONNX's own as ``""``: the highest that the model or a function
            in it asks for.
        producer: Who exported it, empty when unknown.
        inputs: In the model's order, weights left out. What is no tensor has a type such as
            ``sequence(map(int64, float32))`` and no shape.
        outputs: In the model's order, as above.
        main_nodes: Number of nodes of the main graph.
        nodes: Of the main graph, of subgraphs and of local functions.
        stored: Constant tensors by the name under which nodes read them.
        functions: ``(domain, name)`` of the functions that the file brings itself.
    """

    ir_version: int
    opsets: Mapping[str, int]
    producer: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    main_nodes: int
    nodes: tuple[Node, ...]
    stored: Mapping[str, Stored]
    functions: frozenset[tuple[str, str]]

    def writer(self, name: str) -> Node | None:
        """Find the node that writes a tensor, None for inputs and weights."""
        return next((node for node in self.nodes if name in node.outputs), None)


def is_tensor(spec: TensorSpec) -> bool:
    """Whether an input or output is a tensor, not a sequence, a map or an optional value."""
    return "(" not in spec.dtype


@dataclass(slots=True)
class _Found:
    """What reading has found so far."""

    nodes: list[Node] = field(default_factory=list)
    stored: dict[str, Stored] = field(default_factory=dict)
    opsets: dict[str, int] = field(default_factory=dict)

    def ask(self, domain: str, version: int) -> None:
        """Note an operator set that the model or one of its functions is written in."""
        self.opsets[domain] = max(version, self.opsets.get(domain, version))


def _dimension(data: Buffer, start: int, stop: int) -> int | None:
    """Size of a dimension, None when it is symbolic or unknown."""
    return next((value for number, value, _, _ in fields(data, start, stop) if number == 1 and value > 0), None)


def _element(data: Buffer, span: Span, number: int = 1) -> str:
    value = next((value for k, value, _, _ in fields(data, *span) if k == number), 0)
    return ELEMENT_TYPES.get(value, f"type {value}")


def _type_words(data: Buffer, kind: Span | None) -> str:
    """Type of what is no tensor, in ONNX's words."""
    for number, _, start, stop in fields(data, *kind) if kind else ():
        inner = (start, stop)
        if number == _IS_TENSOR:
            return _element(data, inner)
        if number == _IS_SEQUENCE:
            return f"sequence({_type_words(data, first(data, inner, 1))})"
        if number == _IS_OPTIONAL:
            return f"optional({_type_words(data, first(data, inner, 1))})"
        if number == _IS_MAP:
            return f"map({_element(data, inner)}, {_type_words(data, first(data, inner, 2))})"
        if number == _IS_SPARSE:
            return f"sparse_tensor({_element(data, inner)})"
    return "unknown"


def _value_info(data: Buffer, start: int, stop: int) -> TensorSpec:
    name = text(data, first(data, (start, stop), 1))
    kind = first(data, (start, stop), 2)
    tensor = None if kind is None else first(data, kind, _IS_TENSOR)
    if tensor is None:
        words = _type_words(data, kind)
        if words == "unknown":
            raise MalformedError(f"{name!r} has no type")
        return TensorSpec(name=name, dtype=words, shape=())
    shape = first(data, tensor, 2)
    dims = () if shape is None else tuple(_dimension(data, a, b) for k, _, a, b in fields(data, *shape) if k == 1)
    return TensorSpec(name=name, dtype=_element(data, tensor), shape=dims)


def _tensor(data: Buffer, start: int, stop: int) -> tuple[str, Stored]:
    name, dtype, dims = "", "", list[int]()
    for number, value, a, b in fields(data, start, stop):
        if number == _TENSOR_DIMS:
            dims += numbers(data, a, b)
        elif number == _TENSOR_TYPE:
            dtype = ELEMENT_TYPES.get(value, f"type {value}")
        elif number == _TENSOR_NAME:
            name = text(data, (a, b))
    return name, Stored(dtype=dtype, shape=tuple(dims))


def _attribute(data: Buffer, span: Span, found: _Found) -> tuple[Stored | None, tuple[str, ...], str]:
    """Tensor, class labels and element type of an attribute; subgraphs are walked, other long lists passed over."""
    name, tensor, labels, to = "", None, list[str](), ""
    for number, value, a, b in fields(data, *span):
        if number == _ATTRIBUTE_NAME:
            name = text(data, (a, b))
        elif number == _ATTRIBUTE_INT and name in _GIVEN_TYPES:
            to = ELEMENT_TYPES.get(value, "")
        elif number == _ATTRIBUTE_TENSOR:
            tensor = _tensor(data, a, b)[1]
        elif number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
            _graph(data, (a, b), found)
        elif number in _MANY or (number in (_ATTRIBUTE_INTS, _ATTRIBUTE_STRINGS) and name not in _CLASS_LABELS):
            break
        elif number == _ATTRIBUTE_INTS:
            labels += [str(k if k < 1 << 63 else k - (1 << 64)) for k in numbers(data, a, b)]
        elif number == _ATTRIBUTE_STRINGS:
            labels.append(text(data, (a, b)))
    return tensor, tuple(labels), to


def _node(data: Buffer, span: Span, found: _Found) -> None:
    inputs, outputs, kind, domain = list[str](), list[str](), "", ""
    constant, classes, to = None, tuple[str, ...](), ""
    for number, _, a, b in fields(data, *span):
        if number == _NODE_INPUT:
            inputs.append(text(data, (a, b)))
        elif number == _NODE_OUTPUT:
            outputs.append(text(data, (a, b)))
        elif number == _NODE_KIND:
            kind = text(data, (a, b))
        elif number == _NODE_DOMAIN:
            domain = text(data, (a, b))
        elif number == _NODE_ATTRIBUTE:
            tensor, labels, kind_given = _attribute(data, (a, b), found)
            constant, classes, to = tensor or constant, labels or classes, kind_given or to
    domain = "" if domain == "ai.onnx" else domain
    names = {"inputs": tuple(inputs), "outputs": tuple(outputs)}
    found.nodes.append(Node(kind=kind, domain=domain, classes=classes, to=to, **names))
    if kind == "Constant" and constant is not None:
        found.stored.update(dict.fromkeys(outputs, constant))


def _graph(data: Buffer, span: Span, found: _Found) -> tuple[list[TensorSpec], list[TensorSpec], int]:
    """Inputs, outputs and number of nodes of one graph; weights are no inputs."""
    inputs, outputs, nodes = list[TensorSpec](), list[TensorSpec](), 0
    for number, _, a, b in fields(data, *span):
        if number == _GRAPH_NODE:
            nodes += 1
            _node(data, (a, b), found)
        elif number == _INITIALIZER:
            name, tensor = _tensor(data, a, b)
            found.stored[name] = tensor
        elif number == _GRAPH_INPUT:
            inputs.append(_value_info(data, a, b))
        elif number == _GRAPH_OUTPUT:
            outputs.append(_value_info(data, a, b))
    return [spec for spec in inputs if spec.name not in found.stored], outputs, nodes


def _opset(data: Buffer, start: int, stop: int) -> tuple[str, int]:
    domain, version = "", 0
    for number, value, a, b in fields(data, start, stop):
        domain = text(data, (a, b)) if number == 1 else domain
        version = value if number == 2 else version
    return ("" if domain == "ai.onnx" else domain), version


def _function(data: Buffer, start: int, stop: int, found: _Found) -> tuple[str, str]:
    """Domain and name of a function; its operators and operator sets are added to what was found."""
    name = domain = ""
    for number, _, a, b in fields(data, start, stop):
        if number == _FUNCTION_NAME:
            name = text(data, (a, b))
        elif number == _FUNCTION_DOMAIN:
            domain = text(data, (a, b))
        elif number == _FUNCTION_NODE:
            _node(data, (a, b), found)
        elif number == _FUNCTION_OPSET:
            found.ask(*_opset(data, a, b))
    return domain, name


def _content(data: Buffer) -> GraphContent:
    found, graph, functions = _Found(), None, set[tuple[str, str]]()
    ir_version, producer = 0, ""
    for number, value, start, stop in fields(data, 0, len(data)):
        if number == _IR_VERSION:
            ir_version = value
        elif number == _PRODUCER:
            producer = text(data, (start, stop))
        elif number == _OPSET:
            found.ask(*_opset(data, start, stop))
        elif number == _FUNCTION:
            functions.add(_function(data, start, stop, found))
        elif number == _GRAPH:
            graph = (start, stop)
    if graph is None or not found.opsets:
        raise MalformedError("no graph or no opset")
    inputs, outputs, nodes = _graph(data, graph, found)
    if not nodes or not outputs:
        raise MalformedError(f"a graph of {nodes} nodes and {len(outputs)} outputs")
    return GraphContent(
        ir_version=ir_version,
        opsets=found.opsets,
        producer=producer,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        main_nodes=nodes,
        nodes=tuple(found.nodes),
        stored=found.stored,
        functions=frozenset(functions),
    )


def graph_content(path: Path) -> GraphContent:
    """Read what an ONNX file holds; external data is not opened.

    Raises:
        ModelError: when the file is missing, empty, truncated or no ONNX model.
    """
    try:
        with path.open("rb") as f:
            if path.stat().st_size == 0:
                raise ModelError(f"{path} is empty (0 bytes)", hint="export the model again")
            with mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _content(data)
    except OSError as e:
        raise ModelError(f"cannot read the model {path}: {e.strerror or e}") from e
    except MalformedError as e:
        size_mib = path.stat().st_size / 2**20
        raise ModelError(
            f"{path} ({size_mib:,.1f} MiB) is no complete ONNX model: {e}",
            hint="it may be cut off by a copy or a download; export or fetch it again",
        ) from e
