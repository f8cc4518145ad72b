"""Tiers that run here: the time of one request, measured in turns, and their answers to every request.

All tiers are alive at the same time and are timed in interleaved rounds, so that slow drift of the machine falls on
all alike. A request's time includes its pipeline (tokenizing, decoding), as in the server.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farthing.core.route.answers import TierAnswers, answers_of
from farthing.core.stats.intervals import quantile
from farthing.errors import DataError, FarthingError
from farthing.machine.canary import Canary
from farthing.machine.hardware import usable_cpus
from farthing.nouns import Dataset, Estimate, LocalModel, PipelineSpec
from farthing.ports import Progress
from farthing.workers.replicas.replica import Replica

__all__ = ["LocalRun", "TierSettings", "run_local_tiers"]

_EMBEDDING = re.compile(r"embed|pool|feature|hidden|sentence", re.IGNORECASE)
"""Names that outputs with an embedding usually have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TierSettings:
    """How much is measured of a route's tiers.

    Attributes:
        rounds: Interleaved rounds of timing, ≥ 6.
        per_round: Single requests of each tier in a round, ≥ 1.
        one_by_one_s: Answers are taken one request at a time where that takes no longer than this, else in batches.
        start_timeout_s: Longest time from process start to ready.
        memory_limit_mib: Of one tier.
    """

    rounds: int = 16
    per_round: int = 20
    one_by_one_s: float = 120.0
    start_timeout_s: float = 120.0
    memory_limit_mib: float = 8192.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LocalRun:
    """What a tier did.

    Attributes:
        answers: To every request.
        service_ms: Time of one request alone: median of the rounds' means with its order-statistic interval.
        threads: Of the worker that was timed.
        busy_frac: Share of rounds in which the cores were busy with something else.
        batch: Requests answered at a time.
    """

    answers: TierAnswers
    service_ms: Estimate
    threads: int
    busy_frac: float
    batch: int


def run_local_tiers(
    models: Sequence[LocalModel],
    dataset: Dataset,
    *,
    embeddings: Sequence[str],
    run_dir: Path,
    settings: TierSettings,
    seed: int,
    tell: Progress,
) -> tuple[LocalRun, ...]:
    """Time tiers in turns, then let each answer every request.

    Args:
        models: One a tier, named as the tier.
        dataset: Requests.
        embeddings: Name of the output with an embedding by tier, empty to find one.
        run_dir: For logs and arrays on their way.
        settings: How much is measured.
        seed: Of the order of payloads.
        tell: Progress.

    Raises:
        MeasureError: when a tier crashes, hangs or eats memory.
        EngineError: when an engine cannot load its model.
        DataError: when a tier cannot take these requests, or its answers are no classes.
    """
    with contextlib.ExitStack() as stack:
        alive = []
        for k, model in enumerate(models):
            tell("tiers", k, len(models), f"starting {model.name}")
            alive.append(stack.enter_context(_start(model, dataset, run_dir, settings, seed)))
        times_ms, busy = _times_ms(models, alive, settings, tell)
        found = []
        for k, (model, replica, wanted) in enumerate(zip(models, alive, embeddings, strict=True)):
            tell("answers", k, len(models), f"{model.name}: {dataset.n:,} requests")
            service = _service_ms(times_ms[k])
            found.append(_answered(model, replica, dataset, wanted, service, busy, settings, seed))
        tell("answers", len(models), len(models), "")
    return tuple(found)


def _start(model: LocalModel, dataset: Dataset, run_dir: Path, settings: TierSettings, seed: int) -> Replica:
    cpus = usable_cpus()
    threads = min(model.candidate.threads, len(cpus))
    instances = max(1, min(model.candidate.instances, len(cpus) // threads))
    if model.pipeline.kind != dataset.kind:
        raise DataError(
            f"the tier {model.name!r} takes {_takes(model.pipeline)}, the requests are {dataset.kind}s",
            hint="a text tier needs its tokenizer.json beside it, an image tier its preprocessor_config.json",
        )
    return Replica.start(
        replace(model.candidate, threads=threads, instances=instances),
        model.path,
        model.pipeline,
        dataset,
        options=model.options,
        cpus=cpus,
        memory_limit_mib=settings.memory_limit_mib,
        start_timeout_s=settings.start_timeout_s,
        run_dir=run_dir / model.name,
        seed=seed,
    )


def _takes(pipeline: PipelineSpec) -> str:
    return "tensors alone" if pipeline.kind == "tensor" else f"{pipeline.kind}s"


def _times_ms(
    models: Sequence[LocalModel], alive: Sequence[Replica], settings: TierSettings, tell: Progress
) -> tuple[list[list[float]], float]:
    """Mean time of a request by tier and round, and the share of rounds with busy cores."""
    canary, busy = Canary(), 0
    times: list[list[float]] = [[] for _ in models]
    for done in range(settings.rounds):
        tell("times", done, settings.rounds, "one request at a time, tiers in turns")
        busy += canary.busy(sorted({replica.cpus[0] for replica in alive}))
        for column, replica in zip(times, alive, strict=True):
            column.append(float(_settled(replica.single_stream(settings.per_round)).mean()))
    tell("times", settings.rounds, settings.rounds, "")
    return times, busy / settings.rounds


def _settled(latency_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without the first request after a pause: in the turn of another tier the caches were filled with its weights."""
    return latency_ms[1:] if latency_ms.size > 1 else latency_ms


def _service_ms(round_means_ms: Sequence[float]) -> Estimate:
    found = quantile(np.asarray(round_means_ms), 0.5)
    return replace(found, method=f"median of the means of {len(round_means_ms)} interleaved rounds")


def _answered(
    model: LocalModel,
    replica: Replica,
    dataset: Dataset,
    embedding: str,
    service_ms: Estimate,
    busy_frac: float,
    settings: TierSettings,
    seed: int,
) -> LocalRun:
    output = _embedding_output(model.name, replica, embedding)
    alone_s = dataset.n * service_ms.value / 1000 / len(replica.children)
    most = model.candidate.max_batch
    alone = alone_s <= settings.one_by_one_s or not replica.batching(most, seed).batched
    batch = 1 if alone else most
    try:
        arrays = replica.outputs(range(dataset.n), batch, also=(output,) if output else ())
    except FarthingError as e:
        raise type(e)(f"the tier {model.name!r} cannot answer the requests: {e.message}", hint=e.hint) from e
    return LocalRun(
        answers=answers_of(
            model.name, arrays[""], embedding=arrays[output] if output else None, embedding_output=output
        ),
        service_ms=service_ms,
        threads=replica.candidate.threads,
        busy_frac=busy_frac,
        batch=batch,
    )


def _embedding_output(tier: str, replica: Replica, wanted: str) -> str:
    """Name of the output with an embedding: the user's word, else one after the first with a usual name."""
    names = list(replica.output_shapes)
    if wanted:
        if wanted not in names:
            raise DataError(f"the tier {tier!r} has no output {wanted!r}", hint=f"its outputs are {', '.join(names)}")
        return wanted
    return next((n for n in names[1:] if _EMBEDDING.search(n) and len(replica.output_shapes[n]) == 2), "")
