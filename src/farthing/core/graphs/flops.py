"""Floating-point operations and least traffic of each node of a graph.

Multiply and add count as two operations, also in integers. A comparison, a division and a transcendental
function count as one each. A sum of K products with its bias counts as 2 K. Only published definitions of the
operators are used: https://onnx.ai/onnx/operators/ and, for the ``com.microsoft`` domain,
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from farthing.core.graphs.records import NodeRecord, TensorRecord, elements

__all__ = ["NodeCost", "Traffic", "fused_cost", "node_costs"]


def _words(text: str) -> list[str]:
    return text.split()


_OUTPUT_FLOPS = {
    # one pass over the output, operations for each element of it
    **dict.fromkeys(
        _words(
            "Abs Acos Acosh And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Ceil Cos "
            "Cosh Equal Erf Exp Floor Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Log Max Mean Min Mod Mul Neg "
            "Not Or Pow Reciprocal Relu Round Sign Sin Sinh Sqrt Sub Sum Tan Tanh Xor Add Div CumSum"
        ),
        1,
    ),
    "Clip": 2,
    "LeakyRelu": 2,
    "PRelu": 2,
    "ThresholdedRelu": 1,
    "Softsign": 3,
    "Celu": 4,
    "Elu": 3,
    "Selu": 4,
    "Softplus": 3,
    "HardSigmoid": 4,
    "Sigmoid": 4,
    "HardSwish": 5,
    "Swish": 5,
    "QuickGelu": 6,
    "Mish": 6,
    "Gelu": 5,
    "FastGelu": 9,
    "BiasGelu": 6,
    "BatchNormalization": 2,
    "DequantizeLinear": 2,
    "QuantizeLinear": 4,
    "DynamicQuantizeLinear": 6,
    "QLinearAdd": 7,
    "QLinearMul": 7,
    "QLinearSigmoid": 1,
    "QLinearLeakyRelu": 1,
    "QLinearSoftmax": 5,
    "Softmax": 5,
    "LogSoftmax": 6,
    "Hardmax": 2,
    "LayerNormalization": 7,
    "SimplifiedLayerNormalization": 5,
    "RMSNormalization": 5,
    "SkipLayerNormalization": 8,
    "SkipSimplifiedLayerNormalization": 6,
    "EmbedLayerNormalization": 9,
    "InstanceNormalization": 7,
    "GroupNormalization": 7,
    "GroupNorm": 7,
    "MeanVarianceNormalization": 5,
    "RotaryEmbedding": 3,
}
"""Operations for each element of the first output."""

_INPUT_FLOPS = {
    **dict.fromkeys(
        _words(
            "ArgMax ArgMin GlobalAveragePool GlobalMaxPool QLinearGlobalAveragePool QLinearReduceMean ReduceMax "
            "ReduceMean ReduceMin ReduceProd ReduceSum"
        ),
        1,
    ),
    "GlobalLpPool": 2,
    "LpNormalization": 3,
    "ReduceL1": 2,
    "ReduceL2": 2,
    "ReduceLogSum": 1,
    "ReduceLogSumExp": 2,
    "ReduceSumSquare": 2,
}
"""Operations for each element of the first input."""

_POOLS = {"AveragePool", "LpPool", "MaxPool", "QLinearAveragePool"}
_VIEWS = {"Constant", "Dropout", "Flatten", "Identity", "Reshape", "Shape", "Size", "Squeeze", "Unsqueeze"}
"""Nothing has to move: a new header on the same bytes, or nothing but the header is read."""
_PARTIAL_READS = {"Gather", "GatherElements", "GatherND", "Slice", "Split"}
"""Of the first input only as much is read as is written."""
_MOVES = _PARTIAL_READS | {
    *_words(
        "Cast CastLike Compress Concat ConstantOfShape DepthToSpace Expand EyeLike NonZero OneHot Pad PastValue "
        "QLinearConcat Range ReorderInput ReorderOutput ReverseSequence ScatterElements ScatterND SpaceToDepth Tile "
        "TopK Transpose Trilu Where"
    )
}
_FLOATS = {"float64", "float32", "float16", "bfloat16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """One tensor that a node reads or writes.

    Attributes:
        name: Tensor's name.
        elements: Elements that have to move.
        element_bytes: As stored in the model.
        is_float: True for floating point, which an engine may run narrower.
        weight: True when constant.
    """

    name: str
    elements: float
    element_bytes: float
    is_float: bool
    weight: bool

    def bytes_at(self, float_bytes: float | None) -> float:
        """Bytes to move when floats take at most ``float_bytes`` each (None: as stored)."""
        width = self.element_bytes
        if float_bytes is not None and self.is_float:
            width = min(width, float_bytes)
        return self.elements * width


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCost:
    """What a node, or several fused ones, must compute and move at least.

    Attributes:
        names: Nodes it stands for.
        flops: Operations; None when the operator or a shape is unknown.
        reads: Tensors read, each once.
        writes: Tensors written, each once.
        readers: Nodes that read each written tensor; none for an output of the model.
    """

    names: tuple[str, ...]
    flops: float | None
    reads: tuple[Traffic, ...]
    writes: tuple[Traffic, ...]
    readers: Mapping[str, frozenset[str]]

    def bytes_moved(self, float_bytes: float | None = None, *, weights: bool | None = None) -> float | None:
        """Least traffic in bytes, None when unknown.

        Args:
            float_bytes: Width of floats in the engine's precision, None for the model's own.
            weights: True for constant tensors only, False for the others only, None for both.
        """
        if self.flops is None:
            return None
        moved = (*self.reads, *self.writes)
        return sum(t.bytes_at(float_bytes) for t in moved if weights is None or t.weight == weights)


def _shape(node: NodeRecord, index: int) -> list[int]:
    tensor = node["inputs"][index]
    if tensor is None or tensor["shape"] is None:
        raise ValueError(f"node {node['name']}: the shape of input {index} is unknown")
    return tensor["shape"]


def _out_elements(node: NodeRecord) -> int:
    tensor = node["outputs"][0]
    if tensor is None:
        raise ValueError(f"node {node['name']}: no first output")
    return elements(tensor)


def _int(node: NodeRecord, attribute: str, default: int) -> int:
    value = node["attributes"].get(attribute, default)
    return int(value) if isinstance(value, int | float) else default


def _convolution(weight: int) -> Callable[[NodeRecord], float]:
    # weights (M, C / group, k…): each output element is a sum over C / group × k… products
    return lambda node: 2.0 * _out_elements(node) * prod(_shape(node, weight)[1:])


def _transposed_convolution(node: NodeRecord) -> float:
    # weights (C, M / group, k…): each input element is spread over M / group × k… outputs
    return 2.0 * prod(_shape(node, 0)) * prod(_shape(node, 1)[1:])


def _product(left: int) -> Callable[[NodeRecord], float]:
    def count(node: NodeRecord) -> float:
        a = _shape(node, left)
        if not a:
            return 2.0 * _out_elements(node)
        return 2.0 * _out_elements(node) * (a[-2] if _int(node, "transA", 0) and len(a) > 1 else a[-1])

    return count


def _pool(node: NodeRecord) -> float:
    kernel = node["attributes"].get("kernel_shape", [])
    return float(_out_elements(node) * (prod(int(k) for k in kernel) if isinstance(kernel, list) else 1))


def _packed_attention(node: NodeRecord) -> float:
    # com.microsoft Attention: x (B, S, D), weights (D, 3 H): projections, then scores, softmax and weighted sum
    batch, length, width = _shape(node, 0)
    hidden = _shape(node, 1)[1] // 3
    heads = _int(node, "num_heads", 1)
    return batch * (6.0 * length * width * hidden + length * length * (4.0 * hidden + 5 * heads))


def _attention(node: NodeRecord) -> float:
    # query (B, S, H) or (B, heads, S, H / heads); keys alike with their own length T
    query, key = _shape(node, 0), _shape(node, 1)
    target = key[-2]
    heads = query[1] if len(query) == 4 else _int(node, "num_heads", _int(node, "q_num_heads", 1))
    rows = prod(query[:-1]) if len(query) == 4 else prod(query[:-1]) * heads
    return 4.0 * prod(query) * target + 5.0 * rows * target


def _recurrent(node: NodeRecord) -> float:
    # X (T, B, I), W (directions, gates × H, I), R (directions, gates × H, H): two products a step
    steps, batch, _ = _shape(node, 0)
    return 2.0 * steps * batch * (prod(_shape(node, 1)) + prod(_shape(node, 2)))


def _einsum(node: NodeRecord) -> float:
    equation = str(node["attributes"].get("equation", "")).replace(" ", "").split("->")[0]
    sizes: dict[str, int] = {}
    for index, term in enumerate(equation.split(",")):
        if "." in term:
            raise ValueError(f"node {node['name']}: an ellipsis in {equation!r} is not counted")
        sizes.update(zip(term, _shape(node, index), strict=True))
    return max(1, len(node["inputs"])) * float(prod(sizes.values()))


def _resize(node: NodeRecord) -> float:
    taps = {"nearest": 0, "linear": 2, "cubic": 4}.get(str(node["attributes"].get("mode", "nearest")), 2)
    written = node["outputs"][0]
    scaled = sum(a != b for a, b in zip(_shape(node, 0), (written and written["shape"]) or (), strict=False))
    return 2.0 * _out_elements(node) * (taps**scaled if taps else 0)


def _block_quantised_product(node: NodeRecord) -> float:
    return 2.0 * prod(_shape(node, 0)) * _int(node, "N", 0)


_COUNTS: dict[str, Callable[[NodeRecord], float]] = {
    **dict.fromkeys(("Conv", "ConvInteger", "FusedConv", "NhwcFusedConv", "NhwcConv"), _convolution(1)),
    "QLinearConv": _convolution(3),
    "ConvTranspose": _transposed_convolution,
    **dict.fromkeys(
        _words(
            "DynamicQuantizeMatMul FusedGemm FusedMatMul Gemm MatMul MatMulInteger MatMulIntegerToFloat "
            "QGemm QLinearMatMul"
        ),
        _product(0),
    ),
    **dict.fromkeys(_POOLS, _pool),
    **dict.fromkeys(("Attention:com.microsoft", "QAttention"), _packed_attention),
    **dict.fromkeys(("Attention", "MultiHeadAttention", "GroupQueryAttention"), _attention),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
    "Einsum": _einsum,
    "Resize": _resize,
    "Upsample": _resize,
    "MatMulNBits": _block_quantised_product,
    **dict.fromkeys(_VIEWS | _MOVES, lambda _: 0.0),
}


def _flops(node: NodeRecord) -> float | None:
    if not node["known"]:
        return None
    kind = node["kind"]
    count = _COUNTS.get(f"{kind}:{node['domain']}") or _COUNTS.get(kind)
    if count:
        try:
            return count(node)
        except (ValueError, IndexError):
            return None  # an operator in a form whose shapes do not say what it computes
    if kind in _OUTPUT_FLOPS:
        return float(_OUTPUT_FLOPS[kind] * _out_elements(node))
    if kind in _INPUT_FLOPS:
        return float(_INPUT_FLOPS[kind] * prod(_shape(node, 0)))
    return None


def _traffic(tensors: Iterable[TensorRecord | None], limit: float | None = None) -> tuple[Traffic, ...]:
    """Each tensor once; the first moves at most ``limit`` elements."""
    found: dict[str, Traffic] = {}
    for index, tensor in enumerate(tensors):
        if tensor is None or tensor["shape"] is None:
            continue
        size = float(elements(tensor))
        found.setdefault(
            tensor["name"],
            Traffic(
                name=tensor["name"],
                elements=size if limit is None or index else min(size, limit),
                element_bytes=tensor["element_bytes"],
                is_float=tensor["dtype"] in _FLOATS,
                weight=tensor["weight"],
            ),
        )
    return tuple(found.values())


def _cost(node: NodeRecord, readers: Mapping[str, frozenset[str]]) -> NodeCost:
    if node["folded"] or node["kind"] in _VIEWS:
        return NodeCost(names=(node["name"],), flops=0.0, reads=(), writes=(), readers={})
    flops = _flops(node)
    written = [t for t in node["outputs"] if t is not None]
    partial = node["kind"] in _PARTIAL_READS and node["known"]
    limit = float(sum(elements(t) for t in written)) if partial else None
    return NodeCost(
        names=(node["name"],),
        flops=flops,
        reads=_traffic(node["inputs"], limit),
        writes=_traffic(written),
        readers={t["name"]: readers.get(t["name"], frozenset()) for t in written},
    )


def node_costs(records: Sequence[NodeRecord]) -> dict[str, NodeCost]:
    """Operations and least traffic of every node, by node name.

    Nodes that only give the same bytes another shape, and those worked out while loading, cost nothing. Of a
    table that is looked up (``Gather``) only the rows taken are counted.
    """
    readers: dict[str, set[str]] = {}
    for node in records:
        for tensor in node["inputs"]:
            if tensor is not None:
                readers.setdefault(tensor["name"], set()).add(node["name"])
    frozen = {name: frozenset(nodes) for name, nodes in readers.items()}
    return {node["name"]: _cost(node, frozen) for node in records}


def fused_cost(costs: Sequence[NodeCost]) -> NodeCost:
    """Several nodes run as one operator: operations add up, tensors that stay inside do not move.

    A tensor stays inside when a fused node writes it and only fused nodes read it. ``flops`` is None as soon as
    one node's are.

    Raises:
        ValueError: when there is no node.
    """
    if not costs:
        raise ValueError("fused_cost: no nodes given")
    if len(costs) == 1:
        return costs[0]
    names = tuple(name for cost in costs for name in cost.names)
    members = frozenset(names)
    readers = {name: nodes for cost in costs for name, nodes in cost.readers.items()}
    written = {t.name: t for cost in costs for t in cost.writes}
    read = {t.name: t for cost in costs for t in cost.reads if t.name not in written}
    kept = [t for t in written.values() if not (readers[t.name] and readers[t.name] <= members)]
    flops = [cost.flops for cost in costs]
    return NodeCost(
        names=names,
        flops=None if any(f is None for f in flops) else sum(f for f in flops if f is not None),
        reads=tuple(read.values()),
        writes=tuple(kept),
        readers={t.name: readers[t.name] for t in kept},
    )
