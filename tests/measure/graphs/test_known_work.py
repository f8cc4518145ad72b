"""Of the usual text graphs the work of at least nine tenths of the time is known, whoever exported and runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exported_nets import NETS, Net, transformer

from farthing.core.graphs.costs import node_costs
from farthing.core.graphs.roofline import build_profile
from farthing.machine.offline import quiet
from farthing.measure.graphs.graph_reader import read_graph
from farthing.models.precision import file_precision
from farthing.nouns import Candidate, MachinePeaks, Profile
from farthing.plugins import find, import_callable

__all__ = ["transformer"]

PEAKS = MachinePeaks(fp32_gflops=100, bf16_gflops=200, int8_gops=400, memory_gb_per_s=20)
FEEDS = {"input_ids": np.arange(24).reshape(2, 12) % 60, "attention_mask": np.ones((2, 12), dtype=np.int64)}


def by_torchscript(path: Path) -> Path:
    """As Optimum exports: traced, batch and length free, shapes worked out at run time."""
    net = import_callable(f"{NETS}:transformer")()
    free = {name: {0: "batch", 1: "length"} for name in FEEDS}
    with quiet():
        torch.onnx.export(
            net, tuple(map(torch.from_numpy, FEEDS.values())), str(path), input_names=list(FEEDS),
            output_names=["hidden", "logits"], dynamic_axes={**free, "hidden": {0: "batch"}, "logits": {0: "batch"}},
            dynamo=False, opset_version=17,
        )  # fmt: skip
    return path


def dynamic_int8(source: Path, path: Path) -> Path:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(onnx.load(source), str(path), per_channel=True, weight_type=QuantType.QInt8)
    return path


def profile(engine: str, path: Path, graph: Path, **options: Any) -> Profile:
    precision = file_precision(graph).precision
    session = find("engines", engine).load(path, precision=precision, threads=1, device="cpu", options=options)
    operators = session.operators(FEEDS, 20)
    records = read_graph(str(graph), 2, input_shapes={name: array.shape for name, array in FEEDS.items()})
    candidate = Candidate(engine=engine, variant="fp32", precision=precision)
    total_ms = sum(o.time_ms for o in operators)
    return build_profile(candidate, 2, operators, node_costs(records), PEAKS, 1.05 * total_ms, 0, ("avx2",))


def known_frac(found: Profile) -> float:
    return sum(o.share_frac for o in found.operators if o.flops is not None)


def quietest(engine: str, path: Path, graph: Path, **options: Any) -> Profile:
    """Of three profiles the one that knows most: of operators of microseconds one stall can be half of all time."""
    return max((profile(engine, path, graph, **options) for _ in range(3)), key=known_frac)


@pytest.mark.parametrize(("engine", "int8"), [("onnxruntime", False), ("onnxruntime", True), ("openvino", False)])
@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
def test_exports(transformer: Net, tmp_path: Path, engine: str, exporter: str, int8: bool) -> None:
    path = by_torchscript(tmp_path / "t.onnx") if exporter == "torchscript" else transformer.onnx
    path = dynamic_int8(path, tmp_path / "q.onnx") if int8 else path
    found = quietest(engine, path, path)
    unknown = sorted({(o.kind, o.name) for o in found.operators if o.flops is None})
    assert known_frac(found) >= 0.9, unknown
    assert not any("unknown" in remark for remark in found.remarks)


def test_eager_pytorch(transformer: Net) -> None:
    found = quietest("pytorch", transformer.module, transformer.onnx, trust=True)
    assert known_frac(found) >= 0.9, sorted({o.kind for o in found.operators if o.flops is None})
