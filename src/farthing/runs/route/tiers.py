"""Running the tiers of a route over requests, and what their answers come to."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farthing.core.route.answers import (
    NO_CLASS,
    TierAnswers,
    agreement_quality,
    label_quality,
    require_alike,
    require_alike_names,
)
from farthing.core.route.outcomes import Floats, OutcomeMatrix, Score, cheapest_first
from farthing.core.route.routes import ScoreSpec, Tier
from farthing.core.route.scoring.all_scores import Scored, learned_scores, sufficiency
from farthing.core.route.scoring.contents import differences
from farthing.core.route.scoring.row_scores import row_score
from farthing.errors import DataError, InputError
from farthing.load.route.files import tier_digest
from farthing.load.route.requests import RouteRequests, read_requests
from farthing.load.route.settings import RouteSettings
from farthing.load.route.tiers import SERVED_KEYS, NamedTier
from farthing.load.serve.models import served_models
from farthing.load.wishes import read_wishes
from farthing.load.workload.labels import check_labels
from farthing.machine.clock import MonotonicClock
from farthing.machine.hardware import usable_cpus
from farthing.measure.route.remote_tiers import DEFAULT_PROMPT, RemoteTier, probe_remote_tier
from farthing.measure.route.score_time import seconds_of
from farthing.measure.route.tier_answers import LocalRun, run_local_tiers
from farthing.models.embedders import Embedder, open_embedder
from farthing.nouns import LocalModel
from farthing.ports import Progress
from farthing.runs.options import RunOptions
from farthing.runs.route.answers import kept_run
from farthing.runs.route.material import PARTS, Material, drawn_parts, kept_in_file, named_by, refuse_missing_segments
from farthing.runs.route.prices import Run, TierCosts, offer_named, refuse_unpriced, tier_costs
from farthing.store.artefacts import check_artefact

__all__ = ["Answered", "answered", "found_models", "of_tiers", "quality_of", "requests_of"]

TIMED_ROWS = 64
"""Requests on which the time of a score is measured."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answered:
    """Tiers' answers to requests.

    Attributes:
        requests: To which.
        runs: By tier, in the order named.
        answers: Likewise.
        classes: Names of the classes, empty when unknown.
        labels: Class of each request, −1 for none of the classes; None without labels.
    """

    requests: RouteRequests
    runs: Mapping[str, Run]
    answers: Mapping[str, TierAnswers]
    classes: tuple[str, ...]
    labels: NDArray[np.int64] | None


def found_models(named: Sequence[NamedTier], trust: bool = False) -> dict[str, LocalModel]:
    """Look up and check the tiers that run here.

    Args:
        named: Tiers.
        trust: Allows native artefacts that were not built on this machine.

    Raises:
        FarthingError: when one is missing, of an unknown kind, or was changed.
    """
    return {tier.name: _model_of(tier, trust) for tier in named if tier.kind == "model"}


def _model_of(tier: NamedTier, trust: bool) -> LocalModel:
    wishes = read_wishes({key: tier.options[key] for key in SERVED_KEYS if key in tier.options})
    cores = len(usable_cpus())
    models = served_models([tier.source], cores=cores, check=check_artefact, wishes=wishes, trust=trust)
    match models:
        case (LocalModel() as model,):
            return replace(model, name=tier.name)
        case _:
            raise InputError(f"the tier {tier.name!r} names {len(models)} models ({tier.source})")


def requests_of(settings: RouteSettings, models: Mapping[str, LocalModel]) -> RouteRequests:
    """Read the requests; no tier is started.

    Raises:
        InputError: when none were named.
        DataError: for bad data.
    """
    if settings.data is None:
        raise InputError("a route is calibrated on requests, and none were named", hint="--data FILE")
    return read_requests(
        settings.data,
        labels=settings.labels,
        text_column=settings.text_column,
        label_column=settings.label_column,
        id_column=settings.id_column,
        segment_column=settings.segment_column,
        classes=_classes(models),
    )


def _classes(models: Mapping[str, LocalModel]) -> tuple[str, ...]:
    return next((m.classes for m in models.values() if m.classes), ())


