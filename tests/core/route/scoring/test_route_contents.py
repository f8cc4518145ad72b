"""Scores of a request's content: ridges of the signed loss, per dollar saved, on words and features of a text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from farthing.core.route.outcomes import OutcomeMatrix
from farthing.core.route.routes import ScoreSpec
from farthing.core.route.scoring.all_scores import compute, learned_scores, sufficiency
from farthing.core.route.scoring.contents import content_scores, differences
from farthing.core.route.scoring.predictors import chosen_logistic
from farthing.core.route.scoring.ridge import fit_ridge, fit_ridge_of
from farthing.core.route.scoring.row_scores import row_score
from farthing.core.route.scoring.words import BUCKETS, fit_idf, word_row, word_table
from farthing.errors import SchemaError
from farthing.load.route.files import read_predictor
from farthing.store.routes import write_weights

TOPICS = ("court trial guilt", "digit angle chord", "verse rhyme haiku", "genes cells virus")


def asked(n: int, seed: int) -> tuple[list[str], OutcomeMatrix]:
    """Questions on four topics; the small tier fails on the first and wins on the last, and long ones cost more."""
    rng = np.random.default_rng(seed)
    topic, size = rng.integers(4, size=n), rng.integers(1, 12, size=n)
    texts = [" ".join([*rng.permutation(TOPICS[t].split()), *["about"] * int(s), f"q{k}"])
             for k, (t, s) in enumerate(zip(topic, size, strict=True))]  # fmt: skip
    small = np.array([0.1, 0.7, 0.7, 0.95])[topic] > rng.random(n)
    large = np.array([0.8, 0.8, 0.8, 0.6])[topic] > rng.random(n)
    cost = np.column_stack([size * 1e-6, size * 1e-5])
    return texts, OutcomeMatrix(
        request_ids=tuple(f"q{k}" for k in range(n)),
        tiers=("small", "large"),
        quality=np.column_stack([small, large]).astype(float),
        cost_usd=cost,
    )


@pytest.fixture(scope="module")
def scored():
    texts, matrix = asked(1600, 1)
    rows, rng = np.arange(800), np.random.default_rng(0)
    return texts, matrix, {s.spec.name: s for s in content_scores(texts, differences(matrix, "large"), rows, rng)}


def saved_at_no_loss(values: np.ndarray, matrix: OutcomeMatrix, rows: np.ndarray) -> float:
    """Largest share of the large tier's cost that a threshold saves on some rows before more is lost than won."""
    order = rows[np.argsort(-values[rows])]
    loss = np.cumsum((matrix.quality[:, 1] - matrix.quality[:, 0])[order])
    saved = np.cumsum((matrix.cost_usd[:, 1] - matrix.cost_usd[:, 0])[order])
    return float(saved[loss <= 0].max(initial=0.0) / matrix.cost_usd[rows, 1].sum())


def test_words_find_what_the_cheap_tier_loses_and_length_does_not(scored) -> None:
    _, matrix, found = scored
    new = np.arange(800, 1600)
    by_words = saved_at_no_loss(found["word_ridge(small)"].values, matrix, new)
    assert by_words > 0.35
    assert by_words > saved_at_no_loss(found["text_ridge(small)"].values, matrix, new) + 0.1


def test_the_form_per_dollar_takes_dear_requests_first(scored) -> None:
    _, matrix, found = scored
    new = np.arange(800, 1600)
    plain, per_usd = (found[name].values[new] for name in ("word_ridge(small)", "word_ridge_per_usd(small)"))
    saved = (matrix.cost_usd[:, 1] - matrix.cost_usd[:, 0])[new]
    lossy = plain < np.median(plain)  # where something is lost, dear requests lose least per dollar
    assert np.corrcoef(per_usd[lossy], saved[lossy])[0, 1] > np.corrcoef(plain[lossy], saved[lossy])[0, 1] + 0.3


def test_one_price_for_all_leaves_the_plain_form_alone() -> None:
    texts, matrix = asked(200, 2)
    flat = OutcomeMatrix(request_ids=matrix.request_ids, tiers=matrix.tiers, quality=matrix.quality,
                         cost_usd=np.tile([1e-6, 1e-5], (200, 1)))  # fmt: skip
    found = content_scores(texts, differences(flat, "large"), np.arange(100), np.random.default_rng(0))
    assert {s.spec.name for s in found} == {"text_ridge(small)", "word_ridge(small)"}


def test_only_what_is_right_where_the_large_tier_is_wrong_counts_for_the_cheap_one(scored) -> None:
    """Sufficiency is the same on the topics where the small tier draws and where it wins; the signed loss is not."""
    texts, _, found = scored
    values = found["word_ridge(small)"].values[800:]
    wins, draws = (np.array([word in text for text in texts[800:]]) for word in ("genes", "digit"))
    assert values[wins].mean() > values[draws].mean() + 0.1


