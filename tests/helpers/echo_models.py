"""Live models whose queue answers at once with what it got, and a server of them on a loopback port."""

from __future__ import annotations

import asyncio
import math
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from numpy.typing import NDArray

from farthing.machine.clock import MonotonicClock
from farthing.nouns import Candidate, LocalModel, PipelineSpec, Precision, TensorSpec
from farthing.serve.http.server import HttpServer
from farthing.serve.limits import Limits
from farthing.serve.telemetry.metrics import Metrics
from farthing.wire.dtypes import datatype_of
from farthing.wire.requests import Answer, LiveModel, Problem, Request

PRECISION: Precision = "fp32"


class EchoQueue:
    """Answers at once: outputs are the inputs (payload models: the payloads' sizes).

    Attributes:
        held: Requests that were not answered, when ``hold`` is set.
        full: Refuse by the head.
    """

    def __init__(self) -> None:
        self.waiting = 0
        self.hold = False
        self.full = False
        self.held: list[Request] = []
        self.seen: list[Request] = []
        self.remember = False

    def refuse(self, rows: int, deadline_s: float) -> Problem | None:
        return Problem(503, "the queue is full", retry_after_s=2.0) if self.full else None

    def submit(self, request: Request) -> None:
        if self.remember:
            self.seen.append(request)
        if self.hold:
            self.held.append(request)
        else:
            self.answer(request)

    def answer(self, request: Request) -> None:
        request.reply(request, Answer(outputs=_outputs(request), queue_s=0.0, service_s=1e-5, batch_rows=request.rows))


def _outputs(request: Request) -> list[NDArray[Any]]:
    if request.tensors is not None:
        return list(request.tensors)
    assert request.payloads is not None
    sizes = [len(p) for p in request.payloads]
    return [np.array([[size, request.length, 1.0] for size in sizes], dtype=np.float32)]


class Heard:
    """An observer that counts, beside the metrics that the protocol's statistics rest on."""

    def __init__(self) -> None:
        self.metrics = Metrics(MonotonicClock())
        self.answers = 0
        self.problems: list[tuple[str, int]] = []

    def answered(self, request: Request, answer: Answer) -> None:
        self.answers += 1
        self.metrics.answered(request, answer)

    def failed(self, model: LiveModel | None, protocol: str, problem: Problem, request: Request | None) -> None:
        self.problems.append((protocol, problem.status))


class FewModels:
    """A fixed set of models."""

    def __init__(self, *models: LiveModel) -> None:
        self.models = list(models)
        self.problem: Problem | None = None

    def find(self, name: str, version: str | None = None) -> LiveModel:
        for model in self.models:
            if model.spec.name == name and version in (None, model.spec.version):
                if model.state != "ready":
                    raise Problem(503, f"model {name} is not ready: {model.reason}", retry_after_s=1.0)
                return model
        raise Problem(404, f"there is no model {name}")

    def known(self) -> tuple[LiveModel, ...]:
        return tuple(self.models)

    def not_ready(self) -> Problem | None:
        return self.problem


def echo_model(
    name: str = "echo",
    inputs: tuple[TensorSpec, ...] = (TensorSpec(name="x", dtype="float32", shape=(None, 4)),),
    *,
    outputs: tuple[TensorSpec, ...] | None = None,
    pipeline: str = "tensor",
    max_batch: int = 8,
    classes: tuple[str, ...] = (),
    batched: bool = True,
) -> LiveModel:
    """A model that gives back what it gets, outputs named ``out_…``."""
    if pipeline == "text":
        spec = PipelineSpec(kind="text", tokenizer="tokenizer.json")
    else:
        spec = PipelineSpec(kind=pipeline)  # type: ignore[arg-type]
    given = outputs or tuple(TensorSpec(name=f"out_{t.name}", dtype=t.dtype, shape=t.shape) for t in inputs)
    candidate = Candidate(engine="fake", variant="fp32", precision=PRECISION, max_batch=max_batch)
    served = LocalModel(name=name, path=Path("x"), candidate=candidate, pipeline=spec, classes=classes)
    return LiveModel(
        spec=served, inputs=inputs, outputs=given, batched=batched, queue=EchoQueue(), state="ready", platform="fake"
    )


