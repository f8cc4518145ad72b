"""Models that did not come as plain FP32: scores behind ZipMaps, quantised and half precision files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from brought_models import FLOAT, features, float_net, forest, matrix, quantised, save, stored, value
from onnx import helper, numpy_helper

from farthing.errors import EngineError
from farthing.models.graph_content import graph_content
from farthing.models.precision import file_precision
from farthing.nouns import ModelRef
from farthing.plugins import find
from farthing.variants.batch_axis import run_onnx
from farthing.variants.export import resolve_model
from farthing.variants.widened import widen


def resolved(path: Path, out: Path) -> ModelRef:
    return resolve_model(ModelRef(kind="onnx", path=str(path)), out, [], trust=False)


@pytest.mark.parametrize("zipmap", [True, False])
def test_the_scores_of_a_forest_come_first_and_stay_what_they_were(tmp_path: Path, zipmap: bool) -> None:
    path = forest(tmp_path / "m.onnx", zipmap=zipmap, labels=["low", "middle", "high"])
    x, y = features(50)
    before = ort.InferenceSession(str(path)).run(None, {"X": x})
    names = ("low", "middle", "high")
    want = np.array([[row[name] for name in names] for row in before[1]]) if zipmap else before[1]
    ref = resolved(path, tmp_path / "out")
    found = Path(ref.onnx_path or "")
    scores, labels = run_onnx(found, {"X": x})
    np.testing.assert_array_equal(scores, want)
    np.testing.assert_array_equal(labels, before[0])
    assert scores.argmax(1).tolist() == y.tolist()
    assert not any(node.kind == "ZipMap" for node in graph_content(found).nodes)
    onnx.checker.check_model(str(found), full_check=True)
    artefact = find("variants", "fp32").build(ref, tmp_path / "out", [])
    assert artefact.note == "answers are the tensor probabilities, not label (string)"


def test_a_tensor_beside_a_sequence_is_taken(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("SplitToSequence", ["x"], ["parts"], axis=1),
        helper.make_node("MatMul", ["x", "w"], ["scores"]),
    ]
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, None))
    outputs = [helper.make_value_info("parts", kind), value("scores", "n", 3)]
    path = save(tmp_path / "m.onnx", nodes, [value("x", "n", 8)], outputs, stored(w=matrix()))
    found = Path(resolved(path, tmp_path / "out").onnx_path or "")
    assert [spec.name for spec in graph_content(found).outputs] == ["scores"]


def test_a_model_of_tensors_is_copied_as_it_is(tmp_path: Path) -> None:
    path = float_net(tmp_path / "m.onnx")
    found = Path(resolved(path, tmp_path / "out").onnx_path or "")
    assert found.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("way", ["QDQ", "QOperator", "dynamic"])
def test_a_quantised_model_runs_as_it_came_and_is_not_quantised_again(tmp_path: Path, way: str) -> None:
    path = quantised(tmp_path / "q.onnx", float_net(tmp_path / "m.onnx"), way)
    ref = resolved(path, tmp_path / "out")
    artefact = find("variants", "original").build(ref, tmp_path / "out", [])
    assert artefact.precision == "int8"
    assert artefact.note == f"as it came: INT8 ({way}, 2 of 2 weighted products)"
    x = {"x": matrix(5, 8)}
    engine = find("engines", "onnxruntime")
    session = engine.load(tmp_path / "out" / artefact.path, precision="int8", threads=1, device="cpu", options={})
    np.testing.assert_array_equal(session.run(x)["y"], run_onnx(path, x)[0])
    with pytest.raises(EngineError, match=r"is INT8 \(.*the FP32 weights that it was made from are not in it"):
        find("variants", "fp32").build(ref, tmp_path / "out", [])
    for name in ("int8-dynamic", "int8-qdq", "int8-nncf"):
        with pytest.raises(EngineError, match="is quantized already: INT8"):
            find("variants", name).build(ref, tmp_path / "out", [x])


@pytest.mark.parametrize(("asked", "dtype"), [("int8", np.float32), ("bf16", np.float32), ("fp32", np.float16)])
def test_onnxruntime_runs_nothing_under_another_name(tmp_path: Path, asked: str, dtype: type) -> None:
    path = float_net(tmp_path / "m.onnx", dtype)
    said = "FP16" if dtype is np.float16 else "FP32"
    with pytest.raises(EngineError, match=rf"in its own types: m\.onnx is {said}, not {asked.upper()}"):
        find("engines", "onnxruntime").load(path, precision=asked, threads=1, device="cpu", options={})


def test_a_half_precision_model_is_widened_once_and_quantised_from_there(tmp_path: Path) -> None:
    path = float_net(tmp_path / "m.onnx", np.float16)
    ref = resolved(path, tmp_path / "out")
    x = {"x": matrix(5, 8).astype(np.float16)}
    want = run_onnx(path, x)[0]
    given = find("variants", "original").build(ref, tmp_path / "out", [])
    assert (given.precision, given.engines) == ("fp16", ("onnxruntime",))
    wide = find("variants", "fp32").build(ref, tmp_path / "out", [])
    file = tmp_path / "out" / wide.path
    assert (wide.precision, wide.note, file_precision(file).precision) == ("fp32", "widened from FP16", "fp32")
    (found,) = run_onnx(file, x)
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, want, rtol=0.02, atol=0.02)
    small = find("variants", "int8-dynamic").build(ref, tmp_path / "out", [])
    assert file_precision(tmp_path / "out" / small.path).precision == "int8"


def test_casts_to_half_precision_and_constants_are_widened(tmp_path: Path) -> None:
    half = helper.make_tensor("c", 10, [3], np.ones(3, np.float16).view(np.uint16), raw=False)
    nodes = [
        helper.make_node("Cast", ["x"], ["xh"], to=10),
        helper.make_node("MatMul", ["xh", "w"], ["a"]),
        helper.make_node("Constant", [], ["c"], value=half),
        helper.make_node("Add", ["a", "c"], ["b"]),
        helper.make_node("Cast", ["b"], ["y"], to=1),
    ]
    path = save(
        tmp_path / "m.onnx", nodes, [value("x", "n", 8)], [value("y", "n", 3)], stored(w=matrix().astype(np.float16))
    )
    ref, x = resolved(path, tmp_path / "out"), {"x": matrix(4, 8)}
    wide = tmp_path / "out" / find("variants", "fp32").build(ref, tmp_path / "out", []).path
    assert not {t.dtype for t in graph_content(wide).stored.values()} & {"float16", "bfloat16"}
    np.testing.assert_allclose(run_onnx(wide, x)[0], run_onnx(path, x)[0], rtol=0.02, atol=0.02)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64])
@pytest.mark.parametrize("kept", ["in a node", "stored"])
@pytest.mark.parametrize("read", [True, False])
def test_constants_that_are_outputs_stay_outputs(tmp_path: Path, dtype: Any, kept: str, read: bool) -> None:
    held = numpy_helper.from_array(np.array([1, 2, 3], dtype=dtype), "c")
    nodes = [
        *([helper.make_node("Constant", [], ["c"], value=held)] if kept == "in a node" else []),
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        *([helper.make_node("Cast", ["c"], ["d"], to=10)] if read else []),
        helper.make_node("Add", ["a", "d" if read else "e"], ["y"]),
    ]
    weights = stored(w=matrix().astype(np.float16), e=np.ones(3, np.float16))
    outputs = [value("y", "n", 3, kind=10), value("c", 3, kind=held.data_type)]
    path = save(
        tmp_path / "m.onnx", nodes, [value("x", "n", 8, kind=10)], outputs, [*weights, *([held] * (kept == "stored"))]
    )
    x, wide = {"x": matrix(4, 8).astype(np.float16)}, onnx.load(path)
    widen(wide)
    onnx.checker.check_model(wide, full_check=True)
    onnx.save(wide, tmp_path / "wide.onnx")
    for want, found in zip(run_onnx(path, x), run_onnx(tmp_path / "wide.onnx", x), strict=True):
        assert found.dtype == want.dtype
        np.testing.assert_allclose(found, want, rtol=0.02, atol=0.02)


def test_trees_say_that_no_quantisation_helps(tmp_path: Path) -> None:
    ref = resolved(forest(tmp_path / "m.onnx"), tmp_path / "out")
    for name in ("int8-dynamic", "int8-qdq", "int8-nncf"):
        with pytest.raises(EngineError, match="ensemble of trees, which compare and do not multiply; batches and thre"):
            find("variants", name).build(ref, tmp_path / "out", [])


@pytest.mark.parametrize(("kept", "computed"), [(np.float16, FLOAT), (np.float32, 10)])
@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("variant", ["int8-dynamic", "int8-qdq"])
def test_weights_behind_a_cast_are_quantised(
    tmp_path: Path, kept: type, computed: int, constant: bool, variant: str
) -> None:
    tensors = stored(w=matrix(8, 16).astype(kept), v=matrix(16, 3).astype(kept))
    nodes = [helper.make_node("Constant", [], [t.name], value=t) for t in tensors if constant]
    nodes += [helper.make_node("Cast", [name], [f"{name}_c"], f"cast_{name}", to=computed) for name in "xwv"]
    nodes += [
        helper.make_node("MatMul", ["x_c", "w_c"], ["a"], "first"),
        helper.make_node("MatMul", ["a", "v_c"], ["b"], "second"),
        helper.make_node("Cast", ["b"], ["y"], "out", to=FLOAT),
    ]
    weights = () if constant else tensors
    path = save(tmp_path / "m.onnx", nodes, [value("x", "n", 8)], [value("y", "n", 3)], weights)
    ref, x = resolved(path, tmp_path / "out"), {"x": matrix(16, 8)}
    small = find("variants", variant).build(ref, tmp_path / "out", [x])
    found = file_precision(tmp_path / "out" / small.path)
    assert (found.precision, found.quantised, found.weighted) == ("int8", 2, 2)
    want = run_onnx(path, x)[0]
    np.testing.assert_allclose(run_onnx(tmp_path / "out" / small.path, x)[0], want, atol=0.1 * np.abs(want).max())


def test_a_file_that_computes_in_fp32_is_its_own_baseline_whatever_it_stores(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["w"], ["wide"], to=FLOAT),
        helper.make_node("MatMul", ["x", "wide"], ["y"]),
    ]
    path = save(
        tmp_path / "m.onnx", nodes, [value("x", "n", 8)], [value("y", "n", 3)], stored(w=matrix().astype(np.float16))
    )
    ref = resolved(path, tmp_path / "out")
    artefact = find("variants", "fp32").build(ref, tmp_path / "out", [])
    assert (tmp_path / "out" / artefact.path).read_bytes() == path.read_bytes()
