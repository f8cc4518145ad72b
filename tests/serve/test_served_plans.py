"""A plan and a model folder, from their files to answers over HTTP."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from real_server import Served
from served_plans import write_plan
from small_inputs import write_onnx

from farthing.nouns import PipelineSpec


def png(seed: int, side: int = 12) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def logits(image: bytes, mean: float, std: float) -> np.ndarray:
    """As small_inputs.write_onnx computes them: the mean of each channel times its weights."""
    weights = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    pixels = np.asarray(Image.open(io.BytesIO(image)), dtype=np.float32) / 255
    return ((pixels - mean) / std).mean((0, 1)) @ weights


def test_a_plan_answers_images_and_tensors(tmp_path: Path, start_server: Callable[..., Served]) -> None:
    pipeline = PipelineSpec(kind="image", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    served = start_server(write_plan(tmp_path, pipeline=pipeline), "--deadline", "none")
    images = [png(seed) for seed in range(3)]
    expected = np.array([logits(image, 0.5, 0.25) for image in images])
    data = [base64.b64encode(image).decode() for image in images]
    body = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [3], "data": data}]}
    status, answer = served.request("POST", "/v2/models/digits-of-hand/infer", body)
    assert status == 200, answer
    np.testing.assert_allclose(np.reshape(answer["outputs"][0]["data"], (3, 3)), expected, atol=1e-4)
    tensor = np.zeros((1, 3, 5, 5), dtype=np.float32).ravel().tolist()
    body = {"inputs": [{"name": "images", "datatype": "FP32", "shape": [1, 3, 5, 5], "data": tensor}]}
    status, answer = served.request("POST", "/v2/models/digits-of-hand/infer", body)
    assert status == 200, answer
    assert answer["outputs"][0]["data"] == [0.0, 0.0, 0.0]
    assert any("digits-of-hand 1" in line and "images or tensors" in line for line in served.lines)


def test_a_changed_artefact_is_not_served(tmp_path: Path, start_server: Callable[..., Served]) -> None:
    plan = write_plan(tmp_path)
    with (tmp_path / "artefacts.onnx").open("ab") as f:
        f.write(b"\0")
    with pytest.raises(AssertionError, match="was changed"):
        start_server(plan)


def test_a_model_folder_answers_with_class_names(tmp_path: Path, start_server: Callable[..., Served]) -> None:
    (tmp_path / "pets").mkdir()
    write_onnx(tmp_path / "pets" / "model.onnx")
    (tmp_path / "pets" / "config.json").write_text(json.dumps({"id2label": {"0": "cat", "1": "dog", "2": "owl"}}))
    (tmp_path / "pets" / "preprocessor_config.json").write_text(json.dumps({"do_resize": False, "do_normalize": False}))
    served = start_server(tmp_path / "pets")
    image = png(4)
    status, answer = served.request("POST", "/invocations", image, {"Content-Type": "image/png"})
    assert status == 200, answer
    expected = logits(image, 0.0, 1.0)
    assert answer["predictions"][0]["label"] == ("cat", "dog", "owl")[int(expected.argmax())]
    assert answer["predictions"][0]["score"] == pytest.approx(float(expected.max()), abs=1e-4)
