"""Scores of answers and texts: what is learned never sees the proving part."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from farthing.core.route.answers import (
    NO_CLASS,
    TierAnswers,
    agreement_quality,
    answers_of,
    label_quality,
    require_alike,
    require_alike_names,
)
from farthing.core.route.scoring.all_scores import NEIGHBOURS_ASKED, Scored, compute, learned_scores, sufficiency
from farthing.core.route.scoring.predictors import Logistic
from farthing.errors import DataError

N, CLASSES = 400, 5
CHOOSE = np.arange(0, N, 2)
PROVE = np.arange(1, N, 2)
TEXTS = tuple("word " * (1 + k % 17) for k in range(N))


def world(seed: int = 0) -> tuple[NDArray[np.int64], dict[str, TierAnswers]]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, CLASSES, N)
    tables = {
        name: (4 * np.eye(CLASSES)[truth] + rng.normal(0, noise, (N, CLASSES))).astype(np.float32)
        for name, noise in (("small", 2.5), ("medium", 1.8), ("large", 0.8))
    }
    extra = {"medium": {"embedding": tables["large"][:, :3], "embedding_output": "pooled"}}
    return truth, {name: answers_of(name, table, **extra.get(name, {})) for name, table in tables.items()}


def scored(truth: NDArray[np.int64], tiers: dict[str, TierAnswers], seed: int = 1) -> Scored:
    quality = label_quality(list(tiers.values()), truth)
    good = sufficiency(quality, 2)
    return learned_scores(
        [tiers["small"], tiers["medium"]],
        {"small": good[:, 0], "medium": good[:, 1]},
        truth=truth,
        texts=TEXTS,
        choose=CHOOSE,
        rng=np.random.default_rng(seed),
    )


def test_every_score_of_the_issue_is_offered() -> None:
    found = scored(*world())
    assert {spec.name for spec in found.specs} == {
        "brevity", "length", "text_logistic(small)", "text_logistic(medium)", "agreement(small,medium)",
        *(f"{kind}({tier})" for tier in ("small", "medium") for kind in
          ("max_probability", "margin", "negative_entropy", "energy", "logistic", "neighbours")),
    }  # fmt: skip
    assert not found.notes
    by_name = {spec.name: spec for spec in found.specs}
    assert by_name["neighbours(medium)"].output == "pooled"
    assert by_name["neighbours(small)"].output == ""
    assert all(spec.temperature > 0 for spec in found.specs)


def test_nothing_is_fitted_on_the_proving_part() -> None:
    truth, tiers = world()
    other = truth.copy()
    other[PROVE] = np.random.default_rng(5).integers(0, CLASSES, PROVE.size)
    one, two = scored(truth, tiers), scored(other, tiers)
    assert [spec.temperature for spec in one.specs] == [spec.temperature for spec in two.specs]
    for name, values in one.values.items():
        assert np.array_equal(values, two.values[name]), name
    for name, predictor in one.predictors.items():
        if isinstance(predictor, Logistic):
            assert np.array_equal(predictor.weights, two.predictors[name].weights)  # type: ignore[union-attr]


def test_choosing_requests_are_scored_by_predictors_that_never_saw_them() -> None:
    truth, tiers = world()
    found = scored(truth, tiers)
    for spec in found.specs:
        whole = compute(spec, [tiers[t] for t in spec.needs], TEXTS, found.predictors.get(spec.name))
        assert np.array_equal(whole[PROVE], found.values[spec.name][PROVE]), spec.name
        assert (spec.kind in ("logistic", "neighbours")) == (not np.array_equal(whole, found.values[spec.name]))


def test_the_predictor_of_sufficiency_ranks_better_than_chance() -> None:
    truth, tiers = world()
    found = scored(truth, tiers)
    good = sufficiency(label_quality(list(tiers.values()), truth), 2)[:, 0]
    values = found.values["logistic(small)"][PROVE]
    assert values[good[PROVE] == 1].mean() > values[good[PROVE] == 0].mean() + 0.05


def test_sufficiency_counts_losses_alone() -> None:
    quality = np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.4, 0.9]])
    assert sufficiency(quality, 1)[:, 0] == pytest.approx([1, 0, 1, 1, 0.5])
    assert (sufficiency(quality, 1)[:, 1] == 1).all()


def test_tiers_that_say_classes_alone_are_judged_by_agreement() -> None:
    truth, tiers = world()
    plain = {name: answers_of(name, a.classes) for name, a in tiers.items()}
    found = scored(truth, plain)
    assert not {"margin(small)", "logistic(small)"} & set(found.values)
    assert any("without probabilities" in note for note in found.notes)
    agree = found.values["agreement(small,medium)"]
    assert np.array_equal(agree, plain["small"].classes == plain["medium"].classes)
    spec = next(s for s in found.specs if s.kind == "agreement")
    assert not spec.logits  # a served tier that names classes answers 1 and 0, which are probabilities


def test_probabilities_have_no_energy() -> None:
    truth, tiers = world()
    odds = np.exp(tiers["small"].table)
    found = scored(truth, {**tiers, "small": answers_of("small", odds / odds.sum(axis=1, keepdims=True))})
    assert "energy(small)" not in found.values
    assert "energy(medium)" in found.values
    assert any("different forms" in note for note in found.notes)


def test_a_tier_that_always_suffices_needs_no_predictor() -> None:
    truth, tiers = world()
    found = scored(truth, {**tiers, "small": answers_of("small", tiers["large"].table)})
    assert "logistic(small)" not in found.predictors
    assert "neighbours(small)" not in found.predictors
    assert sum("is not offered" in note for note in found.notes) == 3
    assert CHOOSE.size > NEIGHBOURS_ASKED


def test_answers_are_understood_or_refused() -> None:
    assert answers_of("t", np.zeros((3, 4, 1))).table is not None
    assert answers_of("t", np.array([[1], [2]])).classes.tolist() == [1, 2]
    assert answers_of("t", np.array([0, NO_CLASS])).table is None
    assert not answers_of("t", np.full((2, 4), 0.25)).logits
    with pytest.raises(DataError, match=r"not finite for 1 of 2 requests, the first is number 1"):
        answers_of("t", np.array([[0.0, 1.0], [np.nan, 0.0]]))
    with pytest.raises(DataError, match="needs logits or probabilities"):
        answers_of("t", np.array([0.5, 1.5]))
    with pytest.raises(DataError, match="needs logits or probabilities"):
        answers_of("t", np.zeros((2, 3, 4)))
    with pytest.raises(DataError, match="no embedding"):
        answers_of("t", np.zeros((2, 3)), embedding=np.zeros((2, 3, 4)), embedding_output="hidden")


def test_tiers_with_other_classes_are_refused() -> None:
    a, b = answers_of("a", np.zeros((2, 3))), answers_of("b", np.zeros((2, 4)))
    with pytest.raises(DataError, match="different numbers of classes: a 3, b 4"):
        require_alike([a, b], [(), ()])
    with pytest.raises(DataError, match="different label sets: only in 'a': 'x'; only in 'b': 'y'"):
        require_alike_names([("a", ("x", "z")), ("c", ()), ("b", ("y", "z"))])
    with pytest.raises(DataError, match="another order: class 0 is 'x' and 'z'"):
        require_alike_names([("a", ("x", "z")), ("b", ("z", "x"))])
    with pytest.raises(DataError, match="names 2 classes and answers 3"):
        require_alike([a], [("x", "y")])
    with pytest.raises(DataError, match="answers class 7; others have 3 classes"):
        require_alike([a, answers_of("b", np.array([7, 0]))], [(), ()])
    require_alike([a, a], [("x", "y", "z"), ()])


def test_agreement_counts_no_class_as_wrong() -> None:
    a, b = answers_of("a", np.array([0, NO_CLASS, 2])), answers_of("b", np.array([0, NO_CLASS, 1]))
    assert agreement_quality([a, b], "b").tolist() == [[1, 1], [0, 1], [0, 1]]
    with pytest.raises(ValueError, match="no tier 'c'"):
        agreement_quality([a, b], "c")
