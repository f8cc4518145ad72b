"""A score per dollar saved: the loss that its plain form lets expect over the saving that the request lets expect.

A score tells how likely an answer is to do, not what the request costs. Where costs vary, a bounded loss buys most when
requests rank by expected loss per dollar saved (the fractional knapsack of Dantzig, Oper. Res. 5, 1957). The expected
loss falls with the plain score (isotonic regression, Barlow et al., 1972, between whose steps it is interpolated); the
saving is a ridge of the request's features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

from farthing.core.route.outcomes import Floats
from farthing.core.route.routes import ScoreSpec
from farthing.core.route.scoring.contents import LEAST_FITTED, PER_USD, Difference, fitted_rows, savings_vary
from farthing.core.route.scoring.predictors import folds
from farthing.core.route.scoring.ridge import FLOOR_FRAC, fit_scaled, predicted_score
from farthing.core.route.scoring.trained import PerUsd, PlainPredictor

__all__ = ["PerUsdForms", "fit_falling", "plain_spec"]

Ints = NDArray[np.int64]


def plain_spec(spec: ScoreSpec) -> ScoreSpec:
    """The plain score that one per dollar saved is made of; the same where it is none."""
    return replace(spec, name=spec.per_usd_of, per_usd_of="") if spec.per_usd_of else spec


def fit_falling(scores: ArrayLike, loss: ArrayLike) -> tuple[Floats, Floats]:
    """Mean loss that falls as a score rises, as the corners of a line.

    Args:
        scores: Shape ``(n,)``, finite, n ≥ 1.
        loss: Shape ``(n,)``, finite.

    Returns:
        Scores, rising, and the loss at each: both ends of every step of the isotonic regression.

    Raises:
        ValueError: when shapes do not match or nothing is there.
    """
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(loss, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or x.size == 0:
        raise ValueError(f"as many scores as losses wanted, have the shapes {x.shape} and {y.shape}")
    known, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    mean = np.bincount(place, weights=y) / counts
    fitted = isotonic_regression(mean, weights=counts, increasing=False)
    blocks = np.asarray(fitted.blocks, dtype=np.int64)
    ends = np.unique(np.concatenate([blocks[:-1], blocks[1:] - 1]))
    return known[ends], np.asarray(fitted.x[ends], dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Saving:
    """A ridge of what is saved, over its floor; values of all requests, those that were fitted left out."""

    weights: Floats
    intercept: float
    floor: float
    values: Floats


@dataclass(frozen=True, slots=True, eq=False)
class PerUsdForms:
    """Makes the forms per dollar saved of plain scores.

    Attributes:
        table: Features of all requests that savings are read from, shape ``(n, features)``, finite.
        by_tier: What each tier loses and saves.
        choose: Rows of the choosing part.
        rng: Draws folds and fitted rows.
    """

    table: Floats
    by_tier: Mapping[str, Difference]
    choose: Ints
    rng: np.random.Generator
    _savings: dict[str, _Saving | None] = field(default_factory=dict)

    def of(
        self, spec: ScoreSpec, values: Floats, predictor: PlainPredictor | None, tier: str
    ) -> tuple[ScoreSpec, Floats, PerUsd] | None:
        """The form of one score; None where what is saved does not vary, or too little is known.

        Args:
            spec: Of the plain score.
            values: Of it, shape ``(n,)``; cross-fitted on the choosing part where it is learned.
            predictor: Its trained part.
            tier: Whose loss it tells. Where the score needs its answer, that is paid for already, and all of the
                reference's cost is saved.
        """
        difference = self.by_tier.get(tier)
        if difference is None or not np.isfinite(values).all() or np.ptp(values[self.choose]) == 0:
            return None
        paid = tier in spec.needs
        saving = self._saving("" if paid else tier, difference.reference if paid else difference.saved)
        if saving is None:
            return None
        known, loss = values[self.choose], difference.loss[self.choose]
        scores, losses = fit_falling(known, loss)
        fitted = PerUsd(
            base=predictor, scores=scores, losses=losses,
            weights=saving.weights, intercept=saving.intercept, floor=saving.floor,
        )  # fmt: skip
        found = fitted.score(values, self.table)
        found[self.choose] = [
            predicted_score(expected, saved, saving.floor)
            for expected, saved in zip(
                self._cross_fitted(known, loss).tolist(), saving.values[self.choose].tolist(), strict=True
            )
        ]
        name, _, of = spec.name.partition("(")
        named = f"{name}{PER_USD}({of}" if of else f"{name}{PER_USD}({tier})"
        return replace(spec, name=named, per_usd_of=spec.name), found, fitted

    def _saving(self, key: str, saved: Floats) -> _Saving | None:
        """Fitted once for all scores of a tier, or of an answer that is there; None where requests save alike."""
        if key not in self._savings:
            rows = fitted_rows(self.choose, self.rng)
            told = rows.size >= LEAST_FITTED and savings_vary(saved[rows])
            self._savings[key] = self._fit_saving(saved, rows) if told else None
        return self._savings[key]

    def _fit_saving(self, saved: Floats, rows: Ints) -> _Saving:
        fit = fit_scaled(self.table[rows], saved[rows][:, None])
        (weights,), (intercept,) = fit.raw(slice(0, 1))
        values = self.table @ weights + intercept
        values[rows] = fit.fit.left_out[:, 0]
        floor = FLOOR_FRAC * float(saved[rows].mean())
        return _Saving(weights=weights, intercept=float(intercept), floor=floor, values=values)

    def _cross_fitted(self, scores: Floats, loss: Floats) -> Floats:
        """Expected loss of each choosing request, from those of the other folds."""
        found = np.empty(scores.size)
        for part in folds(scores.size, self.rng):
            rest = np.setdiff1d(np.arange(scores.size), part)
            found[part] = np.interp(scores[part], *fit_falling(scores[rest], loss[rest]))
        return found
