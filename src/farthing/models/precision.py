"""The precision that a model file computes in, read from its operators and what reaches them, never from its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from farthing.models.graph_content import GraphContent, Node, graph_content
from farthing.models.weight_types import Weight, weights_on_their_way
from farthing.nouns import Precision

__all__ = ["GraphPrecision", "file_precision", "graph_precision"]

Name = TypeVar("Name", bound=str)

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
_FLOATS: Mapping[str, Precision] = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32", "float64": "fp32"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphPrecision:
    """What a graph computes in.

    Attributes:
        precision: ``int8`` as soon as one product with stored weights is quantised; else the type in which most weights
            reach the products, whatever they are stored in; that of most stored numbers where there is no such product.
        weighted: Matrix products, convolutions and recurrent layers with stored weights.
        quantised: Those of them whose weights are integers.
        style: How it is quantised: ``QDQ`` (quantise and dequantise nodes around float operators), ``QOperator``
            (integer operators with ranges of their own), ``dynamic`` (ranges found while running), ``weights only``;
            empty when it is not.
        stored: Another type in which most of those weights are stored, as ``fp16``; empty where it is the same.
    """

    precision: Precision
    weighted: int = 0
    quantised: int = 0
    style: str = ""
    stored: str = ""

    @property
    def words(self) -> str:
        """For people: ``FP32``, ``FP32 (weights stored in FP16)``, ``INT8 (QDQ, 74 of 74 weighted products)``."""
        if self.precision == "int8":
            return f"INT8 ({self.style}, {self.quantised} of {self.weighted} weighted products)"
        return self.precision.upper() + (f" (weights stored in {self.stored.upper()})" if self.stored else "")


def graph_precision(content: GraphContent) -> GraphPrecision:
    """Tell the precision of a graph from its operators and from the weights that reach them."""
    found = weights_on_their_way(content)
    products = [product for node in content.nodes if (product := _product(node, found)) is not None]
    quantised = sum(integers for integers, _ in products)
    if quantised:
        style = _style(Counter(node.kind for node in content.nodes))
        return GraphPrecision(precision="int8", weighted=len(products), quantised=quantised, style=style)
    weights = [weight for _, weight in products if weight is not None and weight.dtype in _FLOATS]
    if not weights:
        return GraphPrecision(precision=_float_precision(content), weighted=len(products))
    precision = _most([(_FLOATS[weight.dtype], weight.elements) for weight in weights])
    stored = _most([(_FLOATS.get(weight.stored, weight.stored), weight.elements) for weight in weights])
    return GraphPrecision(precision=precision, weighted=len(products), stored="" if stored == precision else stored)


def _product(node: Node, found: Mapping[str, Weight]) -> tuple[bool, Weight | None] | None:
    """Whether the weights of a product are integers, and the largest of them; None for nodes without stored weights."""
    reaching = [found[name] for name in node.inputs if name in found and found[name].matrix]
    largest = max(reaching, key=lambda weight: weight.elements, default=None)
    if node.kind in _INTEGER_KINDS:
        return True, largest
    if node.kind not in _FLOAT_KINDS or largest is None:
        return None
    return any(weight.dequantised for weight in reaching), largest


def _most(sizes: Iterable[tuple[Name, int]]) -> Name:
    """The name to which most numbers belong."""
    counted: Counter[Name] = Counter()
    for name, elements in sizes:
        counted[name] += elements
    return counted.most_common(1)[0][0]


def _style(kinds: Counter[str]) -> str:
    if kinds["DynamicQuantizeLinear"] + kinds["DynamicQuantizeMatMul"] + kinds["DynamicQuantizeLSTM"]:
        return "dynamic"
    if any(kind.startswith("QLinear") or kind in ("QGemm", "QAttention") for kind in kinds):
        return "QOperator"
    return "QDQ" if kinds["QuantizeLinear"] else "weights only"


def _float_precision(content: GraphContent) -> Precision:
    """Precision of most stored numbers; of the inputs where none are stored."""
    stored = [(_FLOATS[t.dtype], t.elements) for t in content.stored.values() if t.dtype in _FLOATS and t.elements]
    sizes = stored or [(_FLOATS[spec.dtype], 1) for spec in content.inputs if spec.dtype in _FLOATS]
    return _most(sizes) if sizes else "fp32"


def file_precision(path: Path) -> GraphPrecision:
    """Read the precision of an ONNX file; its weights are not opened.

    Raises:
        ModelError: when the file is missing, empty, truncated or no ONNX model.
    """
    return graph_precision(graph_content(path))