ALL_WORDS = (
    *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "float32", "float64", "bfloat16", "bytes"),
)


def many_types() -> LiveModel:
    """A model with one input of every type, named ``in_FP32`` and so on."""
    inputs = tuple(TensorSpec(name=f"in_{datatype_of(word).name}", dtype=word, shape=(None, 2)) for word in ALL_WORDS)
    return echo_model("types", inputs)


def text_model() -> LiveModel:
    """A text model with token inputs and three scores."""
    inputs = tuple(TensorSpec(name=n, dtype="int64", shape=(None, None)) for n in ("input_ids", "attention_mask"))
    outputs = (TensorSpec(name="logits", dtype="float32", shape=(None, 3)),)
    return echo_model("text", inputs, outputs=outputs, pipeline="text", classes=("a", "b", "c"))


def image_model() -> LiveModel:
    """An image model with three scores."""
    inputs = (TensorSpec(name="pixels", dtype="float32", shape=(None, 3, 2, 2)),)
    outputs = (TensorSpec(name="logits", dtype="float32", shape=(None, 3)),)
    return echo_model("image", inputs, outputs=outputs, pipeline="image", classes=("a", "b", "c"))


class Running:
    """A server in a thread of its own.

    Attributes:
        server: It.
        address: Host and port.
        heard: Its observer.
    """

    def __init__(self, models: FewModels, limits: Limits) -> None:
        self.models, self.heard = models, Heard()
        self.server = HttpServer(models, self.heard, limits, MonotonicClock(), tenant_salt=b"salt")
        self.errors: list[dict[str, Any]] = []
        self.loop = uvloop.new_event_loop()
        self.loop.set_exception_handler(lambda _, context: self.errors.append(context))
        self.listener = self.loop.run_until_complete(
            self.loop.create_server(self.server.protocol_factory, "127.0.0.1", 0)
        )
        self.address: tuple[str, int] = self.listener.sockets[0].getsockname()[:2]
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], Any]) -> Any:
        """Run something on the loop's thread."""

        async def run() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(10)

    def drain(self) -> None:
        """Drain and wait for it."""
        self.call(self.listener.close)
        asyncio.run_coroutine_threadsafe(self.server.drain(), self.loop).result(10)

    def stop(self) -> None:
        """End the loop."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    def connect(self, timeout_s: float = 10.0) -> socket.socket:
        """A new connection."""
        return socket.create_connection(self.address, timeout=timeout_s)


@contextmanager
def running(*models: LiveModel, limits: Limits | None = None) -> Iterator[Running]:
    """A server of some models."""
    server = Running(FewModels(*models), limits or Limits())
    try:
        yield server
    finally:
        server.stop()
    assert server.errors == [], server.errors


def request_bytes(
    path: str, body: bytes = b"", *headers: str, method: str = "POST", close: bool = False, length: int | None = None
) -> bytes:
    """One request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: test", *headers]
    if method == "POST":
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    if close:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Reader:
    """Reads answers from a socket one after another."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.left = sock, b""

    def answer(self, *, head_only: bool = False) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in small letters, body."""
        while b"\r\n\r\n" not in self.left:
            self._more()
        head, _, self.left = self.left.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        need = 0 if head_only else int(headers.get("content-length", 0))
        while len(self.left) < need:
            self._more()
        body, self.left = self.left[:need], self.left[need:]
        return int(first.split()[1]), headers, body

    def _more(self) -> None:
        data = self.sock.recv(1 << 20)
        if not data:
            raise EOFError(self.left)
        self.left += data

    def ended(self) -> bool:
        """Whether the server ended the connection and nothing is left."""
        try:
            return self.left == b"" and self.sock.recv(1) == b""
        except ConnectionError:
            return True


def ask(server: Running, raw: bytes) -> tuple[int, dict[str, str], bytes]:
    """One request on its own connection."""
    with server.connect() as sock:
        sock.sendall(raw)
        return Reader(sock).answer()


NEVER = math.inf
