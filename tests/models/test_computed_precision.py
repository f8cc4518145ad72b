"""Weights that are stored in one type and multiplied in another: the type of the product is the precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from brought_models import FLOAT, matrix, save, stored, value
from onnx import helper, numpy_helper

from farthing.load.serve.models import served_models
from farthing.load.workload.workload import workload_from_flags
from farthing.models.graph_content import graph_content
from farthing.models.precision import GraphPrecision, file_precision
from farthing.models.weight_types import weights_on_their_way
from farthing.store.artefacts import check_artefact

HALF, BRAIN = 10, 16
Node = onnx.NodeProto


def halves(rows: int = 8, columns: int = 3) -> np.ndarray:
    return matrix(rows, columns).astype(np.float16)


def cast(name: str, to: int, given: str = "") -> Node:
    return helper.make_node("Cast", [given or name], [f"{name}_c"], to=to)


def product(path: Path, nodes: Sequence[Node], weight: str, kind: int, **weights: np.ndarray) -> Path:
    """``y = x · weight`` in one type, float32 at both ends."""
    all_nodes = [
        cast("x", kind),
        *nodes,
        helper.make_node("MatMul", ["x_c", weight], ["product"]),
        helper.make_node("Cast", ["product"], ["y"], to=FLOAT),
    ]
    return save(path, all_nodes, [value("x", "n", 8)], [value("y", "n", 3)], stored(**weights))


def convolution(path: Path) -> Path:
    nodes = [cast("w", FLOAT), helper.make_node("Conv", ["x", "w_c"], ["product"])]
    weight = halves(8, 9).reshape(8, 1, 3, 3)
    return save(path, nodes, [value("x", "n", 1, 8, 8)], [value("product", "n", 8, 6, 6)], stored(w=weight))


def recurrent(path: Path) -> Path:
    nodes = [
        cast("w", FLOAT),
        cast("r", FLOAT),
        helper.make_node("GRU", ["x", "w_c", "r_c"], ["product"], hidden_size=4),
    ]
    weights = stored(w=halves(12, 8).reshape(1, 12, 8), r=halves(12, 4).reshape(1, 12, 4))
    return save(path, nodes, [value("x", "n", 1, 8)], [value("product", "n", 1, 1, 4)], weights)


def constant(path: Path) -> Path:
    held = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(halves(), "w"))
    return product(path, [held, cast("w", FLOAT)], "w_c", FLOAT)


def turned(path: Path) -> Path:
    nodes = [cast("w", FLOAT), helper.make_node("Transpose", ["w_c"], ["wt"])]
    return product(path, nodes, "wt", FLOAT, w=halves(3, 8))


def scaled(path: Path) -> Path:
    nodes = [cast("w", FLOAT), helper.make_node("Mul", ["w_c", "s"], ["ws"])]
    return product(path, nodes, "ws", FLOAT, w=halves(), s=np.ones((1, 3), np.float32))


def joined(path: Path) -> Path:
    nodes = [helper.make_node("Concat", ["a", "b"], ["w"], axis=0), cast("w", FLOAT)]
    return product(path, nodes, "w_c", FLOAT, a=halves(4, 3), b=halves(4, 3))


def like(path: Path) -> Path:
    """As exporters with functions write it: the type of the activation."""
    return product(path, [helper.make_node("CastLike", ["w", "x"], ["wl"])], "wl", FLOAT, w=halves())


def twice(path: Path) -> Path:
    return product(path, [cast("w", FLOAT), cast("v", HALF, "w_c")], "v_c", HALF, w=halves())


def beside_a_large_table(path: Path) -> Path:
    """What most numbers are stored in is not what is multiplied: an embedding in FP32, a product in FP16."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        cast("rows", HALF),
        helper.make_node("MatMul", ["rows_c", "w"], ["product"]),
    ]
    inputs, outputs = [value("ids", "n", kind=7)], [value("product", "n", 3, kind=HALF)]
    return save(path, nodes, inputs, outputs, stored(table=matrix(500, 8), w=halves()))


