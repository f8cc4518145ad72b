"""Work of operators that are told by kind only."""

from __future__ import annotations

import pytest

from farthing.core.graphs.costs import NodeCost, Traffic
from farthing.core.graphs.families import family_work
from farthing.core.graphs.roofline import build_profile
from farthing.nouns import Candidate, MachinePeaks, OperatorTime


def node(name: str, kind: str, mflop: float, *, weighted: bool = False) -> NodeCost:
    read = Traffic(name=f"{name}.x", elements=1000, element_bytes=4, is_float=True, weight=weighted)
    written = Traffic(name=f"{name}.y", elements=1000, element_bytes=4, is_float=True, weight=False)
    flops = mflop * 1e6
    return NodeCost(
        names=(name,), kinds=(kind,), flops=flops, least_flops=flops, reads=(read,), writes=(written,), readers={}
    )


PEAKS = MachinePeaks(fp32_gflops=100, bf16_gflops=None, int8_gops=None, memory_gb_per_s=20)
EAGER = Candidate(engine="pytorch", variant="torch-module", precision="fp32")
COSTS = {
    "c1": node("c1", "Conv", 100, weighted=True),
    "c2": node("c2", "Conv", 50, weighted=True),
    "m1": node("m1", "MatMul", 10, weighted=True),
    "m2": node("m2", "MatMul", 20),
}


def row(kind: str, ms: float) -> OperatorTime:
    return OperatorTime(name=f"aten::{kind}", kind=kind, time_ms=ms, share_frac=0, precision="f32", mapped=False)


def test_a_row_does_the_work_of_all_nodes_of_its_kind() -> None:
    found = family_work([row("copy_", 1), row("mkldnn_convolution", 2), row("bmm", 1)], COSTS)
    assert found == {0: ((), 1.0), 1: ((COSTS["c1"], COSTS["c2"]), 1.0), 2: ((COSTS["m2"],), 1.0)}


def test_kernels_of_one_family_share_its_work_by_time() -> None:
    found = family_work([row("_slow_conv2d_forward", 3), row("mkldnn_convolution", 1)], COSTS)
    assert {i: share for i, (_, share) in found.items()} == {0: 0.75, 1: 0.25}
    assert family_work([row("mkldnn_convolution", 0)], COSTS) == {}


def test_shared_work_adds_up_and_attains_the_same() -> None:
    rows = [row("_slow_conv2d_forward", 3), row("mkldnn_convolution", 1)]
    found = build_profile(EAGER, 1, rows, COSTS, PEAKS, 4.5, 0, ()).operators
    assert sum(o.flops or 0 for o in found) == pytest.approx(150e6)
    assert sum(o.bytes_moved or 0 for o in found) == pytest.approx(4 * 4000), "nothing is fused"
    assert {round(o.roofline_frac or 0, 6) for o in found} == {0.375}


def test_profile_by_kind_is_rated_but_not_mapped() -> None:
    found = build_profile(
        EAGER, 1, [row("mkldnn_convolution", 3), row("elu", 0.5), row("copy_", 0.5)], COSTS, PEAKS, 4.5, 0, ()
    )
    assert found.operators[0].roofline_frac == pytest.approx(0.5)
    assert found.mapped_frac == 0
    assert found.bottleneck == "compute"
    assert "(88 % of the time), which take 3.5 ms" in found.remarks[0], "a copy is no work of the model's"
