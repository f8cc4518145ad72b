"""Scores of a request's content before any tier runs: ridges on its text's features, its words, the file's features.

Each is offered in two forms: by expected loss, and where costs vary by expected loss per dollar saved; the choosing
part decides between them. All of them are fitted on the choosing part alone and score its rows leave-one-out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farthing.core.route.outcomes import Floats, OutcomeMatrix
from farthing.core.route.routes import ScoreSpec
from farthing.core.route.scoring.ridge import FLOOR_FRAC, Fit, LossRidge, fit_ridge, fit_scaled, predicted_score
from farthing.core.route.scoring.texts import TEXT_FEATURES, text_features
from farthing.core.route.scoring.trained import Embedded
from farthing.core.route.scoring.words import fit_idf, word_row, word_table

__all__ = [
    "LEAST_FITTED",
    "PER_USD",
    "ContentScore",
    "Difference",
    "content_scores",
    "dense_scores",
    "differences",
    "fitted_rows",
    "savings_vary",
    "word_score",
]

PER_USD = "_per_usd"
"""End of the name of a score's form per dollar saved, before its tier."""
MOST_FITTED = 3000
"""Choosing requests that a ridge is fitted on, at most: its time grows with their cube."""
LEAST_FITTED = 10
_VARIES = 1e-6

