"""Why an INT8 model may be slow, told from its file alone."""

from __future__ import annotations

from pathlib import Path

from farthing.models.isa import has_int8_dot
from farthing.models.onnx_files import GraphSummary, check_onnx, summarize

__all__ = ["int8_remarks"]

_QUANTIZED = {
    "Conv": ("QLinearConv", "ConvInteger"),
    "MatMul": ("QLinearMatMul", "MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"),
    "Gemm": ("QGemm",),
}
_FLOAT_WORK = ("Conv", "ConvTranspose", "Gemm", "LSTM", "MatMul", "GRU")
_MANY_PAIRS = 2
"""Quantizing nodes for each product from which converting is likely to eat the gain."""


def int8_remarks(onnx_path: Path) -> tuple[str, ...]:
    """Sentences on what holds INT8 back in this file on this machine; empty when nothing does.

    Args:
        onnx_path: A model with quantize/dequantize pairs, integer operators, or dynamic quantization.

    Raises:
        ModelError: when the file is missing or corrupt.
    """
    model = check_onnx(onnx_path)
    graph = summarize(model)
    found = (_no_unit(), _unsigned(graph), _left_in_float(model, graph), _pairs(graph))
    return tuple(sentence for sentence in found if sentence)


def _no_unit() -> str:
    return "" if has_int8_dot() else "this CPU has no INT8 dot products (no VNNI, AMX or I8MM)"


def _unsigned(graph: GraphSummary) -> str:
    count = len(graph.unsigned_weights)
    if not count:
        return ""
    return (
        f"{count} weights are unsigned ({graph.unsigned_weights[0]} …): x86 multiplies unsigned by signed numbers, "
        "other pairs take a slower kernel (2.4 × on a transformer)"
    )


def _left_in_float(model: object, graph: GraphSummary) -> str:
    """Products whose inputs no dequantizing node gives."""
    nodes = model.graph.node  # type: ignore[attr-defined]
    quantized = {o for n in nodes if n.op_type == "DequantizeLinear" for o in n.output}
    floats = [n for n in nodes if n.op_type in _FLOAT_WORK and n.input[0] not in quantized]
    integer = sum(graph.kinds[kind] for kinds in _QUANTIZED.values() for kind in kinds)
    total = integer + sum(graph.kinds[kind] for kind in _FLOAT_WORK)
    if not floats:
        return ""
    names = ", ".join(f"{n.name or n.output[0]} ({n.op_type})" for n in floats[:3])
    return f"{len(floats)} of {total} products and convolutions stay in float: {names}{' …' if len(floats) > 3 else ''}"


def _pairs(graph: GraphSummary) -> str:
    quantizing = graph.kinds["QuantizeLinear"] + graph.kinds["DynamicQuantizeLinear"]
    products = graph.weighted_products + graph.convolutions
    if quantizing <= _MANY_PAIRS * max(1, products):
        return ""
    return f"{quantizing} quantizing nodes for {products} products and convolutions: converting may eat the gain"
