"""What a route is calibrated on, whether tiers were run or a file of outcomes was read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from farthing.core.route.answers import TierAnswers
from farthing.core.route.outcomes import Floats, OutcomeMatrix, Score, cheapest_first
from farthing.core.route.routes import ScoreSpec, Tier
from farthing.core.route.scoring.all_scores import Scored, learned_scores, sufficiency
from farthing.core.route.scoring.contents import PER_USD, Difference, dense_scores, differences
from farthing.core.route.scoring.per_usd import PerUsdForms
from farthing.core.route.scoring.predictors import Logistic, chosen_logistic, fit_logistic, folds
from farthing.core.route.scoring.texts import text_features
from farthing.core.route.scoring.trained import Predictor, embedded_in
from farthing.errors import DataError, InputError
from farthing.load.route.outcomes import OutcomeFile, read_outcomes
from farthing.load.route.requests import fingerprint_of_text
from farthing.load.route.settings import RouteSettings
from farthing.machine.clock import MonotonicClock
from farthing.measure.route.score_time import seconds_of
from farthing.models.embedders import Embedder, open_embedder
from farthing.runs.route.prices import offer_named, usd_per_core_s

__all__ = [
    "PARTS",
    "WEIGHTS",
    "Material",
    "drawn_parts",
    "kept_in_file",
    "named_by",
    "of_outcomes",
    "plainly_named",
    "refuse_missing_segments",
]

PARTS = ("choose", "prove")
WEIGHTS = "route.npz"
"""File of the trained parts of scores, beside route.yaml."""
TIMED_TEXTS = 32
"""Texts whose embedding is timed."""
LEAST = 40
"""Fewest requests that can be parted; proofs need far more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Material:
    """Outcomes with scores, in two parts.

    Attributes:
        matrix: All requests, tiers cheapest first, scores included.
        choose: Whether a request is in the choosing part, shape ``(n,)``.
        tiers: As they will be written.
        specs: How each score is computed.
        predictors: Trained parts by name of the score.
        reference: Tier that losses are counted against.
        quality: What is compared.
        classes: Of the answers.
        texts: The requests where they are texts.
        marks: Words by request to write beside the outcomes.
        assumptions: Everything that was assumed, in words.
        currency: ``usd``, or ``cpu_s`` where no price was given.
        disagreed: Whether each tier's answer differs from the reference's, shape ``(n, k)`` as ``matrix.quality``;
            None where answers are not known.
    """

    matrix: OutcomeMatrix
    choose: NDArray[np.bool_]
    tiers: tuple[Tier, ...]
    specs: tuple[ScoreSpec, ...]
    predictors: Mapping[str, Predictor] = field(default_factory=dict)
    reference: str
    quality: Literal["accuracy", "agreement", "given"]
    classes: tuple[str, ...] = ()
    texts: tuple[str, ...] | None = None
    marks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    currency: Literal["usd", "cpu_s"] = "usd"
    disagreed: NDArray[np.bool_] | None = None


def drawn_parts(n: int, settings: RouteSettings) -> NDArray[np.bool_]:
    """Mask of the choosing part: drawn with the seed, before anything else is looked at.

    Raises:
        DataError: when there are too few requests.
    """
    if n < LEAST:
        raise DataError(
            f"{n:,} requests are too few for a route; at least {LEAST} are needed to choose on one part and prove on "
            "the other",
            hint="a loss of at most 0.5 points needs some thousands",
        )
    size = min(n - 1, max(1, round(settings.choose_frac * n)))
    mask = np.zeros(n, dtype=bool)
    mask[np.random.default_rng(settings.seed).permutation(n)[:size]] = True
    return mask


def refuse_missing_segments(
    limits: Mapping[str, float], segments: Sequence[str] | None, choose: NDArray[np.bool_]
) -> None:
    """Refuse limits of segments that one of the two parts has no request of.

    Raises:
        DataError: naming the segment.
    """
    if limits and segments is None:
        raise DataError("limits of segments are set, and the requests have no segments", hint="--segment-column NAME")
    for name in limits:
        rows = np.array([segment == name for segment in segments or ()])
        if not (rows & choose).any() or not (rows & ~choose).any():
            raise DataError(
                f"a limit is set for the segment {name!r}, which {int(rows.sum()):,} requests have: too few",
                hint=f"segments: {', '.join(sorted(set(segments or ()))[:8])}",
            )


