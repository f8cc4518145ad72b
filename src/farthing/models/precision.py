"""The precision that a model file is in, read from the types of its weights and operators, never from its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from farthing.models.graph_content import GraphContent, Node, Stored, graph_content
from farthing.nouns import Precision

__all__ = ["GraphPrecision", "file_precision", "graph_precision"]

_INTEGER_KINDS = frozenset(
    [
        "ConvInteger",
        "DynamicQuantizeLSTM",
        "DynamicQuantizeMatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "MatMulNBits",
        "QAttention",
        "QGemm",
        "QLinearConv",
        "QLinearMatMul",
    ]
)
"""Multiply 8-bit integers (or, of MatMulNBits, fewer bits) by stored weights."""
_FLOAT_KINDS = frozenset(
    [
        "Attention",
        "Conv",
        "ConvTranspose",
        "FusedConv",
        "FusedGemm",
        "FusedMatMul",
        "GRU",
        "Gemm",
        "LSTM",
        "MatMul",
        "RNN",
    ]
)
_CARRIES = frozenset(["Cast", "Identity", "QuantizeLinear", "Reshape", "Squeeze", "Transpose", "Unsqueeze"])
"""Give weights another type, shape or order on their way to a product."""
_FLOATS: Mapping[str, Precision] = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32", "float64": "fp32"}
_LONGEST_WAY = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphPrecision:
    """What a graph computes in.

    Attributes:
        precision: ``int8`` as soon as one product with stored weights is quantised, else that of most stored numbers.
        weighted: Matrix products, convolutions and recurrent layers with stored weights.
        quantised: Those of them whose weights are integers.
        style: How it is quantised: ``QDQ`` (quantise and dequantise nodes around float operators), ``QOperator``
            (integer operators with ranges of their own), ``dynamic`` (ranges found while running), ``weights only``;
            empty when it is not.
    """

    precision: Precision
    weighted: int = 0
    quantised: int = 0
    style: str = ""

    @property
    def words(self) -> str:
        """For people: ``FP32``, ``INT8 (QDQ, 74 of 74 weighted products)``."""
        if self.precision != "int8":
            return self.precision.upper()
        return f"INT8 ({self.style}, {self.quantised} of {self.weighted} weighted products)"


def graph_precision(content: GraphContent) -> GraphPrecision:
    """Tell the precision of a graph from its operators and from what is stored."""
    writers = {name: node for node in content.nodes for name in node.outputs if name}
    products = [found for node in content.nodes if (found := _is_quantised(node, writers, content.stored)) is not None]
    quantised = sum(products)
    if quantised:
        style = _style(Counter(node.kind for node in content.nodes))
        return GraphPrecision(precision="int8", weighted=len(products), quantised=quantised, style=style)
    return GraphPrecision(precision=_float_precision(content), weighted=len(products))


def _is_quantised(node: Node, writers: Mapping[str, Node], stored: Mapping[str, Stored]) -> bool | None:
    """Whether the weights of a product are integers; None for nodes without stored weights."""
    if node.kind in _INTEGER_KINDS:
        return True
    if node.kind not in _FLOAT_KINDS:
        return None
    ways = [_weight(name, writers, stored) for name in node.inputs if name]
    known = [way for way in ways if way is not None]
    return any(known) if known else None


def _weight(name: str, writers: Mapping[str, Node], stored: Mapping[str, Stored]) -> bool | None:
    """Whether a stored matrix comes to a name dequantised; None when there is none."""
    dequantised = False
    for _ in range(_LONGEST_WAY):
        if name in stored:
            return dequantised if len(stored[name].shape) > 1 else None
        writer = writers.get(name)
        if writer is None or not writer.inputs or writer.kind not in (*_CARRIES, "DequantizeLinear"):
            return None
        dequantised |= writer.kind == "DequantizeLinear"
        name = writer.inputs[0]
    return None


def _style(kinds: Counter[str]) -> str:
    if kinds["DynamicQuantizeLinear"] + kinds["DynamicQuantizeMatMul"] + kinds["DynamicQuantizeLSTM"]:
        return "dynamic"
    if any(kind.startswith("QLinear") or kind in ("QGemm", "QAttention") for kind in kinds):
        return "QOperator"
    return "QDQ" if kinds["QuantizeLinear"] else "weights only"


def _float_precision(content: GraphContent) -> Precision:
    """Precision of most stored numbers; of the inputs where none are stored."""
    sizes: Counter[Precision] = Counter()
    for tensor in content.stored.values():
        if tensor.dtype in _FLOATS:
            sizes[_FLOATS[tensor.dtype]] += tensor.elements
    if not +sizes:
        sizes.update(_FLOATS[spec.dtype] for spec in content.inputs if spec.dtype in _FLOATS)
    return sizes.most_common(1)[0][0] if sizes else "fp32"


def file_precision(path: Path) -> GraphPrecision:
    """Read the precision of an ONNX file; its weights are not opened.

    Raises:
        ModelError: when the file is missing, empty, truncated or no ONNX model.
    """
    return graph_precision(graph_content(path))
