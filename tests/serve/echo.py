"""Models that answer what they were asked, for tests of the doors; no worker needed."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np

from farthing.nouns import Candidate, PipelineSpec, ServedModel, TensorSpec
from farthing.serve.dtypes import DATATYPES
from farthing.serve.requests import Answer, Problem, Request
from farthing.serve.served import LiveModel

CLASSES = ("cat", "dog", "emu", "fox")
MAX_ROWS = 8


class RealClock:
    """CLOCK_MONOTONIC."""

    def monotonic_s(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Recorder:
    """An observer that keeps everything."""

    def __init__(self) -> None:
        self.answers: list[tuple[Request, Answer]] = []
        self.failures: list[tuple[LiveModel | None, str, Problem, Request | None]] = []

    def answered(self, request: Request, answer: Answer) -> None:
        self.answers.append((request, answer))

    def failed(self, model: LiveModel | None, protocol: str, problem: Problem, request: Request | None) -> None:
        self.failures.append((model, protocol, problem, request))


class EchoQueue:
    """Answers after ``delay_s`` with the tensors of the request (payloads: their lengths), or with ``problem``."""

    def __init__(self) -> None:
        self.waiting = 0
        self.delay_s = 0.0
        self.problem: Problem | None = None
        self.refusal: Problem | None = None
        self.requests: list[Request] = []

    def refuse(self, rows: int, deadline_s: float) -> Problem | None:
        return self.refusal

    def submit(self, request: Request) -> None:
        self.requests.append(request)
        del self.requests[:-1000]
        self.waiting += 1
        asyncio.get_running_loop().call_later(self.delay_s, self._reply, request)

    def _reply(self, request: Request) -> None:
        self.waiting -= 1
        if request.deadline_s < time.monotonic():
            request.reply(request, Problem(504, "the deadline passed"))
        elif self.problem is not None:
            request.reply(request, self.problem)
        else:
            outputs = list(request.tensors or [])
            if request.payloads is not None:
                outputs = [np.array([[len(p)] for p in request.payloads], np.int64)] * len(request.model.outputs)
            answer = Answer(outputs=outputs, queue_s=0.001, service_s=0.002, batch_rows=request.rows)
            request.reply(request, answer)


def echo_model(
    name: str,
    *tensors: tuple[str, str, tuple[int | None, ...]],
    outputs: tuple[TensorSpec, ...] | None = None,
    batched: bool = True,
    **spec,
) -> LiveModel:
    inputs = tuple(TensorSpec(name=n, dtype=dtype, shape=shape) for n, dtype, shape in tensors)
    candidate = Candidate(engine="onnxruntime", variant="fp32", precision="fp32", max_batch=MAX_ROWS)
    return LiveModel(
        spec=ServedModel(name=name, path=Path("m"), candidate=candidate, **spec),
        inputs=inputs,
        outputs=outputs if outputs is not None else inputs,
        batched=batched,
        queue=EchoQueue(),
        state="ready",
        platform="onnxruntime_onnx",
    )


def echo_models() -> list[LiveModel]:
    """One model for each datatype (``echo-FP32`` …), and one for each other thing that a door must know."""
    lengths = (TensorSpec(name="length", dtype="int64", shape=(None, 1)),)
    return [
        *(echo_model(f"echo-{d.name}", ("x", d.word, (None, None))) for d in DATATYPES.values()),
        echo_model("pair", ("a", "float32", (None, 2)), ("b", "int64", (None,))),
        echo_model("scores", ("x", "float32", (None, len(CLASSES))), classes=CLASSES),
        echo_model("whole", ("x", "float32", (2, 2)), batched=False),
        echo_model("image", ("x", "float32", (None, 3, 4, 4)), outputs=lengths, pipeline=PipelineSpec(kind="image")),
        echo_model(
            "text",
            ("ids", "int64", (None, None)),
            outputs=lengths,
            pipeline=PipelineSpec(kind="text", tokenizer="none"),
        ),
    ]


class SomeModels:
    """Implements ``Models`` over a list."""

    def __init__(self, models: list[LiveModel]) -> None:
        self.models = models

    def __getitem__(self, name: str) -> LiveModel:
        return next(m for m in self.models if m.spec.name == name)

    def find(self, name: str, version: str | None = None) -> LiveModel:
        for model in self.models:
            if model.spec.name == name and version in (None, model.spec.version):
                if model.state != "ready":
                    raise Problem(503, f"model {name} is {model.state}: {model.reason}", retry_after_s=1.5)
                return model
        raise Problem(404, f"there is no model {name[:80]!r}")

    def known(self) -> tuple[LiveModel, ...]:
        return tuple(self.models)

    def not_ready(self) -> Problem | None:
        return next((Problem(503, m.reason) for m in self.models if m.state != "ready"), None)