Ints = NDArray[np.int64]
NO_WORDS: Floats = np.zeros(0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Difference:
    """What one tier loses and saves against the reference.

    Attributes:
        loss: Reference's quality less the tier's, in [−1, 1], shape ``(n,)``.
        saved: Reference's cost less the tier's over the reference's mean cost, shape ``(n,)``.
        reference: Reference's cost over its mean, shape ``(n,)``: what is saved where the tier is paid for already.
    """

    loss: Floats
    saved: Floats
    reference: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ContentScore:
    """A score with its values on all requests and its trained part."""

    spec: ScoreSpec
    values: Floats
    predictor: LossRidge | Embedded


def differences(matrix: OutcomeMatrix, reference: str) -> dict[str, Difference]:
    """Of every tier below the reference that saves something on average, by name."""
    column = matrix.tier(reference)
    best, dear = matrix.quality[:, column], matrix.cost_usd[:, column]
    unit = float(dear.mean())
    return {
        tier: Difference(
            loss=best - matrix.quality[:, k], saved=(dear - matrix.cost_usd[:, k]) / unit, reference=dear / unit
        )
        for k, tier in enumerate(matrix.tiers[:column])
        if unit > 0 and float((dear - matrix.cost_usd[:, k]).mean()) > 0
    }


def content_scores(
    texts: Sequence[str], by_tier: Mapping[str, Difference], choose: Ints, rng: np.random.Generator
) -> Iterator[ContentScore]:
    """Ridges on the features of a text, on its length alone, and on its words.

    Args:
        texts: Of all requests.
        by_tier: See :func:`differences`.
        choose: Rows of the choosing part.
        rng: Draws the rows that are fitted where there are too many.
    """
    table = text_features(texts)
    yield from dense_scores("text_ridge", table, by_tier, choose, rng, kind="text_ridge", features=TEXT_FEATURES)
    length = TEXT_FEATURES[:1]
    for found in dense_scores("brevity", table[:, :1], by_tier, choose, rng, kind="text_ridge", features=length):
        if isinstance(found.predictor, LossRidge) and found.predictor.floor > 0:  # its plain form is brevity itself
            yield found
    yield from _word_scores(texts, by_tier, choose, rng)


def dense_scores(
    name: str,
    table: Floats,
    by_tier: Mapping[str, Difference],
    choose: Ints,
    rng: np.random.Generator,
    *,
    kind: str,
    features: tuple[str, ...],
) -> Iterator[ContentScore]:
    """Ridges on a table of features, standardised by the choosing part.

    Args:
        name: Of the scores, before their form and tier.
        table: Shape ``(n, features)``, finite.
        by_tier: See :func:`differences`.
        choose: Rows of the choosing part.
        rng: Draws the rows that are fitted where there are too many.
        kind: Of their specs.
        features: Of their specs.
    """
    fitted = fitted_rows(choose, rng)
    if fitted.size < LEAST_FITTED or not by_tier:
        return
    found = fit_scaled(table[fitted], _outcomes(by_tier, fitted))
    for tier, k, difference in _numbered(by_tier):
        weights, intercept = found.raw(k)
        for floor, form in _forms(difference, fitted):
            predictor = LossRidge(weights=weights, intercept=intercept, floor=floor, idf=NO_WORDS)
            values = predictor.score(table)
            values[fitted] = _left_out(found.fit, k, floor)
            spec = ScoreSpec(name=f"{name}{form}({tier})", kind=kind, features=features)  # type: ignore[arg-type]
            yield ContentScore(spec=spec, values=values, predictor=predictor)


def word_score(text: str, predictor: LossRidge) -> float:
    """A score of words: the one place where it is computed, in calibrating and in serving."""
    return _scored(word_row(text, predictor.idf), predictor)


def _scored(row: tuple[Ints, Floats], predictor: LossRidge) -> float:
    places, values = row
    loss, saved = (predictor.weights[:, places] @ values + predictor.intercept).tolist()
    return predicted_score(loss, saved, predictor.floor)


def _word_scores(
    texts: Sequence[str], by_tier: Mapping[str, Difference], choose: Ints, rng: np.random.Generator
) -> Iterator[ContentScore]:
    fitted = fitted_rows(choose, rng)
    if fitted.size < LEAST_FITTED or not by_tier:
        return
    known = [texts[i] for i in fitted.tolist()]
    idf = fit_idf(known)
    X = word_table(known, idf)
    fit = fit_ridge((X @ X.T).toarray(), _outcomes(by_tier, fitted))
    rows = [word_row(text, idf) for text in texts]
    for tier, k, difference in _numbered(by_tier):
        weights = _as_stored((X.T @ fit.duals[:, k]).T)
        for floor, form in _forms(difference, fitted):
            predictor = LossRidge(weights=weights, intercept=fit.mean[k], floor=floor, idf=idf)
            values = np.array([_scored(row, predictor) for row in rows])
            values[fitted] = _left_out(fit, k, floor)
            spec = ScoreSpec(name=f"word_ridge{form}({tier})", kind="word_ridge")
            yield ContentScore(spec=spec, values=values, predictor=predictor)


def fitted_rows(choose: Ints, rng: np.random.Generator) -> Ints:
    """Rows of the choosing part that are fitted on: all of them, or some where there are too many."""
    return choose if choose.size <= MOST_FITTED else np.sort(rng.choice(choose, MOST_FITTED, replace=False))


def _outcomes(by_tier: Mapping[str, Difference], rows: Ints) -> Floats:
    return np.column_stack([column[rows] for d in by_tier.values() for column in (d.loss, d.saved)])


def _numbered(by_tier: Mapping[str, Difference]) -> Iterator[tuple[str, slice, Difference]]:
    """Tiers with the places of their two outcomes."""
    for i, (tier, difference) in enumerate(by_tier.items()):
        yield tier, slice(2 * i, 2 * i + 2), difference


def _forms(difference: Difference, rows: Ints) -> list[tuple[float, str]]:
    """The plain form, and the one per dollar with its floor where savings differ between requests."""
    saved = difference.saved[rows]
    return [(0.0, ""), *([(FLOOR_FRAC * float(saved.mean()), PER_USD)] if savings_vary(saved) else [])]


def savings_vary(saved: Floats) -> bool:
    """Whether requests differ in what they save, so that a form per dollar is another ranking."""
    return float(saved.std()) > _VARIES and float(saved.mean()) > 0


def _left_out(fit: Fit, k: slice, floor: float) -> Floats:
    return np.array([predicted_score(loss, saved, floor) for loss, saved in fit.left_out[:, k].tolist()])


def _as_stored(weights: Floats) -> Floats:
    """As the file keeps them, in single precision, so that what is served is what was calibrated."""
    return np.asarray(weights.astype(np.float32).astype(np.float64))
