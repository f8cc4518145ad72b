"""The seams: what a plug-in must be able to do. Protocols only, nothing here runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from farthing.nouns import (
    ArrivalBlock,
    Artefact,
    Dataset,
    FleetSeen,
    ModelRef,
    Offer,
    OperatorTime,
    PipelineSpec,
    Plan,
    Precision,
    ScalingDecision,
    TensorSpec,
    Trace,
)

__all__ = [
    "Arrivals",
    "BillingSource",
    "Clock",
    "Engine",
    "Exporter",
    "Feeds",
    "Metric",
    "Pipeline",
    "PriceSource",
    "Progress",
    "Scaler",
    "Session",
    "Variant",
]

Feeds = Mapping[str, NDArray[Any]]
"""Input or output tensors by name; the first dimension is the batch."""


@runtime_checkable
class Session(Protocol):
    """A loaded model in a child or worker process."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Answer one batch; returns when the results are in host memory (device work synchronised)."""
        ...

    def device_memory_bytes(self) -> int | None:
        """Peak memory on the accelerator, None on a CPU."""
        ...

    def operators(self, feeds: Feeds, repeats: int) -> Sequence[OperatorTime]:
        """Per-operator time of one batch, averaged over ``repeats`` runs; may reload with profiling on."""
        ...

    def close(self) -> None:
        """Free everything."""
        ...


@runtime_checkable
class Engine(Protocol):
    """A back end that runs a model. Importing the plug-in must not import the back end itself.

    It may have ``libraries: tuple[str, ...]``: modules that a warm parent imports once for all worker processes.
    Importing them must start no threads. It may have ``few_shapes = True``: a shape that it has not seen takes much
    longer than one that it has, so that texts are padded to few lengths (:mod:`farthing.pipelines.few_lengths`).
    """

    name: str

    def missing(self) -> str | None:
        """None when installed, else the pip command that brings it."""
        ...

    def version(self) -> str:
        """Version of the back end."""
        ...

    def devices(self) -> tuple[str, ...]:
        """Devices it can use here: ``("cpu",)`` or ``("cpu", "cuda:0")``."""
        ...

    def load(
        self, path: Path, *, precision: Precision, threads: int, device: str, options: Mapping[str, Any]
    ) -> Session:
        """Load an artefact for inference with that many threads.

        Raises:
            EngineError: when the artefact cannot be run by this engine.
        """
        ...


@runtime_checkable
class Variant(Protocol):
    """One way of making a model cheaper; building runs in a child process."""

    name: str
    precision: Precision
    engines: tuple[str, ...]

    def missing(self) -> str | None:
        """None when what it needs is installed, else the pip command that brings it."""
        ...

    def build(self, model: ModelRef, out: Path, calibration: Iterable[Feeds]) -> Artefact:
        """Write the artefact below ``out`` and describe it; calibration batches may be consumed lazily."""
        ...


@runtime_checkable
class Pipeline(Protocol):
    """From payloads to tensors, the same code when measuring and serving."""

    spec: PipelineSpec

    def lengths(self, payloads: Sequence[Any]) -> Sequence[int] | None:
        """A size for each payload by which batches are grouped, None when all are alike."""
        ...

    def __call__(self, payloads: Sequence[Any], inputs: Sequence[TensorSpec]) -> dict[str, NDArray[Any]]:
        """Turn one batch of payloads into the model's inputs."""
        ...


@runtime_checkable
class Metric(Protocol):
    """A score of answers; ``per_sample`` metrics are averages and get the exact paired gate."""

    name: str
    per_sample: bool

    def __call__(self, outputs: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Per-sample scores of shape ``(n,)`` in [0, 1], or one number of shape ``()``."""
        ...


@runtime_checkable
class PriceSource(Protocol):
    """Where offers come from."""

    name: str

    def offers(self) -> Iterable[Offer]:
        """All offers that it knows, each with date and source."""
        ...


@runtime_checkable
class BillingSource(Protocol):
    """Where real charges come from (FOCUS rows)."""

    name: str

    def rows(self, since: date, until: date) -> Iterable[Mapping[str, Any]]:
        """Charges of a period as FOCUS columns."""
        ...


@runtime_checkable
class Arrivals(Protocol):
    """One kind of file that arrival traces come from."""

    name: str

    def holds(self, head: bytes) -> bool:
        """Whether a file that begins so (64 KiB, decompressed) is of this kind."""
        ...

    def trace(self, path: Path, asked: Any = None) -> Trace:
        """Read one trace.

        Args:
            path: Of the file.
            asked: What the user says of it (:class:`farthing.load.traffic.TraceAsked`), None for nothing.

        Raises:
            TraceError: when it is empty, unsorted or negative.
        """
        ...

    def requests(self, path: Path, asked: Any = None) -> Iterator[ArrivalBlock] | None:
        """Each request at its own instant, block by block; None where the file holds numbers of requests by step.

        Arguments and errors as of :meth:`trace`, errors of single rows when their block is read.
        """
        ...


@runtime_checkable
class Exporter(Protocol):
    """Writes a plan in another tool's format."""

    name: str

    def export(self, plan: Plan, out: Path) -> Sequence[Path]:
        """Write files below ``out`` and return them."""
        ...


class Clock(Protocol):
    """Time as an argument."""

    def monotonic_s(self) -> float:
        """Seconds since some fixed point; never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Progress(Protocol):
    """Told what is going on; the terminal draws it, Python callers may print it."""

    def __call__(self, stage: str, done: int, total: int, note: str, /) -> object:
        """``done`` of ``total`` steps of ``stage`` are finished; ``note`` is one short line."""
        ...


class DatasetReader(Protocol):
    """Reads payloads of one shape from disk."""

    name: str

    def read(self, path: Path) -> Dataset:
        """Read a data set.

        Raises:
            DataError: when something is missing or does not match.
        """
        ...


class Scaler(Protocol):
    """An autoscaling rule at work on one fleet, simulated or real; it remembers what it was shown."""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        ...

    @property
    def interval_s(self) -> float:
        """Between two decisions, > 0; each is shown the interval since the one before."""
        ...

    @property
    def assumed(self) -> tuple[str, ...]:
        """What is not published of the rule, or differs from it here, one sentence each; shown with every result."""
        ...

    def decide(self, seen: FleetSeen) -> ScalingDecision:
        """Replicas that are wanted from now on, those on the way included."""
        ...
