"""Scores of one row in the data plane: the formulas of ``core/route`` without tables and checks of whole data sets.

Each gives the same number as its counterpart there (:mod:`farthing.core.route.scores`,
:mod:`farthing.core.route.predictors`, :mod:`farthing.core.route.texts`), and NaN where that one would refuse: what
cannot be scored is passed on to a more careful tier, and counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from farthing.core.route.routes import ScoreSpec
from farthing.core.route.texts import TEXT_FEATURES, brevity, text_features

if TYPE_CHECKING:
    from farthing.core.route.predictors import Logistic, Neighbours
    from farthing.core.route.served import Predictor

__all__ = ["RowScore", "row_score"]

NAN = math.nan
_SUM_TOLERANCE = 1e-3
_LEAST_CLASSES = 2

Row = NDArray[Any]
Floats = NDArray[np.float64]
RowScore = Callable[[Sequence[Row], str | None], float]
"""Score from the answers of the tiers that it needs, in the order of ``ScoreSpec.needs``, each of shape ``(classes,)``
(``(dimensions,)`` of an embedding), and the row's text, None where it is none."""

_add, _largest, _least = np.add.reduce, np.maximum.reduce, np.minimum.reduce


def row_score(spec: ScoreSpec, predictor: Predictor | None = None) -> RowScore:
    """What computes a score.

    Args:
        spec: Which.
        predictor: Of the kinds ``logistic`` and ``neighbours``.

    Raises:
        ValueError: when it cannot be computed in serving, lacks its predictor, or needs another number of tiers.
    """
    if spec.kind == "brevity":
        return _brevity
    if spec.kind in ("logistic", "neighbours"):
        return _trained(spec, predictor)
    needed = 2 if spec.kind == "agreement" else 1
    if len(spec.needs) != needed:
        raise ValueError(f"the score {spec.name} ({spec.kind}) needs {needed} tiers, not {len(spec.needs)}")
    if spec.kind == "agreement":
        return lambda rows, _: _agreement(spec, rows)
    if spec.kind == "energy":
        if not spec.logits:
            raise ValueError(f"the score {spec.name} needs logits, and its tier gives probabilities")
        return lambda rows, _: _energy(rows[0], spec.temperature)
    if spec.kind not in _OF_PROBABILITIES:
        raise ValueError(f"the score {spec.name} was given with the data; it cannot be computed in serving")
    formula = _OF_PROBABILITIES[spec.kind]

    def score(rows: Sequence[Row], _: str | None) -> float:
        p = _probabilities(rows[0], spec)
        return NAN if p is None else formula(p)

    return score


def _finite(row: Row) -> Floats | None:
    """The row in double precision, None when it is none or not finite."""
    z = row.astype(np.float64) if row.dtype != np.float64 else row
    if z.ndim != 1 or z.size < _LEAST_CLASSES or not math.isfinite(_add(z)):
        return None
    return z


def _softmax(z: Floats, temperature: float) -> Floats:
    scaled = z / temperature
    e = np.exp(scaled - _largest(scaled))
    found: Floats = e / _add(e)
    return found


def _probabilities(row: Row, spec: ScoreSpec) -> Floats | None:
    z = _finite(row)
    if z is None or (spec.classes and z.size != spec.classes):
        return None
    if spec.logits:
        return _softmax(z, spec.temperature)
    return z if _least(z) >= 0 and abs(_add(z) - 1) <= _SUM_TOLERANCE else None


def _max_probability(p: Floats) -> float:
    return float(_largest(p))


def _margin(p: Floats) -> float:
    top = np.partition(p, -2)
    return float(top[-1] - top[-2])


def _negative_entropy(p: Floats) -> float:
    some = p[p > 0]
    return float(1 + _add(some * np.log(some)) / math.log(p.size))


_OF_PROBABILITIES: dict[str, Callable[[Floats], float]] = {
    "max_probability": _max_probability,
    "margin": _margin,
    "negative_entropy": _negative_entropy,
}


def _energy(row: Row, temperature: float) -> float:
    z = _finite(row)
    if z is None:
        return NAN
    scaled = z / temperature
    top = _largest(scaled)
    return float(temperature * (math.log(_add(np.exp(scaled - top))) + top))


def _agreement(spec: ScoreSpec, rows: Sequence[Row]) -> float:
    if not rows[0].ndim:  # answers as class indices
        return float(rows[0] == rows[1]) if not rows[1].ndim else NAN
    p, q = _probabilities(rows[0], spec), _probabilities(rows[1], spec)
    if p is None or q is None or p.size != q.size:
        return NAN
    return float(_add(np.minimum(p, q)))


def _brevity(_: Sequence[Row], text: str | None) -> float:
    return NAN if text is None else float(brevity([text])[0])


def _trained(spec: ScoreSpec, predictor: Predictor | None) -> RowScore:
    if predictor is None:
        raise ValueError(f"the score {spec.name} ({spec.kind}) has no weights")
    from farthing.core.route.predictors import Neighbours  # loads scipy, as whoever made the predictor did

    if isinstance(predictor, Neighbours):
        if spec.kind != "neighbours" or len(spec.needs) != 1:
            raise ValueError(f"the score {spec.name} ({spec.kind}) needs {len(spec.needs)} tiers; neighbours need one")
        return lambda rows, _: _neighbours(predictor, rows[0])
    if spec.kind != "logistic" or spec.needs or predictor.weights.size != len(TEXT_FEATURES):
        raise ValueError(
            f"the score {spec.name} ({spec.kind}) is of {predictor.weights.size} features and {len(spec.needs)} tiers; "
            f"in serving it is of a text's {len(TEXT_FEATURES)} features alone"
        )
    return lambda _, text: NAN if text is None else _logistic(predictor, text_features([text])[0])


def _logistic(fitted: Logistic, features: Floats) -> float:
    odds = float(features @ fitted.weights) + fitted.intercept
    return 1 / (1 + math.exp(-odds)) if odds >= 0 else (e := math.exp(odds)) / (1 + e)


def _neighbours(fitted: Neighbours, row: Row) -> float:
    z = _finite(row)
    if z is None or z.size != fitted.directions.shape[1]:
        return NAN
    length = math.sqrt(z @ z)
    near = fitted.directions @ (z / length if length > 0 else z)
    return float(fitted.sufficient[np.argpartition(near, -fitted.k)[-fitted.k :]].mean())
