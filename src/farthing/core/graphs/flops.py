"""Operations of each node of a graph.

Multiply and add count as two operations, also in integers. A comparison, a division and a transcendental
function count as one each. A sum of K products with its bias counts as 2 K. Only published definitions of the
operators are used: https://onnx.ai/onnx/operators/ and, for the ``com.microsoft`` domain,
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from farthing.core.graphs.records import NodeRecord, elements

__all__ = ["PARTIAL_READS", "VIEWS", "operations", "unpadded_frac"]


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
VIEWS = {"Constant", "Dropout", "Flatten", "Identity", "Reshape", "Shape", "Size", "Squeeze", "Unsqueeze"}
"""Nothing has to move: a new header on the same bytes, or nothing but the header is read."""
PARTIAL_READS = {"Gather", "GatherElements", "GatherND", "Slice", "Split"}
"""Of the first input only as much is read as is written."""
_MOVES = PARTIAL_READS | {
    *_words(
        "Cast CastLike Compress Concat ConstantOfShape DepthToSpace Expand EyeLike NonZero OneHot Pad PastValue "
        "QLinearConcat Range ReorderInput ReorderOutput ReverseSequence ScatterElements ScatterND SpaceToDepth Tile "
        "TopK Transpose Trilu Where"
    )
}


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
    **dict.fromkeys(VIEWS | _MOVES, lambda _: 0.0),
}


def operations(node: NodeRecord) -> float | None:
    """Count the operations of one node; None when the operator or one of its shapes is unknown."""
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


def _numbers(node: NodeRecord, attribute: str, default: list[int]) -> list[int]:
    value = node["attributes"].get(attribute)
    return [int(v) for v in value] if isinstance(value, list) and len(value) == len(default) else default


def unpadded_frac(node: NodeRecord) -> float:
    """Tell the share of a convolution's products whose input is a pixel and not padding."""
    weight = 3 if node["kind"] == "QLinearConv" else 1
    written = node["outputs"][0] if node["outputs"] else None
    if _COUNTS.get(node["kind"]) is not _COUNTS.get("QLinearConv" if weight == 3 else "Conv") or written is None:
        return 1.0
    read, kernel, out = _shape(node, 0)[2:], _shape(node, weight)[2:], (written["shape"] or [])[2:]
    steps, gaps = (_numbers(node, name, [1] * len(kernel)) for name in ("strides", "dilations"))
    same = node["attributes"].get("auto_pad") in ("SAME_UPPER", "SAME_LOWER")
    before = _numbers(node, "pads", [0] * 2 * len(kernel))
    share = 1.0
    for i, (size, taps, n, step, gap) in enumerate(zip(read, kernel, out, steps, gaps, strict=False)):
        pad = max(0, (n - 1) * step + (taps - 1) * gap + 1 - size) // 2 if same else before[i]
        first = np.arange(n)[:, None] * step - pad + np.arange(taps) * gap
        share *= float(np.mean((first >= 0) & (first < size)))
    return share
