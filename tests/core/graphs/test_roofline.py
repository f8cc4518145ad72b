"""Operators against the roof, the named bottleneck and what INT8 loses to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.graphs.conversions import converts, moves
from farthing.core.graphs.costs import NodeCost, Traffic
from farthing.core.graphs.phrases import percent
from farthing.core.graphs.roofline import (
    attainable_gflops,
    build_profile,
    operator_precision,
    rate_operators,
)
from farthing.nouns import Candidate, Estimate, MachinePeaks, Measurement, OperatorTime, Profile

PEAKS = MachinePeaks(fp32_gflops=100, bf16_gflops=200, int8_gops=400, memory_gb_per_s=20)
FP32 = Candidate(engine="onnxruntime", variant="fp32", precision="fp32")
INT8 = Candidate(engine="onnxruntime", variant="int8-qdq", precision="int8")
VNNI = ("avx2", "avx512f", "avx512_vnni")


def cost(name: str, mflop: float, mbytes: float, weight_mbytes: float = 0.0) -> NodeCost:
    """A node in FP32."""

    def moved(label: str, mb: float, *, weight: bool) -> Traffic:
        return Traffic(name=label, elements=mb * 1e6 / 4, element_bytes=4, is_float=True, weight=weight)

    return NodeCost(
        names=(name,),
        kinds=("Conv",),
        flops=mflop * 1e6,
        least_flops=mflop * 1e6,
        reads=(moved(f"{name}.w", weight_mbytes, weight=True),),
        writes=(moved(f"{name}.y", mbytes, weight=False),),
        readers={f"{name}.y": frozenset()},
    )


def op(name: str, ms: float, kind: str = "Conv", precision: str = "f32") -> OperatorTime:
    return OperatorTime(name=name, kind=kind, time_ms=ms, share_frac=0.0, precision=precision)


COSTS = {"a": cost("a", 100, 2), "b": cost("b", 10, 20), "c": cost("c", 0, 0)}
# a needs 1 ms of arithmetic and 0.1 of memory, b 0.1 and 1


def profile(operators: list[OperatorTime], wall_ms: float = 4.0, pipeline_ms: float = 0.0, **more: Any) -> Profile:
    candidate = more.pop("candidate", FP32)
    return build_profile(
        candidate, 1, operators, more.pop("costs", COSTS), PEAKS, wall_ms, pipeline_ms, more.pop("isa", VNNI), **more
    )


@given(st.floats(1, 1e4), st.floats(0, 1e4), st.floats(0.1, 1e3))
def test_attainable_rate_is_under_both_roofs(peak: float, intensity: float, bandwidth: float) -> None:
    rate = attainable_gflops(peak, intensity, bandwidth)
    assert rate <= peak
    assert rate <= intensity * bandwidth
    assert rate in (peak, intensity * bandwidth)


def test_attainable_rate_refuses_a_peak_of_zero() -> None:
    with pytest.raises(ValueError, match="must be > 0"):
        attainable_gflops(0, 1, 1)


@pytest.mark.parametrize(
    ("word", "precision"),
    [
        ("f32", "fp32"),
        ("float32", "fp32"),
        ("i32", "fp32"),
        ("u8", "int8"),
        ("i8", "int8"),
        ("uint8", "int8"),
        ("bf16", "bf16"),
        ("bfloat16", "bf16"),
        ("f16", "fp16"),
        ("", "bf16"),
    ],
)
def test_precision_words(word: str, precision: str) -> None:
    assert operator_precision(op("a", 1, precision=word), "bf16") == precision


def test_fraction_is_least_time_over_time_taken() -> None:
    found = {o.name: o for o in profile([op("a", 1.25), op("b", 2.0), op("c", 0.1)]).operators}
    assert found["a"].roofline_frac == pytest.approx(0.8)
    assert found["b"].roofline_frac == pytest.approx(0.5)
    assert found["c"].roofline_frac is None, "nothing to compute, nothing to move"
    assert found["a"].share_frac == pytest.approx(1.25 / 3.35)


def test_narrow_precision_raises_the_roof_and_shrinks_the_traffic() -> None:
    (point,) = rate_operators([op("a", 1, precision="u8")], COSTS, PEAKS, INT8)
    assert point.compute_ms == pytest.approx(0.25)
    assert point.memory_ms == pytest.approx(0.025)


def test_threads_raise_the_compute_roof_only() -> None:
    (point,) = rate_operators([op("a", 1)], COSTS, PEAKS, replace(FP32, threads=2))
    assert point.compute_ms == pytest.approx(0.5)
    assert point.memory_ms == pytest.approx(0.1)


def test_a_node_is_counted_once_and_for_the_operator_that_computes_it() -> None:
    found = profile([op("a", 3.0, kind="Reorder"), op("a", 2.0), op("a", 1.0, kind="Relu")]).operators
    assert [(o.kind, o.flops) for o in found] == [("Reorder", None), ("Conv", 1e8), ("Relu", None)]
    assert all(o.mapped for o in found)


def test_fused_operators_add_up() -> None:
    (found,) = profile([op("a+b", 2.0)]).operators
    assert found.flops == 110e6
    assert found.bytes_moved == 22e6


def test_names_are_the_models_own_without_its_quantisers() -> None:
    costs = {**COSTS, "q": replace(cost("q", 1, 1), kinds=("QuantizeLinear",))}
    found = profile([op("q,b,a/WithoutBiases", 2.0), op("q", 0.1)], costs=costs).operators
    assert [o.name for o in found] == ["a+b", "q"]


def test_unknown_names_are_not_mapped() -> None:
    found = profile([op("a", 3.0), op("nchwc_reorder_7", 1.0)])
    assert found.mapped_frac == pytest.approx(0.75)
    assert [o.mapped for o in found.operators] == [True, False]


def test_traffic_in_the_cache_is_held_against_the_cache() -> None:
    cached = replace(PEAKS, cache_gb_per_s=100, cache_mib=8)
    small = {"a": cost("a", 1, 4, weight_mbytes=2)}
    (point,) = rate_operators([op("a", 1)], small, cached, FP32)
    assert point.memory_ms == pytest.approx(6 / 100)
    large = {"a": cost("a", 1, 4, weight_mbytes=20)}
    (point,) = rate_operators([op("a", 1)], large, cached, FP32)
    assert point.memory_ms == pytest.approx(20 / 20 + 4 / 100), "all weights together exceed the cache"
    (point,) = rate_operators([op("a", 1)], {"a": cost("a", 1, 40)}, cached, FP32)
    assert point.memory_ms == pytest.approx(40 / 20)


def server(latency_ms: float, service_ms: float) -> Measurement:
    def estimate(value: float) -> Estimate:
        return Estimate(value=value, lo=value, hi=value, n=1, method="given")

    metrics = {"latency_p50_ms": estimate(latency_ms), "service_ms": estimate(service_ms)}
    taken_at = datetime(2026, 1, 1, tzinfo=UTC)
    return Measurement(
        candidate=FP32, scenario="Server", batch=1, n=1, metrics=metrics, seed=0, hardware="h", taken_at=taken_at
    )


@pytest.mark.parametrize(
    ("operators", "more", "bottleneck", "says"),
    [
        ([op("a", 1.5), op("b", 1.1)], {"wall_ms": 2.7}, "compute", "arithmetic"),
        ([op("a", 1.1), op("b", 1.5)], {"wall_ms": 2.7}, "memory", "memory bandwidth"),
        ([op("a", 1.5)], {"wall_ms": 4.0}, "overhead", "outside all operators"),
        ([op("a", 1.5)], {"wall_ms": 4.0, "pipeline_ms": 2.2}, "preprocessing", "55 %"),
        ([op("a", 1.5)], {"wall_ms": 1.6, "server": server(5, 2)}, "queue", "waits 3 of its 5 ms"),
        ([op("a", 1.5)], {"wall_ms": 1.6, "server": server(3, 2)}, "compute", "arithmetic"),
        ([op("x", 1.5)], {"wall_ms": 1.6}, "unknown", "whose work is known take 0 % of the operator time"),
        (
            [op("a", 0.3), op("x", 1.2)],
            {"wall_ms": 1.6},
            "unknown",
            "whose work is known take 20 % of the operator time",
        ),
    ],
)
def test_bottleneck(operators: list[OperatorTime], more: Any, bottleneck: str, says: str) -> None:
    found = profile(operators, **more)
    assert found.bottleneck == bottleneck
    assert says in found.why


def test_many_tiny_operators_are_overhead() -> None:
    costs = {f"n{i}": cost(f"n{i}", 0.01, 0.001) for i in range(50)}
    found = profile([op(f"n{i}", 0.005) for i in range(50)], wall_ms=0.3, costs=costs)
    assert found.bottleneck == "overhead"
    assert "50 operators of 5 µs" in found.why


def test_times_out_of_their_domain_are_refused() -> None:
    with pytest.raises(ValueError, match="pipeline_ms"):
        profile([op("a", 1.0)], wall_ms=1.0, pipeline_ms=2.0)


def test_whole_model_is_held_against_the_roof() -> None:
    assert "allows 2 ms" in profile([op("a", 1.5), op("b", 1.5)], wall_ms=4.0).remarks[0]
    assert "50 % attained" in profile([op("a", 1.5), op("b", 1.5)], wall_ms=4.0).remarks[0]


def test_slow_int8_names_its_causes() -> None:
    floats = profile([op("a", 1.2), op("b", 1.2)], wall_ms=2.5)
    int8 = profile(
        [op("a", 1.6, precision="u8"), op("b", 1.2), op("q", 0.41, kind="DequantizeLinear", precision="f32")],
        wall_ms=3.3,
        candidate=INT8,
        isa=("avx2",),
        float_profile=floats,
        findings=("weights are unsigned",),
    )
    text = "\n".join(int8.remarks)
    assert "weights are unsigned" in text
    assert "INT8 is 1.32 × slower than FP32 (3.3 against 2.5 ms in onnxruntime)" in text
    assert "arithmetic allows 4 ×" in text
    assert "no VNNI" in text
    assert "1 of 2 operators left in float take 37 % of the time: b (Conv) 37 %" in text
    assert "quantizing, dequantizing and reordering take 13 % of the time" in text
    assert "1 operator is slower than in FP32, 0.4 ms together: a 1.6 against 1.2 ms" in text


@pytest.mark.parametrize(
    ("kind", "conversion"),
    [("DynamicQuantizeMatMul", False), ("QuantizeLinear", True), ("DynamicQuantizeLinear", True), ("Reorder", True),
     ("QLinearConv", False), ("MatMulIntegerToFloat", False), ("Cast", True), ("Transpose", False)],
)  # fmt: skip
def test_a_product_that_quantizes_its_input_is_no_conversion(kind: str, conversion: bool) -> None:
    assert converts(kind) == conversion
    assert moves(kind) == (conversion or kind == "Transpose")


def test_good_int8_needs_no_excuse() -> None:
    floats = profile([op("a", 1.2)], wall_ms=1.3)
    int8 = profile([op("a", 0.3, precision="u8")], wall_ms=0.35, candidate=INT8, float_profile=floats)
    assert len(int8.remarks) == 2
    assert "INT8 is 3.71 × faster than FP32" in int8.remarks[1]


def test_profiles_of_different_batches_are_not_compared() -> None:
    other = replace(profile([op("a", 1.2)]), batch=8)
    with pytest.raises(ValueError, match="of batch 8"):
        profile([op("a", 1.0)], candidate=INT8, float_profile=other)


@pytest.mark.parametrize(("isa", "said"), [(("avx2",), True), (VNNI, False), (("asimd",), False), ((), False)])
def test_missing_int8_units_are_named_where_that_is_sure(isa: tuple[str, ...], said: bool) -> None:
    found = profile([op("a", 1.0, precision="u8")], candidate=INT8, isa=isa)
    assert any("no VNNI" in remark for remark in found.remarks) == said


@pytest.mark.parametrize("unknown_ms", [1.5, 40.0])
def test_nothing_is_said_against_the_roofline_where_most_work_is_unknown(unknown_ms: float) -> None:
    found = profile([op("a", 1.2), op("x", unknown_ms)], wall_ms=1.3 + unknown_ms)
    said = " ".join([found.why, *found.remarks])
    assert found.bottleneck == "unknown"
    assert "roofline is unknown: operators' work is known for" in said
    assert "attain" not in said


def test_where_a_part_is_unknown_the_known_part_is_held_against_its_own_time() -> None:
    found = profile([op("a", 4.0), op("x", 1.0)], wall_ms=5.2)
    assert found.remarks[0] == (
        "the roofline allows 1 ms for the operators whose work is known (80 % of the time), which take 4 ms: 25 % "
        "attained; of the others it is unknown"
    )


def test_tiny_operators_of_unknown_work_are_not_called_overhead() -> None:
    found = profile([op(f"x{k}", 0.005) for k in range(100)], wall_ms=0.55)
    assert found.bottleneck == "unknown"


def test_an_operator_with_nothing_to_do_is_known() -> None:
    nothing = replace(COSTS["c"], flops=0.0, least_flops=0.0, reads=(), writes=())
    found = profile([op("a", 1.2), op("c", 1.4)], wall_ms=2.7, costs={**COSTS, "c": nothing})
    assert "(100 % of the time)" in found.remarks[0]


def test_a_share_that_rounds_to_nothing_is_not_called_0() -> None:
    assert percent(0.001) == "under 1 %"
    assert (percent(0.0), percent(0.006)) == ("0 %", "1 %")


@pytest.mark.parametrize(
    ("installed", "said"), [((), "lleaves or Treelite compile"), (("lleaves",), "lleaves, installed")]
)
def test_trees_get_advice(installed: tuple[str, ...], said: str) -> None:
    operators = [op("trees", 3.0, "TreeEnsembleClassifier"), op("a", 1.0)]
    (remark,) = [r for r in profile(operators, wall_ms=4.2, compilers=installed).remarks if r.startswith("trees")]
    assert "75 % of the operator time: no quantisation helps" in remark
    assert said in remark
    assert not any(r.startswith("trees") for r in profile([op("a", 3.0)], compilers=installed).remarks)
