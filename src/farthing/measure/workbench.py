"""The workbench of one run: builds artefacts, keeps replicas alive between measurements, keeps every result.

Whatever is measured goes through the journal, so that a run that was interrupted takes up where it stopped.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from farthing.core.plan.findings import Facts
from farthing.core.stats.drift import Drift
from farthing.core.stats.levels import requests_for_level
from farthing.core.traffic.service_curve import ServiceCurve
from farthing.machine.canary import Canary
from farthing.machine.hardware import usable_cpus
from farthing.measure import scenarios
from farthing.measure.contention import ContentionCount
from farthing.measure.exported import ARTEFACTS, Resolved, free_folder
from farthing.measure.open_loop import RunSeen, levels_of
from farthing.measure.scenarios import Reading
from farthing.models.batch_check import Batching
from farthing.models.digests import digest, is_digest
from farthing.nouns import Artefact, Candidate, Dataset, Hardware, Measurement, ModelRef, Splits, Workload
from farthing.pipelines.metrics import custom_metric
from farthing.plugins import find
from farthing.ports import Clock, Metric, Progress
from farthing.store.documents import write_array
from farthing.store.journal import Journal
from farthing.workers.replicas import builder
from farthing.workers.replicas.replica import Block, Replica

__all__ = ["MeasureSettings", "Workbench"]


T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureSettings:
    """How much is measured.

    Attributes:
        engines: Engines to try.
        variants: Variants to build.
        batches: Batch sizes to try.
        block_s: Length of one block.
        looks: Rounds of the race after which losers may leave.
        proof_rounds: Rounds of the final comparison with the baseline, ≥ 8.
        latency_n: SingleStream samples of baseline and plan, where p99 or less is promised; p99.9 takes ten times more.
        server_n: Fewest requests of the Server scenario's last runs together, 0 for those of some seconds.
        trial_runs: Runs under Poisson arrivals of each contender.
        rate_runs: Runs of the choice through its server, from which the rate that it keeps is worked out, ≥ 8.
        proof_runs: Runs of the choice through its server at the plan's peak rate.
        profiles: Whether the baseline and the choice are taken apart by operator in the end.
        start_timeout_s: Longest time from process start to ready.
        build_timeout_s: Longest time for one build.
        memory_limit_mib: Of one replica.
    """

    engines: tuple[str, ...] = ("onnxruntime", "openvino", "pytorch")
    variants: tuple[str, ...] = ("fp32", "int8-dynamic", "int8-qdq", "int8-nncf")
    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    block_s: float = 0.4
    looks: tuple[int, ...] = (8, 12, 16)
    proof_rounds: int = 12
    latency_n: int = 400
    server_n: int = 0
    trial_runs: int = 3
    rate_runs: int = 8
    proof_runs: int = 6
    profiles: bool = True
    start_timeout_s: float = 120.0
    build_timeout_s: float = 900.0
    memory_limit_mib: float = 8192.0


@dataclass
class Workbench:
    """Everything a run holds while it is going on; a context manager that ends all children.

    Attributes:
        workload: What is being optimised.
        splits: Indices into its data.
        settings: How much is measured.
        hardware: This machine.
        fingerprint: Digest of those facts.
        out: The run's output folder.
        journal: Finished steps.
        clock: Time.
        tell: Progress.
        started_at: Local time with offset.
        seed: Of everything random.
        trust: Whether the user's own code may run.
        content: SHA-256 of what is read, by what it is called.
        notes: What cannot be reused of an earlier run and why, in sentences.
        seconds: Wall time by item.
        measurements: Everything measured, in order.
        contention: Which blocks and runs were contended.
        drifts: How the speed of each candidate, over the canary's, differed between stages of the work.
    """

    workload: Workload
    splits: Splits
    settings: MeasureSettings
    hardware: Hardware
    fingerprint: str
    out: Path
    journal: Journal
    clock: Clock
    tell: Progress
    started_at: datetime
    seed: int = 0
    trust: bool = False
    content: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    measurements: list[Measurement] = field(default_factory=list)
    contention: ContentionCount = field(default_factory=ContentionCount)
    artefacts: dict[str, Artefact] = field(default_factory=dict)
    model: ModelRef | None = None
    root: Path | None = None
    drifts: dict[Candidate, Drift] = field(default_factory=dict)
    _replicas: dict[Candidate, Replica] = field(default_factory=dict)
    _opened_s: float = 0.0
    canary: Canary = field(init=False)

    def __post_init__(self) -> None:
        self._opened_s = self.clock.monotonic_s()
        self.canary = Canary()
        (self.out / "work").mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Workbench:
        return self

    def elapsed_s(self) -> float:
        """Wall time since the workbench was opened."""
        return self.clock.monotonic_s() - self._opened_s

    @property
    def metric(self) -> Metric:
        """How answers are scored: the user's own, the objective's, or agreement when there are no labels."""
        if self.workload.custom_metric is not None:
            return custom_metric(self.workload.custom_metric, trust=self.trust)
        name = self.workload.objective.metric if self.workload.holdout.labels is not None else "agreement"
        found: Metric = find("metrics", name)
        return found

    @property
    def level(self) -> float:
        """The latency percentile that decides: the promised one, 0.99 when none is."""
        return self.workload.objective.level

    def enough(self, at_p99: int) -> int:
        """Requests of a run for the level that is promised, where p99 would be measured with ``at_p99``."""
        return requests_for_level(self.level, at_p99=at_p99)

    def alive(self, candidate: Candidate) -> bool:
        """Whether the replica of a candidate is running."""
        replica = self._replicas.get(_layout(candidate))
        return replica is not None and replica.alive()

    def description(self) -> str:
        """One line on model, data and baseline."""
        w, b = self.workload, self.workload.baseline
        classes = f"{len(w.holdout.classes)} classes · " if w.holdout.classes else ""
        batch = "one request at a time" if b.max_batch == 1 else f"batches up to {b.max_batch}"
        return (
            f"{w.name} · {classes}{len(self.splits.calibrate):,} calibration and {w.holdout.n:,} held-out samples · "
            f"{b.precision.upper()} in {b.engine}, {batch}"
        )

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for replica in self._replicas.values():
            replica.close()
        self.journal.__exit__(kind, error, tb)

    @contextlib.contextmanager
    def timed(self, item: str) -> Iterator[None]:
        """Count wall time under a name; time counted under another name inside is left out here."""
        start, inner = self.clock.monotonic_s(), sum(self.seconds.values())
        try:
            yield
        finally:
            took = self.clock.monotonic_s() - start - (sum(self.seconds.values()) - inner)
            self.seconds[item] = self.seconds.get(item, 0.0) + took

    def keep(
        self, key: str, kind: type[T], item: str, compute: Callable[[], T], still: Callable[[T], bool] | None = None
    ) -> T:
        """A step through the journal, its time counted under ``item``; what is no longer ``still`` so is done anew."""

        def run() -> T:
            with self.timed(item):
                return compute()

        found = self.journal.once(key, kind, run, still=still)
        self.contention.see(key, found)
        return found

    # — building ———————————————————————————————————————————————————————————————————————————————————

    @property
    def calibration(self) -> Dataset:
        """Data to calibrate on: the user's own, else the holdout (whose search split is then used)."""
        return self.workload.calibration or self.workload.holdout

    def builds(self) -> Path:
        """Where artefacts are built: in a folder of their own where other inputs' artefacts lie, so that an earlier
        plan keeps what it names.
        """
        return self.out / self.keep("builds", str, "build", lambda: free_folder(self.out))

    def resolve(self) -> ModelRef:
        """The model as ONNX beside what the user gave, exported where needed."""

        def run() -> Resolved:
            found = builder.resolve(
                self.workload.model,
                self.builds() / ARTEFACTS,
                pipeline=self.workload.pipeline,
                dataset=self.calibration,
                indices=self.splits.calibrate[:4],
                trust=self.trust,
                timeout_s=self.settings.build_timeout_s,
                memory_limit_mib=self.settings.memory_limit_mib,
                run_dir=self.out / "work",
            )
            return Resolved.of(found, self.out)

        found = self.keep("resolved", Resolved, "build", run, lambda made: made.is_still(self.out))
        self.model = replace(self.workload.model, onnx_path=str(self.out.absolute() / found.path))
        return self.model

    def build(self, variant: str) -> Artefact:
        """Build one variant, or take it from an earlier part of the run.

        Raises:
            EngineError: when it cannot help this model.
            MeasureError: when building it crashed, hung or ate memory.
        """
        model = self.model or self.resolve()

        def run() -> Artefact:
            where = self.builds()
            made = builder.build_variant(
                variant,
                model,
                where,
                pipeline=self.workload.pipeline,
                dataset=self.calibration,
                indices=self.splits.calibrate,
                seed=self.seed,
                trust=self.trust,
                timeout_s=self.settings.build_timeout_s,
                memory_limit_mib=self.settings.memory_limit_mib,
                run_dir=self.out / "work",
            )
            return replace(made, path=str((where / made.path).relative_to(self.out)))

        found = self.keep(f"build/{variant}", Artefact, "build", run, lambda a: is_digest(self.out / a.path, a.sha256))
        self.artefacts[variant] = found
        return found

    def adopt(self, artefacts: Sequence[Artefact], folder: Path) -> None:
        """Take artefacts that a plan brought instead of building them; their paths are relative to ``folder``."""
        self.artefacts = {a.variant: a for a in artefacts}
        self.model = self.workload.model
        self.root = folder

    # — replicas ———————————————————————————————————————————————————————————————————————————————————

    def replica(self, candidate: Candidate) -> Replica:
        """The running replica of a build and layout, started when there is none yet."""
        key = _layout(candidate)
        if key not in self._replicas:
            with self.timed("child_start"):
                self._replicas[key] = self._start(candidate)
        return self._replicas[key]

    def _start(self, candidate: Candidate) -> Replica:
        artefact = self.artefacts[candidate.variant]
        model = self.model
        options: dict[str, Any] = {}
        if candidate.variant == "torch-module" and model is not None and model.kind == "torch" and self.trust:
            options = {"import_path": model.path, "trust": True}
        return Replica.start(
            candidate,
            (self.root or self.out) / artefact.path,
            self.workload.pipeline,
            self.workload.holdout,
            options=options,
            cpus=usable_cpus()[: candidate.instances * candidate.threads],
            memory_limit_mib=self.settings.memory_limit_mib,
            start_timeout_s=self.settings.start_timeout_s,
            run_dir=self.out / "work",
            seed=self.seed,
        )

    def retire(self, keep: Sequence[Candidate]) -> None:
        """End all replicas but those of some candidates."""
        stay = {_layout(c) for c in keep}
        for key in [k for k in self._replicas if k not in stay]:
            self._replicas.pop(key).close()

    # — measuring ——————————————————————————————————————————————————————————————————————————————————

    def facts(self, candidate: Candidate) -> Facts:
        """Load time, first inference and memory of a build and layout."""

        def read() -> Facts:
            r = self.replica(candidate)
            return Facts(
                load_s=r.load_s,
                first_inference_s=r.first_inference_s,
                child_start_s=r.child_start_s,
                peak_memory_mib=r.peak_memory_mib(),
                device_memory_mib=r.device_memory_mib(),
            )

        return self.keep(f"facts/{_layout(candidate).key}", Facts, "measure", read)

    def batching(self, candidate: Candidate) -> Batching:
        """Whether requests may share a batch of a build, shown at the largest batch that the run tries."""
        most = max(self.settings.batches)

        def run() -> Batching:
            return self.replica(candidate).batching(most, self.seed)

        return self.keep(f"batching/{candidate.build}/{candidate.precision}/{most}", Batching, "measure", run)

    def batch_of(self, candidate: Candidate, batch: int) -> Candidate:
        """A build at a batch size, or at 1 where its requests may not share a batch."""
        return replace(candidate, max_batch=batch if self.batching(candidate).batched else 1)

    def round(self, key: str, candidates: Sequence[Candidate]) -> dict[Candidate, Reading]:
        """One interleaved round: a block of each candidate in turn, the canary asked for each."""

        def run() -> list[Reading]:
            pairs = [(self.replica(c), c.max_batch) for c in candidates]
            return [_reading(b) for b in scenarios.run_round(pairs, self.settings.block_s, self.canary)]

        found = dict(zip(candidates, self.keep(f"round/{key}", list[Reading], "measure", run), strict=True))
        for c, reading in found.items():
            self.drifts.setdefault(c, Drift()).take_in(_stage(key), reading.rps * reading.canary_ms)
        return found

    def throughput(self, key: str, candidates: Sequence[Candidate]) -> dict[Candidate, float]:
        """The same round in requests/s alone."""
        return {c: reading.rps for c, reading in self.round(key, candidates).items()}

    def curve(self, candidate: Candidate, batches: Sequence[int]) -> ServiceCurve:
        """Service time by batch size, all cores loaded; sizes measured before are not measured again."""
        times = {b: self._service_times(candidate, b) for b in batches}
        busy = [b for b, t in times.items() if t.contended]
        return ServiceCurve.measured({b: t.ms for b, t in times.items()}, contended=busy)

    def _service_times(self, candidate: Candidate, batch: int) -> _ServiceTimes:
        def run() -> _ServiceTimes:
            (block,) = scenarios.run_round([(self.replica(candidate), batch)], self.settings.block_s, self.canary)
            return _ServiceTimes(ms=tuple(map(float, block.service_ms)), contended=block.contended)

        layout = _layout(candidate)
        return self.keep(f"service times/{layout.key}/{batch}", _ServiceTimes, "measure", run)

    def answers(self, candidate: Candidate, split: str, indices: Sequence[int]) -> NDArray[np.float64]:
        """First output on one split, shape ``(n, …)``, kept on disk and not in the journal."""
        path = self.out / "work" / f"answers-{candidate.engine}-{candidate.variant}-{candidate.precision}-{split}.npy"

        def run() -> str:
            found = self.replica(candidate).answers(indices, candidate.max_batch)
            return f"{path.name} {digest(write_array(path, np.asarray(found)))}"

        def still(said: str) -> bool:
            name, _, sha256 = said.partition(" ")
            return not sha256 or is_digest(path.with_name(name), sha256)

        said = self.keep(f"answers/{candidate.build}/{candidate.precision}/{split}", str, "measure", run, still)
        loaded: NDArray[np.float64] = np.load(path.with_name(said.partition(" ")[0]), allow_pickle=False)
        return loaded

    def single_stream(self, candidate: Candidate, n: int) -> Measurement:
        """Latency of one request at a time."""

        def run() -> Measurement:
            return scenarios.single_stream(
                self.replica(candidate), n, level=self.level, canary=self.canary, **self._stamp()
            )

        return self._measured(f"single/{candidate.key}/{n}", run)

    def poisson(self, candidate: Candidate, rate_rps: float, n: int, seed: int) -> RunSeen:
        """One run under Poisson arrivals beside the server (the workers take from a mapped schedule)."""

        def run() -> RunSeen:
            replica = self.replica(candidate)
            return scenarios.server(
                replica,
                rate_rps,
                n,
                max_batch=candidate.max_batch,
                seed=seed,
                levels=levels_of(self.level),
                canary=self.canary,
            )

        key = f"poisson/{candidate.key}/{rate_rps:.3f}/{n}/{seed}"
        return self.keep(key, RunSeen, "measure", run)

    def offline(self, candidate: Candidate, readings: Sequence[Reading]) -> Measurement:
        """The Offline scenario's Measurement from blocks already run, kept among all measurements."""
        found = scenarios.offline(candidate, readings, self.settings.block_s, **self._stamp())
        self.measurements.append(found)
        return found

    def _measured(self, key: str, run: Callable[[], Measurement]) -> Measurement:
        return self.note(self.keep(key, Measurement, "measure", run))

    def note(self, found: Measurement) -> Measurement:
        """Put a Measurement among all."""
        self.measurements.append(found)
        return found

    def _stamp(self) -> Mapping[str, Any]:
        return {"seed": self.seed, "hardware": self.fingerprint}


@dataclass(frozen=True, slots=True, kw_only=True)
class _ServiceTimes:
    """Times of single batches of one size in one block, and whether its cores were busy."""

    ms: tuple[float, ...]
    contended: bool


def _reading(block: Block) -> Reading:
    return Reading(
        rps=block.rps,
        service_ms=sum(block.service_ms) / len(block.service_ms),
        pipeline_frac=block.pipeline_frac,
        contended=block.contended,
        canary_ms=block.canary_ms,
    )


def _stage(key: str) -> str:
    """Stage of the work that a round belongs to: rounds that follow each other at once have one stage."""
    return key.partition("/")[0].rstrip("0123456789")


def _layout(c: Candidate) -> Candidate:
    """The candidate without its batch size: one running replica serves every batch size."""
    return Candidate(
        engine=c.engine,
        variant=c.variant,
        precision=c.precision,
        instances=c.instances,
        threads=c.threads,
        device=c.device,
    )