def test_rows_that_were_fitted_are_scored_by_the_others() -> None:
    """Noise that a ridge could learn by heart tells nothing of itself."""
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(60, 400)), rng.normal(size=(60, 1))
    fit = fit_ridge(X @ X.T, y)
    held = np.array([
        (lambda keep: y[keep].mean() + X[k] @ X[keep].T @ np.linalg.solve(
            X[keep] @ X[keep].T + fit.strength[0] * np.eye(59), y[keep, 0] - y[keep].mean()))(np.arange(60) != k)
        for k in range(60)
    ])  # fmt: skip
    assert np.corrcoef(held, fit.left_out[:, 0])[0, 1] > 0.95
    assert fit.explained[0] < 0.05


def test_few_features_are_fitted_as_by_their_gram_matrix() -> None:
    rng = np.random.default_rng(6)
    X = rng.normal(size=(90, 5))
    X[:, 4] = X[:, 3]  # of less than full rank
    Y = np.column_stack([X @ rng.normal(size=5) + rng.normal(size=90), rng.normal(size=90)])
    by_rows, by_features = fit_ridge(X @ X.T, Y), fit_ridge_of(X, Y)
    assert by_features.left_out == pytest.approx(by_rows.left_out, abs=1e-6)
    assert X.T @ by_features.duals == pytest.approx(X.T @ by_rows.duals, abs=1e-6)


def test_the_strength_of_a_logistic_predictor_is_chosen() -> None:
    rng = np.random.default_rng(4)
    noise, y = rng.normal(size=(80, 30)), (rng.random(80) < 0.5).astype(float)
    assert chosen_logistic(noise, y, rng).l2 >= 100
    clear = np.column_stack([y * 4 - 2 + rng.normal(size=80), noise[:, 0]])
    assert chosen_logistic(clear, y, rng).l2 <= 10


def test_no_word_is_stored_and_rows_are_of_length_one() -> None:
    texts = ["Pay the bill", "pay THE fee", "", "ünïcode 漢字 漢字"]
    idf = fit_idf(texts)
    assert idf.shape == (BUCKETS,)
    assert (idf > 0).sum() == 3  # pay, the, and their pair: all else stands in one text
    assert word_row("pay the", idf)[0].tolist() == sorted(word_row("PAY  the", idf)[0].tolist())
    lengths = np.sqrt(np.asarray(word_table(texts, idf).multiply(word_table(texts, idf)).sum(axis=1)).ravel())
    assert lengths == pytest.approx([1, 1, 0, 0])
    with pytest.raises(ValueError, match="need texts"):
        fit_idf([])


def test_what_is_served_is_what_was_calibrated(tmp_path: Path, scored) -> None:
    texts, _, found = scored
    write_weights(tmp_path / "route.npz", {name: s.predictor for name, s in found.items()})
    for name, s in found.items():
        spec = ScoreSpec(name=name, kind=s.spec.kind, features=s.spec.features, weights="route.npz")
        serve, read = row_score(spec, read_predictor(spec, tmp_path)), read_predictor(spec, tmp_path)
        got = np.array([serve((), text) for text in texts[800:860]])
        assert (got == s.values[800:860]).all()
        assert (compute(spec, (), texts[800:860], read) == got).all()
        assert np.isnan(serve((), None))
    size = (tmp_path / "route.npz").stat().st_size
    assert size < 4 * 2**20
    assert b"digit" not in (tmp_path / "route.npz").read_bytes()


def test_weights_of_another_shape_are_refused(tmp_path: Path, scored) -> None:
    *_, found = scored
    write_weights(tmp_path / "route.npz", {"word_ridge(x)": found["text_ridge(small)"].predictor})
    with pytest.raises(SchemaError, match="shapes"):
        read_predictor(ScoreSpec(name="word_ridge(x)", kind="word_ridge", weights="route.npz"), tmp_path)
    with pytest.raises(ValueError, match="needs the weights of a ridge"):
        row_score(ScoreSpec(name="word_ridge(x)", kind="word_ridge"))
    with pytest.raises(ValueError, match="do not fit"):
        row_score(ScoreSpec(name="text_ridge(x)", kind="text_ridge", features=("size",)),
                  found["text_ridge(small)"].predictor)  # fmt: skip


def test_both_directions_of_length_and_all_forms_are_offered() -> None:
    texts, matrix = asked(300, 5)
    good = sufficiency(matrix.quality, 1)
    found = learned_scores((), {"small": good[:, 0]}, truth=None, texts=texts, choose=np.arange(150),
                           rng=np.random.default_rng(0), differences=differences(matrix, "large"))  # fmt: skip
    assert {spec.name for spec in found.specs} == {
        "brevity", "length", "text_logistic(small)", "text_ridge(small)", "text_ridge_per_usd(small)",
        "brevity_per_usd(small)", "word_ridge(small)", "word_ridge_per_usd(small)", "length_per_usd(small)",
        "text_logistic_per_usd(small)",
    }  # fmt: skip
    assert (found.values["length"] == -found.values["brevity"]).all()