def answered(
    named: Sequence[NamedTier],
    models: Mapping[str, LocalModel],
    requests: RouteRequests,
    options: RunOptions,
    tell: Progress,
    out: Path,
) -> Answered:
    """Let every tier answer the requests; answers of end points are kept in ``out``.

    Raises:
        FarthingError: when a tier fails, or tiers do not answer the same classes.
    """
    require_alike_names([(t.name, models[t.name].classes) for t in named if t.name in models])
    classes = _classes(models) or requests.dataset.classes
    here = [models[tier.name] for tier in named if tier.name in models]
    far = [_remote(tier, classes) for tier in named if tier.name not in models]
    for remote in far:
        probe_remote_tier(remote, requests.dataset)
    with tempfile.TemporaryDirectory(prefix="farthing-route-") as folder:
        ran = run_local_tiers(
            here,
            requests.dataset,
            embeddings=[tier.embedding for tier in named if tier.name in models],
            run_dir=Path(folder),
            settings=options.tiers,
            seed=options.seed_used,
            tell=tell,
        )
    runs: dict[str, Run] = {model.name: r for model, r in zip(here, ran, strict=True)}
    for remote in far:
        runs[remote.name] = kept_run(remote, requests.dataset, out, tell)
    answers = {tier.name: runs[tier.name].answers for tier in named}
    require_alike(list(answers.values()), [models[t].classes if t in models else () for t in answers])
    return Answered(requests=requests, runs=runs, answers=answers, classes=classes, labels=_labels(requests, answers))


def _remote(tier: NamedTier, classes: tuple[str, ...]) -> RemoteTier:
    assert tier.kind != "model"
    return RemoteTier(
        name=tier.name,
        kind=tier.kind,
        url=tier.source,
        model=tier.model,
        classes=classes,
        prompt=tier.options.get("prompt", DEFAULT_PROMPT),
        key_env=tier.options.get("key_env", ""),
        timeout_s=tier.timeout_s,
        by_token=tier.price.by_token,
    )


def _labels(requests: RouteRequests, answers: Mapping[str, TierAnswers]) -> NDArray[np.int64] | None:
    if requests.dataset.labels is None:
        return None
    width = next((a.table.shape[1] for a in answers.values() if a.table is not None), None)
    if width is not None:
        check_labels(requests.dataset, width)
    labels = np.asarray(requests.dataset.labels)
    if (labels != np.floor(labels)).any():
        raise DataError(f"labels of {requests.dataset.source} are no classes but numbers such as {labels[0]:g}")
    return labels.astype(np.int64)


def quality_of(got: Answered, reference: str) -> Floats:
    """Right or wrong where there are labels, else agreement with the reference, shape ``(n, k)``.

    Raises:
        DataError: when the reference answers one class alone.
    """
    answers = list(got.answers.values())
    if got.labels is not None:
        return label_quality(answers, got.labels)
    if np.unique(got.answers[reference].classes).size < 2:
        raise DataError(
            f"the reference {reference!r} answers one class alone to all {got.requests.dataset.n:,} requests",
            hint="agreement with it shows nothing; give labels or other requests",
        )
    return agreement_quality(answers, reference)


def of_tiers(
    named: Sequence[NamedTier],
    settings: RouteSettings,
    out: Path,
    options: RunOptions,
    tell: Progress,
) -> Material:
    """Run tiers and make material of their answers.

    Args:
        named: Tiers, checked.
        settings: What is asked.
        out: Folder of the route: sources are written relative to it.
        options: How much is measured, seed, trust, day of the prices.
        tell: Progress.

    Raises:
        FarthingError: for bad input before any tier starts, and when a tier fails.
    """
    reference = settings.reference or named[-1].name
    if reference not in [tier.name for tier in named]:
        raise InputError(f"--reference is {reference!r}; the tiers are {', '.join(t.name for t in named)}")
    models, offer = found_models(named, options.trust), offer_named(settings.priced_as, options.as_of)
    refuse_unpriced(named, models, offer)
    requests = requests_of(settings, models)
    n = requests.dataset.n
    choose = drawn_parts(n, settings)
    refuse_missing_segments(settings.by_segment, requests.segments, choose)
    got = answered(named, models, requests, options, tell, out)
    costs = tier_costs(named, got.runs, models, offer, n)
    plain = cheapest_first(
        OutcomeMatrix(
            request_ids=got.requests.ids,
            tiers=tuple(got.answers),
            quality=quality_of(got, reference),
            cost_usd=np.column_stack([costs.cost_usd[t] for t in got.answers]),
            segments=got.requests.segments,
        )
    )
    embedder = open_embedder(settings.embedder) if settings.embedder else None
    scored = named_by(_scored(plain, got, reference, choose, settings.seed, embedder), embedder)
    tell("scores", 0, 1, f"time of {len(scored.specs)} scores")
    specs = _with_costs(scored, got, costs.usd_per_core_s)
    scores = {s.name: Score(values=scored.values[s.name], needs=s.needs, cost_usd=s.cost_usd) for s in specs}
    return Material(
        matrix=replace(plain, scores=scores),
        choose=choose,
        tiers=tuple(_written(t, models, got.runs[t.name], costs, out) for t in named),
        specs=specs,
        predictors=scored.predictors,
        reference=reference,
        quality="agreement" if got.labels is None else "accuracy",
        classes=got.classes,
        texts=got.requests.texts,
        marks={"part": [PARTS[0] if c else PARTS[1] for c in choose], "fingerprint": got.requests.fingerprints},
        assumptions=_assumptions(got, models, reference, costs, scored),
        currency=costs.currency,
        disagreed=agreement_quality([got.answers[tier] for tier in plain.tiers], reference) < 1,
    )


