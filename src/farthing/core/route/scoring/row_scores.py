"""Scores of one row in the data plane: the formulas beside it without tables and checks of whole data sets.

Each gives the same number as its counterpart beside it (``answer_scores``, ``predictors``, ``texts``), and NaN where
that one would refuse: what cannot be scored is passed on to a more careful tier, and counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from math import isfinite, log
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from farthing.core.route.routes import ScoreSpec
from farthing.core.route.scoring.texts import TEXT_FEATURES, brevity, length, text_features

if TYPE_CHECKING:
    from farthing.core.route.scoring.predictors import Logistic, Neighbours
    from farthing.core.route.scoring.trained import Predictor

__all__ = ["RowScore", "row_score"]

NAN = math.nan
_SUM_TOLERANCE = 1e-3
_LEAST_CLASSES = 2

Row = NDArray[Any]
Floats = NDArray[np.float64]
RowScore = Callable[[Sequence[Row], str | None], float]
"""Score from the answers of the tiers that it needs, in the order of ``ScoreSpec.needs``, each of shape ``(classes,)``
(``(dimensions,)`` of an embedding), and the row's text, None where it is none."""

_add, _least = np.add.reduce, np.minimum.reduce


def row_score(spec: ScoreSpec, predictor: Predictor | None = None) -> RowScore:
    """What computes a score.

    Args:
        spec: Which.
        predictor: Of the kinds ``logistic`` and ``neighbours``.

    Raises:
        ValueError: when it cannot be computed in serving, lacks its predictor, or needs another number of tiers.
    """
    if spec.per_usd_of:
        return _per_usd_score(spec, predictor)
    if spec.kind in _OF_TEXT:
        return _of_text(_OF_TEXT[spec.kind])
    if spec.kind in ("text_ridge", "word_ridge"):
        return _ridge_score(spec, predictor)
    if spec.kind in ("embedding_ridge", "embedding_neighbours"):
        return _embedding_score(spec, predictor)
    if spec.kind in ("logistic", "neighbours"):
        return _trained(spec, predictor)
    needed = 2 if spec.kind == "agreement" else 1
    if len(spec.needs) != needed:
        raise ValueError(f"the score {spec.name} ({spec.kind}) needs {needed} tiers, not {len(spec.needs)}")
    if spec.kind == "agreement":
        weigh = _weigher(spec)
        return lambda rows, _: _agreement(spec, weigh, rows)
    if spec.kind == "energy":
        if not spec.logits:
            raise ValueError(f"the score {spec.name} needs logits, and its tier gives probabilities")
    elif spec.kind not in _FORMULAS:
        raise ValueError(f"the score {spec.name} was given with the data; it cannot be computed in serving")
    formula, weigh = _FORMULAS[spec.kind], _weigher(spec)

    def score(rows: Sequence[Row], _: str | None) -> float:
        found = weigh(rows[0])
        return NAN if found is None else formula(found)

    return score


_Weights = tuple[Floats, float, int, Floats | None, float, float]
"""A row's probabilities as numbers ≥ 0, shape ``(classes,)``, which whoever changes them restores; their sum; the place
of the largest; then, of logits alone, the logarithms of those numbers, by how much the scaled logits are larger, and
the temperature. A plain tuple, since making anything better costs as much as one of the sums."""

_Weigh = Callable[[Row], _Weights | None]


def _weigher(spec: ScoreSpec) -> _Weigh:
    """What makes weights of one row, None where it has none.

    Few NumPy calls, and those that are quick when nothing of NumPy is in the processor's cache: between two requests
    a model has run. A sum over a row is a dot product, a fifth of the time of a reduction there; a logit of −∞ is found
    by such a sum too, since looking for the least takes longer.
    """
    if not spec.logits:
        return lambda row: _given_probabilities(row, spec)
    temperature, divisor, wanted = spec.temperature, np.array(spec.temperature, dtype="d"), spec.classes
    largest = np.empty((), dtype="d")  # an array without dimensions is subtracted faster than a number
    ones: dict[int, Floats] = {}

    def weigh(row: Row) -> _Weights | None:
        scaled: Floats = row.astype("d")
        if scaled.ndim != 1:
            scaled = scaled.squeeze()
        size = scaled.size
        if scaled.ndim != 1 or size < _LEAST_CLASSES or (wanted and size != wanted):
            return None
        scaled /= divisor
        top = int(scaled.argmax())
        shift = scaled.item(top)
        if not isfinite(shift):  # a NaN anywhere is the largest
            return None
        largest[()] = shift
        scaled -= largest
        one = ones.get(size)
        if one is None:
            one = ones[size] = np.ones(size)
        if not isfinite(scaled.dot(one)):  # −∞ somewhere
            return None
        each = np.exp(scaled)
        return each, float(each.dot(one)), top, scaled, shift, temperature

    return weigh


