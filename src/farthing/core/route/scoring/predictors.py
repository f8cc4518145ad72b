"""Trained scores: a logistic predictor of “the small tier is right”, and nearest neighbours over embeddings.

Both are fitted on requests of their own. Where the fitted rows themselves are scored, use ``leave_one_out`` or
another part of the data: a predictor knows its own training rows too well for any calibration on them to hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

__all__ = ["L2", "Logistic", "Neighbours", "chosen_logistic", "fit_logistic", "fit_neighbours", "folds"]

L2 = (0.1, 1.0, 10.0, 100.0, 1000.0)
"""Strengths of a logistic predictor's ridge that are compared."""
FOLDS = 5

_MOST_STEPS = 100
_STEP_TOLERANCE = 1e-10
_ROWS_AT_ONCE = 1024
_CONSTANT = 1e-9

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Logistic:
    """A fitted logistic predictor.

    Attributes:
        weights: Of the raw features, shape ``(features,)``.
        intercept: Log odds at features of 0.
        l2: Strength of the ridge that it was fitted with.
    """

    weights: Floats
    intercept: float
    l2: float = 1.0

    def score(self, features: ArrayLike) -> Floats:
        """Probability that the small tier suffices, shape ``(n,)``.

        Args:
            features: Shape ``(n, features)``, finite.

        Raises:
            ValueError: when the number of features differs from the fitted one or one is not finite.
        """
        table = _table(features)
        if table.shape[1] != self.weights.size:
            raise ValueError(f"fitted on {self.weights.size} features, given {table.shape[1]}")
        return np.array([self.score_one(row) for row in np.ascontiguousarray(table)])

    def score_one(self, row: Floats) -> float:
        """Of one request, the same number to the last bit: thresholds lie on calibrated scores.

        Args:
            row: Shape ``(features,)``, finite, not checked.
        """
        return float(special.expit(row.dot(self.weights) + self.intercept))


def fit_logistic(features: ArrayLike, sufficient: ArrayLike, *, l2: float = 1.0) -> Logistic:
    """Fit by iteratively reweighted least squares with halved steps; a ridge keeps separable data finite.

    Minimises −log likelihood + l2/2 · |w|² over the standardised features, the intercept free (Hastie, Tibshirani &
    Friedman, 2009, eq. 4.26 and 18.11). A constant feature gets the weight 0.

    Args:
        features: Shape ``(n, features)``, finite.
        sufficient: Whether, or how well, the small tier did, in [0, 1], shape ``(n,)``.
        l2: Strength of the ridge, > 0.

    Raises:
        ValueError: when shapes do not match, a value is out of its domain, or all outcomes are the same.
    """
    table, y = _table(features), _outcomes(sufficient, features)
    if not 0 < l2 < np.inf:
        raise ValueError(f"l2 must be finite and > 0, is {l2}")
    if (y == y[0]).all():
        raise ValueError(f"all {y.size} outcomes are {y[0]:g}: there is nothing to predict")
    centre, spread = table.mean(axis=0), table.std(axis=0)
    scale = np.where(spread > _CONSTANT * np.abs(centre), spread, np.inf)
    X = np.column_stack([(table - centre) / scale, np.ones(y.size)])
    ridge = np.append(np.full(table.shape[1], l2), 0.0)
    beta = np.append(np.zeros(table.shape[1]), special.logit(y.mean()))
    value = _penalised(X, y, ridge, beta)
    for _ in range(_MOST_STEPS):
        p = special.expit(X @ beta)
        gradient = X.T @ (p - y) + ridge * beta
        hessian = (X * (p * (1 - p))[:, None]).T @ X + np.diag(ridge + 1e-12)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while _penalised(X, y, ridge, beta - size * step) > value and size > 1e-8:
            size /= 2
        beta = beta - size * step
        before, value = value, _penalised(X, y, ridge, beta)
        if before - value <= _STEP_TOLERANCE * (1 + abs(value)):
            break
    weights = beta[:-1] / scale
    return Logistic(weights=weights, intercept=float(beta[-1] - centre @ weights), l2=l2)


def chosen_logistic(features: ArrayLike, sufficient: ArrayLike, rng: np.random.Generator) -> Logistic:
    """Fit with the ridge of the greatest likelihood over five folds: few rows and many features want a strong one.

    Args:
        features: Shape ``(n, features)``, finite.
        sufficient: In [0, 1], shape ``(n,)``.
        rng: Draws the folds.

    Raises:
        ValueError: as :func:`fit_logistic`.
    """
    table, y = _table(features), _outcomes(sufficient, features)
    parts = [(rows, np.setdiff1d(np.arange(y.size), rows)) for rows in folds(y.size, rng)]
    fair = [(rows, rest) for rows, rest in parts if rest.size and (y[rest] != y[rest][0]).any()]

    def lost(l2: float) -> float:
        return sum(_surprise(fit_logistic(table[rest], y[rest], l2=l2).score(table[rows]), y[rows])
                   for rows, rest in fair)  # fmt: skip

    return fit_logistic(table, y, l2=min(L2, key=lost) if fair else 1.0)


