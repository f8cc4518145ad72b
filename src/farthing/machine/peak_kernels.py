"""Small ONNX models of nothing but large products: what a machine does at best, an engine does on these.

Convolutions are there beside matrix products because the best kernels of an engine are those for convolutions;
each model is a chain, so that converting its input and output weighs little.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Kernel", "kernels"]

_DEPTH = 4
_OPSET = 17
_IR_VERSION = 8
_SCALE = 1 / 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One model to time.

    Attributes:
        name: ``gemm 512`` or ``conv 3×3 128×28×28``.
        model: Serialized ONNX model with one float input ``x``.
        shape: Of that input.
        flops: Of one run, multiply and add counted apart.
    """

    name: str
    model: bytes
    shape: tuple[int, ...]
    flops: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    kind: str
    attributes: dict[str, Any]
    weight_shape: tuple[int, ...]
    x_shape: tuple[int, ...]
    channel_axis: int
    flops: float


def kernels(*, int8: bool) -> Iterator[Kernel]:
    """All kernels in FP32, or with 8-bit unsigned activations and signed weights by channel."""
    for size in (512, 1024):
        yield _kernel(f"gemm {size}", _product(size), int8=int8)
    for channels, side, window in ((128, 28, 3), (256, 28, 1)):
        name = f"conv {window}×{window} {channels}×{side}×{side}"
        yield _kernel(name, _convolution(channels, side, window), int8=int8)


def _product(size: int) -> _Layer:
    return _Layer(
        kind="MatMul",
        attributes={},
        weight_shape=(size, size),
        x_shape=(size, size),
        channel_axis=1,
        flops=2.0 * size**3,
    )


def _convolution(channels: int, side: int, window: int) -> _Layer:
    # products with padding are not counted, since kernels leave them out: of window × side taps a row, h (h + 1)
    # with h = window // 2 lie outside
    return _Layer(
        kind="Conv",
        attributes={"pads": [window // 2] * 4, "kernel_shape": [window, window]},
        weight_shape=(channels, channels, window, window),
        x_shape=(1, channels, side, side),
        channel_axis=0,
        flops=2.0 * channels**2 * (window * side - window // 2 * (window // 2 + 1)) ** 2,
    )


def _kernel(name: str, layer: _Layer, *, int8: bool) -> Kernel:
    nodes, constants = _quantised(layer) if int8 else _plain(layer)
    return Kernel(
        name=name,
        model=_serialized(nodes, constants, layer.x_shape),
        shape=layer.x_shape,
        flops=layer.flops * _DEPTH,
    )


def _serialized(nodes: Sequence[Any], constants: dict[str, Any], shape: Sequence[int]) -> bytes:
    import onnx
    from onnx import helper, numpy_helper

    graph = helper.make_graph(
        list(nodes),
        "peak",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    return bytes(model.SerializeToString())


def _plain(layer: _Layer) -> tuple[list[Any], dict[str, Any]]:
    from onnx import helper

    rng = np.random.default_rng(0)
    constants: dict[str, Any] = {}
    nodes = []
    fan_in = float(np.prod(layer.weight_shape)) / layer.weight_shape[layer.channel_axis]
    for i in range(_DEPTH):
        constants[f"w{i}"] = (rng.standard_normal(layer.weight_shape) / np.sqrt(fan_in)).astype(np.float32)
        source, target = ("x" if i == 0 else f"t{i}"), ("y" if i == _DEPTH - 1 else f"t{i + 1}")
        nodes.append(helper.make_node(layer.kind, [source, f"w{i}"], [target], **layer.attributes))
    return nodes, constants


def _quantised(layer: _Layer) -> tuple[list[Any], dict[str, Any]]:
    from onnx import helper

    rng = np.random.default_rng(0)
    channels = layer.weight_shape[layer.channel_axis]
    constants: dict[str, Any] = {
        "scale": np.array(_SCALE, np.float32),
        "zero": np.array(128, np.uint8),
        "w_scale": np.full(channels, 1 / 74 / np.sqrt(np.prod(layer.weight_shape) / channels), np.float32),
        "w_zero": np.zeros(channels, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q0"]),
        helper.make_node("DequantizeLinear", ["q0", "scale", "zero"], ["d0"]),
    ]
    for i in range(_DEPTH):
        constants[f"w{i}"] = rng.integers(-127, 128, layer.weight_shape, dtype=np.int8)
        weight = [f"w{i}", "w_scale", "w_zero"]
        nodes += [
            helper.make_node("DequantizeLinear", weight, [f"f{i}"], axis=layer.channel_axis),
            helper.make_node(layer.kind, [f"d{i}", f"f{i}"], [f"t{i}"], **layer.attributes),
            helper.make_node("QuantizeLinear", [f"t{i}", "scale", "zero"], [f"q{i + 1}"]),
            helper.make_node(
                "DequantizeLinear", [f"q{i + 1}", "scale", "zero"], ["y" if i == _DEPTH - 1 else f"d{i + 1}"]
            ),
        ]
    return nodes, constants
