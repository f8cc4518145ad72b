"""Nodes of a model's graph as plain JSON-able records; whoever reads a model file makes them, core only counts."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TypedDict

__all__ = ["NodeRecord", "TensorRecord", "elements", "unsigned_weights"]


class TensorRecord(TypedDict):
    """One input or output of a node.

    Attributes:
        name: Tensor's name in the graph.
        shape: Its dimensions, None when they are not all known.
        dtype: NumPy's name of the element type (``float32``, ``int8``, ``bfloat16`` …), empty when unknown.
        element_bytes: Bytes of one element (0.5 for 4-bit types); 0 when unknown.
        weight: True when it is constant: stored in the model or worked out from what is stored.
    """

    name: str
    shape: list[int] | None
    dtype: str
    element_bytes: float
    weight: bool


class NodeRecord(TypedDict):
    """One node.

    Attributes:
        name: Node's name; the name of its first output where the model gives none.
        kind: Operator type.
        domain: Operator set, empty for ONNX's own.
        scope: Path of the module it was exported from (``encoder.layers.0``), empty when unknown.
        inputs: In the operator's order; None for an optional input that is not given.
        outputs: In the operator's order; None for an optional output that is not wanted.
        attributes: Numbers, strings and lists of them; tensors and subgraphs are left out.
        weight_bytes: Of its constant inputs.
        known: True when all its shapes are known.
        folded: True when all its inputs are constant, so that an engine works it out once while loading.
    """

    name: str
    kind: str
    domain: str
    scope: str
    inputs: list[TensorRecord | None]
    outputs: list[TensorRecord | None]
    attributes: dict[str, int | float | str | list[int] | list[float] | list[str]]
    weight_bytes: float
    known: bool
    folded: bool


def elements(tensor: TensorRecord) -> int:
    """Count the elements of a tensor.

    Raises:
        ValueError: when the shape is unknown.
    """
    if tensor["shape"] is None:
        raise ValueError(f"tensor {tensor['name']}: its shape is unknown")
    return prod(tensor["shape"])


def unsigned_weights(records: Sequence[NodeRecord]) -> tuple[str, ...]:
    """Names of the stored weights of more than one dimension that hold unsigned 8-bit numbers.

    x86 kernels multiply unsigned activations by *signed* weights (VPDPBUSD); with unsigned weights a library
    falls back to a slower kernel.
    """
    found = {
        tensor["name"]
        for node in records
        for tensor in node["inputs"]
        if tensor and tensor["weight"] and tensor["dtype"] == "uint8" and len(tensor["shape"] or ()) > 1
    }
    return tuple(sorted(found))
