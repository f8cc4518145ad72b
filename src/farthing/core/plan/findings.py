"""All facts of a finished run: what :func:`farthing.core.plan.assemble.assemble` turns into a Plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from farthing.core.traffic.service_curve import ServiceCurve
from farthing.nouns import AccuracyEvidence, Artefact, Candidate, Contention, Estimate, Measurement, Profile

__all__ = ["Facts", "Findings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Of one build and layout, once loaded.

    Attributes:
        load_s: From start of loading to ready.
        first_inference_s: First call.
        child_start_s: From process start to loading.
        peak_memory_mib: Resident, all workers.
        device_memory_mib: On the accelerator, None on a CPU.
    """

    load_s: float
    first_inference_s: float
    child_start_s: float
    peak_memory_mib: float
    device_memory_mib: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was seen of every candidate.

    Attributes:
        baseline: What serves today.
        chosen: Leader of the race, None when no candidate keeps the latency bound.
        artefacts: By variant.
        curves: By build and layout (candidates with ``max_batch`` 1).
        facts: As above.
        sla_rps: Highest arrival rate within the latency bound, by candidate; None where there is none.
        search: Accuracy on the search split, by build.
        confirm: Accuracy on the confirm split, by build.
        ratios: Capacity over the baseline's from the proof rounds, by candidate.
        capacities_rps: Throughput of one replica in the proof rounds or the screen, by candidate.
        lost: Why a candidate did not win, by candidate.
        tied: Candidates that cannot be told apart from the chosen one.
        failed: Why a candidate could not be run, by candidate.
        canary_ms: Time of the canary kernel beside the proof rounds, None when there were none.
        notes: What the report must say about this run.
        skipped: Variants or engines that were not tried, and why.
        latency: SingleStream of baseline and chosen (and of the nearest when nothing is chosen).
        server: Server scenario at the plan's peak rate, by candidate.
        best_fp32: Fastest full-precision candidate, None when there is none beside the baseline.
        best_half: Fastest BF16 or FP16 candidate that is not quantized, None when there is none beside the baseline.
        profiles: Of baseline and chosen.
        kept_rps: Rate that the chosen one kept within the promise through its server, before headroom.
        rate_ratio: That rate over the baseline's throughput, both in turns, in one stretch of time; its interval is
            meant for repeats of the whole run. None when nothing was served.
        shares_frac: Of the machine, what the server's own process and the load generator took at the plan's peak rate;
            None when nothing was served.
        measurements: Everything measured, for the table.
        contention: Of the blocks and runs that decide, None when they were not counted.
    """

    baseline: Candidate
    chosen: Candidate | None
    artefacts: Mapping[str, Artefact]
    curves: Mapping[Candidate, ServiceCurve]
    facts: Mapping[Candidate, Facts]
    sla_rps: Mapping[Candidate, float | None]
    search: Mapping[Candidate, AccuracyEvidence] = field(default_factory=dict)
    confirm: Mapping[Candidate, AccuracyEvidence] = field(default_factory=dict)
    ratios: Mapping[Candidate, Estimate] = field(default_factory=dict)
    capacities_rps: Mapping[Candidate, Estimate] = field(default_factory=dict)
    lost: Mapping[Candidate, str] = field(default_factory=dict)
    tied: tuple[Candidate, ...] = ()
    failed: Mapping[Candidate, str] = field(default_factory=dict)
    canary_ms: Estimate | None = None
    notes: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    latency: Mapping[Candidate, Measurement] = field(default_factory=dict)
    server: Mapping[Candidate, Measurement] = field(default_factory=dict)
    best_fp32: Candidate | None = None
    best_half: Candidate | None = None
    profiles: tuple[Profile, ...] = ()
    kept_rps: Mapping[Candidate, Estimate] = field(default_factory=dict)
    rate_ratio: Estimate | None = None
    shares_frac: tuple[float, float] | None = None
    measurements: tuple[Measurement, ...] = ()
    contention: Contention | None = None
