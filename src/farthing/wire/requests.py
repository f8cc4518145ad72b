"""What walks through the server: a request, its answer, the problem that stands for one, and the model it is for.

A protocol (HTTP, gRPC) decodes and checks what a client sent, makes a :class:`Request` of it and hands it to the
model's queue; the queue answers by calling ``request.reply`` exactly once. All of this happens on the one loop
thread, so nothing here is locked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from numpy.typing import NDArray

from farthing.nouns import LocalModel, TensorSpec
from farthing.wire.decisions import Routed

if TYPE_CHECKING:
    from farthing.core.route.served import Served

__all__ = ["Answer", "LiveModel", "Models", "Observer", "Problem", "Queue", "Request", "State", "nobody_waits"]

State = Literal["loading", "ready", "unavailable", "unloading", "unloaded"]


class Problem(Exception):
    """A request that is not answered, and why; a client sees ``{"error": message}``.

    Args:
        status: HTTP status: 400 malformed, 401/403 admin, 404 unknown, 408 too slow, 411, 413 too large, 415, 429,
            431, 500 the request killed its worker or the model failed on it alone, 501 not offered, 503 not ready
            or shed, 504 deadline passed.
        message: What, value, limit; never a stack trace.
        retry_after_s: For 503: when to try again.
    """

    def __init__(self, status: int, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.retry_after_s = status, message, retry_after_s


@dataclass(slots=True, eq=False, kw_only=True)
class Answer:
    """Outputs of one request.

    Attributes:
        outputs: One array for each of ``model.outputs`` in their order; first dimension = the request's rows.
        queue_s: From arrival to dispatch.
        service_s: Of the batch it was part of, in the worker.
        batch_rows: Rows of that batch.
        route: How it was answered where the model is a route: times are then sums over the tiers that were asked.
        tokens: Read and written, where another end point answered and says so.
    """

    outputs: Sequence[NDArray[Any]]
    queue_s: float
    service_s: float
    batch_rows: int
    route: Routed | None = None
    tokens: tuple[float, float] | None = None


def nobody_waits(request: Request, outcome: Answer | Problem) -> None:
    """The reply of a request that nobody has to be told about."""


@dataclass(slots=True, eq=False, kw_only=True)
class Request:
    """One checked request that waits for its answer.

    Attributes:
        model: Who answers.
        reply: Called once on the loop thread with the answer or the problem; must not raise. Set before it is
            submitted.
        rows: Samples in it, ≥ 1 and ≤ the model's largest batch.
        tensors: One array for each of ``model.inputs`` in their order, shape ``(rows, …)``; None with payloads.
        payloads: One encoded image (bytes) or text (str) a row, for models with such a pipeline; None with tensors.
        size_bytes: Of the input as sent.
        arrived_s: Monotonic time of its last byte.
        deadline_s: Monotonic time after which nobody wants the answer.
        priority: 0 is the default and 1 the highest (Triton's meaning: smaller goes first; 0 counts as
            the model's middle).
        length: By which batches are grouped (a cheap estimate of tokens); 0 where rows are alike.
        shape_key: Requests can share a batch only when these are equal (tensor shapes beyond the first dimension).
        id: The client's own, for the ledger; empty when none.
        tenant: Salted hash of the user key, empty when none.
        protocol: ``http``, ``grpc`` or ``sagemaker``.
        deaths: Batches of which it was part when their worker died.
        solo_deaths: Those of them in which it was alone.
        trace: OpenTelemetry context of the caller (``traceparent``), None when there is none.
        wishes: Which outputs the client wants and how, in its protocol's words; nobody but the door reads it.
        timeout_s: The client's own bound, None when it named none; the door makes ``deadline_s`` of it.
    """

    model: LiveModel
    reply: Callable[[Request, Answer | Problem], None] = nobody_waits
    rows: int = 1
    tensors: Sequence[NDArray[Any]] | None = None
    payloads: Sequence[bytes | str] | None = None
    size_bytes: int = 0
    arrived_s: float = 0.0
    deadline_s: float = math.inf
    priority: int = 0
    length: int = 0
    shape_key: Any = None
    id: str = ""
    tenant: str = ""
    protocol: str = "http"
    deaths: int = 0
    solo_deaths: int = 0
    trace: str | None = None
    wishes: Sequence[Any] = ()
    timeout_s: float | None = None


class Queue(Protocol):
    """What waits in front of a model's workers (``workers/batching.py``)."""

    waiting: int
    """Requests that wait, not those being worked on."""

    def refuse(self, rows: int, deadline_s: float) -> Problem | None:
        """A problem (503 with Retry-After) when a request of that size cannot be taken now, decided without its body.

        Cheap: called when the head of a request has been read.
        """
        ...

    def submit(self, request: Request) -> None:
        """Take a request; its ``reply`` is called exactly once, at once when it must be refused after all."""
        ...


class Observer(Protocol):
    """Told of every request that was answered or refused (metrics, ledger); must be cheap and must not raise."""

    def answered(self, request: Request, answer: Answer) -> None:
        """One request was answered."""
        ...

    def failed(self, model: LiveModel | None, protocol: str, problem: Problem, request: Request | None) -> None:
        """One was not; ``request`` is None when it failed before it could be decoded."""
        ...


@dataclass(slots=True, eq=False, kw_only=True)
class LiveModel:
    """One version of a model in the server; the door's decoders read it on every request.

    Attributes:
        spec: What was asked for.
        inputs: The engine's inputs, names and shapes as loaded; dtypes in NumPy's words (``float32``) plus
            ``bfloat16`` and ``bytes``; first dimension None where it can be batched.
        outputs: As above.
        batched: Whether requests may share a batch: answers together were shown to be those alone. If not, a request
            of tensors is one whole set and ``rows`` counts 1, and payloads are answered one after the other.
        queue: In front of its workers.
        state: Only ``ready`` takes requests.
        reason: Why not ready, for people (``worker died 5 times in 60 s (SIGSEGV), next start in 8 s``).
        platform: ``onnxruntime_onnx``, ``openvino`` … as metadata shows it.
        batching: How that was shown, or why requests are answered one at a time, in a sentence; empty where nothing is
            run here.
        one_row: Whether a request alone has one row in each output.
    """

    spec: Served
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batched: bool
    queue: Queue
    state: State = "loading"
    reason: str = ""
    platform: str = ""
    batching: str = ""
    one_row: bool = False
    cache: dict[Any, Any] = field(default_factory=dict)
    """For decoders: what they worked out about this model once (bounded by them)."""

    @property
    def emulated(self) -> bool:
        """Whether its workers wait out profiled times instead of computing."""
        return isinstance(self.spec, LocalModel) and self.spec.emulated

    @property
    def has_rows(self) -> bool:
        """Whether an answer has a row for each row, or each payload, of its request."""
        return self.batched or (self.one_row and self.spec.pipeline.kind != "tensor")

    @property
    def planned_rps(self) -> float | None:
        """What the plan measured; None without a plan, and where that was in batches that requests may not share."""
        if not isinstance(self.spec, LocalModel):
            return None
        return self.spec.capacity_rps if self.batched or self.spec.max_batch == 1 else None


class Models(Protocol):
    """The models there are (``serve/repository.py``)."""

    def find(self, name: str, version: str | None = None) -> LiveModel:
        """The model that answers: its newest ready version, or the one named.

        Raises:
            Problem: 404 when there is none of that name or version; 503 with the reason when it is not ready.
        """
        ...

    def known(self) -> tuple[LiveModel, ...]:
        """All versions, those that are not ready included."""
        ...

    def not_ready(self) -> Problem | None:
        """None when the server and all its models are ready, else the first reason."""
        ...
