"""The same ONNX Runtime session in every peer: one thread that does not spin, as farthing's own engine sets it."""

from __future__ import annotations

import sys
from pathlib import Path

import onnxruntime as ort

MAX_BATCH = 32
SHAPES = {"mlp": (32,), "conv": (3, 224, 224)}
"""One sample's shape of each model."""


def arguments() -> tuple[int, Path]:
    """Port and folder of models from the command line."""
    return int(sys.argv[1]), Path(sys.argv[2])


def open_session(path: Path) -> ort.InferenceSession:
    """Load a model for one core."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def open_all(folder: Path) -> dict[str, ort.InferenceSession]:
    """Every model of the benchmark."""
    return {name: open_session(folder / f"{name}.onnx") for name in SHAPES}
