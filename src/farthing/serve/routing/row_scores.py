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
        found = _weights(rows[0], spec)
        return NAN if found is None else formula(*found)

    return score


def _finite(row: Row) -> Floats | None:
    """The row in double precision, None when it is none or not finite; dimensions of size 1 are dropped."""
    z: Floats = row if row.dtype.char == "d" else row.astype("d")
    if z.ndim != 1:
        z = z.squeeze()
    if z.ndim != 1 or z.size < _LEAST_CLASSES or not math.isfinite(z.dot(z)):
        return None
    return z


def _weights(row: Row, spec: ScoreSpec) -> tuple[Floats, float] | None:
    """Numbers ≥ 0 and their sum, whose ratios are the row's probabilities; None when it has none.

    The array may be changed by whoever asked for it.
    """
    if not spec.logits:
        return _given_probabilities(row, spec)
    scaled: Floats = np.divide(row, spec.temperature, dtype=np.float64)
    if scaled.ndim != 1:
        scaled = scaled.squeeze()
    size = scaled.size
    if scaled.ndim != 1 or size < _LEAST_CLASSES or (spec.classes and size != spec.classes):
        return None
    if not math.isfinite(scaled.dot(scaled)):
        return None
    scaled -= scaled[scaled.argmax()]
    e: Floats = np.exp(scaled, out=scaled)
    return e, float(_add(e))


def _given_probabilities(row: Row, spec: ScoreSpec) -> tuple[Floats, float] | None:
    z = _finite(row)
    if z is None or (spec.classes and z.size != spec.classes):
        return None
    return (z.copy(), 1.0) if _least(z) >= 0 and abs(_add(z) - 1) <= _SUM_TOLERANCE else None


def _probabilities(row: Row, spec: ScoreSpec) -> Floats | None:
    found = _weights(row, spec)
    return None if found is None else found[0] / found[1]


def _max_probability(weights: Floats, total: float) -> float:
    return float(_largest(weights)) / total


def _margin(weights: Floats, total: float) -> float:
    weights.partition(weights.size - 2)
    return float(weights[-1]) / total - float(weights[-2]) / total


def _negative_entropy(weights: Floats, total: float) -> float:
    p = weights / total
    some = p[p > 0]
    return float(1 + _add(some * np.log(some)) / math.log(p.size))


_OF_PROBABILITIES: dict[str, Callable[[Floats, float], float]] = {
    "max_probability": _max_probability,
    "margin": _margin,
    "negative_entropy": _negative_entropy,
}


_OF_ANSWERS = (*_OF_PROBABILITIES, "energy")
"""Features that a logistic predictor may have of an answer."""


def _energy(row: Row, temperature: float) -> float:
    z = _finite(row)
    if z is None:
        return NAN
    scaled = z / temperature
    top = _largest(scaled)
    return float(temperature * (math.log(_add(np.exp(scaled - top))) + top))


def _agreement(spec: ScoreSpec, rows: Sequence[Row]) -> float:
    if not spec.classes:
        one, two = _class_of(rows[0]), _class_of(rows[1])
        return NAN if one is None or two is None else float(one == two)
    p, q = _probabilities(rows[0], spec), _probabilities(rows[1], spec)
    if p is None or q is None or p.size != q.size:
        return NAN
    return float(_add(np.minimum(p, q)))


def _class_of(row: Row) -> float | None:
    """The class answered: an index as it is, of one number a class the largest; None when not finite."""
    z = row.astype(np.float64).ravel()
    if not math.isfinite(_add(z)):
        return None
    return float(z[0] if z.size == 1 else z.argmax())


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
    if spec.kind != "logistic":
        raise ValueError(f"the score {spec.name} ({spec.kind}) has the weights of a logistic predictor")
    return _logistic_score(spec, predictor)


def _logistic_score(spec: ScoreSpec, fitted: Logistic) -> RowScore:
    """Of a text's features, of the answer of one tier, or of both."""
    names = spec.features or TEXT_FEATURES
    unknown = [name for name in names if name not in (*TEXT_FEATURES, *_OF_ANSWERS)]
    if unknown or len(names) != fitted.weights.size or len(set(names)) != len(names):
        said = f"the features {', '.join(names)}" if not unknown else f"the unknown feature {unknown[0]}"
        raise ValueError(f"the score {spec.name} has {said} and {fitted.weights.size} weights")
    of_text = [TEXT_FEATURES.index(name) for name in names if name in TEXT_FEATURES]
    of_answer = [name for name in names if name in _OF_ANSWERS]
    if list(names) != [TEXT_FEATURES[k] for k in of_text] + of_answer or len(spec.needs) != bool(of_answer):
        raise ValueError(
            f"the score {spec.name} needs features of the text first, then those of the one tier it needs; it has "
            f"{', '.join(names)} of {', '.join(spec.needs) or 'no tier'}"
        )

    def score(rows: Sequence[Row], text: str | None) -> float:
        features = np.empty(len(names))
        if of_text:
            if text is None:
                return NAN
            features[: len(of_text)] = text_features([text])[0][of_text]
        if of_answer and not _answer_features(spec, rows[0], of_answer, features[len(of_text) :]):
            return NAN
        return _logistic(fitted, features)

    return score


def _answer_features(spec: ScoreSpec, row: Row, names: Sequence[str], into: Floats) -> bool:
    """Fill in features of an answer; False when they cannot be computed."""
    found = _weights(row, spec)
    if found is None:
        return False
    weights, total = found
    for k, name in enumerate(names):
        of_answer = _OF_PROBABILITIES.get(name)
        into[k] = _energy(row, spec.temperature) if of_answer is None else of_answer(weights.copy(), total)
    return True


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
