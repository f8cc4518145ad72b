"""What was tried and what was seen of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from farthing.nouns.hardware import MachinePeaks
from farthing.nouns.values import (
    _LATENCY_METRIC,
    Estimate,
    Outcome,
    Precision,
    Scenario,
    latency_metric,
    percentile_name,
    require,
)

__all__ = ["AccuracyEvidence", "Artefact", "Backend", "Candidate", "Measurement", "OperatorTime", "Profile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """A file or folder that an engine loads.

    Attributes:
        variant: Name of the way it was made, for example ``int8-qdq``.
        precision: Of its heavy operators.
        path: Relative to the run's output folder.
        sha256: Digest of the file, or of the sorted files of the folder.
        size_mib: On disk, external data included.
        engines: Engines that can load it.
        build_s: Seconds it took to build.
        note: What the builder wants the report to say (operators left in float, calibration method).
    """

    variant: str
    precision: Precision
    path: str
    sha256: str
    size_mib: float
    engines: tuple[str, ...]
    build_s: float = 0.0
    note: str = ""


_NAMED_IN_VARIANTS: tuple[Precision, ...] = ("int8", "bf16", "fp16", "fp32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """What answers requests, as configuration, live page, spans and documents name it.

    Attributes:
        engine: Engine's name; the protocol of an upstream (``open_inference``, ``openai``); ``route``.
        variant: Variant's name; ``forwarded`` of an upstream; the number of tiers of a route (``2-tiers``).
        precision: What the engine is told to compute in; ``fp32`` where nobody here tells it.
        max_batch: Most rows of a request, ≥ 1; of an engine its largest batch.
        instances: Worker processes; 1 where there are none.
        threads: Threads of each worker; 1 where there are none.
        device: ``cpu`` or ``cuda:0``.
    """

    engine: str
    variant: str
    precision: Precision
    max_batch: int = 1
    instances: int = 1
    threads: int = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        require(min(self.max_batch, self.instances, self.threads) >= 1, self, "batch, instances, threads ≥ 1")

    @property
    def label(self) -> str:
        """For people: ``openvino int8-nncf b8 2×1``, that is up to 8 requests a batch, 2 workers of 1 thread each."""
        return f"{self.made} b{self.max_batch} {self.instances}×{self.threads}"

    @property
    def made(self) -> str:
        """Engine and variant, and the precision where the variant does not say it: ``openvino fp32 in bf16``."""
        implied = next((p for p in _NAMED_IN_VARIANTS if p in self.variant), "fp32")
        return f"{self.engine} {self.variant}{'' if self.precision == implied else f' in {self.precision}'}"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Candidate(Backend):
    """One way to serve the model with an engine, not yet tried, in a backend's words; batching is timer-free."""

    @property
    def build(self) -> str:
        """Engine and variant alone: what decides the answers (``openvino/int8-nncf``)."""
        return f"{self.engine}/{self.variant}"

    @property
    def key(self) -> str:
        """Under which what was measured of it is kept; never changed, since journals hold it."""
        layout = f"b{self.max_batch} {self.instances}×{self.threads}"
        return f"{self.engine} {self.variant} {layout}/{self.precision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What a Candidate did under a named scenario.

    Attributes:
        candidate: What ran.
        scenario: MLPerf's name of the load.
        batch: Batch size that was run (Offline, SingleStream) or allowed (Server).
        n: Requests (samples) measured.
        metrics: By name with unit: latencies as :func:`latency_metric` names them, ``throughput_rps service_ms
            pipeline_frac peak_memory_mib device_memory_mib load_s first_inference_s artefact_mib offered_rps``.
        quantiles_ms: Latency at 0, 1, … 100 %, shape ``(101,)`` as a tuple, empty when not measured.
        blocks: One number a block (the block's throughput in requests/s), in time order.
        seed: Of the order of payloads and of arrivals.
        hardware: Fingerprint of the machine.
        taken_at: When it ended.
        contended: True when the canary kernel said that the machine was busy and retries did not help.
        seconds: Wall time it took.
    """

    candidate: Candidate
    scenario: Scenario
    batch: int
    n: int
    metrics: Mapping[str, Estimate]
    seed: int
    hardware: str
    taken_at: datetime
    quantiles_ms: tuple[float, ...] = ()
    blocks: tuple[float, ...] = ()
    contended: bool = False
    seconds: float = 0.0

    @property
    def levels(self) -> tuple[float, ...]:
        """Latency percentiles that were measured, lowest first."""
        found = (_LATENCY_METRIC.fullmatch(name) for name in self.metrics)
        return tuple(sorted(round(float(m[1]) / 100, 8) for m in found if m))

    def latency(self, percentile: float) -> Estimate:
        """The latency at one level, in ms.

        Raises:
            ValueError: when that level was not measured.
        """
        name = latency_metric(percentile)
        if name not in self.metrics:
            held = ", ".join(map(percentile_name, self.levels)) or "no latency"
            raise ValueError(
                f"{percentile_name(percentile)} of {self.candidate.label} was not measured: this {self.scenario} run "
                f"of {self.n:,} requests holds {held}"
            )
        return self.metrics[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTime:
    """One node of the model in a profile.

    Attributes:
        name: Node's name in the original model where it could be mapped, else the engine's.
        kind: Operator type (``Conv``, ``MatMul`` …).
        time_ms: Per inference.
        share_frac: Of the summed operator time.
        precision: What it ran in, as the engine says (``f32``, ``u8``, ``bf16``), empty when unknown.
        flops: Multiply and add counted apart, per inference; None when unknown.
        bytes_moved: Least traffic: inputs, weights and outputs once; None when unknown.
        roofline_frac: Attained over attainable rate, in [0, 1] up to noise; None when unknown.
        mapped: True when ``name`` is a node of the original model.
    """

    name: str
    kind: str
    time_ms: float
    share_frac: float
    precision: str = ""
    flops: float | None = None
    bytes_moved: float | None = None
    roofline_frac: float | None = None
    mapped: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Where the time of one Candidate goes.

    Attributes:
        candidate: What was profiled.
        batch: Batch size.
        operators: Longest first.
        wall_ms: Time of one inference without the profiler, pipeline included.
        pipeline_ms: Part of it spent before the engine.
        mapped_frac: Share of operator time mapped back to original nodes.
        peaks: Of the machine.
        bottleneck: ``compute``, ``memory``, ``overhead``, ``preprocessing``, ``queue`` or ``unknown``.
        why: One sentence on that.
        remarks: Findings such as why INT8 is slower than FP32.
    """

    candidate: Candidate
    batch: int
    operators: tuple[OperatorTime, ...]
    wall_ms: float
    pipeline_ms: float
    mapped_frac: float
    peaks: MachinePeaks
    bottleneck: Literal["compute", "memory", "overhead", "preprocessing", "queue", "unknown"]
    why: str
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyEvidence:
    """The paired comparison of a candidate's answers with the baseline's on one split.

    Attributes:
        metric: Name of the metric.
        split: ``search`` or ``confirm``.
        n: Samples compared.
        n_differ: Samples on which the two answers differ.
        n_worse: Baseline right, candidate wrong.
        n_better: Baseline wrong, candidate right.
        baseline_frac: Metric of the baseline.
        candidate_frac: Metric of the candidate.
        drop_frac: Baseline − candidate with a one-sided upper limit in ``hi`` (``lo`` is −inf).
        verdict: ``met`` when the limit is within the allowed drop, ``not_met`` when even the lower limit is
            above it, else ``unproven``.
        n_needed: Samples that would settle an unproven case at the rates seen, None when not applicable.
    """

    metric: str
    split: Literal["search", "confirm"]
    n: int
    n_differ: int
    n_worse: int
    n_better: int
    baseline_frac: Estimate
    candidate_frac: Estimate
    drop_frac: Estimate
    verdict: Outcome
    n_needed: int | None = None
