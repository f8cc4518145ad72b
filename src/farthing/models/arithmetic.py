"""How a model file computes, as far as answers of a batch can differ from answers alone."""

from __future__ import annotations

from pathlib import Path

from farthing.errors import ModelError
from farthing.models.batch_check import Arithmetic
from farthing.models.onnx_files import model_file, operator_kinds
from farthing.nouns import Precision

__all__ = ["arithmetic_of"]

_DYNAMIC = frozenset({"DynamicQuantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "QAttention"})
"""Operators that choose a step for a whole tensor as it comes."""
_STEPPED = frozenset({"FakeQuantize", "MatMulNBits", "QLinearConv", "QLinearMatMul", "QuantizeLinear"})


def arithmetic_of(path: Path, precision: Precision) -> Arithmetic:
    """Read it from the operators; the precision that was asked for counts where the file cannot be read.

    Args:
        path: What an engine loads.
        precision: That it was asked for; a plain file's is often only assumed.
    """
    if precision in ("bf16", "fp16"):
        return "half"
    kinds = _kinds(path)
    if kinds & _DYNAMIC:
        return "dynamic"
    if kinds & _STEPPED or precision == "int8":
        return "stepped"
    return "half" if "float16" in kinds else "float"


def _kinds(path: Path) -> frozenset[str]:
    """What a file's operators are, as far as it can be read: ONNX, and OpenVINO's fixed steps."""
    try:
        file = model_file(path, ("model.onnx", "model.xml"))
        if file.suffix == ".onnx":
            return operator_kinds(file)
        text = file.read_text(encoding="utf-8", errors="replace") if file.suffix == ".xml" else ""
    except (ModelError, OSError):
        return frozenset()
    return frozenset({"FakeQuantize"} if 'type="FakeQuantize"' in text else ())
