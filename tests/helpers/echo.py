"""Echo models that answer late or not, one for each datatype and each other thing that a door must know."""

from __future__ import annotations

import asyncio
import time

from echo_models import EchoQueue, FewModels, echo_model

from farthing.machine.clock import MonotonicClock
from farthing.nouns import TensorSpec
from farthing.serve.telemetry.metrics import Metrics
from farthing.wire.dtypes import DATATYPES
from farthing.wire.requests import Answer, LiveModel, Problem, Request

CLASSES = ("cat", "dog", "emu", "fox")
MAX_ROWS = 8


class Recorder:
    """An observer that keeps everything."""

    def __init__(self) -> None:
        self.metrics = Metrics(MonotonicClock())
        self.answers: list[tuple[Request, Answer]] = []
        self.failures: list[tuple[LiveModel | None, str, Problem, Request | None]] = []

    def answered(self, request: Request, answer: Answer) -> None:
        self.answers.append((request, answer))
        self.metrics.answered(request, answer)

    def failed(self, model: LiveModel | None, protocol: str, problem: Problem, request: Request | None) -> None:
        self.failures.append((model, protocol, problem, request))


class LateQueue(EchoQueue):
    """Answers after ``delay_s`` with the tensors of the request, or with ``problem``; keeps the last requests."""

    def __init__(self) -> None:
        super().__init__()
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
            self.answer(request)


def late_model(name: str, *tensors: tuple[str, str, tuple[int | None, ...]], **more) -> LiveModel:
    """Outputs have the inputs' names."""
    inputs = tuple(TensorSpec(name=n, dtype=dtype, shape=shape) for n, dtype, shape in tensors)
    model = echo_model(name, inputs, outputs=more.pop("outputs", inputs), max_batch=MAX_ROWS, **more)
    model.queue = LateQueue()
    return model


def late_models() -> list[LiveModel]:
    """``echo-FP32`` and so on, and some others."""
    sizes = (TensorSpec(name="size", dtype="float32", shape=(None, 3)),)
    return [
        *(late_model(f"echo-{d.name}", ("x", d.word, (None, None))) for d in DATATYPES.values()),
        late_model("pair", ("a", "float32", (None, 2)), ("b", "int64", (None,))),
        late_model("scores", ("x", "float32", (None, len(CLASSES))), classes=CLASSES),
        late_model("whole", ("x", "float32", (2, 2)), batched=False),
        late_model("image", ("x", "float32", (None, 3, 4, 4)), outputs=sizes, pipeline="image"),
        late_model("text", ("ids", "int64", (None, None)), outputs=sizes, pipeline="text"),
    ]


class SomeModels(FewModels):
    """Ready when all of its models are."""

    def __getitem__(self, name: str) -> LiveModel:
        return next(m for m in self.models if m.spec.name == name)

    def not_ready(self) -> Problem | None:
        return next((Problem(503, m.reason) for m in self.models if m.state != "ready"), None)
