"""What is served: a model that workers run here, and what the other kinds have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from farthing.nouns.hardware import Offer
from farthing.nouns.measured import Backend, Candidate
from farthing.nouns.workload import PipelineSpec

__all__ = ["Declared", "LocalModel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModel:
    """One version of a model, ready to be loaded; checked (digests, trust) by whoever made it.

    Attributes:
        name: In URLs; letters, digits, ``. _ -``.
        version: In URLs; digits as Triton writes them, ``"1"`` when nothing says more.
        path: The artefact.
        candidate: Engine, variant, precision, device, largest batch, instances × threads.
        pipeline: How payloads become tensors; kind ``tensor`` when clients send tensors only. Models with an image
            or text pipeline take tensors too.
        classes: Names of the classes in index order, empty when unknown.
        deadline_s: Default of a request that names none (the plan's bound on p99 or above), None for none.
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
        caution: What whoever starts it is told, empty for nothing: that its plan is not *met*, and why.
        emulated: Its workers wait out ``service_ms`` instead of computing; answers are zeros.
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
    caution: str = ""
    emulated: bool = False

    def __post_init__(self) -> None:
        if self.emulated and not self.service_ms:
            raise ValueError(f"an emulated model needs service times: {self}")

    @property
    def max_batch(self) -> int:
        """Most rows of a request."""
        return self.candidate.max_batch

    @property
    def backend(self) -> Backend:
        """What answers, for those who are told."""
        return self.candidate

    @property
    def origin(self) -> Path:
        """What it is read from: the artefact."""
        return self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What answers by asking others and has no artefact here: of a route.yaml, as far as clients see it.

    Attributes:
        name: In URLs; letters, digits, ``. _ -``.
        version: In URLs; digits, ``"1"`` when nothing says more.
        origin: The route.yaml that declares it; written again, it is another one.
        max_batch: Most rows of a request, ≥ 1.
        pipeline: What clients may send: tensors alone, or the payloads that those who are asked take.
        classes: Names of the classes in index order, empty when unknown.
        deadline_s: Default of a request that names none, None for none.
        max_waiting: Rows that may wait.
    """

    name: str
    version: str = "1"
    origin: Path
    max_batch: int
    pipeline: PipelineSpec = field(default_factory=lambda: PipelineSpec(kind="tensor"))
    classes: tuple[str, ...] = ()
    deadline_s: float | None = None
    max_waiting: int = 1024
