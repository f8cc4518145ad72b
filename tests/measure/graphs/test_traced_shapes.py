"""Shapes that inference leaves open are read off one run of the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from brought_models import INT64, matrix, save, stored, value
from onnx import helper

from farthing.core.graphs.costs import node_costs
from farthing.measure.graphs.graph_reader import read_graph


def wandering(path: Path, *, external: bool = False) -> Path:
    """Heads split by a shape that is worked out from values: how many words are not zero."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["x"], "words"),
        helper.make_node("NonZero", ["ids"], ["places"], "real"),
        helper.make_node("Transpose", ["places"], ["rows"], "turn", perm=[1, 0]),
        helper.make_node("GatherND", ["x", "rows"], ["packed"], "pack"),
        helper.make_node("MatMul", ["packed", "w"], ["y"], "product"),
    ]
    weights = stored(table=matrix(50, 8), w=matrix(8, 3))
    save(path, nodes, [value("ids", "n", "length", kind=INT64)], [value("y", None, 3)], weights)
    if external:
        model = onnx.load(path)
        onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


def test_work_behind_values_is_known(tmp_path: Path) -> None:
    for external in (False, True):
        folder = tmp_path / str(external)
        folder.mkdir()
        path = wandering(folder / "m.onnx", external=external)
        costs = node_costs(read_graph(str(path), 2, input_shapes={"ids": [2, 5]}))
        assert costs["product"].flops == 2 * 10 * 8 * 3, "every word of the run is real"
        assert all(cost.flops is not None for cost in costs.values())
        assert costs["product"].bytes_moved(weights=False) == 10 * 8 * 4 + 10 * 3 * 4


def test_without_whole_input_shapes_nothing_is_run(tmp_path: Path) -> None:
    costs = node_costs(read_graph(str(wandering(tmp_path / "m.onnx")), 2))
    assert costs["product"].flops is None


def test_a_model_that_cannot_be_run_keeps_what_inference_knows(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Unheard", ["x"], ["a"], "foreign", domain="com.example"),
        helper.make_node("MatMul", ["x", "w"], ["y"], "product"),
    ]
    path = save(
        tmp_path / "m.onnx",
        nodes,
        [value("x", "n", 8)],
        [value("y", "n", 3), value("a", "n", None)],
        stored(w=matrix()),
    )
    costs = node_costs(read_graph(str(path), 2, input_shapes={"x": [2, 8]}))
    assert costs["product"].flops == 2 * 2 * 8 * 3
    assert costs["foreign"].flops is None


def test_the_seed_is_fixed(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Greater", ["x", "zero"], ["high"]),
        helper.make_node("NonZero", ["high"], ["places"]),
        helper.make_node("Cast", ["places"], ["y"], "cast", to=1),
    ]
    path = save(tmp_path / "m.onnx", nodes, [value("x", "n", 8)], [value("y", None, None)], stored(zero=np.float32(0)))
    first, again = (read_graph(str(path), 4, input_shapes={"x": [4, 8]}) for _ in range(2))
    assert first == again
