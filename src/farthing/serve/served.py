"""A model as the server knows it: what to load, and what it turned out to be once loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from farthing.nouns import Candidate, Offer, PipelineSpec, TensorSpec

if TYPE_CHECKING:
    from farthing.serve.requests import Problem, Queue

__all__ = ["LiveModel", "Models", "ServedModel", "State"]

State = Literal["loading", "ready", "unavailable", "unloading", "unloaded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """One version of a model, ready to be loaded; checked (digests, trust) by whoever made it.

    Attributes:
        name: In URLs; letters, digits, ``. _ -``.
        version: In URLs; digits as Triton writes them, ``"1"`` when nothing says more.
        path: The artefact.
        candidate: Engine, variant, precision, device, largest batch, instances × threads.
        pipeline: How payloads become tensors; kind ``tensor`` when clients send tensors only. Models with an image
            or text pipeline take tensors too.
        classes: Names of the classes in index order, empty when unknown.
        deadline_s: Default of a request that names none (the plan's latency bound), None for none.
        max_delay_s: How long a batch may wait to fill, 0 for timer-free.
        max_waiting: Rows that may wait.
        memory_mib: Of all its workers, as the plan measured it; None when unknown.
        service_ms: Expected time of a batch by batch size, from the plan; empty when unknown.
        offer: What this machine costs, None when unknown: then cost figures are absent, never 0.
        capacity_rps: Rate of one replica (this server) within the promise, None when unknown.
        options: For the engine.
        inline: Whether the model may run in the server's own loop thread: ``auto`` when a batch of one takes less
            than 100 µs, ``never``, ``always``.
        trust: A native artefact (PyTorch program) may be loaded though it was not built here.
    """

    name: str
    version: str = "1"
    path: Path
    candidate: Candidate
    pipeline: PipelineSpec = field(default_factory=lambda: PipelineSpec(kind="tensor"))
    classes: tuple[str, ...] = ()
    deadline_s: float | None = None
    max_delay_s: float = 0.0
    max_waiting: int = 1024
    memory_mib: float | None = None
    service_ms: Mapping[int, float] = field(default_factory=dict)
    offer: Offer | None = None
    capacity_rps: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    inline: Literal["auto", "never", "always"] = "auto"
    trust: bool = False


@dataclass(slots=True, eq=False, kw_only=True)
class LiveModel:
    """One version of a model in the server; the door's decoders read it on every request.

    Attributes:
        spec: What was asked for.
        inputs: The engine's inputs, names and shapes as loaded; dtypes in NumPy's words (``float32``) plus
            ``bfloat16`` and ``bytes``; first dimension None where it can be batched.
        outputs: As above.
        batched: Whether rows of several requests may share a batch (every input and output has a free first
            dimension); if not, a request is one whole tensor set and ``rows`` counts 1.
        queue: In front of its workers.
        state: Only ``ready`` takes requests.
        reason: Why not ready, for people (``worker died 5 times in 60 s (SIGSEGV), next start in 8 s``).
        platform: ``onnxruntime_onnx``, ``openvino`` … as metadata shows it.
    """

    spec: ServedModel
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batched: bool
    queue: Queue
    state: State = "loading"
    reason: str = ""
    platform: str = ""
    cache: dict[Any, Any] = field(default_factory=dict)
    """For decoders: what they worked out about this model once (bounded by them)."""


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
