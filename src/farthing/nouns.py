"""The words farthing speaks: frozen values without input or output.

Every numeric field carries its unit in its name. Arrays are read-only. A fraction (``_frac``) lies in
[0, 1] unless said otherwise; ``Estimate`` fields take the unit of the field that holds them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "AccuracyEvidence",
    "Artefact",
    "AtUtilisation",
    "Baseline",
    "BaselineSpec",
    "Bill",
    "Candidate",
    "Check",
    "Contention",
    "Dataset",
    "Estimate",
    "Evaluation",
    "FixedFleet",
    "FleetSize",
    "Hardware",
    "HeldBaseline",
    "HourlyPlan",
    "IdleOption",
    "Latency",
    "LatencyBound",
    "MachinePeaks",
    "Measurement",
    "ModelRef",
    "Objective",
    "Offer",
    "OfferEstimate",
    "OperatorTime",
    "Outcome",
    "PipelineSpec",
    "Plan",
    "Precision",
    "Profile",
    "Provenance",
    "SavingPart",
    "Scenario",
    "ServedModel",
    "Splits",
    "StandIn",
    "Status",
    "TensorSpec",
    "Term",
    "Trace",
    "Verdict",
    "Verification",
    "WithoutPromise",
    "Workload",
    "latency_metric",
    "percentile_name",
]

Precision = Literal["fp32", "bf16", "fp16", "int8"]
Scenario = Literal["SingleStream", "Offline", "Server"]
Term = Literal["on_demand", "spot", "reserved_1y", "reserved_3y", "serverless", "per_token", "owned"]
Outcome = Literal["met", "not_met", "unproven"]
Status = Literal["baseline", "chosen", "tied", "lost", "infeasible", "failed"]
HOURS_PER_MONTH = 730.0
"""Hours in a month as the clouds bill them (8,760 / 12)."""
Interpolation = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]
IMAGE_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""Pillow's names of the image formats that are opened; all others are refused."""
NEVER_MS = 1e9
"""Stands for a latency without a limit: beyond all bounds, and finite in every file format."""
HIGHEST_LEVEL = 0.999
"""Highest latency percentile that can be promised: p99.99 would take 40,000 single requests and 200,000 served ones."""
BUSY_FRAC = 0.25
"""From this share of contended blocks on a machine was busy: what was measured there proves no promise missed."""
_ROUNDING = 1e-14
MAX_PIXELS = 50_000_000
"""Default limit on the pixels of one image, checked before decoding."""


