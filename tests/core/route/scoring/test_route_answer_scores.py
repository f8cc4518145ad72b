from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special

from farthing.core.route.scoring.answer_scores import (
    TEXT_FEATURES,
    agreement,
    brevity,
    energy,
    fit_temperature,
    margin,
    max_probability,
    negative_entropy,
    softmax,
    text_features,
)
from farthing.core.route.scoring.predictors import fit_logistic, fit_neighbours

PROBABILITIES = [max_probability, margin, negative_entropy]


@pytest.mark.parametrize("score", PROBABILITIES)
def test_sure_answers_score_higher_than_unsure_ones(score) -> None:
    found = score([[0.25, 0.25, 0.25, 0.25], [0.4, 0.3, 0.2, 0.1], [0.9, 0.1, 0, 0], [1, 0, 0, 0]])
    assert (np.diff(found) > 0).all()
    assert found[-1] == pytest.approx(1)


def test_known_values() -> None:
    p = [[0.5, 0.3, 0.2]]
    assert max_probability(p)[0] == 0.5
    assert margin(p)[0] == pytest.approx(0.2)
    entropy = -sum(x * np.log(x) for x in p[0])
    assert negative_entropy(p)[0] == pytest.approx(1 - entropy / np.log(3))
    assert energy([[1.0, 2.0]], temperature=2)[0] == pytest.approx(2 * np.log(np.exp(0.5) + np.exp(1)))


@given(st.lists(st.lists(st.floats(-50, 50), min_size=4, max_size=4), min_size=1, max_size=8), st.floats(0.1, 10))
def test_scores_of_probabilities_stay_in_the_unit_interval(logits, temperature) -> None:
    p = softmax(logits, temperature=temperature)
    for score in PROBABILITIES:
        found = score(p)
        assert found.shape == (len(logits),)
        assert ((found >= -1e-9) & (found <= 1 + 1e-9)).all()
    shifted = energy(np.array(logits) + 3, temperature=temperature)
    assert shifted == pytest.approx(energy(logits, temperature=temperature) + 3)


@pytest.mark.parametrize("score", PROBABILITIES)
@pytest.mark.parametrize(
    ("table", "said"),
    [
        ([[0.5, np.nan]], "finite; 1 rows are not, the first is row 0"),
        ([[0.5, 0.5], [0.5, 0.6]], "row 1 adds up to 1.1"),
        ([[1.5, -0.5]], "≥ 0"),
        ([[1.0]], "classes ≥ 2"),
        ([], "shape"),
    ],
)
def test_no_probabilities_no_score(score, table, said) -> None:
    with pytest.raises(ValueError, match=said):
        score(table)


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_temperature_is_recovered(true) -> None:
    rng = np.random.default_rng(1)
    clean = rng.normal(size=(20_000, 6)) * 2
    labels = (softmax(clean).cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    assert fit_temperature(clean * true, labels) == pytest.approx(true, rel=0.05)


def test_temperature_refuses() -> None:
    logits = np.zeros((4, 3))
    for labels, said in [
        ([0, 1, 2, 3], "0 … 2"),
        ([0.0, 1.0, 0.0, 1.0], "class indices"),
        ([1, 1, 1, 1], "more than one class"),
        ([0], "4 class indices"),
    ]:
        with pytest.raises(ValueError, match=said):
            fit_temperature(logits, labels)
    with pytest.raises(ValueError, match="temperature must be"):
        energy(logits, temperature=0)


def test_agreement() -> None:
    assert agreement([1, 2, 3], [1, 0, 3]).tolist() == [1, 0, 1]
    assert agreement([[0.5, 0.5]], [[0.2, 0.8]])[0] == pytest.approx(0.7)
    with pytest.raises(ValueError, match="same classes"):
        agreement([[0.5, 0.5]], [[0.2, 0.3, 0.5]])


def test_texts_of_any_size() -> None:
    texts = ["", "Why? 42", "é" * 100_000, " \n\t "]
    table = text_features(texts)
    assert table.shape == (4, len(TEXT_FEATURES))
    assert np.isfinite(table).all()
    assert table[0].tolist() == [0] * 6
    assert dict(zip(TEXT_FEATURES, table[1])) == pytest.approx(
        {
            "log_characters": np.log(8),
            "log_words": np.log(3),
            "mean_word_length": 3,
            "digit_frac": 2 / 7,
            "non_ascii_frac": 0,
            "questions": 1,
        }
    )
    assert brevity(texts).argmin() == 2
    assert text_features([]).shape == (0, 6)


def blobs(n: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4)) * [1, 10, 0.1, 1] + [0, 5, 0, 100]
    X[:, 2] = 7.0
    y = (rng.random(n) < special.expit(1.5 * X[:, 0] - 0.1 * (X[:, 1] - 5))).astype(float)
    return X, y


