"""Models are refused before any work, with the reason that is true; those that can be taken are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from brought_models import FLOAT, INT64, STRING, features, float_net, forest, matrix, quantised, save, stored, value
from onnx import helper

from farthing.errors import DataError, FarthingError, InputError, ModelError
from farthing.load.serve.models import served_models
from farthing.load.workload.models import model_classes, model_ref
from farthing.load.workload.takeable import check_takeable
from farthing.load.workload.workload import workload_from_flags
from farthing.nouns import Workload
from farthing.store.artefacts import check_artefact


def workload(model: Path, labels: Path, **flags: Any) -> Workload:
    given = {"model": str(model), "labels": str(labels), "bill": "$10,000", "offer": "aws/m7i.large"}
    return workload_from_flags({**given, **flags})


def samples(folder: Path, labels: Any = None, columns: int = 4) -> Path:
    x, y = features(120, columns)
    np.savez(folder / "holdout.npz", X=x, y=y if labels is None else np.asarray(labels)[y])
    return folder / "holdout.npz"


def numbers(folder: Path) -> Path:
    y = np.arange(90) % 3
    np.savez(folder / "numbers.npz", x=np.random.default_rng(0).standard_normal((90, 8)).astype(np.float32), y=y)
    return folder / "numbers.npz"


def identity(path: Path, given: onnx.ValueInfoProto, **more: Any) -> Path:
    nodes = [helper.make_node("Identity", [given.name], ["y"])]
    out = onnx.ValueInfoProto()
    out.CopyFrom(given)
    out.name = "y"
    return save(path, nodes, [given], [out], **more)


def sequence(path: Path, *, beside: bool) -> Path:
    split = helper.make_node("SplitToSequence", ["x"], ["parts"], axis=1)
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, None))
    outputs = [helper.make_value_info("parts", kind)]
    nodes = [split]
    if beside:
        nodes.append(helper.make_node("MatMul", ["x", "w"], ["scores"]))
        outputs.append(value("scores", "n", 3))
    return save(path, nodes, [value("x", "n", 8)], outputs, stored(w=matrix()) if beside else ())


def foreign(path: Path) -> Path:
    return save(
        path,
        [helper.make_node("BertTokenizer", ["x"], ["y"], domain="com.example")],
        [value("x", "n", 8)],
        [value("y", "n", 3)],
    )


@pytest.mark.parametrize(
    ("make", "said", "hint"),
    [
        (
            lambda p: identity(p, value("x", "n", 3), opset=99),
            "has opset 99; the ONNX Runtime .* takes up to",
            "opset_",
        ),
        (lambda p: identity(p, value("x", "n", 3), ir_version=77), "has IR version 77; .* takes up to", "ir_version"),
        (foreign, r"operators of com\.example \(BertTokenizer\)", "stay outside the model"),
        (lambda p: identity(p, value("words", "n", 1, kind=STRING)), "input words takes strings", "behind the token"),
        (
            lambda p: identity(p, value("x", 4, 3)),
            r"x float32 \(4, 3\): the first dimension is fixed to 4",
            "free first",
        ),
        (lambda p: sequence(p, beside=False), r"gives no tensor: parts sequence\(float32\)", "as an output"),
    ],
)
def test_refused_with_the_true_reason(tmp_path: Path, make: Any, said: str, hint: str) -> None:
    path = make(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=said) as e:
        check_takeable(path)
    assert hint in str(e.value.hint)
    with pytest.raises(FarthingError, match=said):
        workload(path, numbers(tmp_path))


@pytest.mark.parametrize("make", [lambda p: float_net(p, opset=21, ir_version=10), lambda p: sequence(p, beside=True)])
def test_taken(tmp_path: Path, make: Any) -> None:
    assert workload(make(tmp_path / "m.onnx"), numbers(tmp_path)).model.kind == "onnx"


def test_functions_that_the_file_brings_are_no_foreign_operators(tmp_path: Path) -> None:
    body = [helper.make_node("Relu", ["a"], ["b"])]
    function = helper.make_function("com.example", "Ours", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    node = helper.make_node("Ours", ["x"], ["y"], domain="com.example")
    check_takeable(save(tmp_path / "m.onnx", [node], [value("x", "n", 3)], [value("y", "n", 3)], functions=[function]))


@pytest.mark.parametrize("zipmap", [True, False])
def test_a_forest_with_labels_of_other_numbers(tmp_path: Path, zipmap: bool) -> None:
    path = forest(tmp_path / "m.onnx", zipmap=zipmap, labels=[5, 7, 9])
    assert model_classes(model_ref(str(path))) == ("5", "7", "9")
    w = workload(path, samples(tmp_path, [5, 7, 9]))
    assert set(w.holdout.labels or ()) == {0.0, 1.0, 2.0}
    with pytest.raises(DataError, match="labels do not match the model"):
        workload(path, samples(tmp_path, [5, 7, 8]))


def test_a_forest_with_named_labels(tmp_path: Path) -> None:
    path = forest(tmp_path / "m.onnx", labels=["low", "middle", "high"])
    w = workload(path, samples(tmp_path, ["low", "middle", "high"]))
    assert w.holdout.classes == ("low", "middle", "high")


def test_a_forest_of_the_usual_numbers(tmp_path: Path) -> None:
    path = forest(tmp_path / "m.onnx")
    assert model_classes(model_ref(str(path))) == ()
    assert workload(path, samples(tmp_path)).holdout.classes == ("0", "1", "2")


def test_a_server_says_what_is_no_tensor(tmp_path: Path) -> None:
    path = forest(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"output_probability sequence\(map\(int64, float32\)\) is no tensor") as e:
        served_models([str(path)], cores=2, check=check_artefact)
    assert 'options={"zipmap": False}' in str(e.value.hint)


def test_one_number_a_sample_names_no_class(tmp_path: Path) -> None:
    path = float_net(tmp_path / "m.onnx", outputs=1)
    for flags in ({}, {"metric": "agreement"}):
        with pytest.raises(InputError, match=r"answers with y \(n, 1\), one number a sample and no classes") as e:
            workload(path, numbers(tmp_path), **flags)
        assert "file.py:function" in str(e.value.hint)


def test_an_answer_for_each_of_many_places_names_no_class(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    path = save(tmp_path / "m.onnx", nodes, [value("x", "n", 5, 8)], [value("y", "n", 5, 3)], stored(w=matrix()))
    np.savez(tmp_path / "d.npz", x=np.zeros((60, 5, 8), np.float32))
    with pytest.raises(InputError, match="names no single class: agreement cannot judge it"):
        workload(path, tmp_path / "d.npz")


@pytest.mark.parametrize(("asked", "engine"), [("int8", None), ("fp16", None), ("bf16", None), ("int8", "openvino")])
def test_another_precision_than_the_file_is_an_error(tmp_path: Path, asked: str, engine: str | None) -> None:
    path = float_net(tmp_path / "m.onnx")
    with pytest.raises(InputError, match=rf"baseline\.precision is {asked}, but m\.onnx is FP32") as e:
        workload(path, numbers(tmp_path), baseline_precision=asked, baseline_engine=engine)
    assert "leave baseline.precision out" in str(e.value.hint)


@pytest.mark.parametrize("way", ["QDQ", "QOperator", "dynamic"])
def test_a_quantised_file_is_announced_as_it_is(tmp_path: Path, way: str) -> None:
    path = quantised(tmp_path / "q.onnx", float_net(tmp_path / "m.onnx"), way)
    assert workload(path, numbers(tmp_path)).baseline.precision == "int8"
    assert workload(path, numbers(tmp_path), baseline_engine="openvino").baseline.precision == "int8"
    with pytest.raises(
        InputError, match=rf"precision is fp32, but q\.onnx is INT8 \({way}, 2 of 2 weighted products\)"
    ):
        workload(path, numbers(tmp_path), baseline_precision="fp32")
    (served,) = served_models([str(path)], cores=2, check=check_artefact)
    assert (served.candidate.precision, served.candidate.variant) == ("int8", "original")


def test_what_engines_compute_of_a_half_precision_file(tmp_path: Path) -> None:
    path = float_net(tmp_path / "m.onnx", np.float16)
    assert workload(path, numbers(tmp_path)).baseline.precision == "fp16"
    assert workload(path, numbers(tmp_path), baseline_engine="openvino").baseline.precision == "fp32"
    with pytest.raises(InputError, match="openvino computes it in FP32, or in BF16"):
        workload(path, numbers(tmp_path), baseline_engine="openvino", baseline_precision="fp16")


def test_modules_run_in_fp32_or_bf16(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("def load(): ...")
    model = Path(f"{tmp_path / 'net.py'}:load")
    assert workload(model, numbers(tmp_path), baseline_precision="bf16").baseline.precision == "bf16"
    with pytest.raises(InputError, match=r"precision is int8, but pytorch computes .* in FP32, or in BF16"):
        workload(model, numbers(tmp_path), baseline_precision="int8")


def test_a_whole_number_input_is_taken(tmp_path: Path) -> None:
    check_takeable(identity(tmp_path / "m.onnx", value("ids", None, None, kind=INT64)))
