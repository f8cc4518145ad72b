"""A model as the server knows it: what to load, and what it turned out to be once loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from farthing.nouns import ServedModel, TensorSpec

if TYPE_CHECKING:
    from farthing.serve.requests import Problem, Queue

__all__ = ["LiveModel", "Models", "ServedModel", "State"]

State = Literal["loading", "ready", "unavailable", "unloading", "unloaded"]


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

    spec: ServedModel
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
    def has_rows(self) -> bool:
        """Whether an answer has a row for each row, or each payload, of its request."""
        return self.batched or (self.one_row and self.spec.pipeline.kind != "tensor")

    @property
    def planned_rps(self) -> float | None:
        """What the plan measured; None without a plan, and where that was in batches that requests may not share."""
        return self.spec.capacity_rps if self.batched or self.spec.candidate.max_batch == 1 else None


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
