"""Reading real ONNX files: shapes bound to a batch, weights, quantised graphs, faults."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from farthing.core.graphs.costs import node_costs
from farthing.core.graphs.records import NodeRecord, unsigned_weights
from farthing.errors import ModelError
from farthing.measure.graphs.graph_reader import read_graph, read_graph_in_child

LIGHT_RESNET50 = Path(onnx.__file__).parent / "backend/test/data/light/light_resnet50.onnx"


def save(path: Path, nodes: list, inputs: list, outputs: list, constants: dict[str, np.ndarray]) -> str:
    graph = helper.make_graph(
        nodes, "g", inputs, outputs, [numpy_helper.from_array(value, name) for name, value in constants.items()]
    )
    domains = [
        helper.make_opsetid("", 17),
        helper.make_opsetid("com.microsoft", 1),
        helper.make_opsetid("com.example", 1),
    ]
    onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=8), path)
    return str(path)


def value(name: str, *shape: int | str | None, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))


def by_name(records: list[NodeRecord]) -> dict[str, NodeRecord]:
    return {record["name"]: record for record in records}


@pytest.fixture
def convolution(tmp_path: Path) -> str:
    """A convolution, its activation and a projection, batch size left open."""
    rng = np.random.default_rng(0)
    constants = {
        "w": rng.standard_normal((16, 3, 3, 3)).astype(np.float32),
        "v": rng.standard_normal((16 * 64, 10)).astype(np.float32),
        "shape": np.array([0, -1], np.int64),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], "/block/relu/Relu"),
        helper.make_node("Reshape", ["b", "shape"], ["c"], "flat"),
        helper.make_node("MatMul", ["c", "v"], ["y"]),
    ]
    return save(tmp_path / "m.onnx", nodes, [value("x", "n", 3, 8, 8)], [value("y", "n", 10)], constants)


def test_resnet50_has_the_operations_that_its_paper_implies() -> None:
    costs = node_costs(read_graph(str(LIGHT_RESNET50), 1))
    total = sum(cost.flops or 0 for cost in costs.values())
    assert all(cost.flops is not None for cost in costs.values())
    assert total == pytest.approx(8.2e9, rel=0.01), "4.1 G multiply-adds (He et al. 2016, table 1, with strides moved)"


def test_a_batch_is_bound_and_costs_scale_with_it(convolution: str) -> None:
    one, eight = (node_costs(read_graph(convolution, batch)) for batch in (1, 8))
    assert one["conv"].flops == 2 * 16 * 64 * 27
    assert eight["conv"].flops == 8 * one["conv"].flops
    assert eight["conv"].bytes_moved(weights=True) == one["conv"].bytes_moved(weights=True) == 16 * 27 * 4
    assert eight["y"].flops == 8 * 2 * 1024 * 10, "a node without a name goes by its first output"


def test_records_say_what_is_needed(convolution: str) -> None:
    records = by_name(read_graph(convolution, 2))
    conv = records["conv"]
    assert conv["outputs"][0] is not None
    assert conv["outputs"][0]["shape"] == [2, 16, 8, 8]
    assert conv["weight_bytes"] == 16 * 27 * 4
    assert conv["attributes"]["pads"] == [1, 1, 1, 1]
    assert records["/block/relu/Relu"]["scope"] == "block.relu"
    assert json.loads(json.dumps(list(records.values()))) == list(records.values())


def test_sequence_length_fills_the_other_dynamic_dimensions(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["a", "b"], ["y"], "add")]
    inputs = [value("a", "n", "t", 4), value("b", "n", "t", 4)]
    path = save(tmp_path / "m.onnx", nodes, inputs, [value("y", "n", "t", 4)], {})
    assert by_name(read_graph(path, 3, 20))["add"]["outputs"][0]["shape"] == [3, 20, 4]  # type: ignore[index]
    given = read_graph(path, 3, 20, {"a": (2, 5, 4), "b": (2, 5, 4)})
    assert by_name(given)["add"]["outputs"][0]["shape"] == [2, 5, 4]  # type: ignore[index]


def quantised(path: Path, kind: type) -> str:
    zero = np.zeros(8, kind)
    constants = {
        "s": np.array(0.1, np.float32),
        "z": np.array(128, np.uint8),
        "w": np.ones((8, 3, 3, 3), kind),
        "ws": np.full(8, 0.01, np.float32),
        "wz": zero,
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], "q"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], "d"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], "wd", axis=0),
        helper.make_node("Conv", ["d", "wd"], ["y"], "conv"),
    ]
    return save(path, nodes, [value("x", "n", 3, 8, 8)], [value("y", "n", 8, 6, 6)], constants)


def test_dequantised_weights_are_weights_and_their_node_is_folded(tmp_path: Path) -> None:
    records = read_graph(quantised(tmp_path / "m.onnx", np.int8), 1)
    assert [r["name"] for r in records if r["folded"]] == ["wd"]
    costs = node_costs(records)
    assert costs["wd"].flops == 0
    assert costs["conv"].flops == 2 * 8 * 36 * 27
    assert costs["conv"].bytes_moved(1.0, weights=True) == 8 * 27
    assert unsigned_weights(records) == ()


def test_unsigned_weights_are_seen(tmp_path: Path) -> None:
    assert unsigned_weights(read_graph(quantised(tmp_path / "m.onnx", np.uint8), 1)) == ("w",)


def test_contributed_operators_get_shapes(tmp_path: Path) -> None:
    constants = {"w": np.ones((4, 12), np.float32), "b": np.ones(12, np.float32)}
    nodes = [
        helper.make_node("Attention", ["x", "w", "b"], ["a"], "attention", domain="com.microsoft", num_heads=2),
        helper.make_node("Gelu", ["a"], ["y"], "gelu", domain="com.microsoft"),
    ]
    path = save(tmp_path / "m.onnx", nodes, [value("x", "n", "t", 4)], [value("y", "n", "t", 4)], constants)
    costs = node_costs(read_graph(path, 2, 6))
    assert costs["attention"].flops == 2 * 2 * 6 * 4 * 12 + 2 * 36 * (16 + 10)
    assert costs["gelu"].flops == 5 * 2 * 6 * 4


def test_what_nobody_knows_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [
        helper.make_node("Mystery", ["x"], ["a"], "mystery", domain="com.example"),
        helper.make_node("Relu", ["a"], ["y"], "relu"),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    path = save(tmp_path / "m.onnx", nodes, [value("x", 1, 4)], [output], {})
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    records = by_name(read_graph(path, 1))
    assert Path.cwd() == here
    assert not list(here.iterdir())  # ONNX Runtime's shape inference leaves a file behind when it fails
    assert not records["mystery"]["known"]
    assert node_costs(list(records.values()))["mystery"].flops is None


def test_operators_of_a_domain_that_is_not_imported_are_an_error(tmp_path: Path) -> None:
    nodes = [helper.make_node("Mystery", ["x"], ["y"], "mystery", domain="com.nobody")]
    path = save(tmp_path / "m.onnx", nodes, [value("x", "n", 5)], [value("y", "n", 4)], {})
    with pytest.raises(ModelError, match="cannot be worked out"):
        read_graph(path, 1)


def test_weights_beside_the_model_are_not_opened(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "m")],
        "g",
        [value("x", "n", 64)],
        [value("y", "n", 64)],
        [numpy_helper.from_array(np.ones((64, 64), np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    assert node_costs(read_graph(str(path), 2))["m"].flops == 2 * 2 * 64 * 64


def test_missing_and_corrupt_files_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\xff\x00 no model")
    for path in (broken, tmp_path / "none.onnx"):
        with pytest.raises(ModelError, match=path.name):
            read_graph(str(path), 1)


def test_the_child_reads_the_same(convolution: str, tmp_path: Path) -> None:
    assert read_graph_in_child(Path(convolution), 2) == read_graph(convolution, 2)
    given = {"x": (5, 3, 8, 8)}
    assert read_graph_in_child(Path(convolution), 2, input_shapes=given) == read_graph(convolution, 5)
    with pytest.raises(ModelError, match="cannot be read"):
        read_graph_in_child(tmp_path / "none.onnx", 1)


def test_the_parent_does_not_import_onnx() -> None:
    code = (
        "import sys, farthing.measure.graphs.graph_reader, farthing.machine.peaks, farthing.measure.graphs.operators;"
        "print({'onnx', 'onnxruntime', 'openvino', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_counts_agree_with_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2, padding=1),
        torch.nn.Conv2d(8, 8, 3, groups=4, dilation=2),
        torch.nn.ConvTranspose2d(8, 4, 2, stride=2),
        torch.nn.Flatten(),
        torch.nn.Linear(4 * 24 * 24, 7),
    ).eval()
    x = torch.zeros(2, 3, 32, 32)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x)
    path = tmp_path / "m.onnx"
    torch.onnx.export(model, (x,), str(path), dynamo=False, input_names=["x"])
    records = read_graph(str(path), 2)
    costs = node_costs(records)
    heavy = sum(costs[r["name"]].flops or 0 for r in records if r["kind"] in ("Conv", "ConvTranspose", "Gemm"))
    assert heavy == counter.get_total_flops()
