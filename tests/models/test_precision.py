"""The precision of a file is read from its weights and operators."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from brought_models import FLOAT, float_net, forest, matrix, quantised, save, stored, value
from onnx import helper

from farthing.models.precision import file_precision


@pytest.mark.parametrize(("dtype", "precision"), [(np.float32, "fp32"), (np.float16, "fp16"), (np.float64, "fp32")])
def test_floats(tmp_path: Path, dtype: type, precision: str) -> None:
    found = file_precision(float_net(tmp_path / "int8.onnx", dtype))
    assert (found.precision, found.weighted, found.quantised) == (precision, 2, 0)
    assert found.words == precision.upper()


@pytest.mark.parametrize("way", ["QDQ", "QOperator", "dynamic"])
def test_quantised_models(tmp_path: Path, way: str) -> None:
    source = float_net(tmp_path / "fp32.onnx")
    found = file_precision(quantised(tmp_path / "fp32-again.onnx", source, way))
    assert (found.precision, found.style, found.quantised, found.weighted) == ("int8", way, 2, 2)
    assert found.words == f"INT8 ({way}, 2 of 2 weighted products)"


def test_weights_that_are_dequantised_and_transposed(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["w8", "scale"], ["w"]),
        helper.make_node("Transpose", ["w"], ["wt"]),
        helper.make_node("MatMul", ["x", "wt"], ["a"]),
        helper.make_node("MatMul", ["a", "v"], ["y"]),
    ]
    weights = stored(w8=np.ones((16, 8), np.int8), scale=np.float32(0.1), v=matrix(16, 3))
    path = save(tmp_path / "m.onnx", nodes, [value("x", "n", 8)], [value("y", "n", 3)], weights)
    found = file_precision(path)
    assert (found.precision, found.style, found.quantised, found.weighted) == ("int8", "weights only", 1, 2)


def test_fp16_weights_between_inputs_and_outputs_of_fp32(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["xh"], to=10),
        helper.make_node("MatMul", ["xh", "w"], ["a"]),
        helper.make_node("Cast", ["a"], ["y"], to=FLOAT),
    ]
    path = save(
        tmp_path / "m.onnx", nodes, [value("x", "n", 8)], [value("y", "n", 3)], stored(w=matrix().astype(np.float16))
    )
    assert file_precision(path).precision == "fp16"


def test_scores_of_attention_count_for_nothing(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Transpose", ["a"], ["at"]),
        helper.make_node("MatMul", ["a", "at"], ["y"]),
    ]
    path = save(tmp_path / "m.onnx", nodes, [value("x", 4, 8)], [value("y", 4, 4)], stored(w=matrix()))
    assert file_precision(path).weighted == 1


def test_trees_are_in_fp32(tmp_path: Path) -> None:
    assert file_precision(forest(tmp_path / "m.onnx")).words == "FP32"
