"""Small real inputs: an ONNX classifier and folders of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image


def write_onnx(path: Path, classes: int = 3, side: int | None = None) -> Path:
    """A classifier of images (n, 3, side, side): mean of each channel times random weights."""
    weights = np.random.default_rng(0).normal(size=(3, classes)).astype(np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["images", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, side or "h", side or "w"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes])],
        [
            helper.make_tensor("weights", TensorProto.FLOAT, weights.shape, weights.tobytes(), raw=True),
            helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3]),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path


def write_images(folder: Path, labels: list[str], side: int = 40) -> Path:
    """One picture a label, in a sub-folder of its class."""
    rng = np.random.default_rng(1)
    for k, label in enumerate(labels):
        (folder / label).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / label / f"{k:04d}.png")
    return folder
