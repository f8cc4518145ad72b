"""What the baseline computes in: read from the model's file, so that what is announced is what runs."""

from __future__ import annotations

from pathlib import Path

from farthing.errors import InputError
from farthing.models.precision import GraphPrecision, file_precision
from farthing.nouns import ModelRef, Precision

__all__ = ["baseline_precision"]

_TORCH = ("pytorch", "torch-compile")


def baseline_precision(asked: Precision | None, engine: str, model: ModelRef) -> Precision:
    """The precision in which an engine runs a model as it is.

    ONNX Runtime computes a file in its own types. OpenVINO computes FP16 and BF16 files in FP32, float files in BF16
    when asked. PyTorch computes a module in FP32, or in BF16 when asked.

    Args:
        asked: What the user says it is, None when nothing was said.
        engine: The baseline's.
        model: With its ONNX file unless it is a module.

    Raises:
        InputError: when the file is something else than what was said.
        ModelError: when the file cannot be read.
    """
    if engine in _TORCH or model.onnx_path is None:
        return _of_module(asked, engine, model)
    found = file_precision(Path(model.onnx_path))
    possible = _possible(engine, found.precision)
    if asked is None or not possible or asked in possible:
        return asked or (possible or (found.precision,))[0]
    raise InputError(
        f"baseline.precision is {asked}, but {Path(model.onnx_path).name} is {found.words}: {_rule(engine, found)}",
        hint=_hint(asked, possible),
    )


def _possible(engine: str, own: Precision) -> tuple[Precision, ...]:
    """Precisions in which an engine can run a file as it is, the usual one first; empty for engines of others."""
    if engine == "onnxruntime":
        return (own,)
    if engine == "openvino":
        return ("int8",) if own == "int8" else ("fp32", "bf16")
    return ()


def _rule(engine: str, found: GraphPrecision) -> str:
    if engine == "openvino" and found.precision != "int8":
        return "openvino computes it in FP32, or in BF16"
    return f"{engine} computes a file in its own types"


def _hint(asked: Precision, possible: tuple[Precision, ...]) -> str:
    if asked == "int8":
        return "leave baseline.precision out; if an INT8 file serves today, give that file as the model"
    return f"leave baseline.precision out, or give {' or '.join(possible)}"


def _of_module(asked: Precision | None, engine: str, model: ModelRef) -> Precision:
    if asked in (None, "fp32", "bf16") or engine not in _TORCH:
        return asked or "fp32"
    raise InputError(
        f"baseline.precision is {asked}, but {engine} computes {model.path} in FP32, or in BF16",
        hint="leave it out; if an ONNX file of that precision serves today, give that file as the model",
    )
