"""What a score can have learned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from farthing.core.route.outcomes import Floats
from farthing.core.route.scoring.predictors import Logistic, Neighbours
from farthing.core.route.scoring.ridge import LossRidge

__all__ = ["Embed", "Embedded", "Predictor"]

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


Predictor = Embedded | Logistic | LossRidge | Neighbours
