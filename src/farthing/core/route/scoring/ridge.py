"""Ridge regression of what a cheap tier loses and saves, from a text: the signed loss, and the loss per dollar saved.

The loss of a request is the reference's quality less the cheap tier's, in [−1, 1]: requests on which only the cheap
tier is right count for it. Where costs vary, what is saved is fitted too, and requests rank by expected loss per dollar
saved: the order in which a bounded loss buys most (the fractional knapsack of Dantzig, Oper. Res. 5, 1957).

The strength of the ridge is that of the least leave-one-out error, which the eigenvectors of the Gram matrix give in
closed form for all strengths at once (Golub, Heath & Wahba, Technometrics 21, 1979). The rows that were fitted are
scored by their leave-one-out predictions, so that thresholds are not chosen on answers that the predictor knows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "FLOOR_FRAC",
    "STRENGTHS",
    "Fit",
    "LossRidge",
    "ScaledFit",
    "fit_ridge",
    "fit_ridge_of",
    "fit_scaled",
    "predicted_score",
]

STRENGTHS = tuple(float(x) for x in np.geomspace(1e-2, 1e4, 25))
"""Of the ridge, in units of one row's squared length; the last one leaves little but the mean."""
FLOOR_FRAC = 0.15
"""Least saving that a loss is divided by, as a share of the mean one: predictions near 0 tell no ratio."""
_NEAR_ONE = 1e-6
_CONSTANT = 1e-9
_RANK = 1e-10
"""Eigenvalues below this share of the largest count as 0."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LossRidge:
    """A fitted predictor of loss and saving.

    Attributes:
        weights: Of the features: row 0 for the loss, row 1 for the saving; shape ``(2, features)``.
        intercept: Of both, shape ``(2,)``.
        floor: Least saving that a loss is divided by, > 0; 0 where the score is the loss alone.
        idf: Weights of words where features are words (:mod:`farthing.core.route.scoring.words`), else empty.
    """

    weights: Floats
    intercept: Floats
    floor: float = 0.0
    idf: Floats

    def score(self, features: ArrayLike) -> Floats:
        """Higher where the cheap tier is expected to lose less (per dollar), shape ``(n,)``.

        Args:
            features: Shape ``(n, features)``, finite.

        Raises:
            ValueError: when the number of features differs from the fitted one.
        """
        table = np.asarray(features, dtype=np.float64)
        if table.ndim != 2 or table.shape[1] != self.weights.shape[1]:
            raise ValueError(f"fitted on {self.weights.shape[1]} features, given the shape {table.shape}")
        found = [(self.weights @ row + self.intercept).tolist() for row in table]
        return np.array([predicted_score(loss, saved, self.floor) for loss, saved in found])


def predicted_score(loss: float, saved: float, floor: float) -> float:
    """−loss, or −loss / max(saved, floor) where there is a floor."""
    return -loss / max(saved, floor) if floor > 0 else -loss


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """Ridge regressions of several outcomes on the same rows.

    Attributes:
        duals: Weights of the rows, shape ``(n, outcomes)``: a feature's weights are ``featuresᵀ · duals``.
        mean: Of each outcome, its intercept, shape ``(outcomes,)``.
        left_out: Prediction of each row by the others, shape ``(n, outcomes)``.
        strength: Of each outcome's ridge.
        explained: 1 − leave-one-out error over variance of each outcome; ≤ 0 where nothing is predicted.
    """

    duals: Floats
    mean: Floats
    left_out: Floats
    strength: Floats
    explained: Floats


def fit_ridge(gram: ArrayLike, outcomes: ArrayLike) -> Fit:
    """Fit all outcomes, each with its own strength.

    Args:
        gram: Inner products of the rows' features, shape ``(n, n)``, symmetric and positive semidefinite; n ≥ 3.
        outcomes: Shape ``(n, outcomes)``, finite.

    Raises:
        ValueError: when shapes do not match or there are too few rows.
    """
    K, Y = np.asarray(gram, dtype=np.float64), np.asarray(outcomes, dtype=np.float64)
    if K.ndim != 2 or K.shape[0] != K.shape[1] or Y.ndim != 2 or Y.shape[0] != K.shape[0] or K.shape[0] < 3:
        raise ValueError(f"a square table of ≥ 3 rows and as many outcomes wanted, have {K.shape} and {Y.shape}")
    values, V = np.linalg.eigh(K)
    return _fitted(np.maximum(values, 0.0), V, Y)


def fit_ridge_of(features: ArrayLike, outcomes: ArrayLike) -> Fit:
    """The same of a table of features: of few features it takes their number's cube, not that of the rows.

    Args:
        features: Shape ``(n, features)``, finite.
        outcomes: Shape ``(n, outcomes)``, finite.

    Raises:
        ValueError: as :func:`fit_ridge`.
    """
    X, Y = np.asarray(features, dtype=np.float64), np.asarray(outcomes, dtype=np.float64)
    if X.shape[1] >= X.shape[0]:
        return fit_ridge(X @ X.T, Y)
    values, Q = np.linalg.eigh(X.T @ X)
    some = values > _RANK * max(float(values[-1]), 0.0)
    return _fitted(values[some], X @ Q[:, some] / np.sqrt(values[some]), Y)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScaledFit:
    """Ridges on features that were standardised by the rows that they were fitted on.

    Attributes:
        fit: On the standardised features.
        scaled: Those, shape ``(n, features)``; a constant one is 0.
        centre: Mean of each feature, shape ``(features,)``.
        scale: Its standard deviation, infinite where it is constant.
    """

    fit: Fit
    scaled: Floats
    centre: Floats
    scale: Floats

    def raw(self, outcomes: slice) -> tuple[Floats, Floats]:
        """Of some outcomes the weights of the features as given, shape ``(outcomes, features)``, and the intercepts."""
        weights = (self.scaled.T @ self.fit.duals[:, outcomes]).T / self.scale
        return weights, self.fit.mean[outcomes] - weights @ self.centre


def fit_scaled(features: Floats, outcomes: ArrayLike) -> ScaledFit:
    """Standardise features and fit all outcomes.

    Args:
        features: Shape ``(n, features)``, finite.
        outcomes: Shape ``(n, outcomes)``, finite.

    Raises:
        ValueError: as :func:`fit_ridge`.
    """
    centre, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.where(spread > _CONSTANT * (1 + np.abs(centre)), spread, np.inf)
    scaled = (features - centre) / scale
    return ScaledFit(fit=fit_ridge_of(scaled, outcomes), scaled=scaled, centre=centre, scale=scale)


def _fitted(values: Floats, V: Floats, Y: Floats) -> Fit:
    """From the eigenvalues of the Gram matrix that are not 0 and their vectors, shape ``(n, rank)``."""
    n = Y.shape[0]
    unit = float(values.sum()) / n or 1.0
    mean = Y.mean(axis=0)
    turned, squares = V.T @ (Y - mean), V**2
    best: dict[int, tuple[float, float, Floats, Floats]] = {}
    for strength in STRENGTHS:
        shrunk = values / (values + strength * unit)
        leverage = np.minimum(squares @ shrunk + 1 / n, 1 - _NEAR_ONE)
        residual = (Y - mean - V @ (shrunk[:, None] * turned)) / (1 - leverage)[:, None]
        error = (residual**2).mean(axis=0)
        for k in range(Y.shape[1]):
            if k not in best or error[k] < best[k][0]:
                dual = V @ (turned[:, k] / (values + strength * unit))
                best[k] = float(error[k]), strength * unit, dual, Y[:, k] - residual[:, k]
    variance = Y.var(axis=0)
    found = [best[k] for k in range(Y.shape[1])]
    return Fit(
        duals=np.column_stack([dual for _, _, dual, _ in found]),
        mean=mean,
        left_out=np.column_stack([left for _, _, _, left in found]),
        strength=np.array([strength for _, strength, _, _ in found]),
        explained=np.array([1 - e / v if v > 0 else 0.0 for (e, _, _, _), v in zip(found, variance)]),
    )