def unpacked(path: Path) -> Path:
    """8-bit numbers, made floats by hand before they are multiplied."""
    nodes = [cast("w", FLOAT), helper.make_node("Mul", ["w_c", "s"], ["ws"])]
    return product(path, nodes, "ws", FLOAT, w=np.ones((8, 3), np.int8), s=np.ones((1, 3), np.float32))


CASES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "cast to float": (lambda p: product(p, [cast("w", FLOAT)], "w_c", FLOAT, w=halves()), "FP32 (weights stored in FP16)"),
    "cast to half": (lambda p: product(p, [cast("w", HALF)], "w_c", HALF, w=matrix()), "FP16 (weights stored in FP32)"),
    "cast to bfloat": (lambda p: product(p, [cast("w", BRAIN)], "w_c", BRAIN, w=matrix()), "BF16 (weights stored in FP32)"),
    "convolution": (convolution, "FP32 (weights stored in FP16)"),
    "recurrent": (recurrent, "FP32 (weights stored in FP16)"),
    "constant": (constant, "FP32 (weights stored in FP16)"),
    "transposed": (turned, "FP32 (weights stored in FP16)"),
    "scaled": (scaled, "FP32 (weights stored in FP16)"),
    "joined": (joined, "FP32 (weights stored in FP16)"),
    "like the activation": (like, "FP32 (weights stored in FP16)"),
    "there and back": (twice, "FP16"),
    "beside a large table": (beside_a_large_table, "FP16"),
    "unpacked by hand": (unpacked, "FP32 (weights stored in INT8)"),
    "as stored": (lambda p: product(p, [], "w", HALF, w=halves()), "FP16"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "words"), CASES.values(), ids=CASES.keys())
def test_the_type_in_which_weights_are_multiplied_is_the_precision(
    tmp_path: Path, make: Callable[[Path], Path], words: str
) -> None:
    path = make(tmp_path / "m.onnx")
    found = file_precision(path)
    assert (found.words, found.weighted) == (words, 1)
    inferred = onnx.shape_inference.infer_shapes(onnx.load(str(path)), strict_mode=True).graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*inferred.value_info, *inferred.output)}
    assert {FLOAT: "fp32", HALF: "fp16", BRAIN: "bf16"}[types["product"]] == found.precision


def test_dequantised_weights_stay_quantised_whatever_float_they_become(tmp_path: Path) -> None:
    nodes = [helper.make_node("DequantizeLinear", ["w", "s"], ["d"]), cast("d", HALF)]
    path = product(tmp_path / "m.onnx", nodes, "d_c", HALF, w=np.ones((8, 3), np.int8), s=np.float32(0.1))
    assert file_precision(path).words == "INT8 (weights only, 1 of 1 weighted products)"


def test_without_a_weighted_product_what_is_stored_decides(tmp_path: Path) -> None:
    nodes = [cast("s", FLOAT), helper.make_node("Mul", ["x", "s_c"], ["y"])]
    path = save(tmp_path / "m.onnx", nodes, [value("x", "n", 8)], [value("y", "n", 8)], stored(s=halves(1, 8)))
    assert file_precision(path) == GraphPrecision(precision="fp16")


def test_what_depends_on_an_input_is_no_weight(tmp_path: Path) -> None:
    path = like(tmp_path / "m.onnx")
    assert set(weights_on_their_way(graph_content(path))) == {"w", "wl"}


def test_the_baseline_and_the_server_are_told_what_is_computed(tmp_path: Path) -> None:
    path = CASES["cast to float"][0](tmp_path / "m.onnx")
    np.savez(tmp_path / "d.npz", x=matrix(60, 8), y=np.arange(60) % 3)
    flags = {"model": str(path), "labels": str(tmp_path / "d.npz"), "bill": "10000", "offer": "aws/m7i.large"}
    assert workload_from_flags({**flags, "baseline_precision": "fp32"}).baseline.precision == "fp32"
    assert workload_from_flags(flags).baseline.precision == "fp32"
    (model,) = served_models([str(path)], cores=2, check=check_artefact)
    assert (model.candidate.variant, model.candidate.precision) == ("fp32", "fp32")
