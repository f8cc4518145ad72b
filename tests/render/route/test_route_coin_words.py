"""Three outcomes against a coin, in words: better, not told apart, worse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from farthing.core.route.judging.evaluation import evaluate
from farthing.core.route.judging.reports import EvaluationReport
from farthing.core.route.outcomes import OutcomeMatrix, Score
from farthing.core.route.policies import FixedTier, Policy, PreRoute, Split
from farthing.render.route.documents import evaluation_document
from farthing.render.route.page import evaluation_html
from farthing.render.route.words import beats, evaluation_headline

RNG = np.random.default_rng(0)
QUALITY = np.column_stack([RNG.random(3000) < 0.62, RNG.random(3000) < 0.7]).astype(float)
APART = QUALITY[:, 1] - QUALITY[:, 0]
MATRIX = OutcomeMatrix(
    request_ids=tuple(map(str, range(3000))),
    tiers=("small", "large"),
    quality=QUALITY,
    cost_usd=np.tile([1e-5, 1e-4], (3000, 1)),
    scores={name: Score(values=RNG.normal(size=3000) - lean * APART)
            for name, lean in (("good", 1.0), ("bad", -1.0), ("blind", 0.0))},
)  # fmt: skip


def by(score: str) -> Policy:
    return PreRoute(tiers=("small", "large"), score=score, thresholds=(0.3,))


def report(*policies: Policy, followed: str = "") -> EvaluationReport:
    found = evaluate(policies, MATRIX, np.random.default_rng(1), draws=200)
    return EvaluationReport(name="made up", evaluation=found, followed=followed, reference="large", quality="given")


@pytest.mark.parametrize(("score", "said"), [("good", "better than the best fixed split"),
                                             ("bad", "worse than the best fixed split"),
                                             ("blind", "not told apart from the best fixed split")])  # fmt: skip
def test_a_followed_policy_is_told_in_one_of_three_ways(score: str, said: str) -> None:
    found = report(by(score), followed="it")
    assert said in beats(found.evaluation.points[0])
    assert said in evaluation_headline(found)
    assert said in evaluation_html(found)
    document = evaluation_document(found)
    assert document["points"][0]["against_split"] == said.partition(" than")[0].partition(" from")[0]


def test_a_coin_is_not_held_against_itself() -> None:
    toss = Split(policy=FixedTier(tier="small"), share=0.3, otherwise="large")
    found = report(toss, followed="it")
    assert beats(found.evaluation.points[0]) == "a coin between two tiers: it knows nothing of a request"
    assert evaluation_document(found)["points"][0]["against_split"] == "not told apart"


def test_policies_of_a_file_are_counted() -> None:
    said = evaluation_headline(report(by("good"), by("bad"), by("blind")))
    assert said.endswith("of 3 policies 1 better than a coin of equal cost, 1 worse, 1 not told apart")
    alone = replace(report(FixedTier(tier="small")), followed="")
    assert "coin" not in evaluation_headline(alone)
