"""Scores of one row are the calibration's, to the last bit where thresholds can lie on them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from farthing.core.route.answers import TierAnswers, answers_of
from farthing.core.route.routes import ScoreSpec
from farthing.core.route.scoring.all_scores import ANSWER_FEATURES, compute
from farthing.core.route.scoring.predictors import Logistic, fit_neighbours
from farthing.core.route.scoring.row_scores import row_score
from farthing.core.route.scoring.texts import TEXT_FEATURES

FLOATS = st.floats(-30, 30, width=32)
LOGITS = arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(2, 40)), elements=FLOATS)
TEXTS = st.lists(st.text(max_size=60), min_size=1, max_size=5)
TEMPERATURE = st.floats(0.05, 20)


def rows_of(table: np.ndarray[Any, Any], spec: ScoreSpec, predictor: Any = None, texts: Any = None) -> list[float]:
    compute_row = row_score(spec, predictor)
    return [compute_row([row], None if texts is None else texts[k]) for k, row in enumerate(table)]


def answered(table: np.ndarray[Any, Any], *, logits: bool = True) -> TierAnswers:
    return TierAnswers(tier="s", classes=table.argmax(axis=1), table=table.astype(np.float64), logits=logits)


@pytest.mark.parametrize("kind", ["max_probability", "margin"])
@settings(max_examples=200, deadline=None)
@given(table=LOGITS, temperature=TEMPERATURE)
def test_exactly_the_same(kind: Any, table: np.ndarray[Any, Any], temperature: float) -> None:
    spec = ScoreSpec(name="x", kind=kind, needs=("s",), temperature=temperature, classes=table.shape[1])
    assert rows_of(table, spec) == compute(spec, [answered(table)], None, None).tolist()


@pytest.mark.parametrize("kind", ["negative_entropy", "energy"])
@settings(max_examples=200, deadline=None)
@given(table=LOGITS, temperature=TEMPERATURE)
def test_the_same_but_for_rounding(kind: Any, table: np.ndarray[Any, Any], temperature: float) -> None:
    spec = ScoreSpec(name="x", kind=kind, needs=("s",), temperature=temperature)
    wanted = compute(spec, [answered(table)], None, None)
    assert rows_of(table, spec) == pytest.approx(wanted.tolist(), rel=1e-12, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(table=LOGITS)
def test_probabilities_are_taken_as_they_are(table: np.ndarray[Any, Any]) -> None:
    p = np.exp(table.astype(np.float64) - table.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    spec = ScoreSpec(name="x", kind="margin", needs=("s",), temperature=3.0, logits=False)
    assert rows_of(p, spec) == compute(spec, [answered(p, logits=False)], None, None).tolist()


@settings(max_examples=100, deadline=None)
@given(table=LOGITS, shift=st.integers(0, 3))
def test_agreement_of_tables_and_of_classes(table: np.ndarray[Any, Any], shift: int) -> None:
    other = np.roll(table, shift, axis=1)
    names = ("s", "t")
    spec = ScoreSpec(name="x", kind="agreement", needs=names, classes=table.shape[1])
    pair = [answered(table), TierAnswers(tier="t", classes=other.argmax(axis=1), table=other.astype(float))]
    got = [row_score(spec)([a, b], None) for a, b in zip(table, other)]
    assert got == pytest.approx(compute(spec, pair, None, None).tolist(), rel=1e-12)
    alone = ScoreSpec(name="x", kind="agreement", needs=names)
    indices = [TierAnswers(tier=t, classes=z.argmax(axis=1)) for t, z in zip(names, (table, other))]
    wanted = compute(alone, indices, None, None).tolist()
    assert [
        row_score(alone)([np.int64(a.argmax()), np.int64(b.argmax())], None) for a, b in zip(table, other)
    ] == wanted


@settings(max_examples=100, deadline=None)
@given(texts=TEXTS, seed=st.integers(0, 100))
def test_of_texts(texts: list[str], seed: int) -> None:
    brevity = ScoreSpec(name="x", kind="brevity")
    assert [row_score(brevity)([], t) for t in texts] == compute(brevity, [], texts, None).tolist()
    weights = np.random.default_rng(seed).normal(size=len(TEXT_FEATURES))
    fitted, spec = Logistic(weights=weights, intercept=0.3), ScoreSpec(name="x", kind="logistic")
    got = [row_score(spec, fitted)([], t) for t in texts]
    assert got == pytest.approx(compute(spec, [], texts, fitted).tolist(), rel=1e-12)


@settings(max_examples=100, deadline=None)
@given(table=LOGITS, temperature=TEMPERATURE, seed=st.integers(0, 100), with_text=st.booleans())
def test_predictor_of_an_answer(table: np.ndarray[Any, Any], temperature: float, seed: int, with_text: bool) -> None:
    texts = [f"text {k}?" * k for k in range(len(table))]
    features = ((*TEXT_FEATURES,) if with_text else ()) + ANSWER_FEATURES
    fitted = Logistic(weights=np.random.default_rng(seed).normal(size=len(features)) / 10, intercept=-0.2)
    spec = ScoreSpec(name="x", kind="logistic", needs=("s",), temperature=temperature, features=features)
    wanted = compute(spec, [answered(table)], texts, fitted).tolist()
    assert rows_of(table, spec, fitted, texts) == pytest.approx(wanted, rel=1e-9)


def test_neighbours_by_an_embedding() -> None:
    rng = np.random.default_rng(0)
    known, asked = rng.normal(size=(200, 16)).astype(np.float32), rng.normal(size=(50, 1, 16)).astype(np.float32)
    fitted = fit_neighbours(known, rng.integers(0, 2, 200).astype(float), k=20)
    spec = ScoreSpec(name="x", kind="neighbours", needs=("s",), output="embedding")
    answers = answers_of("s", rng.normal(size=(50, 3)), embedding=asked, embedding_output="embedding")
    assert rows_of(asked, spec, fitted) == compute(spec, [answers], None, fitted).tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["max_probability", "margin", "negative_entropy", "energy"])
def test_what_cannot_be_scored_is_nan(kind: Any, bad: float) -> None:
    compute_row = row_score(ScoreSpec(name="x", kind=kind, needs=("s",), classes=3))
    assert math.isnan(compute_row([np.float32([1.0, bad, 0.0])], None))
    assert math.isnan(compute_row([np.float32([])], None))
    if kind != "energy":
        assert math.isnan(compute_row([np.float32([1.0, 2.0])], None))  # other classes than calibrated


def test_no_probabilities_are_nan() -> None:
    compute_row = row_score(ScoreSpec(name="x", kind="margin", needs=("s",), logits=False))
    assert math.isnan(compute_row([np.float32([0.7, 0.7])], None))
    assert math.isnan(compute_row([np.float32([1.5, -0.5])], None))


@pytest.mark.parametrize(
    "spec",
    [
        ScoreSpec(name="x", kind="given"),
        ScoreSpec(name="x", kind="margin"),
        ScoreSpec(name="x", kind="agreement", needs=("s",)),
        ScoreSpec(name="x", kind="logistic"),
        ScoreSpec(name="x", kind="neighbours", needs=("s",)),
        ScoreSpec(name="x", kind="energy", needs=("s",), logits=False),
    ],
    ids=lambda spec: f"{spec.kind}-{len(spec.needs)}",
)
def test_scores_that_cannot_be_served(spec: ScoreSpec) -> None:
    with pytest.raises(ValueError, match="x"):
        row_score(spec)
