"""Inputs of modules: names from forward(), shapes from the first sample; exported without any flag."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brought_models import float_net
from PIL import Image

from farthing.errors import FarthingError, ModelError
from farthing.load.workload.workload import workload_from_flags
from farthing.measure.first_sample import check_first_sample
from farthing.models.graph_content import graph_content
from farthing.models.torch_code import input_parameters
from farthing.nouns import ModelRef, PipelineSpec, TensorSpec
from farthing.plugins import find
from farthing.workers.replicas.builder import resolve
from farthing.workers.replicas.module_inputs import module_inputs

NETS = """
import torch
from torch import nn

class Pictures(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv, self.head = nn.Conv2d(channels, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, pixel_values):
        return self.head(torch.relu(self.conv(pixel_values)).mean((2, 3)))

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(9, 4), nn.Linear(7, 3)

    def forward(self, numbers, kinds, scale=1.0):
        return self.head(torch.cat([numbers, self.words(kinds).mean(1)], 1)) * scale

def colour():
    return Pictures(3)

def grey():
    return Pictures(1)

def two():
    return Two()
"""


def spec(kind: str, **more: Any) -> PipelineSpec:
    return PipelineSpec(kind=kind, **more)


def names(kind: str, parameters: dict[str, bool], payload: Any = None, **more: Any) -> list[str]:
    settings = {"tokenizer": "t.json"} if kind == "text" else {}
    pipeline_spec = spec(kind, **settings, **more)
    ref = ModelRef(kind="torch", path="net.py:load", example_shape=(3, 4, 4) if kind == "image" else None)
    return [s.name for s in module_inputs(pipeline_spec, ref, None, payload, parameters)]


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"input_ids": True, "attention_mask": True}, ["input_ids", "attention_mask"]),
        ({"input_ids": False, "attention_mask": False, "token_type_ids": False, "labels": False},
         ["input_ids", "attention_mask"]),
        ({"input_ids": True, "attention_mask": True, "token_type_ids": True},
         ["input_ids", "attention_mask", "token_type_ids"]),
        ({"input_ids": True}, ["input_ids"]),
        ({"ids": True, "scale": False}, ["ids"]),
        ({}, ["input_ids", "attention_mask"]),
    ],
)  # fmt: skip
def test_texts(parameters: dict[str, bool], found: list[str]) -> None:
    assert names("text", parameters) == found


def test_images_and_names_that_the_user_gives() -> None:
    assert names("image", {"pixel_values": True}) == ["pixel_values"]
    assert names("image", {}) == ["images"]
    assert names("image", {"x": True}, input_names=("photo",)) == ["photo"]


def test_arrays() -> None:
    one, two = {"X": np.zeros((4, 5))}, {"b": np.zeros(3), "a": np.zeros(2, np.int32)}
    assert names("tensor", {"features": True}, one) == ["features"]
    assert names("tensor", {}, one) == ["X"]
    assert names("tensor", {"a": True, "b": True, "c": False}, two) == ["a", "b"]
    ref = ModelRef(kind="torch", path="net.py:load")
    found = module_inputs(spec("tensor"), ref, find("pipelines", "tensor").open(spec("tensor")), two, {})
    assert found == (
        TensorSpec(name="b", dtype="float32", shape=(None, 3)),
        TensorSpec(name="a", dtype="int64", shape=(None, 2)),
    )
    with pytest.raises(ModelError, match=r"net\.py:load takes x, y; the data has the arrays b, a") as e:
        names("tensor", {"x": True, "y": True}, two)
    assert "as forward() names its parameters" in str(e.value.hint)


@pytest.fixture
def nets(tmp_path: Path) -> Path:
    (tmp_path / "nets.py").write_text(NETS)
    rng = np.random.default_rng(0)
    for k in range(60):
        folder = tmp_path / "holdout" / str(k % 3)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (9, 7), dtype=np.uint8)).save(folder / f"{k}.png")
    np.savez(
        tmp_path / "two.npz", kinds=rng.integers(0, 9, (60, 2)), numbers=rng.normal(size=(60, 3)), y=np.arange(60) % 3
    )
    return tmp_path


def exported(nets: Path, name: str, labels: str, **flags: str) -> list[TensorSpec]:
    """As README says it: a module, labels, a bill; no shape and no name."""
    given = {"model": f"{nets / 'nets.py'}:{name}", "labels": str(nets / labels), "bill": "10000"}
    w = workload_from_flags({**given, "offer": "aws/m7i.large", **flags})
    ref = resolve(
        w.model, nets / name, pipeline=w.pipeline, dataset=w.holdout, indices=[0, 1, 2, 3], trust=True,
        timeout_s=120, memory_limit_mib=4000, run_dir=nets,
    )  # fmt: skip
    return list(graph_content(Path(ref.onnx_path or "")).inputs)


def test_a_module_of_images_without_a_shape(nets: Path) -> None:
    assert exported(nets, "colour", "holdout") == [
        TensorSpec(name="pixel_values", dtype="float32", shape=(None, 3, 9, 7))
    ]


def test_a_module_of_grey_images_names_the_setting(nets: Path) -> None:
    with pytest.raises(FarthingError, match=r"does not take pixel_values float32 \(1, 3, 9, 7\)") as e:
        exported(nets, "grey", "holdout")
    assert "its first convolution takes 1 channel: inputs.channels 1" in str(e.value)
    assert exported(nets, "grey", "holdout", channels="1")[0].shape == (None, 1, 9, 7)


def test_a_module_of_several_arrays(nets: Path) -> None:
    assert [(s.name, s.dtype) for s in exported(nets, "two", "two.npz")] == [("numbers", "float32"), ("kinds", "int64")]


def test_parameters_of_forward() -> None:
    class Net:
        def forward(self, x: int, *rest: int, mask: int | None = None, **more: int) -> None: ...

    assert input_parameters(Net()) == {"x": True, "mask": False}


def test_a_sample_that_does_not_fit_is_found_before_work(nets: Path) -> None:
    float_net(nets / "m.onnx")
    np.savez(nets / "wide.npz", x=np.zeros((60, 9), np.float32), y=np.arange(60) % 3)
    flags = {"model": str(nets / "m.onnx"), "labels": str(nets / "wide.npz"), "bill": "1", "offer": "aws/m7i.large"}
    with pytest.raises(FarthingError, match=r"samples of x have the shape \(9,\), but the model's input is x float32"):
        check_first_sample(workload_from_flags(flags))