def folds(n: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Rows in five parts at random, each in order; fewer where there are fewer rows.

    Args:
        n: Rows.
        rng: Draws the parts.
    """
    yield from (np.sort(part) for part in np.array_split(rng.permutation(n), FOLDS) if part.size)


def _surprise(p: Floats, y: Floats) -> float:
    """Negative log likelihood."""
    return -float((special.xlogy(y, np.maximum(p, 1e-12)) + special.xlogy(1 - y, np.maximum(1 - p, 1e-12))).sum())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neighbours:
    """Requests with known outcomes, to be looked up by embedding.

    Attributes:
        directions: Embeddings of length 1, shape ``(m, dimensions)``.
        sufficient: Outcomes in [0, 1], shape ``(m,)``.
        k: Neighbours asked, 1 ≤ k < m.
    """

    directions: Floats
    sufficient: Floats
    k: int

    def score(self, embeddings: ArrayLike, *, leave_one_out: bool = False) -> Floats:
        """Mean outcome of the ``k`` nearest by cosine, shape ``(n,)``, in [0, 1].

        Args:
            embeddings: Shape ``(n, dimensions)``, finite.
            leave_one_out: The rows are the fitted ones in their order; none is its own neighbour.

        Raises:
            ValueError: when dimensions differ, or leave-one-out is asked for other rows.
        """
        queries = _directions(embeddings)
        if queries.shape[1] != self.directions.shape[1]:
            raise ValueError(f"fitted on {self.directions.shape[1]} dimensions, given {queries.shape[1]}")
        if leave_one_out and queries.shape != self.directions.shape:
            raise ValueError(f"leave-one-out wants the {self.directions.shape[0]} fitted rows, has {queries.shape[0]}")
        found = np.empty(queries.shape[0])
        for start in range(0, queries.shape[0], _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            near = queries[rows] @ self.directions.T
            if leave_one_out:
                near[np.arange(near.shape[0]), start + np.arange(near.shape[0])] = -np.inf
            nearest = np.argpartition(near, -self.k, axis=1)[:, -self.k :]
            found[rows] = self.sufficient[nearest].mean(axis=1)
        return found


def fit_neighbours(embeddings: ArrayLike, sufficient: ArrayLike, *, k: int = 20) -> Neighbours:
    """Keep embeddings with their outcomes.

    Args:
        embeddings: Shape ``(m, dimensions)``, finite; only their direction counts.
        sufficient: Whether, or how well, the small tier did, in [0, 1], shape ``(m,)``.
        k: Neighbours asked, 1 ≤ k < m.

    Raises:
        ValueError: when shapes do not match, a value is out of its domain, or k is too large.
    """
    table, y = _directions(embeddings), _outcomes(sufficient, embeddings)
    if not 1 <= k < y.size:
        raise ValueError(f"k must lie in 1 … {y.size - 1}, is {k}")
    return Neighbours(directions=table, sufficient=y, k=k)


def _penalised(X: Floats, y: Floats, ridge: Floats, beta: Floats) -> float:
    eta = X @ beta
    return float((np.logaddexp(0, eta) - y * eta).sum() + (ridge * beta * beta).sum() / 2)


def _directions(embeddings: ArrayLike) -> Floats:
    table = _table(embeddings)
    length = np.linalg.norm(table, axis=1, keepdims=True)
    return np.asarray(table / np.where(length > 0, length, 1.0))


def _outcomes(sufficient: ArrayLike, rows: ArrayLike) -> Floats:
    y, n = np.asarray(sufficient, dtype=np.float64), np.asarray(rows).shape[0]
    if y.shape != (n,):
        raise ValueError(f"outcomes must have shape ({n},), have {y.shape}")
    if not ((y >= 0) & (y <= 1)).all():
        raise ValueError(f"outcomes must lie in [0, 1], span {y.min()} to {y.max()}")
    return y


def _table(values: ArrayLike) -> Floats:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"a table of shape (n, columns) is wanted, has shape {table.shape}")
    if not np.isfinite(table).all():
        row = int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0])
        raise ValueError(f"values must be finite; row {row} is not")
    return table
