"""The judge of routing's risk finds calibrations that promise too much, and lets honest ones pass."""

from __future__ import annotations

import numpy as np
import pytest

from farthing.core.route.calibrating.certification import LossLimit
from farthing.core.route.outcomes import OutcomeMatrix, Score
from routing.risk import families_by_score, redrawn, violations


@pytest.fixture(scope="module")
def population() -> OutcomeMatrix:
    """The small tier is right as often as its score says, the large one in 95 of 100."""
    rng, n = np.random.default_rng(0), 4000
    score = rng.beta(4, 1, n)
    quality = np.column_stack([rng.random(n) < score, rng.random(n) < 0.95]).astype(float)
    return OutcomeMatrix(
        request_ids=tuple(map(str, range(n))),
        tiers=("small", "large"),
        quality=quality,
        cost_usd=np.tile([1.0, 20.0], (n, 1)),
        scores={
            "sure@small": Score(values=score, needs=("small",)),
            "early": Score(values=score + rng.normal(0, 0.3, n)),
        },
    )


def wrong(population: OutcomeMatrix, confidence: float) -> float:
    families = families_by_score(population, "large")["sure@small"]
    limit = LossLimit(max_loss_frac=0.02, confidence=confidence)
    found = violations(
        population, families, limit, np.random.default_rng(1), reference="large", sets=80, n_choose=500, n_prove=500
    )
    assert found.cost_ratio > 1 and found.certified > 0.5 and found.ladder.value >= found.chosen.value
    return found.chosen.value


def test_honest_proofs_are_seldom_wrong_and_careless_ones_are_caught(population):
    assert wrong(population, 0.95) <= 0.125  # 10 of 80: by chance once in 200 at a true rate of 5 %
    assert wrong(population, 0.52) > 0.2


def test_each_score_decides_the_forms_that_it_can(population):
    found = families_by_score(population, "large")
    assert [f.kind for f in found["sure@small"]] == ["cascade"]
    assert [f.kind for f in found["early"]] == ["pre_route"]


def test_draws_repeat_requests_under_names_of_their_own(population):
    families = families_by_score(population, "large")["early"]
    found = redrawn(population, np.random.default_rng(2), 9000, families)
    assert found.n == 9000 > population.n
    assert set(found.scores) == {"early"}