def _finite(row: Row) -> Floats | None:
    """The row in double precision, None when it is none or not finite; dimensions of size 1 are dropped."""
    z: Floats = row.astype("d")
    if z.ndim != 1:
        z = z.squeeze()
    if z.ndim != 1 or z.size < _LEAST_CLASSES or not isfinite(z.dot(z)):
        return None
    return z


def _given_probabilities(row: Row, spec: ScoreSpec) -> _Weights | None:
    z = _finite(row)
    if z is None or (spec.classes and z.size != spec.classes):
        return None
    fits = _least(z) >= 0 and abs(_add(z) - 1) <= _SUM_TOLERANCE
    return (z, 1.0, int(z.argmax()), None, 0.0, 1.0) if fits else None


def _probabilities(weigh: _Weigh, row: Row) -> Floats | None:
    found = weigh(row)
    return None if found is None else found[0] / found[1]


def _max_probability(w: _Weights) -> float:
    each, total, top, _, _, _ = w
    return each.item(top) / total


def _margin(w: _Weights) -> float:
    each, total, top, _, _, _ = w
    first = each.item(top)
    each[top] = -1.0
    second = each.item(each.argmax())
    each[top] = first
    return first / total - second / total


def _negative_entropy(w: _Weights) -> float:
    each, total, _, logs, _, _ = w
    if logs is not None:  # log p = logs − log total
        return 1 + (float(each.dot(logs)) / total - log(total)) / log(each.size)
    some = each[each > 0]
    return float(1 + _add(some * np.log(some)) / log(each.size))


def _energy(w: _Weights) -> float:
    _, total, _, _, shift, temperature = w
    return temperature * (log(total) + shift)


_FORMULAS: dict[str, Callable[[_Weights], float]] = {
    "max_probability": _max_probability,
    "margin": _margin,
    "negative_entropy": _negative_entropy,
    "energy": _energy,
}
"""Scores of one answer, which are also features that a logistic predictor may have of it."""


def _agreement(spec: ScoreSpec, weigh: _Weigh, rows: Sequence[Row]) -> float:
    if not spec.classes:
        one, two = _class_of(rows[0]), _class_of(rows[1])
        return NAN if one is None or two is None else float(one == two)
    p, q = _probabilities(weigh, rows[0]), _probabilities(weigh, rows[1])
    if p is None or q is None or p.size != q.size:
        return NAN
    return float(_add(np.minimum(p, q)))


def _class_of(row: Row) -> float | None:
    """The class answered: an index as it is, of one number a class the largest; None when not finite."""
    z = row.astype(np.float64).ravel()
    if not math.isfinite(_add(z)):
        return None
    return float(z[0] if z.size == 1 else z.argmax())


_OF_TEXT: dict[str, Callable[[Sequence[str]], Floats]] = {"brevity": brevity, "length": length}


def _of_text(formula: Callable[[Sequence[str]], Floats]) -> RowScore:
    return lambda _, text: NAN if text is None else float(formula([text])[0])


def _per_usd_score(spec: ScoreSpec, predictor: Predictor | None) -> RowScore:
    """Of a plain score and the text's features."""
    from farthing.core.route.scoring.per_usd import plain_spec  # loads scipy, as whoever made the predictor did
    from farthing.core.route.scoring.trained import PerUsd

    if not isinstance(predictor, PerUsd) or predictor.weights.size != len(TEXT_FEATURES):
        raise ValueError(f"the score {spec.name} ({spec.kind}) needs the weights of its form per dollar saved")
    plain, per_usd = row_score(plain_spec(spec), predictor.base), predictor.score_one
    return lambda rows, text: NAN if text is None else per_usd(plain(rows, text), text_features([text])[0])


