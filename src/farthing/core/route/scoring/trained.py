"""What a score can have learned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from farthing.core.route.outcomes import Floats
from farthing.core.route.scoring.predictors import Logistic, Neighbours
from farthing.core.route.scoring.ridge import LossRidge, predicted_score

__all__ = ["Embed", "Embedded", "PerUsd", "PlainPredictor", "Predictor", "embedded_in"]

Embed = Callable[[Sequence[str]], Floats]
"""Vectors of texts, shape ``(n, dimensions)``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedded:
    """A predictor of vectors with what makes them of texts.

    Attributes:
        predictor: Fitted on vectors.
        embed: See :data:`Embed`.
    """

    predictor: LossRidge | Neighbours
    embed: Embed

    def score(self, texts: Sequence[str]) -> Floats:
        """Higher where the cheap tier is expected to lose less, shape ``(n,)``; each text by itself, as in serving."""
        return np.array([self.predictor.score(self.embed([text]))[0] for text in texts])


PlainPredictor = Embedded | Logistic | LossRidge | Neighbours


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PerUsd:
    """What divides the loss that a plain score lets expect by the saving that a request's features let expect.

    Attributes:
        base: Trained part of the plain score, None where it has none.
        scores: Plain scores at the corners of the expected loss, rising, shape ``(k,)``.
        losses: Expected loss there, falling, shape ``(k,)``.
        weights: Of the features for the saving, shape ``(features,)``.
        intercept: Of the saving.
        floor: Least saving that a loss is divided by, > 0.
    """

    base: PlainPredictor | None
    scores: Floats
    losses: Floats
    weights: Floats
    intercept: float
    floor: float

    def score(self, plain: Floats, features: Floats) -> Floats:
        """Higher where the cheap tier is expected to lose less per dollar saved, shape ``(n,)``.

        Args:
            plain: The plain score, shape ``(n,)``.
            features: Shape ``(n, features)``, finite.

        Raises:
            ValueError: when the number of features differs from the fitted one.
        """
        if features.ndim != 2 or features.shape[1] != self.weights.size:
            raise ValueError(f"fitted on {self.weights.size} features, given the shape {features.shape}")
        rows = np.ascontiguousarray(features)
        return np.array([self.score_one(x, row) for x, row in zip(plain.tolist(), rows, strict=True)])

    def score_one(self, plain: float, row: Floats) -> float:
        """Of one request, the same number to the last bit; NaN where the plain score is.

        Args:
            plain: The plain score.
            row: Features, shape ``(features,)``, finite, not checked.
        """
        loss = float(np.interp(plain, self.scores, self.losses))
        return predicted_score(loss, float(row.dot(self.weights)) + self.intercept, self.floor)


Predictor = PlainPredictor | PerUsd


def embedded_in(predictor: Predictor | None) -> Embedded | None:
    """What makes vectors of texts for a predictor, None where nothing does."""
    base = predictor.base if isinstance(predictor, PerUsd) else predictor
    return base if isinstance(base, Embedded) else None
