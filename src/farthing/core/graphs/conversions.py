"""Operators that only give numbers another type or another place."""

from __future__ import annotations

__all__ = ["converts", "moves"]

_CONVERTING = ("Reorder", "Convert", "Cast", "Quantize", "Dequantize")
_MOVING = ("Transpose", "Copy", "to_copy")
_WORKING = ("MatMul", "Gemm", "LSTM", "GRU", "Attention")
"""ONNX Runtime's ``DynamicQuantizeMatMul`` quantizes and multiplies: what it is for is the product."""


def converts(kind: str) -> bool:
    """Whether operators of a kind do nothing but convert (``QuantizeLinear``, ``Reorder``, ``Cast``)."""
    return any(word in kind for word in _CONVERTING) and not any(word in kind for word in _WORKING)


def moves(kind: str) -> bool:
    """Whether operators of a kind convert or move, which an engine adds around a node that another one computes."""
    return converts(kind) or any(word in kind for word in _MOVING)
