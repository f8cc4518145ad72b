"""Scores from a model's own answer: the higher, the more likely it is that the cheap tier suffices.

Every function takes an array of ``n`` answers and gives an array ``(n,)``. None needs labels but the temperature,
which is fitted on validation data that later calibration must not see again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from farthing.core.route.scoring.texts import TEXT_FEATURES, brevity, text_features

__all__ = [
    "TEXT_FEATURES",
    "agreement",
    "brevity",
    "energy",
    "fit_temperature",
    "margin",
    "max_probability",
    "negative_entropy",
    "softmax",
    "text_features",
]

_SUM_TOLERANCE = 1e-3
_LOG_TEMPERATURE = (-5.0, 5.0)

Floats = NDArray[np.float64]


def max_probability(probabilities: ArrayLike) -> Floats:
    """Probability of the answer given (Hendrycks & Gimpel, ICLR 2017).

    Args:
        probabilities: Shape ``(n, classes)``, rows add up to 1.

    Raises:
        ValueError: when it is no table of probabilities over at least two classes.
    """
    return np.asarray(_probabilities(probabilities).max(axis=1))


def margin(probabilities: ArrayLike) -> Floats:
    """Probability of the answer less that of the runner-up, in [0, 1].

    Args:
        probabilities: Shape ``(n, classes)``, rows add up to 1.

    Raises:
        ValueError: when it is no table of probabilities over at least two classes.
    """
    top = np.partition(_probabilities(probabilities), -2, axis=1)[:, -2:]
    return np.asarray(top[:, 1] - top[:, 0])


def negative_entropy(probabilities: ArrayLike) -> Floats:
    """1 − H / log(classes), H the entropy of a row: 0 for a uniform row, 1 for a certain one.

    Args:
        probabilities: Shape ``(n, classes)``, rows add up to 1.

    Raises:
        ValueError: when it is no table of probabilities over at least two classes.
    """
    table = _probabilities(probabilities)
    return np.asarray(1 - special.entr(table).sum(axis=1) / np.log(table.shape[1]))


def energy(logits: ArrayLike, *, temperature: float = 1.0) -> Floats:
    """Negative free energy T · log Σ exp(z / T) (Liu et al., NeurIPS 2020, eq. 4); unbounded, low when unfamiliar.

    Args:
        logits: Shape ``(n, classes)``, finite.
        temperature: T > 0, see :func:`fit_temperature`.

    Raises:
        ValueError: when the logits are no finite table or the temperature is not > 0.
    """
    table = _logits(logits)
    _check_temperature(temperature)
    return np.asarray(temperature * special.logsumexp(table / temperature, axis=1))


def softmax(logits: ArrayLike, *, temperature: float = 1.0) -> Floats:
    """Probabilities of logits at a temperature, shape ``(n, classes)``.

    Rows are summed as a server sums one row, by a dot product with ones, so that both find the same probabilities to
    the last bit: thresholds lie on them.

    Raises:
        ValueError: when the logits are no finite table or the temperature is not > 0.
    """
    table = _logits(logits)
    _check_temperature(temperature)
    scaled = table / temperature
    weights, ones = np.exp(scaled - scaled.max(axis=1, keepdims=True)), np.ones(table.shape[1])
    return np.asarray(weights / np.array([[row.dot(ones)] for row in weights]))


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """Temperature of greatest likelihood (Guo et al., ICML 2017, section 4.2), between e⁻⁵ and e⁵.

    The likelihood is concave in 1/T, so that it has one maximum.

    Args:
        logits: Shape ``(n, classes)``, finite.
        labels: Class indices, shape ``(n,)``.

    Raises:
        ValueError: when shapes do not match, a label is no class, or every label is the same.
    """
    table, truth = _logits(logits), np.asarray(labels)
    if truth.shape != (table.shape[0],) or not np.issubdtype(truth.dtype, np.integer):
        raise ValueError(f"labels must be {table.shape[0]} class indices, have shape {truth.shape}, {truth.dtype}")
    if truth.min() < 0 or truth.max() >= table.shape[1]:
        raise ValueError(f"labels must lie in 0 … {table.shape[1] - 1}, span {truth.min()} to {truth.max()}")
    if (truth == truth[0]).all():
        raise ValueError(f"all {truth.size} labels are {truth[0]}: a temperature needs more than one class")
    right = table[np.arange(truth.size), truth]

    def loss(log_temperature: float) -> float:
        b = np.exp(-log_temperature)
        return float((special.logsumexp(b * table, axis=1) - b * right).mean())

    found = optimize.minimize_scalar(loss, bounds=_LOG_TEMPERATURE, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def agreement(a: ArrayLike, b: ArrayLike) -> Floats:
    """How far two cheap models agree: Σ min(p, q), in [0, 1]; 1 − the total variation distance.

    Args:
        a: Probabilities of the one, shape ``(n, classes)``, or its answers as class indices, shape ``(n,)``.
        b: Of the other, same shape and same classes in the same order.

    Raises:
        ValueError: when shapes differ (tiers with different label sets) or rows are no probabilities.
    """
    one, two = np.asarray(a), np.asarray(b)
    if one.shape != two.shape:
        raise ValueError(f"two models agree only over the same classes: shapes {one.shape} and {two.shape}")
    if one.ndim == 1:
        return np.asarray(one == two, dtype=np.float64)
    return np.asarray(np.minimum(_probabilities(one), _probabilities(two)).sum(axis=1))


def _check_temperature(temperature: float) -> None:
    if not 0 < temperature < np.inf:
        raise ValueError(f"temperature must be finite and > 0, is {temperature}")


def _logits(logits: ArrayLike) -> Floats:
    table = np.asarray(logits, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] == 0 or table.shape[1] < 2:
        raise ValueError(f"answers must have shape (n, classes) with n ≥ 1 and classes ≥ 2, have {table.shape}")
    bad = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if bad.size:
        raise ValueError(f"answers must be finite; {bad.size} rows are not, the first is row {bad[0]}")
    return table


def _probabilities(probabilities: ArrayLike) -> Floats:
    table = _logits(probabilities)
    sums = table.sum(axis=1)
    bad = np.flatnonzero((table < 0).any(axis=1) | (np.abs(sums - 1) > _SUM_TOLERANCE))
    if bad.size:
        raise ValueError(f"rows must be ≥ 0 and add up to 1; {bad.size} do not, row {bad[0]} adds up to {sums[bad[0]]}")
    return table
