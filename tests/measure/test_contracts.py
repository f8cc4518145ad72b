"""The contracts for plug-ins hold for what comes with farthing."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from farthing.nouns import PipelineSpec, TensorSpec
from farthing.plugins import find
from farthing.testing import EngineContract, FakeClock, FakeEngine, MetricContract, PipelineContract


class TestFakeEngine(EngineContract):
    engine = FakeEngine()
    path = Path("none")
    feeds: ClassVar = {"x": np.arange(6, dtype=np.float32).reshape(3, 2)}


class TestTensorPipeline(PipelineContract):
    opener = find("pipelines", "tensor")
    spec = PipelineSpec(kind="tensor")
    payloads: ClassVar = [{"x": np.ones(2, np.float32)}, {"x": np.zeros(2, np.float32)}]
    inputs = (TensorSpec(name="x", dtype="float32", shape=(None, 2)),)


class TestAccuracy(MetricContract):
    metric = find("metrics", "accuracy")
    outputs = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    labels = np.array([1.0, 1.0, 1.0])


class TestF1(TestAccuracy):
    metric = find("metrics", "f1_macro")


def test_a_fake_clock_moves_only_when_slept_on() -> None:
    clock = FakeClock(5.0)
    clock.sleep(2.0)
    clock.sleep(-1.0)
    assert clock.monotonic_s() == 7.0
