"""The stated confidence holds: repeats of whole calibrations, the loss judged on the population they are drawn from."""

from __future__ import annotations

import numpy as np
import pytest
from route_worlds import resampled, world

from farthing.core.route.calibrating.calibration import calibrate
from farthing.core.route.calibrating.certification import LossLimit, certify
from farthing.core.route.calibrating.families import Family, families_of
from farthing.core.route.outcomes import OutcomeMatrix
from farthing.core.route.policies import Cascade, follow
from farthing.core.stats.intervals import proportion
from farthing.core.stats.paired_tests import counts_reject
from farthing.nouns import Estimate

ALPHA, REPEATS = 0.05, 10_000


def sequence_errors(n: int, limit: float, better: float, last_risk: float, *, steps: int = 8) -> Estimate:
    """How often a fixed sequence of nested thresholds reaches the last one; its risk is ``last_risk``."""
    rng = np.random.default_rng([n, int(1e6 * better)])
    share_better = np.full(steps, better / steps)
    share_worse = np.full(steps, (last_risk + better) / steps)
    cells = np.concatenate([share_worse, share_better])
    counts = rng.multinomial(n, [*cells, 1 - cells.sum()], size=REPEATS)
    worse, improved = counts[:, :steps].cumsum(axis=1), counts[:, steps : 2 * steps].cumsum(axis=1)
    reached = np.logical_and.accumulate(counts_reject(worse, improved, n, allowed=limit, alpha=ALPHA), axis=1)
    return proportion(int(reached[:, -1].sum()), REPEATS, 0.99)


@pytest.mark.parametrize("better", [0.0, 0.004, 0.05])
@pytest.mark.parametrize(("n", "limit"), [(600, 0.01), (4200, 0.005)])
def test_a_fixed_sequence_reaches_a_policy_at_its_limit_no_more_often_than_stated(n, limit, better) -> None:
    seen = sequence_errors(n, limit, better, limit)
    assert seen.lo <= ALPHA, seen


def test_power_of_the_fixed_sequence() -> None:
    seen = sequence_errors(4200, 0.005, 0.002, 0.002)
    print(f"power: 4,200 requests, limit 0.5 points, loss 0.2 points (0.4 worse, 0.2 better): {seen.value:.3f}")
    assert seen.lo > 0.5


@pytest.mark.parametrize("procedure", ["fixed_sequence", "bonferroni"])
def test_a_whole_certification_of_policies_at_and_above_the_limit(procedure) -> None:
    """The production function on resampled requests: few policies, a limit that the last ones break."""
    population = world(2_000, 40)
    policies = [
        Cascade(tiers=("small", "large"), scores=("margin@small",), thresholds=(x,)) for x in (0.0, -0.6, -0.9, -1.2)
    ]
    true = [float((population.quality[:, 2] - follow(p, population).quality).mean()) for p in policies]
    assert true[0] < true[1] < true[2] < true[3]
    limit = LossLimit(max_loss_frac=true[1] - 1e-9, confidence=0.9)
    rng, wrong, repeats = np.random.default_rng(1), 0, 1500
    for _ in range(repeats):
        sample = resampled(population, rng.integers(population.n, size=500), "s")
        found = certify(policies, sample, reference="large", limit=limit, procedure=procedure)
        wrong += any(t.certified for t in found.tested[1:])
    seen = proportion(wrong, repeats, 0.99)
    print(f"{procedure}: certified wrongly in {seen.value:.3f} [{seen.lo:.3f}, {seen.hi:.3f}], stated 0.1")
    assert seen.value > 0.01 or procedure == "bonferroni"
    assert seen.lo <= 0.1


def only(matrix: OutcomeMatrix, score: str) -> tuple[Family, ...]:
    return tuple(f for f in families_of(matrix, reference="large") if set(f.scores) <= {score} or not f.scores)


@pytest.mark.slow
@pytest.mark.parametrize("score", [*world(2, 0).scores, "all"])
def test_whole_calibrations_break_the_limit_no_more_often_than_stated(score) -> None:
    """Choice and proof together, calibration sets drawn with replacement, the population the judge.

    ``benchmarks/route.py`` draws 2,000.
    """
    population = world(20_000, 50)
    families = families_of(population, reference="large") if score == "all" else only(population, score)
    rng, repeats, limit = np.random.default_rng(2), 600, LossLimit(max_loss_frac=0.01)
    wrong = cheaper = 0
    for _ in range(repeats):
        rows = rng.integers(population.n, size=1500)
        choose, prove = resampled(population, rows[:450], "c"), resampled(population, rows[450:], "p")
        found = calibrate(choose, prove, limit=limit, families=families)
        if found.ladder:
            losses = [
                population.quality[:, 2].mean() - follow(t.policy, population).quality.mean() for t in found.ladder
            ]
            wrong += max(losses) > 0.01
            cheaper += found.worth_it
    seen = proportion(int(wrong), repeats, 0.99)
    print(
        f"{score}: limit broken in {seen.value:.4f} [{seen.lo:.4f}, {seen.hi:.4f}], worth it in {cheaper / repeats:.3f}"
    )
    assert seen.lo <= ALPHA


@pytest.mark.slow
def test_conformal_control_holds_on_average() -> None:
    population = world(5_000, 60)
    policies = [
        Cascade(tiers=("small", "large"), scores=("margin@small",), thresholds=(x,)) for x in np.linspace(2, -2, 9)
    ]
    lost = [float(np.maximum(population.quality[:, 2] - follow(p, population).quality, 0).mean()) for p in policies]
    rng, limit, losses = np.random.default_rng(3), LossLimit(max_loss_frac=0.02), np.zeros(REPEATS)
    for i in range(REPEATS):
        sample = resampled(population, rng.integers(population.n, size=200), "s")
        found = certify(policies, sample, reference="large", limit=limit, method="conformal")
        certified = [j for j, t in enumerate(found.tested) if t.certified]
        losses[i] = max((lost[j] for j in certified), default=0.0)
    error = losses.std() / np.sqrt(REPEATS)
    print(f"conformal: mean loss {losses.mean():.5f} ± {error:.5f}, limit 0.02")
    assert losses.mean() - 2.6 * error <= 0.02


def test_a_naive_threshold_breaks_the_limit_far_more_often() -> None:
    """Why the bound matters: the cheapest threshold whose loss on the calibration set is within the limit."""
    population = world(100_000, 70)
    drop = population.quality[:, 2] - population.quality[:, 0]
    score, rng, wrong, repeats = population.scores["margin@small"].values, np.random.default_rng(4), 0, 2000
    order = np.argsort(-score)
    true = drop[order].cumsum() / population.n
    place = np.empty(population.n, dtype=np.int64)
    place[order] = np.arange(population.n)
    for _ in range(repeats):
        rows = np.sort(place[rng.integers(population.n, size=3000)])
        fine = np.flatnonzero(drop[order[rows]].cumsum() / rows.size <= 0.005)
        wrong += true[rows[fine[-1]]] > 0.005 if fine.size else 0
    seen = proportion(int(wrong), repeats, 0.99)
    print(f"naive threshold: limit broken in {seen.value:.3f} [{seen.lo:.3f}, {seen.hi:.3f}]")
    assert seen.lo > 0.3
