"""A small real classifier with data of its own: enough for a whole run in a minute or two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

CLASSES, FEATURES = 4, 32


def _blobs(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    centres = np.random.default_rng(7).normal(0, 3, (CLASSES, FEATURES))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, n)
    return (centres[labels] + rng.normal(0, 1, (n, FEATURES))).astype(np.float32), labels


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.onnx (a linear classifier through two wide layers) and holdout.npz."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    folder = tmp_path_factory.mktemp("small")
    rng = np.random.default_rng(0)
    centres = np.random.default_rng(7).normal(0, 3, (CLASSES, FEATURES))
    wide = 1024  # about a millisecond a request: short journals, and clocks that can tell it
    spread = np.linalg.qr(rng.normal(size=(wide, FEATURES)))[0].T.astype(np.float32)
    head = (spread.T @ centres.T).astype(np.float32)
    bias = (-0.5 * (centres**2).sum(1)).astype(np.float32)
    middle = np.eye(wide, dtype=np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "spread"], ["a"], name="widen"),
            helper.make_node("MatMul", ["a", "middle"], ["b"], name="keep"),
            helper.make_node("Gemm", ["b", "head", "bias"], ["y"], name="head"),
        ],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", CLASSES])],
        [
            numpy_helper.from_array(a, n)
            for n, a in zip(("spread", "middle", "head", "bias"), (spread, middle, head, bias))
        ],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )
    x, y = _blobs(700, 1)
    np.savez(folder / "holdout.npz", x=x, labels=y)
    return folder
