"""Outputs that show nothing by staying the same: what no request reaches, and what follows from an output that varied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from farthing.models.output_sources import explained_outputs
from farthing.pipelines.sharing import batching_of
from farthing.plugins import find

W = np.random.default_rng(3).standard_normal((4, 3)).astype(np.float32)


def graph(path: Path, outputs: str, body: str) -> Path:
    """A model of rows of four numbers; ``W`` is (4, 3), ``C`` and ``Z`` three numbers, ``L`` a large one."""
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]> g (float[n,4] x) => ({outputs})
        <int64[1] zero = {{0}}, int64[1] one = {{1}}, float[3] C = {{1, 2, 3}}, float[3] Z = {{0, 0, 0}},
        float L = {{1e8}}, float s = {{0.5}}, uint8 p = {{128}}> {{ {body} }}"""
    )
    model.graph.initializer.append(numpy_helper.from_array(W, "W"))
    onnx.save(model, path)
    return path


MEAN = "mean = MatMul(x, W)\n"
EXPLAINED = {
    "as long as the batch": "e = Exp(C) size = Shape(mean) still = Expand(e, size)",
    "ones like the mean": "size = Shape(mean) o = ConstantOfShape <value = float[1] {1}> (size) still = Mul(o, C)",
    "as many as rows": "all = Shape(x) k = Gather(all, zero) t = Shape(C) u = Concat<axis = 0>(k, t) still = Expand(C, u)",
    "zeros of the mean": "z = Mul(mean, Z) still = Add(z, C)",
    "saturated sigmoid": "a = Abs(mean) l = Mul(a, L) still = Sigmoid(l)",
    "saturated softmax": "m = Clip(mean, s, s) b = Add(m, C) c = Mul(b, L) p0 = Softmax<axis = 1>(c) still = Identity(p0)",
    "quantized": "q = QuantizeLinear(mean, s, p) d = DequantizeLinear(q, s, p) i = Mul(d, Z) still = Sigmoid(i)",
    "cast": "h = Cast<to = 10>(mean) w = Cast<to = 1>(h) z = Mul(w, Z) still = Exp(z)",
}
REFUSED = {
    "zeros of the request": "y = MatMul(x, W) z = Mul(y, Z) still = Add(z, C)",
    "summed over the batch": "t = ReduceSum(mean, zero) z = Mul(t, Z) y = Mul(mean, Z) still = Add(y, z)",
    "softmax inside": "p0 = Softmax<axis = 0>(mean) z = Mul(p0, Z) still = Add(z, C)",
    "turned": "t = Transpose(mean) u = Transpose(t) still = Mul(u, Z)",
    "as many as found": """b = Greater(mean, Z) f = NonZero(b) n0 = Shape(f) k = Gather(n0, one) kf = Cast<to = 1>(k)
        z = Mul(mean, Z) y = MatMul(x, W) y0 = Mul(y, Z) h = Add(y0, kf) still = Mul(h, Z)""",
    "size of what was found": """b = Greater(mean, Z) f = NonZero(b) n0 = Shape(f) k = Gather(n0, one) kf = Cast<to = 1>(k)
        v = Mul(kf, s) q = Mul(v, Z) size = Shape(mean) still = Expand(q, size)""",
    "chosen by a branch": """r = ReduceMax<keepdims = 0>(mean) g = Greater(r, L) size = Shape(mean)
        still = If (g) <then_branch = t () => (float[n,3] a) { a = Mul(mean, C) },
        else_branch = f () => (float[n,3] b) { b = Expand(Z, size) }>""",
}


def check(path: Path, outputs: str, body: str) -> tuple[str, frozenset[str]]:
    """What the whole check says of the model, and which outputs its graph explains."""
    file = graph(path, outputs, body)
    session = find("engines", "onnxruntime").load(file, precision="fp32", threads=1, device="cpu", options={})
    found = batching_of(session, None, most=4, path=file, precision="fp32", now_s=lambda: 0.0)
    return found.alone, explained_outputs(file)(["mean"])


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("kind", EXPLAINED)
def test_what_the_graph_explains_does_not_turn_batching_off(tmp_path: Path, kind: str, at: int) -> None:
    outputs = ["float[n,3] mean", "float[n,3] still"]
    alone, explained = check(tmp_path / "m.onnx", ", ".join(outputs[:: 1 - 2 * at]), MEAN + EXPLAINED[kind])
    assert "still" in explained
    assert alone == ""


@pytest.mark.parametrize("kind", REFUSED)
def test_what_it_does_not_explain_shows_nothing(tmp_path: Path, kind: str) -> None:
    alone, explained = check(tmp_path / "m.onnx", "float[n,3] mean, float[n,3] still", MEAN + REFUSED[kind])
    assert "still" not in explained
    assert alone == "output still is alike for all made-up requests, which shows nothing"


def test_what_follows_an_output_that_did_not_vary_is_not_explained(tmp_path: Path) -> None:
    body = "y = MatMul(x, W) logits = Mul(y, Z) still = Sigmoid(logits)"
    alone, explained = check(tmp_path / "m.onnx", "float[n,3] mean, float[n,3] logits, float[n,3] still", MEAN + body)
    assert not explained
    assert alone.startswith("output logits is alike")


def test_constants_alone_show_nothing(tmp_path: Path) -> None:
    body = "size = Shape(x) n = Gather(size, zero) t = Shape(C) u = Concat<axis = 0>(n, t) still = Expand(C, u)"
    alone, explained = check(tmp_path / "m.onnx", "float[n,3] still", body)
    assert explained == {"still"}
    assert "alike" in alone


def test_an_output_of_the_batch_s_size_is_still_held_against_the_answer_alone(tmp_path: Path) -> None:
    """Only that it varies is not asked; a request's own answer it must be all the same."""
    body = """size = Shape(mean) n = Gather(size, zero) f = Cast<to = 1>(n) c = Mul(C, f) still = Expand(c, size)"""
    alone, explained = check(tmp_path / "m.onnx", "float[n,3] mean, float[n,3] still", MEAN + body)
    assert "still" in explained
    assert alone.startswith("output still of a request beside another is not what it is alone")


def test_a_softmax_over_the_batch_shows(tmp_path: Path) -> None:
    body = "still = Softmax<axis = 0>(mean)"
    alone, explained = check(tmp_path / "m.onnx", "float[n,3] mean, float[n,3] still", MEAN + body)
    assert "still" in explained
    assert alone.startswith("output still of a request beside another is not what it is alone")


def test_a_file_that_cannot_be_read_explains_nothing(tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_text("<net/>")
    (tmp_path / "bad.onnx").write_bytes(b"\xff" * 40)
    for path in (tmp_path / "model.xml", tmp_path / "bad.onnx", tmp_path / "none.onnx", tmp_path):
        assert explained_outputs(path)(["mean"]) == frozenset()
