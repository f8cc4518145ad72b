"""Every score has a form per dollar saved where requests differ in price; it is served as it was calibrated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.core.route.answers import TierAnswers, answers_of, label_quality
from farthing.core.route.outcomes import Floats, OutcomeMatrix
from farthing.core.route.routes import ScoreSpec
from farthing.core.route.scoring.all_scores import Scored, compute, learned_scores, sufficiency
from farthing.core.route.scoring.contents import Difference, differences
from farthing.core.route.scoring.per_usd import PerUsdForms, fit_falling, plain_spec
from farthing.core.route.scoring.row_scores import row_score
from farthing.core.route.scoring.texts import text_features
from farthing.core.route.scoring.trained import PerUsd
from farthing.errors import SchemaError
from farthing.load.route.files import read_predictor
from farthing.store.routes import write_weights

N, CLASSES = 1600, 4
CHOOSE, PROVE = np.arange(0, N, 2), np.arange(1, N, 2)
TIERS = ("small", "medium", "large")


def world(seed: int = 0, *, flat: bool = False) -> tuple[list[str], list[TierAnswers], OutcomeMatrix, np.ndarray]:
    """Texts whose length says what a request costs and nothing of how well it is answered."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, CLASSES, N)
    words = rng.integers(1, 60, N)
    texts = [" ".join(["word"] * int(k)) + f" {i}" for i, k in enumerate(words)]
    answers = [
        answers_of(name, (3 * np.eye(CLASSES)[truth] + rng.normal(0, noise, (N, CLASSES))).astype(np.float32))
        for name, noise in zip(TIERS, (2.6, 2.0, 0.9), strict=True)
    ]
    price = np.ones(N) if flat else words / words.mean()
    cost = price[:, None] * np.array([0.5, 2.0, 10.0]) * 1e-6
    quality = label_quality(answers, truth)
    ids = tuple(f"q{k}" for k in range(N))
    return texts, answers, OutcomeMatrix(request_ids=ids, tiers=TIERS, quality=quality, cost_usd=cost), truth


def scored(seed: int = 0, *, flat: bool = False) -> tuple[list[str], list[TierAnswers], OutcomeMatrix, Scored]:
    texts, answers, matrix, truth = world(seed, flat=flat)
    good = sufficiency(matrix.quality, 2)
    found = learned_scores(
        answers[:2],
        {"small": good[:, 0], "medium": good[:, 1]},
        truth=truth,
        texts=texts,
        choose=CHOOSE,
        rng=np.random.default_rng(1),
        differences=differences(matrix, "large"),
    )
    return texts, answers, matrix, found


@pytest.fixture(scope="module")
def made() -> tuple[list[str], list[TierAnswers], OutcomeMatrix, Scored]:
    return scored()


def test_every_score_has_its_form_per_dollar(made: tuple[list[str], list[TierAnswers], OutcomeMatrix, Scored]) -> None:
    names = {spec.name for spec in made[3].specs}
    plain = {name for name in names if "_per_usd" not in name}
    for name in plain - {"brevity", "length"}:
        kind, _, tiers = name.partition("(")
        assert f"{kind}_per_usd({tiers}" in names
    assert {f"{kind}_per_usd({tier})" for kind in ("brevity", "length") for tier in TIERS[:2]} <= names
    assert "agreement_per_usd(small,medium)" in names


def test_one_price_for_all_has_no_such_form() -> None:
    *_, found = scored(flat=True)
    assert not [
        spec.name for spec in found.specs if spec.per_usd_of and ("small" in spec.needs or "medium" in spec.needs)
    ]


def saved_at(values: Floats, matrix: OutcomeMatrix, allowed: float) -> float:
    """Share of the large tier's cost that stopping at the small one saves before more than ``allowed`` is lost."""
    order = PROVE[np.argsort(-values[PROVE], kind="stable")]
    loss = np.cumsum((matrix.quality[:, 2] - matrix.quality[:, 0])[order]) / order.size
    saved = np.cumsum(matrix.cost_usd[order, 2]) / matrix.cost_usd[order, 2].sum()
    return float(saved[loss <= allowed].max(initial=0.0))


@pytest.mark.parametrize("kind", ["max_probability", "margin", "negative_entropy", "energy", "logistic", "neighbours"])
def test_where_length_says_the_price_the_same_loss_buys_more(
    kind: str, made: tuple[list[str], list[TierAnswers], OutcomeMatrix, Scored]
) -> None:
    _, _, matrix, found = made
    plain, per_usd = found.values[f"{kind}(small)"], found.values[f"{kind}_per_usd(small)"]
    assert saved_at(per_usd, matrix, 0.05) > saved_at(plain, matrix, 0.05) + 0.02


