"""Operator sets that are newer than the ONNX Runtime here are found, whichever domain they are of and who asks for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
import pytest
from brought_models import forest, save, value
from onnx import helper

from farthing.errors import ModelError
from farthing.load.serve.models import served_models
from farthing.load.workload.takeable import check_takeable
from farthing.models.graph_content import graph_content
from farthing.models.runnable import too_new
from farthing.store.artefacts import check_artefact


def asking(path: Path, **versions: int) -> Path:
    """A file that asks for these versions of operator sets, ``ml=99``, beside its own."""
    domains = {"onnx": "", "ml": "ai.onnx.ml", "ms": "com.microsoft", "training": "ai.onnx.training"}
    model = onnx.load(str(path))
    asked = {domains.get(key, key): version for key, version in versions.items()}
    kept = [o for o in model.opset_import if o.domain not in asked]
    del model.opset_import[:]
    model.opset_import.extend([*kept, *(helper.make_opsetid(d, v) for d, v in asked.items())])
    onnx.save(model, path)
    return path


def with_function(path: Path, domain: str, version: int) -> Path:
    """A file whose only operator is a function that it brings, written in another version than the file."""
    body = [helper.make_node("Identity", ["a"], ["b"])]
    sets = [helper.make_opsetid("", 17), helper.make_opsetid(domain, version)]
    function = helper.make_function("com.example", "Ours", ["a"], ["b"], body, sets if domain else sets[1:])
    node = helper.make_node("Ours", ["x"], ["y"], domain="com.example")
    return save(path, [node], [value("x", "n", 3)], [value("y", "n", 3)], functions=[function])


NEWER: list[tuple[Any, str]] = [
    (lambda p: asking(forest(p), ml=99), "ai.onnx.ml 99"),
    (lambda p: asking(forest(p, zipmap=False), ml=99), "ai.onnx.ml 99"),
    (lambda p: asking(forest(p), onnx=99), "opset 99"),
    (lambda p: asking(forest(p), ms=7), "com.microsoft 7"),
    (lambda p: asking(forest(p), training=3), "ai.onnx.training 3"),
    (lambda p: with_function(p, "", 99), "opset 99"),
    (lambda p: with_function(p, "ai.onnx.ml", 99), "ai.onnx.ml 99"),
]


@pytest.mark.parametrize(("make", "what"), NEWER)
def test_what_is_too_new_is_refused_with_the_newest_that_is_taken(tmp_path: Path, make: Any, what: str) -> None:
    path = make(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=f"has {what}; the ONNX Runtime that is installed takes up to") as e:
        check_takeable(path)
    assert "export it again with" in str(e.value.hint)
    with pytest.raises(ModelError, match=f"has {what}"):
        served_models([str(path)], cores=2, check=check_artefact)


@pytest.mark.parametrize(("make", "what"), NEWER)
def test_onnx_runtime_takes_the_version_that_is_named_and_not_the_next(tmp_path: Path, make: Any, what: str) -> None:
    content = graph_content(make(tmp_path / "m.onnx"))
    found = too_new(content)
    assert found is not None
    name, version, newest = found
    assert what == f"{name} {version}"
    assert version > newest >= 1
    domain = "" if name == "opset" else name
    assert opens(domain, newest)
    assert not opens(domain, newest + 1)


def opens(domain: str, version: int) -> bool:
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph([node], "g", [value("x", 1)], [value("y", 1)])
    sets = {"": 17, domain: version}
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*pair) for pair in sets.items()], ir_version=8)
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    try:
        ort.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001 - of several kinds
        return False
    return True


@pytest.mark.parametrize("versions", [{"ml": 1}, {"ml": 5}, {"onnx": 22}, {"ms": 1}, {"com.elsewhere": 99}])
def test_what_is_taken_is_not_refused(tmp_path: Path, versions: dict[str, int]) -> None:
    path = asking(forest(tmp_path / "m.onnx", zipmap=False), **versions)
    check_takeable(path)
    assert too_new(graph_content(path)) is None