def _embedding_score(spec: ScoreSpec, predictor: Predictor | None) -> RowScore:
    from farthing.core.route.scoring.trained import Embedded

    if not isinstance(predictor, Embedded) or spec.needs:
        raise ValueError(f"the score {spec.name} ({spec.kind}) needs weights, an embedder and no tier")
    return lambda _, text: NAN if text is None else float(predictor.score([text])[0])


def _ridge_score(spec: ScoreSpec, predictor: Predictor | None) -> RowScore:
    """Of a text's features, or of its words."""
    from farthing.core.route.scoring.contents import word_score  # loads scipy, as whoever made the predictor did
    from farthing.core.route.scoring.ridge import LossRidge

    if not isinstance(predictor, LossRidge) or spec.needs:
        raise ValueError(f"the score {spec.name} ({spec.kind}) needs the weights of a ridge and no tier")
    if spec.kind == "word_ridge":
        return lambda _, text: NAN if text is None else word_score(text, predictor)
    unknown = [name for name in spec.features if name not in TEXT_FEATURES]
    if unknown or len(spec.features) != predictor.weights.shape[1]:
        said = unknown[0] if unknown else f"{len(spec.features)} for {predictor.weights.shape[1]} weights"
        raise ValueError(f"the score {spec.name} has features of a text that do not fit: {said}")
    columns = [TEXT_FEATURES.index(name) for name in spec.features]
    return lambda _, text: NAN if text is None else float(predictor.score(text_features([text])[:, columns])[0])


def _trained(spec: ScoreSpec, predictor: Predictor | None) -> RowScore:
    if predictor is None:
        raise ValueError(f"the score {spec.name} ({spec.kind}) has no weights")
    from farthing.core.route.scoring.predictors import (  # loads scipy, as whoever made the predictor did
        Logistic,
        Neighbours,
    )

    if isinstance(predictor, Neighbours):
        if spec.kind != "neighbours" or len(spec.needs) != 1:
            raise ValueError(f"the score {spec.name} ({spec.kind}) needs {len(spec.needs)} tiers; neighbours need one")
        return lambda rows, _: _neighbours(predictor, rows[0])
    if spec.kind != "logistic" or not isinstance(predictor, Logistic):
        raise ValueError(f"the score {spec.name} ({spec.kind}) has weights that are not its own")
    return _logistic_score(spec, predictor)


def _logistic_score(spec: ScoreSpec, fitted: Logistic) -> RowScore:
    """Of a text's features, of the answer of one tier, or of both."""
    names = spec.features or TEXT_FEATURES
    unknown = [name for name in names if name not in (*TEXT_FEATURES, *_FORMULAS)]
    if unknown or len(names) != fitted.weights.size or len(set(names)) != len(names):
        said = f"the features {', '.join(names)}" if not unknown else f"the unknown feature {unknown[0]}"
        raise ValueError(f"the score {spec.name} has {said} and {fitted.weights.size} weights")
    if "energy" in names and not spec.logits:
        raise ValueError(f"the score {spec.name} reads the energy of logits, and its tier gives probabilities")
    of_text = [TEXT_FEATURES.index(name) for name in names if name in TEXT_FEATURES]
    of_answer = [name for name in names if name in _FORMULAS]
    if list(names) != [TEXT_FEATURES[k] for k in of_text] + of_answer or len(spec.needs) != bool(of_answer):
        raise ValueError(
            f"the score {spec.name} needs features of the text first, then those of the one tier it needs; it has "
            f"{', '.join(names)} of {', '.join(spec.needs) or 'no tier'}"
        )

    weigh = _weigher(spec)

    def score(rows: Sequence[Row], text: str | None) -> float:
        features = np.empty(len(names))
        if of_text:
            if text is None:
                return NAN
            features[: len(of_text)] = text_features([text])[0][of_text]
        if of_answer:
            found = weigh(rows[0])
            if found is None:
                return NAN
            features[len(of_text) :] = [_FORMULAS[name](found) for name in of_answer]
        return _logistic(fitted, features)

    return score


def _logistic(fitted: Logistic, features: Floats) -> float:
    return fitted.score_one(features)


def _neighbours(fitted: Neighbours, row: Row) -> float:
    z = _finite(row)
    if z is None or z.size != fitted.directions.shape[1]:
        return NAN
    length = math.sqrt(z @ z)
    near = fitted.directions @ (z / length if length > 0 else z)
    return float(fitted.sufficient[np.argpartition(near, -fitted.k)[-fitted.k :]].mean())