def test_what_is_served_is_what_was_calibrated(
    made: tuple[list[str], list[TierAnswers], OutcomeMatrix, Scored], tmp_path: Path
) -> None:
    """From its file, row by row as in the data plane and as a table as in judging, on requests it was not fitted on."""
    texts, answers, _, found = made
    forms = [spec for spec in found.specs if spec.per_usd_of]
    path = write_weights(tmp_path / "weights.npz", {s.name: found.predictors[s.name] for s in forms})
    some = PROVE[:60]
    for spec in forms:
        kept = replace(spec, weights=path.name)
        predictor = read_predictor(kept, tmp_path)
        assert isinstance(predictor, PerUsd)
        mine = [a for a in answers if a.tier in spec.needs]
        whole = compute(kept, mine, texts, predictor)
        assert whole[PROVE] == pytest.approx(found.values[spec.name][PROVE], rel=1e-6), spec.name
        one = row_score(kept, predictor)
        rows = [one([a.table[k] for a in mine if a.table is not None], texts[k]) for k in some.tolist()]
        rounded = ("negative_entropy", "energy", "agreement", "logistic")  # as their plain forms
        rel = 1e-9 if spec.kind in rounded else 0.0
        assert rows == pytest.approx(whole[some].tolist(), rel=rel, abs=0.0), spec.name


def test_a_request_without_text_or_score_has_none(
    made: tuple[list[str], list[TierAnswers], OutcomeMatrix, Scored],
) -> None:
    _, _, _, found = made
    spec = next(s for s in found.specs if s.name == "margin_per_usd(small)")
    one = row_score(spec, found.predictors[spec.name])
    assert np.isnan(one([np.zeros(CLASSES, np.float32)], None))
    assert np.isnan(one([np.full(CLASSES, np.nan, np.float32)], "word"))
    with pytest.raises(ValueError, match="form per dollar saved"):
        row_score(spec, None)
    assert plain_spec(spec).name == "margin(small)"


def test_a_file_that_lacks_or_spoils_its_arrays_is_refused(
    made: tuple[list[str], list[TierAnswers], OutcomeMatrix, Scored], tmp_path: Path
) -> None:
    _, _, _, found = made
    spec = replace(next(s for s in found.specs if s.name == "margin_per_usd(small)"), weights="w.npz")
    fitted = found.predictors[spec.name]
    assert isinstance(fitted, PerUsd)
    for spoilt, said in (
        (replace(fitted, weights=np.zeros(2)), "shapes"),
        (replace(fitted, scores=fitted.scores[::-1]), "do not rise"),
        (replace(fitted, floor=0.0), "shapes"),
    ):
        write_weights(tmp_path / "w.npz", {spec.name: spoilt})
        with pytest.raises(SchemaError, match=said):
            read_predictor(spec, tmp_path)


def test_thresholds_are_not_set_on_losses_that_the_form_knows() -> None:
    """A score that tells nothing tells nothing on the choosing part either, however its steps follow the noise there."""
    rng = np.random.default_rng(3)
    n, texts = 600, [f"{'word ' * int(k)}" for k in np.random.default_rng(4).integers(1, 40, 600)]
    lengths = np.array([len(t) for t in texts], dtype=float)
    loss, price = rng.choice([-1.0, 0.0, 1.0], n), lengths / lengths.mean()
    forms = PerUsdForms(
        text_features(texts), {"s": Difference(loss=loss, saved=price, reference=price)}, np.arange(n), rng
    )
    plain = rng.normal(size=n)
    found = forms.of(ScoreSpec(name="x", kind="given"), plain, None, "s")
    assert found is not None
    spec, values, fitted = found
    assert (spec.name, spec.per_usd_of) == ("x_per_usd(s)", "x")
    by_heart = np.interp(plain, fitted.scores, fitted.losses)
    assert np.corrcoef(by_heart, loss)[0, 1] > 0.02 > np.corrcoef(-values * price, loss)[0, 1]


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_the_expected_loss_falls_and_keeps_its_mean(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 8, n).astype(float), rng.normal(size=n)
    at, loss = fit_falling(x, y)
    assert (np.diff(at) > 0).all()
    assert (np.diff(loss) < 1e-12).all()
    assert np.interp(x, at, loss).mean() == pytest.approx(y.mean(), abs=1e-9)
    assert loss.min() >= y.min() - 1e-9
    assert loss.max() <= y.max() + 1e-9
    assert (at >= x.min()).all() and (at <= x.max()).all()
    with pytest.raises(ValueError, match="as many scores"):
        fit_falling(x, y[:-1])
