"""From a running candidate to its Profile, with a real ONNX Runtime session behind the replica's two methods."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from farthing.measure.graphs.graph_reader import read_graph
from farthing.measure.graphs.operators import profile_candidate
from farthing.nouns import Candidate, MachinePeaks, OperatorTime
from farthing.workers.replicas.replica import OperatorTimes

PEAKS = MachinePeaks(fp32_gflops=1e4, bf16_gflops=None, int8_gops=2e4, memory_gb_per_s=1e3)


@dataclass
class Block:
    service_ms: Sequence[float]
    pipeline_frac: float


class Session:
    """A session with the replica's profiling methods."""

    def __init__(self, path: str, candidate: Candidate, pipeline_frac: float = 0.1) -> None:
        self.path, self.candidate, self.pipeline_frac = path, candidate, pipeline_frac

    def _session(self, profiling: str = "") -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.enable_profiling = bool(profiling)
        options.profile_file_prefix = profiling or "unused"
        return onnxruntime.InferenceSession(self.path, options, providers=["CPUExecutionProvider"])

    def offline_block(self, batch: int, seconds: float) -> Block:
        session, x = self._session(), np.ones((batch, 256), np.float32)
        times, end = [], time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            start = time.perf_counter()
            session.run(None, {"x": x})
            times.append(1e3 * (time.perf_counter() - start) / (1 - self.pipeline_frac))
        return Block(times, self.pipeline_frac)

    def operators(self, batch: int, repeats: int) -> OperatorTimes:
        session = self._session(str(Path(self.path).with_suffix("")))
        for _ in range(repeats):
            session.run(None, {"x": np.ones((batch, 256), np.float32)})
        spent: dict[tuple[str, str], float] = {}
        for event in json.loads(Path(session.end_profiling()).read_text()):
            if event["name"].endswith("_kernel_time"):
                key = (event["name"].removesuffix("_kernel_time"), event["args"]["op_name"])
                spent[key] = spent.get(key, 0.0) + event["dur"] / 1e3 / repeats
        times = tuple(OperatorTime(name=n, kind=k, time_ms=ms, share_frac=0.0) for (n, k), ms in spent.items())
        return OperatorTimes(times=times, input_shapes={"x": (batch, 256)})


@pytest.fixture
def layers(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((256, 256)).astype(np.float32) / 16 for _ in range(3)]
    names = ["x", "a", "b", "y"]
    nodes = [helper.make_node("MatMul", [names[i], f"w{i}"], [names[i + 1]], f"layer{i}") for i in range(3)]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 256])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 256])],
        [numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return str(path)


FP32 = Candidate(engine="onnxruntime", variant="fp32", precision="fp32", max_batch=64)


def test_real_operator_times_meet_the_models_nodes(layers: str) -> None:
    found = profile_candidate(
        Session(layers, FP32),
        lambda shapes: read_graph(layers, 1, input_shapes=shapes),
        PEAKS,
        batch=64,
        isa=("avx2",),
        repeats=5,
        seconds=0.05,
    )
    assert {o.name for o in found.operators} >= {"layer0", "layer1", "layer2"}
    assert found.mapped_frac == pytest.approx(1.0)
    assert all(o.flops == 2 * 64 * 256 * 256 for o in found.operators if o.kind == "MatMul")
    assert all(0 < (o.roofline_frac or 0) < 1 for o in found.operators if o.kind == "MatMul")
    assert found.pipeline_ms == pytest.approx(0.1 * found.wall_ms)
    assert sum(o.share_frac for o in found.operators) == pytest.approx(1.0)
    assert [o.time_ms for o in found.operators] == sorted((o.time_ms for o in found.operators), reverse=True)


def test_a_slow_pipeline_is_named(layers: str) -> None:
    found = profile_candidate(
        Session(layers, FP32, 0.8), lambda _: read_graph(layers, 8), PEAKS, batch=8, isa=(), repeats=2, seconds=0.02
    )
    assert found.bottleneck == "preprocessing"


def test_unsigned_weights_are_reported_for_int8_only(tmp_path: Path, layers: str) -> None:
    records = read_graph(layers, 8)
    tensor = records[0]["inputs"][1]
    assert tensor is not None
    tensor["dtype"] = "uint8"
    int8 = Candidate(engine="onnxruntime", variant="int8-dynamic", precision="int8", max_batch=8)
    for candidate, said in ((int8, True), (FP32, False)):
        found = profile_candidate(
            Session(layers, candidate), lambda _: records, PEAKS, batch=8, isa=("avx512_vnni",), repeats=2, seconds=0.02
        )
        assert any("1 weight is unsigned" in remark for remark in found.remarks) == said
