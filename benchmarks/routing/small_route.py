"""A small route made here: a linear classifier of half the features before a wide network that sees them all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["build"]

CLASSES, FEATURES, SEEN = 4, 24, 14
WIDE = 1024
"""Of the large tier's layers: about a millisecond a request."""

Floats = NDArray[np.float32]


def build(folder: Path, n: int = 4000) -> tuple[list[str], Path]:
    """Write both tiers and labelled requests.

    Args:
        folder: Gets ``small/``, ``large/`` and ``requests.npz``.
        n: Requests.

    Returns:
        ``name=source`` of the tiers, cheapest first, and the path of the requests.
    """
    rng = np.random.default_rng(3)
    whole = (rng.normal(size=(FEATURES, CLASSES)) * np.linspace(2.0, 0.25, FEATURES)[:, None]).astype(np.float32)
    part = np.where(np.arange(FEATURES)[:, None] < SEEN, whole, 0).astype(np.float32)
    spread = np.linalg.qr(rng.normal(size=(WIDE, FEATURES)))[0].T.astype(np.float32)
    keep = np.eye(WIDE, dtype=np.float32)
    sources = {"small": [part], "large": [spread, keep, keep, spread.T @ whole]}
    for name, layers in sources.items():
        _write(folder / name / "model.onnx", layers)
    x = rng.normal(size=(n, FEATURES)).astype(np.float32)
    labels = (x @ whole + rng.gumbel(size=(n, CLASSES)) * 0.1).argmax(axis=1)
    np.savez(folder / "requests.npz", x=x, labels=labels)
    return [f"{name}={folder / name / 'model.onnx'}" for name in sources], folder / "requests.npz"


def _write(path: Path, layers: list[Floats]) -> None:
    """One matrix after the other."""
    names = ["x", *(f"h{k}" for k in range(len(layers) - 1)), "logits"]
    nodes = [helper.make_node("MatMul", [names[k], f"w{k}"], [names[k + 1]]) for k in range(len(layers))]
    graph = helper.make_graph(
        nodes,
        "tier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", FEATURES])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", CLASSES])],
        [numpy_helper.from_array(w, f"w{k}") for k, w in enumerate(layers)],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
