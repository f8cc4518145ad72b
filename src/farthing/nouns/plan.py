"""A plan, and what stands beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from farthing.nouns.hardware import Hardware, Offer, StandIn
from farthing.nouns.measured import AccuracyEvidence, Artefact, Backend, Candidate, Measurement, Profile
from farthing.nouns.values import Contention, Estimate, Latency, Outcome, Status, Term, Verdict
from farthing.nouns.workload import Objective, PipelineSpec

__all__ = [
    "AtUtilisation",
    "Baseline",
    "Check",
    "Evaluation",
    "FixedFleet",
    "FleetSize",
    "HeldBaseline",
    "HourlyPlan",
    "IdleOption",
    "OfferEstimate",
    "Plan",
    "Provenance",
    "SavingPart",
    "Verification",
    "WithoutPromise",
]


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
        headroom: The rate kept over the one that is planned for, ≥ 1; in plans that did not say it was 1.1.
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
    headroom: float = 1.1


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
        candidate: What was measured: the plan's choice, or what answers for a route.
        verdict: Met when every check is.
        checks: In the order they were made.
        machine_speed: Speed of this machine now over its speed when the plan was made: in each round of blocks
            the median of what the baseline, the best FP32 candidate and the canary kernel say, as far as they
            could be run; the checks are held against planned figures corrected by it.
        hardware: Fingerprint of this machine.
    """

    workload: str
    candidate: Backend
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