def _require(ok: bool, owner: object, problem: str) -> None:
    if not ok:
        raise ValueError(f"{type(owner).__name__}: {problem}: {owner!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with the interval that was measured or derived for it.

    Attributes:
        value: Point estimate, in the unit of the field that holds it.
        lo: Lower end of the interval, ≤ value (−inf when the interval is one-sided). An end that lies past the value by
            no more than the rounding of a few multiplications is the value.
        hi: Upper end of the interval, ≥ value (+inf when the interval is one-sided), as ``lo``.
        n: Number of independent observations (blocks, requests, images) behind it; 0 for a quoted fact.
        method: How the interval was made, for example ``"t on 12 log ratios"``.
        source: Where the number comes from (a measurement's key, a price list, a formula).
        confidence: Coverage of the interval in (0, 1).
    """

    value: float
    lo: float
    hi: float
    n: int
    method: str
    source: str = ""
    confidence: float = 0.95

    def __post_init__(self) -> None:
        _require(not any(math.isnan(x) for x in (self.value, self.lo, self.hi)), self, "NaN is no estimate")
        for end in ("lo", "hi"):
            if math.isclose(getattr(self, end), self.value, rel_tol=_ROUNDING):
                object.__setattr__(self, end, self.value)
        _require(self.lo <= self.value <= self.hi, self, "lo ≤ value ≤ hi does not hold")
        _require(self.n >= 0, self, "n must be ≥ 0")
        _require(0 < self.confidence < 1, self, "confidence must lie in (0, 1)")

    def scaled(self, factor: float) -> Estimate:
        """The same estimate times a constant (its ends swap when the factor is negative)."""
        lo, hi = sorted((self.lo * factor, self.hi * factor))
        return Estimate(
            value=self.value * factor,
            lo=lo,
            hi=hi,
            n=self.n,
            method=self.method,
            source=self.source,
            confidence=self.confidence,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """Arrivals counted in equal steps.

    Attributes:
        name: What it is called in reports (a file name or ``"day-night"``).
        step_s: Length of a step in seconds, > 0 and ≤ 3,600.
        counts: Requests in each step, shape ``(n_steps,)``, finite and ≥ 0, at least one positive.
        start: Local time of the first step, or None when unknown.
        inferred: True when the volume was derived (from a bill) rather than observed.
        read_as: How its numbers were understood, empty for a trace that was not read.
        guessed: True when names and values told what the numbers are, False when the user said it.
    """

    name: str
    step_s: float
    counts: NDArray[np.float64]
    start: datetime | None = None
    inferred: bool = False
    read_as: str = ""
    guessed: bool = False

    def __post_init__(self) -> None:
        counts = np.array(self.counts, dtype=np.float64)
        counts.setflags(write=False)
        object.__setattr__(self, "counts", counts)
        if not 0 < self.step_s <= 3600:
            raise ValueError(f"Trace {self.name}: step_s must lie in (0, 3600], is {self.step_s}")
        if counts.ndim != 1 or counts.size == 0 or not np.isfinite(counts).all() or (counts < 0).any():
            raise ValueError(f"Trace {self.name}: counts must be one-dimensional, finite and ≥ 0, is {counts!r}")
        if not (counts > 0).any():
            raise ValueError(f"Trace {self.name}: no requests in {counts.size} steps")

    @property
    def hours(self) -> float:
        """Length in hours."""
        return self.counts.size * self.step_s / 3600

    def hourly_rps(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and peak rate of each hour.

        Returns:
            ``(mean_rps, peak_rps)``, each of shape ``(n_hours,)``; the peak is the busiest step of the hour.
            A last incomplete hour counts as an hour of its own, its mean over the part that was seen.
        """
        per_hour = max(1, round(3600 / self.step_s))
        rates = self.counts / self.step_s
        starts = np.arange(0, rates.size, per_hour)
        sizes = np.diff(np.append(starts, rates.size))
        return np.add.reduceat(rates, starts) / sizes, np.maximum.reduceat(rates, starts)

    def requests_per_month(self) -> float:
        """Requests in a month of 730 hours at this trace's average rate."""
        return float(self.counts.sum() / self.hours * HOURS_PER_MONTH)

    def scaled(self, factor: float, *, inferred: bool | None = None) -> Trace:
        """The same shape with every count multiplied by ``factor`` (> 0)."""
        return Trace(
            name=self.name,
            step_s=self.step_s,
            counts=self.counts * factor,
            start=self.start,
            inferred=self.inferred if inferred is None else inferred,
            read_as=self.read_as,
            guessed=self.guessed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """Name, element type and shape of one input or output; None is a dynamic dimension."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSpec:
    """How what a client sends becomes tensors; the same code runs when measuring and serving.

    Attributes:
        kind: ``image`` (encoded bytes), ``text`` (a string) or ``tensor`` (arrays, nothing to do).
        resize: Short side in pixels after resizing, None for no resize; the height where ``squash`` is set.
        squash: Resize to ``resize`` × ``resize_width`` pixels instead of keeping the aspect ratio.
        crop: Height of the centre crop in pixels, None for no crop.
        interpolation: Filter of resizing; all but ``nearest`` are antialiased.
        mean: Per channel, subtracted after ``value × scale + offset``.
        std: Per channel, divided by after the mean; > 0.
        scale: Factor on the byte values before mean and std (1/255 or 1).
        channels: 3 (RGB) or 1 (grey).
        layout: ``NCHW`` or ``NHWC``.
        tokenizer: Path of a Hugging Face ``tokenizer.json`` (text only).
        max_length: Longest token sequence; longer texts are cut.
        group_by_length: Batches are formed of texts of like length, padded to their longest only.
        input_names: Model inputs that the pipeline fills, in order; empty means the model's own order.
        max_pixels: Larger images are refused before decoding.
        max_payload_bytes: Longer payloads (encoded image, UTF-8 text) are refused before anything reads them.
        resize_width: Width in pixels of a squashed image, None when it is ``resize``.
        longest: Bound in pixels on the long side of an image resized by its short side, None for no bound.
        crop_width: Width of the centre crop in pixels, None when it is ``crop``.
        crop_middle: Half a pixel beside the middle goes to the even side (``rounded``, torchvision) or up and to the
            left (``floored``, transformers).
        offset: Added to ``value × scale`` before the mean.
        std_twice: Divide by ``std`` a second time, as EfficientNet's processor does for its classifiers.
        bgr: Hand the channels over blue first; mean and std are in that order.
        exif_rotation: Turn images upright by their EXIF orientation before all else.
        padding_side: Where short texts are filled up, None as tokenizer.json says, else ``right``.
        truncation_side: Where long texts are cut, None as tokenizer.json says, else ``right``.
        pad_token: Token that fills short texts up, None as tokenizer.json says.
        tokenizer_settings: How transformers' class changes what tokenizer.json says, by setting; ``class`` names it.
            Empty: tokenizer.json as it stands.
    """

    kind: Literal["image", "text", "tensor"]
    resize: int | None = None
    squash: bool = False
    crop: int | None = None
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    scale: float = 1 / 255
    channels: int = 3
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    tokenizer: str | None = None
    max_length: int = 128
    group_by_length: bool = True
    input_names: tuple[str, ...] = ()
    max_pixels: int = MAX_PIXELS
    max_payload_bytes: int = 32 * 2**20
    resize_width: int | None = None
    longest: int | None = None
    crop_width: int | None = None
    crop_middle: Literal["rounded", "floored"] = "rounded"
    offset: float = 0.0
    std_twice: bool = False
    bgr: bool = False
    exif_rotation: bool = False
    padding_side: Literal["left", "right"] | None = None
    truncation_side: Literal["left", "right"] | None = None
    pad_token: str | None = None
    tokenizer_settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(all(s > 0 for s in self.std), self, "std must be > 0")
        _require(self.channels in (1, 3), self, "channels must be 1 or 3")
        _require(self.kind != "text" or self.tokenizer is not None, self, "a text pipeline needs a tokenizer")
        _require(self.max_length > 0, self, "max_length must be > 0")
        for name in ("resize", "resize_width", "longest", "crop", "crop_width"):
            pixels = getattr(self, name)
            _require(pixels is None or pixels > 0, self, f"{name} must be > 0 pixels")
        _require(self.resize_width is None or self.squash, self, "resize_width needs squash and resize")
        _require(not (self.bgr and self.channels == 1), self, "bgr needs three channels")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Payloads of a workload with the labels that judge the answers.

    Attributes:
        kind: As in :class:`PipelineSpec`.
        items: File paths (image), strings (text), or the path of an ``.npz`` file and its input arrays (tensor).
        n: Number of samples.
        labels: One class index or number a sample, or None when there are none.
        ids: A name for each sample, for reports and leakage checks.
        classes: Names of the classes in index order, empty when unknown.
        source: Where it was read from, as the user gave it.
        numbered: How the classes got their numbers, in words, where these are not the model's own; else empty.
    """

    kind: Literal["image", "text", "tensor"]
    items: tuple[str, ...]
    n: int
    labels: tuple[float, ...] | None = None
    ids: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    source: str = ""
    numbered: str = ""

    def __post_init__(self) -> None:
        if self.labels is not None and len(self.labels) != self.n:
            raise ValueError(f"Dataset {self.source}: {len(self.labels)} labels for {self.n} samples")


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """Indices into a :class:`Dataset`: calibrate on one part, choose on another, prove once on the last.

    Attributes:
        calibrate: Indices into the *calibration* data set (training data where the user has some).
        search: Indices into the holdout on which candidates are chosen.
        confirm: Indices into the holdout that stays untouched until the end.
    """

    calibrate: tuple[int, ...]
    search: tuple[int, ...]
    confirm: tuple[int, ...]

    def __post_init__(self) -> None:
        _require(not set(self.search) & set(self.confirm), self, "search and confirm must not overlap")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """A model as the user has it.

    Attributes:
        kind: ``onnx`` (a file), ``torch`` (``package.module:callable`` or ``file.py:callable`` that returns
            an ``nn.Module``), ``optimum`` (a folder with model.onnx, config.json, tokenizer.json).
        path: The file, folder or import path.
        onnx_path: The ONNX file once exported or found, else None.
        example_shape: Shape of one sample without the batch dimension, for exporting a torch module.
    """

    kind: Literal["onnx", "torch", "optimum"]
    path: str
    onnx_path: str | None = None
    example_shape: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """Facts of a device or an instance; None where a source did not say.

    Attributes:
        name: ``aws/m7i.large``, or this machine's own name.
        vcpus: Logical processors.
        threads_per_core: Hardware threads of one core.
        isa: Instruction sets that matter, such as ``avx2 avx512f avx512_vnni avx512_bf16 amx_int8``.
        memory_gib: Main memory.
        arch: ``x86_64`` or ``arm64``.
        cpu: Processor's name.
        accelerator: GPU's name.
        accelerators: Number of them.
        accelerator_memory_gib: Memory of one of them.
        generation: The processor's micro-architecture, such as ``Zen 5`` or ``Sapphire Rapids``, where it could be told
            from the processor itself; None where ``cpu`` says it in words, or nobody does.
    """

    name: str
    vcpus: float | None = None
    threads_per_core: int | None = None
    isa: tuple[str, ...] = ()
    memory_gib: float | None = None
    arch: str | None = None
    cpu: str | None = None
    accelerator: str | None = None
    accelerators: float = 0
    accelerator_memory_gib: float | None = None
    generation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """How the machine that was measured compares with the offer that it is priced as.

    Attributes:
        machine: The machine in words: ``AMD Zen 5, 2 cores of 1 thread, 23.5 GiB``.
        offer: The offer in the same words.
        differences: What is known of both and is not alike, a few words each; empty when nothing is.
        unknown: Facts that one of the two does not state.
        capacity_factor: Rate of the offer over the rate that was measured, by vCPUs, > 0; 1 where they are as many or
            one of the two does not say.
        dearer_up_to: Factor ≥ 1 on every dollar if the measured cores are whole ones and the offer's are threads of
            fewer; 1 where cores and vCPUs are in the same proportion on both sides.
        rule: How capacity was carried over, one sentence; empty when there was nothing to carry.
    """

    machine: str
    offer: str
    differences: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    capacity_factor: float = 1.0
    dearer_up_to: float = 1.0
    rule: str = ""

    def __post_init__(self) -> None:
        _require(self.capacity_factor > 0, self, "capacity_factor must be > 0")
        _require(self.dearer_up_to >= 1, self, "dearer_up_to must be ≥ 1")

    @property
    def alike(self) -> bool:
        """Whether nothing that is known of both differs."""
        return not self.differences


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A dated price for a Hardware in a region under one term.

    Attributes:
        name: ``provider/instance`` such as ``aws/m7i.large``.
        provider: ``aws``, ``azure``, ``gcp`` or the user's own word.
        region: The provider's name of it.
        term: How it is bought.
        hardware: What one gets.
        usd_per_hour: Effective price of one hour of the whole instance, any up-front part spread over the
            term; None for terms not priced by the hour.
        upfront_usd: Part of it paid once at the start.
        usd_per_request: Serverless: for each request.
        usd_per_gib_s: Serverless: for each GiB-second.
        usd_per_input_token: Per-token end points.
        usd_per_output_token: Per-token end points.
        interruptions_per_hour: Spot: expected preemptions of one replica in an hour, None when no source said.
        parts_usd_per_hour: Shares of vCPU, memory, GPU where the source prices them apart; they add up.
        dated: Day on which the price was valid at the source.
        source: What was read, with its version.
    """

    name: str
    provider: str
    region: str
    term: Term
    hardware: Hardware
    dated: date
    source: str
    usd_per_hour: float | None = None
    upfront_usd: float = 0.0
    usd_per_request: float | None = None
    usd_per_gib_s: float | None = None
    usd_per_input_token: float | None = None
    usd_per_output_token: float | None = None
    interruptions_per_hour: float | None = None
    parts_usd_per_hour: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rates = (
            self.usd_per_hour,
            self.usd_per_request,
            self.usd_per_gib_s,
            self.usd_per_input_token,
            self.usd_per_output_token,
        )
        _require(any(r is not None for r in rates), self, "an offer without any price")
        _require(all(r is None or (math.isfinite(r) and r > 0) for r in rates), self, "prices must be > 0")
        _require(bool(self.source), self, "a price without a source")

    @property
    def key(self) -> str:
        """Unique name: ``aws/m7i.large@us-east-1:on_demand``."""
        return f"{self.name}@{self.region}:{self.term}"


def percentile_name(percentile: float) -> str:
    """``p99`` for 0.99, ``p99.9`` for 0.999: how a level is called everywhere."""
    return f"p{percentile * 100:.6g}"


def latency_metric(percentile: float) -> str:
    """Name of a Measurement's metric: ``latency_p99_ms``, ``latency_p99.9_ms``."""
    return f"latency_{percentile_name(percentile)}_ms"


_LATENCY_METRIC = re.compile(r"latency_p(\d+(?:\.\d+)?)_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyBound:
    """What is promised of latency: so many of the requests are answered within a time.

    Attributes:
        ms: The time, > 0.
        percentile: Share of the requests, in (0, 0.999]; what lies above takes more requests than a run has.
    """

    ms: float
    percentile: float = 0.99

    def __post_init__(self) -> None:
        _require(self.ms > 0, self, "ms must be > 0")
        _require(
            0 < self.percentile <= HIGHEST_LEVEL,
            self,
            f"percentile must lie in (0, {HIGHEST_LEVEL:g}]; above it a run has too few requests",
        )

    @property
    def name(self) -> str:
        """``p99.9``."""
        return percentile_name(self.percentile)

    @property
    def flag(self) -> str:
        """``--p999``: how it is asked for."""
        return f"--{self.name.replace('.', '')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """A latency percentile that was measured; it carries its level, so that no other name is written on it.

    Attributes:
        percentile: Which one, in (0, 1).
        ms: Its value.
    """

    percentile: float
    ms: Estimate

    def __post_init__(self) -> None:
        _require(0 < self.percentile < 1, self, "percentile must lie in (0, 1)")

    @property
    def name(self) -> str:
        """``p99.9``."""
        return percentile_name(self.percentile)


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The promise that a plan must keep.

    Attributes:
        latency: Bound on a latency percentile, None for no bound.
        metric: ``accuracy``, ``agreement``, ``f1_macro`` … or the name of a custom metric.
        max_drop_frac: Largest allowed drop of the metric against the baseline (0.01 = 1 point).
        confidence: Confidence of the accuracy gate, in (0, 1).
        min_saving_frac: Saving that must be proven, None when any saving will do.
        budget_usd_per_month: Upper bound on the planned cost, None for none.
        min_replicas: Fewest replicas at any time, ≥ 1.
    """

    latency: LatencyBound | None = None
    metric: str = "accuracy"
    max_drop_frac: float = 0.01
    confidence: float = 0.95
    min_saving_frac: float | None = None
    budget_usd_per_month: float | None = None
    min_replicas: int = 1

    def __post_init__(self) -> None:
        _require(0 <= self.max_drop_frac < 1, self, "max_drop_frac must lie in [0, 1)")
        _require(0.5 < self.confidence < 1, self, "confidence must lie in (0.5, 1)")
        _require(self.min_replicas >= 1, self, "min_replicas must be ≥ 1")

    @property
    def level(self) -> float:
        """The latency percentile that is measured under load: the promised one, 0.99 when none is promised."""
        return 0.99 if self.latency is None else self.latency.percentile


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineSpec:
    """What serves the model today.

    Attributes:
        engine: ``pytorch``, ``onnxruntime`` or ``openvino``.
        precision: Of its arithmetic.
        max_batch: Largest batch; 1 means one request at a time.
    """

    engine: str = "pytorch"
    precision: Precision = "fp32"
    max_batch: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What is paid today.

    Attributes:
        offer: Name of the offer (``aws/m7i.large``).
        region: Region of the offer, None for the snapshot's first.
        term: How it is bought today.
        usd_per_month: The amount, or None when ``replicas`` is given.
        replicas: Instances running all month, or None when ``usd_per_month`` is given.
        fixed_fleet: The same number of replicas runs in every hour: nothing scales with the load.
    """

    offer: str
    region: str | None = None
    term: Term = "on_demand"
    usd_per_month: float | None = None
    replicas: int | None = None
    fixed_fleet: bool = False

    def __post_init__(self) -> None:
        _require((self.usd_per_month is None) != (self.replicas is None), self, "give usd_per_month or replicas")
        _require(self.usd_per_month is None or self.usd_per_month > 0, self, "usd_per_month must be > 0")
        _require(self.replicas is None or self.replicas > 0, self, "replicas must be > 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Who asks and when, with what, of which model, judged by which labelled data.

    Attributes:
        name: For reports.
        model: As the user has it.
        pipeline: From payload to tensors.
        holdout: Labelled data that judges candidates (search and confirm splits are drawn from it).
        calibration: Data to calibrate quantisation on, None to take it from the holdout's search split.
        baseline: What serves today.
        bill: What is paid today.
        trace: Arrivals, None when only a volume, a utilisation or nothing is known of them.
        shape: ``day-night`` or ``flat``: the shape of traffic without a trace.
        requests_per_month: Volume for ``shape``, None when unknown.
        utilisation_frac: Mean utilisation, in (0, 1], of the replicas that the bill pays for, which gives the volume
            for ``shape``; None when unknown.
        usage: Utilisation of those replicas by step (counts are shares times the step's length), which gives the shape
            and, by its mean, ``utilisation_frac``; None when no such series was given.
        custom_metric: Import path of a metric callable, None for a built-in one.
        search_n: Samples of the holdout on which candidates are chosen, None for the default share.
        confirm_n: Samples that prove the choice, None for all the others.
        priced_as: Offer that this machine stands for, None for the bill's own.
    """

    name: str
    model: ModelRef
    pipeline: PipelineSpec
    holdout: Dataset
    baseline: BaselineSpec
    bill: Bill
    objective: Objective
    calibration: Dataset | None = None
    trace: Trace | None = None
    shape: str = "day-night"
    requests_per_month: float | None = None
    custom_metric: str | None = None
    search_n: int | None = None
    confirm_n: int | None = None
    priced_as: str | None = None
    utilisation_frac: float | None = None
    usage: Trace | None = None

    def __post_init__(self) -> None:
        used = self.utilisation_frac
        _require(used is None or 0 < used <= 1, self, "utilisation_frac must lie in (0, 1]")


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


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Candidate:
    """One way to serve the model, not yet tried.

    Attributes:
        engine: Engine's name.
        variant: Variant's name.
        precision: What the engine is told to compute in.
        max_batch: Largest batch, ≥ 1; batching is timer-free.
        instances: Worker processes in a replica.
        threads: Threads of each worker.
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
        _require(min(self.max_batch, self.instances, self.threads) >= 1, self, "batch, instances, threads ≥ 1")

    @property
    def build(self) -> str:
        """Engine and variant alone: what decides the answers (``openvino/int8-nncf``)."""
        return f"{self.engine}/{self.variant}"

    @property
    def label(self) -> str:
        """For people: ``openvino int8-nncf b8 2×1``."""
        return f"{self.engine} {self.variant} b{self.max_batch} {self.instances}×{self.threads}"


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
class MachinePeaks:
    """What this machine was seen to do at best, one thread; None where it has no such unit.

    Attributes:
        fp32_gflops: Multiply and add counted apart.
        bf16_gflops: As above.
        int8_gops: As above, unsigned activations times signed weights.
        memory_gb_per_s: Bytes read and written, from and to main memory.
        cache_gb_per_s: The same within the caches, None when not measured.
        cache_mib: Size of the last-level cache, None when the system does not say.
    """

    fp32_gflops: float
    bf16_gflops: float | None
    int8_gops: float | None
    memory_gb_per_s: float
    cache_gb_per_s: float | None = None
    cache_mib: float | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer to “does it hold?”.

    Attributes:
        outcome: ``met``, ``not_met`` or ``unproven``.
        reasons: One sentence each, the decisive one first.
        hint: What to do next, empty when there is nothing to do.
    """

    outcome: Outcome
    reasons: tuple[str, ...] = ()
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contention:
    """How often others used the cores while something was measured.

    Attributes:
        contended: Blocks and runs during which the cores were busy in spite of retries.
        of: All of them.
    """

    contended: int
    of: int

    def __post_init__(self) -> None:
        _require(0 <= self.contended <= self.of, self, "0 ≤ contended ≤ of does not hold")

    @property
    def busy(self) -> bool:
        """Whether so many were contended that nothing is proven missed."""
        return self.contended > 0 and self.contended >= BUSY_FRAC * self.of


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All that is known of one Candidate at the end of a run.

    Attributes:
        candidate: What it is.
        status: What became of it.
        reason: Why it lost, failed or cannot be used; empty for the chosen one.
        service_ms: Time of a whole batch with all cores loaded, by batch size, smallest first.
        capacity_rps: One replica with all cores loaded at ``max_batch``.
        sla_rps: Highest arrival rate of one replica at which the latency bound holds; None when it never does.
        single: Latency of single requests (SingleStream, first worker): p50, p90, p99 and the promised level, lowest
            first; empty when not measured.
        at_peak: Latency at the promised level and the plan's peak rate (Server); None when it was not served.
        ratio: Capacity over the baseline's, from interleaved blocks.
        accuracy: On the last split it was tried on, None when it was not.
        cost_usd_per_month: At the workload's trace on the bill's own offer and term.
        usd_per_million: Cost of a million inferences at the trace.
        peak_memory_mib: Resident, of all workers of a replica.
        load_s: From start of loading to ready.
        first_inference_s: First call after loading.
        artefact: What is loaded, None for the baseline's own module.
        quantiles_ms: SingleStream latency at 0 … 100 %, for the picture.
        service_sigma: Standard deviation of the logarithm of a batch's service time, ≥ 0; 0 in plans that did not say.
        at_peak_rps: Rate at which ``at_peak`` was measured; None when it was not, and in plans that did not say.
    """

    candidate: Candidate
    status: Status
    reason: str = ""
    service_ms: tuple[tuple[int, Estimate], ...] = ()
    capacity_rps: Estimate | None = None
    sla_rps: Estimate | None = None
    single: tuple[Latency, ...] = ()
    at_peak: Latency | None = None
    ratio: Estimate | None = None
    accuracy: AccuracyEvidence | None = None
    cost_usd_per_month: Estimate | None = None
    usd_per_million: Estimate | None = None
    peak_memory_mib: float | None = None
    load_s: float | None = None
    first_inference_s: float | None = None
    artefact: Artefact | None = None
    quantiles_ms: tuple[float, ...] = ()
    service_sigma: float = 0.0
    at_peak_rps: float | None = None

    def single_at(self, percentile: float) -> Latency | None:
        """Latency of single requests at one level, None when it was not measured."""
        return next((x for x in self.single if math.isclose(x.percentile, percentile)), None)

    def tail_at(self, percentile: float) -> Latency | None:
        """Latency at one level: at the peak rate where that was measured, else of single requests, else None."""
        if self.at_peak is not None and math.isclose(self.at_peak.percentile, percentile):
            return self.at_peak
        return self.single_at(percentile)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavingPart:
    """One step of the way from the bill to the plan; the parts of a plan add up exactly.

    Attributes:
        name: ``right-sizing``, ``efficiency``, ``batching`` or ``purchase terms``; ``saving`` is the first three of
            them together where nobody knows the traffic that would tell them apart.
        usd_per_month: Saved by it (negative when it costs); None when it was not priced, which is not 0.
        claimed: True when farthing counts it as its own saving (right-sizing of a gap is shown, not credited).
        note: How it was worked out.
    """

    name: str
    usd_per_month: Estimate | None
    claimed: bool
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtUtilisation:
    """What a plan comes to if the replicas that the bill pays for are busy to this share.

    Attributes:
        utilisation_frac: Mean utilisation, in (0, 1].
        requests_per_month: Volume that goes with it.
        baseline_usd_per_month: What the baseline needs for it, hour by hour.
        planned_usd_per_month: What the plan costs, all terms included; None when nothing is planned.
        saving_frac: As the plan's, at this utilisation; None when nothing is planned.
    """

    utilisation_frac: float
    requests_per_month: float
    baseline_usd_per_month: Estimate
    planned_usd_per_month: Estimate | None = None
    saving_frac: Estimate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HourlyPlan:
    """Replicas hour by hour over the trace.

    Attributes:
        mean_rps: Shape ``(n_hours,)`` as a tuple.
        peak_rps: As above.
        baseline_replicas: Whole replicas the baseline needs.
        planned_replicas: Whole replicas the plan needs.
        committed_replicas: Part of them bought under ``committed_term``.
        committed_term: None when nothing is committed.
        baseline_usd: Cost of each hour today on the bill's offer, hour by hour.
        planned_usd: Cost of each hour as planned, all terms included.
    """

    mean_rps: tuple[float, ...]
    peak_rps: tuple[float, ...]
    baseline_replicas: tuple[int, ...]
    planned_replicas: tuple[int, ...]
    committed_replicas: int = 0
    committed_term: Term | None = None
    baseline_usd: tuple[float, ...] = ()
    planned_usd: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferEstimate:
    """What the chosen candidate would cost on hardware that nobody measured; never chosen.

    Attributes:
        offer: The other offer.
        cost_usd_per_month: Wide interval.
        rule: How the capacity was carried over.
    """

    offer: Offer
    cost_usd_per_month: Estimate
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBaseline:
    """What the baseline would cost if it had to keep the promise that it breaks.

    Attributes:
        alone: Its latency at the promised level, one request at a time.
        breaks_idle: It breaks the promise even then: no number of replicas keeps it.
        rate_rps: Highest rate of a replica within the promise by the batch queue; None when there is none.
        cost_usd_per_month: At that rate, on the bill's own offer and term; None when there is none.
    """

    alone: Latency
    breaks_idle: bool
    rate_rps: float | None = None
    cost_usd_per_month: Estimate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WithoutPromise:
    """What the candidate nearest to a promise that nobody keeps would cost at its highest stable rate.

    Attributes:
        candidate: Which one.
        rate_rps: Of a replica, whatever its latency there.
        replicas: Whole replicas by hour.
        cost_usd_per_month: On the bill's own offer and term.
        saving_frac: Against the baseline, which is priced in the same way.
        parts: From the bill to that cost, adding up; empty where the traffic is not known.
    """

    candidate: Candidate
    rate_rps: float
    replicas: tuple[int, ...]
    cost_usd_per_month: Estimate
    saving_frac: Estimate
    parts: tuple[SavingPart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleOption:
    """A cheaper way to buy what serves little traffic; estimated, never measured there.

    Attributes:
        name: ``smaller offer``, ``scale to zero`` or ``serverless``.
        offer: What is bought.
        candidate: What is served there.
        cost_usd_per_month: For the trace.
        rule: How it was worked out, and what it takes.
    """

    name: Literal["smaller offer", "scale to zero", "serverless"]
    offer: Offer
    candidate: Candidate
    cost_usd_per_month: Estimate
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSize:
    """A fleet of one size, the same in every hour.

    Attributes:
        replicas: Its size, ≥ 1.
        usd_per_month: On the bill's own offer and term.
        baseline: Latency of what serves today at the promised level in the trace's busiest step, by the batch queue;
            None when it is not known.
        planned: The same of the plan; None when nothing is planned.
        held: Who keeps the promise with headroom at that size: ``baseline``, ``planned``.
    """

    replicas: int
    usd_per_month: float
    baseline: Latency | None
    planned: Latency | None
    held: tuple[Literal["baseline", "planned"], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedFleet:
    """How many replicas of a fleet that does not scale can go.

    Attributes:
        today: Replicas that the bill pays for.
        baseline: Fewest that serve the busiest step as it is today, at the baseline's highest stable rate.
        planned: Fewest that keep the promise as planned; None when nothing is planned.
        sizes: Fleets between the fewest and today's, the smallest first.
    """

    today: int
    baseline: int
    planned: int | None
    sizes: tuple[FleetSize, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What is needed to repeat the run.

    Attributes:
        command: As typed.
        seed: Of everything random.
        versions: Package → version.
        hardware: The machine it ran on.
        fingerprint: Digest of those facts.
        started_at: Local time with offset.
        seconds: Wall time by item: ``measure build compile child_start parent total`` …
        parent_peak_mib: Peak resident memory of the parent.
        content: SHA-256 of what was read, by what it is called: model, data, tokenizer, code.
        reuse: What was taken from an earlier run, and what could not be, one sentence each.
    """

    command: str
    seed: int
    versions: Mapping[str, str]
    hardware: Hardware
    fingerprint: str
    started_at: datetime
    seconds: Mapping[str, float]
    parent_peak_mib: float = 0.0
    content: Mapping[str, str] = field(default_factory=dict)
    reuse: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Candidates × replicas × Offers chosen for a Workload under an Objective, with the evidence.

    Attributes:
        workload: The workload's name.
        description: One line on model, data and baseline for the head of the report.
        verdict: Whether the objective is met.
        objective: The promise.
        pipeline: Input pipeline, by value.
        bill_usd_per_month: What is paid today.
        baseline_usd_per_month: What the baseline needs at the trace, hour by hour.
        planned_usd_per_month: What the plan costs, all terms included.
        saving_frac: Efficiency and batching at equal offer and term: 1 − planned/baseline. Where the traffic is not
            known, the least over all ``utilisations``.
        saving_versus_best_fp32_frac: The same against the best full-precision engine, None when unknown.
        saving_versus_best_half_frac: The same against the best BF16 or FP16 engine, None when none was measured.
        best_half: That engine, None when there is none.
        stand_in: How the machine compares with the offer it is priced as, None in plans that did not ask.
        utilisations: Without traffic data, what the plan comes to at each utilisation, the least first; every other
            figure in dollars or requests is that of the last one. Empty where the traffic is known.
        parts: From the bill to the plan, adding up.
        baseline: What serves today.
        chosen: What is planned; None when nothing meets the objective.
        nearest: Closest to feasible when nothing is.
        evaluations: Every candidate, baseline and chosen included.
        hourly: Replicas by hour.
        trace_name: Name of the trace.
        requests_per_month: Volume priced.
        offers: Every price used, the bill's own first.
        priced_as: The offer that this machine stands for.
        elsewhere: Estimates for hardware that was not measured.
        profiles: Of baseline and chosen.
        assumptions: Each one sentence.
        excluded: What is not priced.
        artefacts: Ready to serve, by relative path and digest.
        splits: Sizes of calibrate, search and confirm.
        provenance: How to repeat it.
        canary_ms: Time of the canary kernel beside the blocks that gave the plan's capacities, from which a later
            look tells how fast the machine was; None when it was not asked.
        best_fp32: The best full-precision engine beside the baseline, None when there is none.
        rate_ratio: Rate that the choice kept within the promise over the baseline's throughput; None when nothing was
            served, and in plans that did not say.
        held_baseline: The baseline if it had to keep the promise; None where it keeps it, or none is made.
        without_promise: The nearest candidate's cost where nothing keeps the promise; None where something does.
        idle_options: Where one replica idles, cheaper ways to buy it, the cheapest first.
        fixed_fleet: How many replicas of a fleet that does not scale can go; None for one that does.
        contention: Of the blocks and runs on which the verdict rests, None in plans that did not count them.
    """

    workload: str
    description: str
    verdict: Verdict
    objective: Objective
    pipeline: PipelineSpec
    bill_usd_per_month: float
    baseline_usd_per_month: Estimate
    planned_usd_per_month: Estimate | None
    saving_frac: Estimate | None
    saving_versus_best_fp32_frac: Estimate | None
    parts: tuple[SavingPart, ...]
    baseline: Evaluation
    chosen: Evaluation | None
    nearest: Evaluation | None
    evaluations: tuple[Evaluation, ...]
    hourly: HourlyPlan
    trace_name: str
    requests_per_month: float
    offers: tuple[Offer, ...]
    priced_as: str
    elsewhere: tuple[OfferEstimate, ...]
    profiles: tuple[Profile, ...]
    assumptions: tuple[str, ...]
    excluded: tuple[str, ...]
    artefacts: tuple[Artefact, ...]
    splits: Mapping[str, int]
    provenance: Provenance
    canary_ms: Estimate | None = None
    saving_versus_best_half_frac: Estimate | None = None
    best_half: Candidate | None = None
    stand_in: StandIn | None = None
    utilisations: tuple[AtUtilisation, ...] = ()
    best_fp32: Candidate | None = None
    rate_ratio: Estimate | None = None
    held_baseline: HeldBaseline | None = None
    without_promise: WithoutPromise | None = None
    idle_options: tuple[IdleOption, ...] = ()
    fixed_fleet: FixedFleet | None = None
    contention: Contention | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One figure of a plan held against a new measurement.

    Attributes:
        name: What is compared.
        unit: Of the two figures.
        planned: The plan's.
        seen: Measured now.
        limit: The rule in words (``within 10 %``).
        outcome: ``met``, ``not_met``, or ``unproven`` when the machine was too busy to say.
        note: One sentence more, empty when there is nothing to add.
        worse_frac: By how much it is worse than planned, corrected for the machine's speed, as a share of the plan's
            figure; negative where it is better. None where it is held against a bound.
        limit_frac: The most that ``worse_frac`` may be, None likewise.
    """

    name: str
    unit: Literal["ms", "requests/s", "frac", "usd_per_month", "text"]
    planned: Estimate | None
    seen: Estimate | None
    limit: str
    outcome: Outcome
    note: str = ""
    worse_frac: Estimate | None = None
    limit_frac: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """Whether a plan still holds on this machine.

    Attributes:
        workload: The plan's workload.
        candidate: What was measured.
        verdict: Met when every check is.
        checks: In the order they were made.
        machine_speed: Speed of this machine now over its speed when the plan was made: in each round of blocks
            the median of what the baseline, the best FP32 candidate and the canary kernel say, as far as they
            could be run; the checks are held against planned figures corrected by it.
        hardware: Fingerprint of this machine.
    """

    workload: str
    candidate: Candidate
    verdict: Verdict
    checks: tuple[Check, ...]
    machine_speed: Estimate
    hardware: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What serves today, measured and held against the bill.

    Attributes:
        workload: The workload's name.
        description: One line on model, data and baseline.
        evaluation: All that is known of it, cost at the trace included.
        metric: Name of the metric.
        score_frac: The metric on the holdout's search split, None without labels.
        measurements: One for each scenario that was run.
        profile: Where its time goes.
        bill_usd_per_month: What is paid.
        gap: How the bill compares with what the baseline needs at the trace.
        offers: Prices used, the bill's own first.
        assumptions: Each one sentence.
        provenance: How to repeat it.
        priced_as: The offer that this machine stands for.
        stand_in: As in :class:`Plan`.
        utilisations: As in :class:`Plan`, nothing planned.
        excluded: What is not priced.
    """

    workload: str
    description: str
    evaluation: Evaluation
    metric: str
    score_frac: Estimate | None
    measurements: tuple[Measurement, ...]
    profile: Profile
    bill_usd_per_month: float
    gap: SavingPart
    offers: tuple[Offer, ...]
    assumptions: tuple[str, ...]
    provenance: Provenance
    priced_as: str = ""
    stand_in: StandIn | None = None
    utilisations: tuple[AtUtilisation, ...] = ()
    excluded: tuple[str, ...] = ()