def of_outcomes(path: Path, settings: RouteSettings, columns: Mapping[str, tuple[str, str]] | None) -> Material:
    """Material of a file of outcomes alone: its scores, and what its texts and features allow.

    Raises:
        DataError: when the file is unreadable, or lacks or breaks a column.
        InputError: when the reference is no tier of it.
    """
    file = read_outcomes(
        path,
        columns=columns,
        id_column=settings.id_column,
        text_column=settings.text_column,
        segment_column=settings.segment_column,
        free=settings.free,
    )
    matrix = plainly_named(file.matrix)
    choose, said = _parts_of(file, settings)
    refuse_missing_segments(settings.by_segment, matrix.segments, choose)
    reference, why = _reference(matrix, choose, settings.reference)
    embedder = open_embedder(settings.embedder) if settings.embedder else None
    scored = _scores_of(file, matrix, reference, choose, settings.seed, embedder)
    scored, words = _embedding_priced(named_by(scored, embedder), file, settings)
    notes_of_cost = words or ["scores cost nothing"]
    given = tuple(ScoreSpec(name=name, kind="given", needs=s.needs) for name, s in matrix.scores.items())
    notes = [*said, *why, *scored.notes, *_free(settings.free)]
    if given:
        notes.append(f"scores of the file ({len(given)}) are used as given: a policy by one of them cannot be served")
    if not given and not scored.specs:
        notes.append("the file has neither scores nor texts nor features: only single tiers can be compared")
    scores = {
        **matrix.scores,
        **{s.name: Score(values=scored.values[s.name], needs=s.needs, cost_usd=s.cost_usd) for s in scored.specs},
    }
    return Material(
        matrix=cheapest_first(replace(matrix, scores=scores)),
        choose=choose,
        tiers=tuple(
            Tier(name=t, source="", usd_per_request=float(matrix.cost_usd[:, k].mean()))
            for k, t in enumerate(matrix.tiers)
        ),
        specs=(*given, *(kept_in_file(spec, scored.predictors) for spec in scored.specs)),
        predictors=scored.predictors,
        reference=reference,
        quality="given",
        texts=file.texts,
        marks=_marks(file, choose),
        assumptions=(*notes, f"tiers were not run: qualities and costs are those of the file, {notes_of_cost[0]}"),
    )


def _free(tiers: Sequence[str]) -> list[str]:
    return [f"{', '.join(tiers)}: costs of 0 are meant, as stated"] if tiers else []


def named_by(scored: Scored, embedder: Embedder | None) -> Scored:
    """Scores of an embedding with the embedder's name and digest."""
    if embedder is None:
        return scored
    specs = tuple(
        replace(spec, embedder=embedder.name, embedder_sha256=embedder.sha256)
        if embedded_in(scored.predictors.get(spec.name)) is not None
        else spec
        for spec in scored.specs
    )
    return replace(scored, specs=specs)


