"""What an ONNX file says about itself, read without its weights: inputs, outputs, number of nodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from farthing.models.graph_content import graph_content
from farthing.nouns import TensorSpec

__all__ = ["Signature", "onnx_signature"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a model takes and gives.

    Attributes:
        inputs: In the model's order, weights left out.
        outputs: In the model's order. What is no tensor has a type such as ``sequence(map(int64, float32))``.
        nodes: Number of nodes of the main graph, ≥ 1.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    nodes: int


def onnx_signature(path: Path) -> Signature:
    """Read inputs and outputs of an ONNX file; external data is not opened.

    Raises:
        ModelError: when the file is missing, empty, truncated or no ONNX model.
    """
    content = graph_content(path)
    return Signature(inputs=content.inputs, outputs=content.outputs, nodes=content.main_nodes)