def _scored(
    plain: OutcomeMatrix,
    got: Answered,
    reference: str,
    choose: NDArray[np.bool_],
    seed: int,
    embedder: Embedder | None,
) -> Scored:
    good = sufficiency(plain.quality, plain.tier(reference))
    below = plain.tiers[: plain.tier(reference)]
    truth = got.answers[reference].classes if got.labels is None else got.labels
    return learned_scores(
        [got.answers[tier] for tier in below],
        {tier: good[:, k] for k, tier in enumerate(below)},
        truth=truth,
        texts=got.requests.texts,
        choose=np.flatnonzero(choose),
        rng=np.random.default_rng([seed, 1]),
        differences=differences(plain, reference),
        embed=None if embedder is None else embedder.embed,
    )


def _with_costs(scored: Scored, got: Answered, usd_per_core_s: float) -> tuple[ScoreSpec, ...]:
    """Scores with the price of the time that the data plane takes for one."""
    rows = np.linspace(0, got.requests.dataset.n - 1, TIMED_ROWS).astype(int).tolist()
    texts = got.requests.texts
    found = []
    for spec in scored.specs:
        compute = row_score(spec, scored.predictors.get(spec.name))
        tables = [_read_by(spec, got.answers[tier]) for tier in spec.needs]
        arguments = [([table[k] for table in tables], None if texts is None else texts[k]) for k in rows]
        seconds = seconds_of(lambda a, f=compute: f(*a), arguments, MonotonicClock())  # type: ignore[misc]
        found.append(kept_in_file(replace(spec, cost_usd=seconds * usd_per_core_s), scored.predictors))
    return tuple(found)


def _read_by(spec: ScoreSpec, a: TierAnswers) -> NDArray[np.generic]:
    if spec.output and a.embedding is not None:
        return a.embedding.astype(np.float32)
    return a.classes if a.table is None else a.table.astype(np.float32)


def _written(tier: NamedTier, models: Mapping[str, LocalModel], run: Run, costs: TierCosts, out: Path) -> Tier:
    source = tier.source if tier.kind != "model" else os.path.relpath(Path(tier.source).absolute(), out.absolute())
    return Tier(
        name=tier.name,
        kind=tier.kind,
        source=source,
        model=tier.model,
        usd_per_request=float(costs.cost_usd[tier.name].mean()),
        usd_per_input_token=tier.price.usd_per_input_token,
        usd_per_output_token=tier.price.usd_per_output_token,
        usd_per_cached_input_token=tier.price.usd_per_cached_input_token,
        service_ms=run.service_ms,
        replicas=tier.replicas,
        timeout_s=tier.timeout_s,
        options=tier.options,
        sha256=tier_digest(models[tier.name]) if tier.name in models else "",
    )


def _assumptions(
    got: Answered, models: Mapping[str, LocalModel], reference: str, costs: TierCosts, scored: Scored
) -> tuple[str, ...]:
    data = got.requests.dataset
    said = [*got.requests.notes, *costs.assumptions, *scored.notes]
    if got.labels is None:
        said.append(f"there are no labels: quality is agreement with the answers of {reference}, right or wrong")
    elif not any(m.classes for m in models.values()) and data.classes and not data.classes[0].isdigit():
        said.append("no tier names its classes: the labels' names, sorted, are taken for them")
    missed = {t: int((a.classes == NO_CLASS).sum()) for t, a in got.answers.items()}
    said += [
        f"{t} named no class for {k:,} of {data.n:,} requests; they count as wrong" for t, k in missed.items() if k
    ]
    local = [r for r in got.runs.values() if isinstance(r, LocalRun)]
    if any(r.busy_frac > 0.3 for r in local):
        said.append(f"the machine was busy in {100 * local[0].busy_frac:.0f} % of the rounds in which tiers were timed")
    return tuple(said)
