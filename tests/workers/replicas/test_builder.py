"""Build steps run in a child; what goes wrong there has a name here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from started_replica import N, write_dataset

from farthing.errors import (
    CandidateCrashed,
    CandidateOutOfMemory,
    CandidateTimeout,
    EngineError,
    MeasureError,
    ModelError,
)
from farthing.machine.hardware import usable_cpus
from farthing.nouns import Candidate, Dataset, ModelRef, PipelineSpec
from farthing.workers.replicas.builder import build, build_variant, resolve
from farthing.workers.replicas.replica import Replica

STEPS = """
import os, signal, sys, time
import numpy as np
from farthing.errors import EngineError

def double(request):
    print("noise")
    return {"twice": 2 * request["x"], "drawn": float(np.random.random()), "inputs_s": 0.0}

def refuse(request):
    raise EngineError("nothing to quantize", hint="another variant")

def fail(request):
    raise KeyError("weights")

def crash(request):
    sys.stderr.write("last words\\n")
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGABRT)

def leave(request):
    raise SystemExit(7)

def hang(request):
    time.sleep(600)

def grow(request):
    kept = []
    while True:
        kept.append(np.ones(4_000_000))
        time.sleep(0.005)

def starve(request):
    raise MemoryError
"""


@pytest.fixture
def steps(tmp_path: Path) -> Path:
    path = tmp_path / "steps.py"
    path.write_text(STEPS)
    return path


def run(path: Path, name: str, **more: Any) -> Any:
    settings: dict[str, Any] = {"timeout_s": 60.0, "memory_limit_mib": 2000.0, **more}
    return build(f"{path}:{name}", {"x": 4}, label="step", run_dir=path.parent, **settings)


def test_a_step_answers_and_its_time_is_itemised(steps: Path) -> None:
    built = run(steps, "double", seed=5)
    again = run(steps, "double", seed=5)
    assert built.answer["twice"] == 8
    assert built.answer == again.answer
    assert set(built.seconds) == {"start", "inputs", "work"}
    assert min(built.seconds.values()) >= 0
    assert built.peak_memory_mib > 10
    assert (steps.parent / "build-step.log").read_text() == "noise\n"


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("refuse", EngineError, "building step: nothing to quantize\n\nhint: another variant"),
        ("fail", MeasureError, "building step: KeyError: 'weights'"),
        ("crash", CandidateCrashed, r"SIGABRT\): last words"),
        ("leave", CandidateCrashed, "exit status 7"),
        ("hang", CandidateTimeout, "within 1 s"),
        ("grow", CandidateOutOfMemory, "limit is 500 MiB"),
        ("starve", CandidateOutOfMemory, "could not get the memory"),
        ("absent", MeasureError, "has no callable 'absent'"),
    ],
)
def test_faults_are_named(steps: Path, name: str, error: type[Exception], text: str) -> None:
    from farthing.errors import InputError

    with pytest.raises((error, InputError), match=text):
        run(steps, name, timeout_s=1.0 if name == "hang" else 60.0, memory_limit_mib=500.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    """Two inputs times a 2 × 3 matrix."""
    from onnx import TensorProto, helper, numpy_helper, save

    weight = numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [weight],
    )
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return ModelRef(kind="onnx", path=str(path))


def limits(folder: Path) -> dict[str, Any]:
    return {"trust": False, "timeout_s": 120.0, "memory_limit_mib": 4096.0, "run_dir": folder / "work"}


def test_from_a_model_to_answers_with_a_real_engine(model: ModelRef, dataset: Dataset, tmp_path: Path) -> None:
    inputs: dict[str, Any] = {"pipeline": PipelineSpec(kind="tensor"), "dataset": dataset, "indices": [0, 1, 2]}
    found = resolve(model, tmp_path / "artefacts", **inputs, **limits(tmp_path))
    artefact = build_variant("fp32", found, tmp_path, seed=0, **inputs, **limits(tmp_path))
    assert artefact.build_s > 0
    candidate = Candidate(engine="onnxruntime", variant="fp32", precision="fp32")
    with Replica.start(
        candidate,
        tmp_path / artefact.path,
        PipelineSpec(kind="tensor"),
        dataset,
        options={},
        cpus=usable_cpus(),
        memory_limit_mib=4096,
        start_timeout_s=120,
        run_dir=tmp_path / "work",
        seed=0,
    ) as replica:
        answers = replica.answers(range(N), 8)
        operators = replica.operators(4, 3)
    x = np.arange(2 * N, dtype=np.float32).reshape(N, 2)
    np.testing.assert_allclose(answers, x @ np.arange(6, dtype=np.float32).reshape(2, 3))
    assert "product" in {o.name for o in operators.times}
    assert operators.input_shapes == {"x": (4, 2)}


def test_a_corrupt_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"\x00\x01 no model")
    with pytest.raises(ModelError, match=r"broken\.onnx"):
        resolve(
            ModelRef(kind="onnx", path=str(path)),
            tmp_path / "artefacts",
            pipeline=PipelineSpec(kind="tensor"),
            dataset=write_dataset(tmp_path),
            indices=[0, 1],
            **limits(tmp_path),
        )
