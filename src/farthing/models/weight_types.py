"""In which type stored weights reach the operators that multiply by them, casts on the way included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from farthing.models.graph_content import GraphContent, Node

__all__ = ["Weight", "weights_on_their_way"]

_CARRIES = frozenset(
    [
        "Cast",
        "CastLike",
        "DequantizeLinear",
        "Identity",
        "QuantizeLinear",
        "Reshape",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    ]
)
"""Give their first input another type, shape or order."""
_COMBINES = frozenset(
    ["Add", "Concat", "Div", "Expand", "Flatten", "Gather", "Mul", "Neg", "Pad", "Slice", "Split", "Sub", "Where"]
)
"""Make weights of stored tensors alone: scaled, merged or cut out."""
_PASSES = 4
"""One is enough where operators stand in the order in which they run, as ONNX demands."""
_FLOATS = ("float32", "float16", "bfloat16", "float64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """A tensor that depends on nothing but what is stored.

    Attributes:
        dtype: NumPy's name of its type where it is read, empty where that is unknown.
        stored: Type of the largest stored tensor that it was made of.
        elements: Numbers in that one.
        matrix: Whether that one has more than one dimension.
        dequantised: Whether it came through a DequantizeLinear.
    """

    dtype: str
    stored: str
    elements: int
    matrix: bool
    dequantised: bool = False


def weights_on_their_way(content: GraphContent) -> Mapping[str, Weight]:
    """All tensors that are stored, or made of stored ones alone, by name."""
    found = {
        name: Weight(dtype=t.dtype, stored=t.dtype, elements=t.elements, matrix=len(t.shape) > 1)
        for name, t in content.stored.items()
    }
    types = {spec.name: spec.dtype for spec in content.inputs} | {name: w.dtype for name, w in found.items()}
    waiting = content.nodes
    for _ in range(_PASSES):
        waiting = tuple(node for node in waiting if not _follow(node, types, found))
    return found


def _follow(node: Node, types: dict[str, str], found: dict[str, Weight]) -> bool:
    """Note what an operator gives; whether anything of its inputs is known yet."""
    known = [types[name] for name in node.inputs if name in types]
    if not known:
        return False
    dtype = _given(node, types) or next((t for t in known if t in _FLOATS), known[0])
    weight = _weight(node, found)
    for name in filter(None, node.outputs):
        types[name] = dtype
        if weight is not None:
            found[name] = replace(weight, dtype=dtype)
    return True


def _given(node: Node, types: Mapping[str, str]) -> str:
    """Type that an operator says its output has, empty where it is that of its inputs."""
    if node.to or node.kind not in ("CastLike", "DequantizeLinear") or len(node.inputs) < 2:
        return node.to
    return types.get(node.inputs[1], "")


def _weight(node: Node, found: Mapping[str, Weight]) -> Weight | None:
    """Weight that an operator passes on, in the type in which it came; None where anything but weights goes in."""
    names = [name for name in node.inputs if name]
    if node.kind in _CARRIES and node.inputs[0] in found:
        came = found[node.inputs[0]]
        return replace(came, dequantised=came.dequantised or node.kind == "DequantizeLinear")
    if node.kind not in _COMBINES or not all(name in found for name in names):
        return None
    parts = [found[name] for name in names]
    largest = max(parts, key=lambda part: (part.matrix, part.elements))
    return replace(largest, dequantised=any(part.dequantised for part in parts))