def test_logistic_is_the_penalised_maximum() -> None:
    X, y = blobs(500)
    found = fit_logistic(X, y, l2=2.0)
    Z = (X - X.mean(0)) / np.where(X.std(0) > 0, X.std(0), np.inf)

    def loss(beta):
        eta = Z @ beta[:-1] + beta[-1]
        return (np.logaddexp(0, eta) - y * eta).sum() + beta[:-1] @ beta[:-1]

    best = optimize.minimize(loss, np.zeros(5), tol=1e-12).x
    assert found.score(X) == pytest.approx(special.expit(Z @ best[:-1] + best[-1]), abs=1e-4)
    assert found.weights[2] == 0


@given(st.integers(0, 50), st.floats(0.01, 100))
@settings(max_examples=25, deadline=None)
def test_logistic_of_separable_data_stays_finite_and_ordered(seed, l2) -> None:
    x = np.sort(np.random.default_rng(seed).normal(size=30))
    found = fit_logistic(x[:, None], (np.arange(30) > 12).astype(float), l2=l2).score(x[:, None])
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()


def test_logistic_takes_soft_outcomes_and_refuses_one_class() -> None:
    X, y = blobs(200)
    assert fit_logistic(X, 0.2 + 0.6 * y).score(X).mean() == pytest.approx((0.2 + 0.6 * y).mean(), abs=1e-6)
    for outcomes, said in [(np.ones(200), "nothing to predict"), (y[:5], "shape"), (y * 2, "lie in")]:
        with pytest.raises(ValueError, match=said):
            fit_logistic(X, outcomes)
    with pytest.raises(ValueError, match="fitted on 4 features, given 1"):
        fit_logistic(X, y).score(X[:, :1])
    with pytest.raises(ValueError, match="row 3 is not"):
        fit_logistic(np.where(np.arange(200)[:, None] == 3, np.nan, X), y)
    with pytest.raises(ValueError, match="l2"):
        fit_logistic(X, y, l2=0)


def test_neighbours_by_direction() -> None:
    fitted = fit_neighbours([[1, 0], [2, 0.1], [0, 1], [0, 3.0]], [1, 1, 0, 0], k=2)
    assert fitted.score([[5, 0], [0, 9], [0, 0]])[:2].tolist() == [1, 0]


def test_nobody_is_its_own_neighbour_when_left_out() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(2500, 3)), (rng.random(2500) < 0.5).astype(float)
    fitted = fit_neighbours(X, y, k=1)
    assert (fitted.score(X) == y).all()
    assert abs((fitted.score(X, leave_one_out=True) == y).mean() - 0.5) < 0.05
    with pytest.raises(ValueError, match="leave-one-out"):
        fitted.score(X[:5], leave_one_out=True)
    with pytest.raises(ValueError, match="3 dimensions, given 2"):
        fitted.score(X[:, :2])
    with pytest.raises(ValueError, match="k must lie"):
        fit_neighbours(X[:3], y[:3], k=3)
