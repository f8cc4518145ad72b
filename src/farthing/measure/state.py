"""What a run knows while it goes on: curves, rates, evidence, and why each loser lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from farthing.core.plan.findings import Facts, Findings
from farthing.core.search import accuracy_gate as gate
from farthing.core.traffic.batch_queue import sla_rps
from farthing.core.traffic.service_curve import ServiceCurve
from farthing.measure.workbench import Workbench
from farthing.nouns import AccuracyEvidence, Candidate, Estimate, Measurement, Profile, Trace, percentile_name

__all__ = ["RunState", "TraceOf", "evidence_of", "findings_of", "look", "rate_all", "sla_of", "stable_rate"]

TraceOf = Callable[[float], Trace]
"""From the baseline's SLA rate to the arrivals that are priced (they may be inferred from the bill)."""


@dataclass
class RunState:
    """State of a run while it is going on; :func:`findings_of` freezes it at the end."""

    bench: Workbench
    baseline: Candidate
    curves: dict[Candidate, ServiceCurve] = field(default_factory=dict)
    facts: dict[Candidate, Facts] = field(default_factory=dict)
    sla: dict[Candidate, float | None] = field(default_factory=dict)
    search: dict[Candidate, AccuracyEvidence] = field(default_factory=dict)
    confirm: dict[Candidate, AccuracyEvidence] = field(default_factory=dict)
    ratios: dict[Candidate, Estimate] = field(default_factory=dict)
    capacities: dict[Candidate, Estimate] = field(default_factory=dict)
    lost: dict[Candidate, str] = field(default_factory=dict)
    failed: dict[Candidate, str] = field(default_factory=dict)
    canary_ms: Estimate | None = None
    notes: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    latency: dict[Candidate, Measurement] = field(default_factory=dict)
    server: dict[Candidate, Measurement] = field(default_factory=dict)
    tied: tuple[Candidate, ...] = ()
    best_fp32: Candidate | None = None
    best_half: Candidate | None = None
    profiles: tuple[Profile, ...] = ()
    tried: set[Candidate] = field(default_factory=set)
    kept: dict[Candidate, Estimate] = field(default_factory=dict)
    rate_ratio: Estimate | None = None
    aside_s: dict[float, float] = field(default_factory=dict)
    shares: tuple[float, float] | None = None

    @property
    def percentile(self) -> float:
        """The promised level, in (0, 1)."""
        return self.bench.level

    @property
    def level(self) -> str:
        """Its name: ``p99``."""
        return percentile_name(self.percentile)


def look(state: RunState, c: Candidate, batches: Sequence[int]) -> None:
    """Measure the curve of a build and layout at some batch sizes beside those known, and read its facts."""
    key = replace(c, max_batch=1)
    known = state.curves.get(key)
    wanted = sorted({*batches, *(known.sizes if known else ())})
    state.curves[key] = state.bench.curve(c, wanted)
    state.facts[key] = state.bench.facts(c)


def rate_all(state: RunState, c: Candidate) -> None:
    """Work out the rate within the promise at every batch size that was measured of a build and layout."""
    known = state.curves[replace(c, max_batch=1)]
    for batch in known.sizes:
        at = replace(c, max_batch=batch)
        if at != state.baseline:  # priced at its highest stable rate, whatever the promise
            bound = state.bench.workload.objective.latency
            latency_ms = None if bound is None else bound.ms
            state.sla[at] = sla_of(state, known.upto(batch), c.instances, batch, latency_ms)


def sla_of(state: RunState, known: ServiceCurve, instances: int, batch: int, latency_ms: float | None) -> float | None:
    """Highest rate of a replica within a latency bound by the queue model, None where there is none.

    Args:
        state: With the objective's level and the seed.
        known: Service times.
        instances: Workers.
        batch: Largest batch.
        latency_ms: The bound, None for the highest stable rate.
    """
    objective = state.bench.workload.objective
    return sla_rps(
        known,
        instances=instances,
        max_batch=batch,
        latency_s=None if latency_ms is None else latency_ms / 1000,
        percentile=objective.level,
        seed=state.bench.seed,
    )


def stable_rate(state: RunState, c: Candidate) -> float | None:
    """Highest rate at which a candidate's queue does not grow, whatever the latency."""
    return sla_of(state, state.curves[replace(c, max_batch=1)].upto(c.max_batch), c.instances, c.max_batch, None)


def evidence_of(state: RunState, build: Candidate, split: str, confidence: float) -> AccuracyEvidence:
    """Answers of a build held against the baseline's on one split (``search`` or ``confirm``)."""
    bench = state.bench
    rows = bench.splits.search if split == "search" else bench.splits.confirm
    labels = bench.workload.holdout.labels
    return gate.evidence(
        bench.answers(state.baseline, split, rows),
        bench.answers(bench.batch_of(build, 8), split, rows),
        None if labels is None else [labels[k] for k in rows],
        split="search" if split == "search" else "confirm",
        metric=bench.metric,
        objective=replace(bench.workload.objective, confidence=confidence),
        seed=bench.seed,
    )


def _notes(state: RunState, chosen: Candidate | None) -> tuple[str, ...]:
    """What the report must say about how the plan was measured."""
    said = list(state.notes)
    if state.shares is not None and chosen is not None:
        said.append(_served(state.shares, chosen, cores=int(state.bench.hardware.vcpus or 1)))
    return (*said, *(f"not tried: {k} ({why})" for k, why in state.skipped.items()))


def _served(shares_frac: tuple[float, float], c: Candidate, *, cores: int) -> str:
    """How the promise was tested, and whose processor time that took."""
    front, load = (f"{100 * share:.0f} %" for share in shares_frac)
    spare = cores - c.instances * c.threads
    where = (
        f"on {'a core' if spare == 1 else f'{spare} cores'} that no worker uses"
        if spare > 0
        else "on the workers' own cores, as no other was free; with clients on other machines the workers get the "
        "generator's share"
    )
    return (
        f"the promise was tested through `farthing serve` on this machine. Of all cores' time the server's own process "
        f"took {front} and the load generator {load}, {where}"
    )


def findings_of(state: RunState, chosen: Candidate | None) -> Findings:
    """Everything seen, frozen."""
    bench = state.bench
    return Findings(
        baseline=state.baseline,
        chosen=chosen,
        artefacts=dict(bench.artefacts),
        curves=state.curves,
        facts=state.facts,
        sla_rps=state.sla,
        search=state.search,
        confirm=state.confirm,
        ratios=state.ratios,
        capacities_rps=state.capacities,
        lost=state.lost,
        tied=state.tied,
        failed=state.failed,
        notes=_notes(state, chosen),
        canary_ms=state.canary_ms,
        skipped=state.skipped,
        latency=state.latency,
        server=state.server,
        best_fp32=state.best_fp32,
        best_half=state.best_half,
        profiles=state.profiles,
        kept_rps=state.kept,
        rate_ratio=state.rate_ratio,
        shares_frac=state.shares,
        measurements=tuple(bench.measurements),
        contention=bench.contention.total(),
    )