def _embedding_priced(scored: Scored, file: OutcomeFile, settings: RouteSettings) -> tuple[Scored, list[str]]:
    """Scores of an embedding with the price of its time, and that in words; nothing to say without them."""
    embedded = {name: e for name, p in scored.predictors.items() if (e := embedded_in(p)) is not None}
    if not embedded or file.texts is None:
        return scored, []
    some = file.texts[:: max(1, len(file.texts) // TIMED_TEXTS)]
    seconds = seconds_of(lambda text: next(iter(embedded.values())).score([text]), some, MonotonicClock())
    rate = usd_per_core_s(offer_named(settings.priced_as, None))
    specs = tuple(replace(s, cost_usd=seconds * (rate or 0.0)) if s.name in embedded else s for s in scored.specs)
    took = f"an embedding takes {1e3 * seconds:.1f} ms of one core"
    paid = "not priced (--priced-as names an offer)" if rate is None else f"priced as {settings.priced_as}"
    return replace(scored, specs=specs), [f"{took}, {paid}; other scores cost nothing"]


def kept_in_file(spec: ScoreSpec, predictors: Mapping[str, Predictor]) -> ScoreSpec:
    """The score with the name of the file that its trained part is written to."""
    return replace(spec, weights=WEIGHTS) if spec.name in predictors else spec


def plainly_named(matrix: OutcomeMatrix) -> OutcomeMatrix:
    """Scores without the tiers that a column's name carries, ``margin@small`` → ``margin``, where that stays unique."""
    plain = [name.partition("@")[0] for name in matrix.scores]
    names = [short if plain.count(short) == 1 else name for short, name in zip(plain, matrix.scores)]
    return replace(matrix, scores=dict(zip(names, matrix.scores.values())))


def _parts_of(file: OutcomeFile, settings: RouteSettings) -> tuple[NDArray[np.bool_], list[str]]:
    """The file's own parts where it has a column ``part``: learned scores were fitted on one of them."""
    words = file.table.columns.get("part")
    if words is None:
        return drawn_parts(file.matrix.n, settings), []
    if set(words) != set(PARTS):
        raise DataError(
            f"{file.source}: part must be {PARTS[0]} or {PARTS[1]} and both must occur, "
            f"has {sorted(map(str, set(words)))}"
        )
    return np.array([word == PARTS[0] for word in words]), ["the parts for choosing and proving are those of the file"]


def _reference(matrix: OutcomeMatrix, choose: NDArray[np.bool_], wanted: str | None) -> tuple[str, list[str]]:
    if wanted is not None:
        if wanted not in matrix.tiers:
            raise InputError(f"--reference is {wanted!r}; the tiers are {', '.join(matrix.tiers)}")
        return wanted, []
    best = int(matrix.quality[choose].mean(axis=0).argmax())
    name = matrix.tiers[best]
    return name, [f"the reference is {name}, the best single tier on the choosing part; --reference names another"]


def _scores_of(
    file: OutcomeFile,
    matrix: OutcomeMatrix,
    reference: str,
    choose: NDArray[np.bool_],
    seed: int,
    embedder: Embedder | None,
) -> Scored:
    """Scores before any tier runs: of the texts, and predictors of each tier from the file's features."""
    good = sufficiency(matrix.quality, matrix.tier(reference))
    below = matrix.tiers[: matrix.tier(reference)]
    rows, rng = np.flatnonzero(choose), np.random.default_rng([seed, 1])
    by_tier = {tier: good[:, k] for k, tier in enumerate(below)}
    nobody: tuple[TierAnswers, ...] = ()
    apart = differences(matrix, reference)
    found = learned_scores(
        nobody,
        by_tier,
        truth=None,
        texts=file.texts,
        choose=rows,
        rng=rng,
        differences=apart,
        embed=None if embedder is None else embedder.embed,
    )
    more = list(_per_usd_of_given(matrix, file.texts, apart, rows, rng, set(found.values)))
    if not file.feature_names:
        return _with_more(found, more)
    more += _of_features(file, by_tier, apart, rows, rng)
    note = "a policy by a predictor of the file's features cannot be served: the server lacks them"
    return replace(_with_more(found, more), notes=(*found.notes, note))


_More = tuple[ScoreSpec, Floats, Predictor]
"""A score with its values on all requests and its trained part."""


def _with_more(found: Scored, more: Sequence[_More]) -> Scored:
    return replace(
        found,
        specs=(*found.specs, *(spec for spec, _, _ in more)),
        values={**found.values, **{spec.name: values for spec, values, _ in more}},
        predictors={**found.predictors, **{spec.name: predictor for spec, _, predictor in more}},
    )


def _per_usd_of_given(
    matrix: OutcomeMatrix,
    texts: Sequence[str] | None,
    apart: Mapping[str, Difference],
    rows: NDArray[np.int64],
    rng: np.random.Generator,
    taken: set[str],
) -> Iterator[_More]:
    """Forms per dollar saved of the file's own scores, where it has the texts that savings are read from; none whose
    name another score has.
    """
    if texts is None or not matrix.scores:
        return
    names = {*taken, *matrix.scores}
    forms = PerUsdForms(text_features(texts), apart, rows, rng)
    for name, score in matrix.scores.items():
        if PER_USD in name:  # a table that a calibration left
            continue
        spec = ScoreSpec(name=name, kind="given", needs=score.needs)
        for tier in score.needs[-1:] or list(apart):
            made = forms.of(spec, score.values, None, tier)
            if made is not None and made[0].name not in names:
                names.add(made[0].name)
                yield made


def _of_features(
    file: OutcomeFile,
    by_tier: Mapping[str, Floats],
    apart: Mapping[str, Difference],
    rows: NDArray[np.int64],
    rng: np.random.Generator,
) -> Iterator[_More]:
    """Predictors of each tier from the file's features, in both forms."""
    forms = PerUsdForms(file.features, apart, rows, rng)
    for tier, y in by_tier.items():
        if np.unique(y[rows]).size > 1:
            spec = ScoreSpec(name=f"feature_logistic({tier})", kind="given", features=file.feature_names)
            values, fitted = _feature_score(file.features, y, rows, rng)
            yield spec, values, fitted
            if (made := forms.of(spec, values, fitted, tier)) is not None:
                yield made
    given = {"kind": "given", "features": file.feature_names}
    for score in dense_scores("feature_ridge", file.features, apart, rows, rng, **given):  # type: ignore[arg-type]
        yield score.spec, score.values, score.predictor


def _feature_score(
    features: Floats, good: Floats, rows: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Floats, Logistic]:
    """Fitted on the choosing rows; these themselves are cross-fitted in five folds."""
    fitted = chosen_logistic(features[rows], good[rows], rng)
    found = fitted.score(features)
    for fold in folds(rows.size, rng):
        part = rows[fold]
        rest = np.setdiff1d(rows, part)
        if np.unique(good[rest]).size > 1:
            found[part] = fit_logistic(features[rest], good[rest], l2=fitted.l2).score(features[part])
    return found, fitted


def _marks(file: OutcomeFile, choose: NDArray[np.bool_]) -> dict[str, Sequence[str]]:
    marks: dict[str, Sequence[str]] = {"part": [PARTS[0] if c else PARTS[1] for c in choose]}
    if file.texts is not None:
        marks["fingerprint"] = [fingerprint_of_text(text) for text in file.texts]
    return marks
