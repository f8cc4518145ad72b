"""What is asked for: a model, its data and pipeline, its traffic and bill, and what is promised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from farthing.nouns.values import HOURS_PER_MONTH, LatencyBound, Precision, Term, require

__all__ = [
    "IMAGE_FORMATS",
    "MAX_PIXELS",
    "BaselineSpec",
    "Bill",
    "Dataset",
    "Interpolation",
    "ModelRef",
    "Objective",
    "PipelineSpec",
    "Splits",
    "TensorSpec",
    "Trace",
    "Workload",
]

Interpolation = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]
IMAGE_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""Pillow's names of the image formats that are opened; all others are refused."""
MAX_PIXELS = 50_000_000
"""Default limit on the pixels of one image, checked before decoding."""


_DEADLINE_LEVEL = 0.99
"""From this latency percentile on a promise is the deadline of each request."""


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
        require(all(s > 0 for s in self.std), self, "std must be > 0")
        require(self.channels in (1, 3), self, "channels must be 1 or 3")
        require(self.kind != "text" or self.tokenizer is not None, self, "a text pipeline needs a tokenizer")
        require(self.max_length > 0, self, "max_length must be > 0")
        for name in ("resize", "resize_width", "longest", "crop", "crop_width"):
            pixels = getattr(self, name)
            require(pixels is None or pixels > 0, self, f"{name} must be > 0 pixels")
        require(self.resize_width is None or self.squash, self, "resize_width needs squash and resize")
        require(not (self.bgr and self.channels == 1), self, "bgr needs three channels")


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
        require(not set(self.search) & set(self.confirm), self, "search and confirm must not overlap")


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
        require(0 <= self.max_drop_frac < 1, self, "max_drop_frac must lie in [0, 1)")
        require(0.5 < self.confidence < 1, self, "confidence must lie in (0.5, 1)")
        require(self.min_replicas >= 1, self, "min_replicas must be ≥ 1")

    @property
    def level(self) -> float:
        """The latency percentile that is measured under load: the promised one, 0.99 when none is promised."""
        return 0.99 if self.latency is None else self.latency.percentile

    @property
    def deadline_s(self) -> float | None:
        """The bound as every request's deadline, where at most 1 % of the requests may miss it.

        Nobody waits for an answer that comes too late, and who misses a p99 is the exception. A bound on p50 or p95
        says nothing about a single request: half of them, or one in twenty, are meant to take longer.
        """
        bound = self.latency
        return None if bound is None or bound.percentile < _DEADLINE_LEVEL else bound.ms / 1000


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
        require((self.usd_per_month is None) != (self.replicas is None), self, "give usd_per_month or replicas")
        require(self.usd_per_month is None or self.usd_per_month > 0, self, "usd_per_month must be > 0")
        require(self.replicas is None or self.replicas > 0, self, "replicas must be > 0")


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
        require(used is None or 0 < used <= 1, self, "utilisation_frac must lie in (0, 1]")
