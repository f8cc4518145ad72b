"""Coins: the best fixed split as a policy that is proven and followed, and routes that are held against it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from route_worlds import resampled, world

from farthing.core.route.calibrating.calibration import calibrate
from farthing.core.route.calibrating.certification import LossLimit, certify, certify_sequences
from farthing.core.route.calibrating.splits import LEAST_SHARE, Damped, damped_path
from farthing.core.route.coins import coin
from farthing.core.route.controls import against_coin, beyond_coin
from farthing.core.route.judging.evaluation import evaluate
from farthing.core.route.outcomes import OutcomeMatrix, Score, halves
from farthing.core.route.policies import Cascade, FixedTier, PreRoute, Split, follow, label
from farthing.core.route.routes import RoutedPolicy, policy_of, written
from farthing.core.stats.intervals import proportion
from farthing.nouns import Estimate

POINT = LossLimit(max_loss_frac=0.01)
TOSS = Split(policy=FixedTier(tier="small"), share=0.2, otherwise="large", seed=7)


def blind(n: int, seed: int, *, misled: float = 0.0) -> OutcomeMatrix:
    """Two tiers, a large loss, and a score that tells nothing, or prefers what the small tier loses."""
    rng = np.random.default_rng(seed)
    quality = np.column_stack([rng.random(n) < 0.62, rng.random(n) < 0.70]).astype(float)
    return OutcomeMatrix(
        request_ids=tuple(f"b{seed}-{k}" for k in range(n)),
        tiers=("small", "large"),
        quality=quality,
        cost_usd=np.tile([1e-5, 1e-4], (n, 1)) * rng.uniform(0.8, 1.2, size=(n, 2)),
        scores={"text": Score(values=rng.normal(size=n) + misled * (quality[:, 1] - quality[:, 0]))},
    )


def test_a_coin_falls_alike_in_every_process_and_as_often_as_its_share() -> None:
    drawn = np.array([coin(f"request {k}", 7) for k in range(20_000)])
    assert 0 <= drawn.min() < 0.001 < 0.999 < drawn.max() < 1
    assert abs((drawn < 0.2).mean() - 0.2) < 3 * np.sqrt(0.16 / 20_000)
    assert abs(np.corrcoef(drawn, [coin(f"request {k}", 8) for k in range(20_000)])[0, 1]) < 0.03
    code = "from farthing.core.route.coins import coin; print(coin('request 3', 7))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(other.stdout) == drawn[3]


def test_a_split_does_what_its_coin_is_expected_to_do() -> None:
    data = blind(4000, 1)
    found, small, large = follow(TOSS, data), *(follow(FixedTier(tier=t), data) for t in data.tiers)
    assert found.quality == pytest.approx(0.2 * small.quality + 0.8 * large.quality)
    assert found.cost_usd == pytest.approx(0.2 * small.cost_usd + 0.8 * large.cost_usd)
    assert found.answered.mean(axis=0) == pytest.approx([0.2, 0.8])
    drawn = np.array([coin(name, TOSS.seed) < TOSS.share for name in data.request_ids])
    tossed = np.where(drawn, small.quality, large.quality)
    assert tossed.mean() == pytest.approx(found.quality.mean(), abs=0.02)


@pytest.mark.parametrize(
    "policy",
    [
        TOSS,
        Split(policy=PreRoute(tiers=("small", "large"), score="text", thresholds=(0.5,)), share=0.4, otherwise="large"),
        Split(policy=Cascade(tiers=("a", "b"), scores=("x",), thresholds=(1.0,)), share=0.4, otherwise="b"),
    ],
)
def test_splits_are_written_and_read_again(policy: Split) -> None:
    assert policy_of(written(policy)) == policy
    assert "by a coin" in label(policy)
    with pytest.raises(ValueError, match="tier for the other requests"):
        policy_of(dataclasses.replace(written(policy), otherwise=""))


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_split_wants_a_share(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        Split(policy=FixedTier(tier="a"), share=share, otherwise="b")
    with pytest.raises(ValueError, match="share"):
        policy_of(RoutedPolicy(kind="fixed", tiers=("a",), share=share if share != 1.0 else 2.0, otherwise="b"))


def test_a_fixed_split_is_proven_followed_and_never_worse_than_itself() -> None:
    found = calibrate(*halves(blind(4000, 2), np.random.default_rng(0), choose_frac=0.5), limit=POINT, seed=5)
    assert isinstance(found.chosen, Split)
    assert found.chosen.policy == FixedTier(tier="small")
    assert (found.chosen.otherwise, found.chosen.seed) == ("large", 5)
    assert found.worth_it
    assert found.verdict.reasons[0].startswith("a fixed split saves")
    assert found.beyond_coin is None
    assert found.saving_frac is not None
    assert 0.05 < found.saving_frac.value < 0.125  # 1 point of 8 lost by the small tier, which costs a tenth


def test_a_policy_that_is_worse_than_a_coin_is_not_followed() -> None:
    """The kind of fault: a route that lost twice what a coin of its cost loses was called met and worth it."""
    data = blind(20_000, 3, misled=1.5)
    choose, prove = halves(data, np.random.default_rng(0), choose_frac=0.5)
    bad = PreRoute(tiers=("small", "large"), score="text", thresholds=(2.0,))
    routed = follow(bad, prove)
    beyond = beyond_coin(routed.quality, routed.cost_usd, prove, confidence=0.95)
    assert against_coin(beyond) == "worse"
    found = calibrate(choose, prove, limit=LossLimit(max_loss_frac=0.03))
    assert isinstance(found.chosen, Split)
    assert isinstance(found.chosen.policy, FixedTier)


def test_where_only_a_bad_score_is_tried_it_is_said_and_not_followed() -> None:
    data = blind(20_000, 3, misled=1.5)
    choose, prove = halves(data, np.random.default_rng(0), choose_frac=0.5)
    found = calibrate(choose, prove, limit=LossLimit(max_loss_frac=0.03), splits=False)
    assert found.routed is not None
    assert not found.worth_it
    assert found.chosen == FixedTier(tier="large")
    assert found.verdict.reasons[0].endswith("is worse than a coin of equal cost")


@pytest.mark.parametrize(("lo", "hi", "said"), [(0.01, 0.02, "better"), (-0.02, -0.01, "worse"),
                                                (-0.01, 0.01, "not told apart"), (-1e-17, -1e-17, "not told apart")])  # fmt: skip
def test_three_outcomes_against_a_coin(lo: float, hi: float, said: str) -> None:
    assert against_coin(Estimate(value=lo, lo=lo, hi=hi, n=9, method="made up")) == said


def test_the_delta_interval_agrees_with_the_paired_bootstrap() -> None:
    data = world(4000, 11)
    policies = [Cascade(tiers=("small", "large"), scores=("margin@small",), thresholds=(x,)) for x in (0.5, -0.5, -1.5)]
    drawn = evaluate(policies, data, np.random.default_rng(0), draws=600)
    for policy, point in zip(policies, drawn.points, strict=True):
        routed = follow(policy, data)
        mine = beyond_coin(routed.quality, routed.cost_usd, data, confidence=0.95)
        assert mine.value == pytest.approx(point.over_split.value, abs=1e-9)
        assert mine.hi - mine.lo == pytest.approx(point.over_split.hi - point.over_split.lo, rel=0.25)


def test_a_useful_score_on_a_share_is_proven_where_it_could_not_be_whole() -> None:
    rng = np.random.default_rng(4)
    data = blind(3000, 4)
    helpful = Score(values=rng.normal(size=data.n) - 1.2 * (data.quality[:, 1] - data.quality[:, 0]))
    data = dataclasses.replace(data, scores={"text": helpful})
    choose, prove = halves(data, rng, choose_frac=0.5)
    found = calibrate(choose, prove, limit=LossLimit(max_loss_frac=0.005))
    alone = calibrate(choose, dataclasses.replace(prove, scores=data.scores and prove.scores),
                      limit=LossLimit(max_loss_frac=0.005), families=())  # fmt: skip
    assert found.routed is not None
    assert "text" in label(found.routed.policy)
    assert found.saving_frac is not None
    assert found.beyond_coin is not None
    assert against_coin(found.beyond_coin) == "better"
    assert alone.routed is None


def test_what_a_sequence_has_spent_goes_to_the_other_when_it_is_certified_to_its_end() -> None:
    data = world(6000, 5)
    line = [
        Cascade(tiers=("small", "large"), scores=("margin@small",), thresholds=(x,)) for x in np.linspace(2, -2, 30)
    ]
    easy = [Split(policy=FixedTier(tier="medium"), share=0.02, otherwise="large")]
    args = {"reference": "large", "limit": LossLimit(max_loss_frac=0.005)}
    alone = sum(t.certified for t in certify(line, data, **args).tested)
    both = certify_sequences([(0.5, line), (0.5, easy)], data, **args)
    assert sum(t.certified for t in both.tested) == alone + 1
    hard = [Split(policy=FixedTier(tier="small"), share=0.9, otherwise="large")]
    half = sum(t.certified for t in certify_sequences([(0.1, line), (0.9, hard)], data, **args).tested)
    assert half < alone
    with pytest.raises(ValueError, match="add up to 1"):
        certify_sequences([(0.5, line)], data, **args)


@pytest.mark.parametrize(
    ("score", "n"),
    [
        pytest.param("none", 500, marks=pytest.mark.slow),
        pytest.param("weak", 500, marks=pytest.mark.slow),
        pytest.param("weak", 1500, marks=pytest.mark.slow),
    ],
)
def test_two_sequences_break_the_limit_no_more_often_than_stated(score: str, n: int) -> None:
    """Whole calibrations with coins and a score; judged on the population that they were drawn from."""
    population = blind(30_000, 6, misled=-0.5 if score == "weak" else 0.0)
    true = {t: float((population.quality[:, 1] - population.quality[:, k]).mean())
            for k, t in enumerate(population.tiers)}  # fmt: skip
    assert true["small"] > 0.07
    rng, repeats, wrong, routes = np.random.default_rng(8), 300, 0, 0
    for _ in range(repeats):
        rows = rng.integers(population.n, size=2 * n)
        found = calibrate(resampled(population, rows[:n], "c"), resampled(population, rows[n:], "p"), limit=POINT)
        best = population.quality[:, 1].mean()
        losses = [best - follow(t.policy, population).quality.mean() for t in found.ladder[-3:]]
        wrong += max(losses, default=0.0) > POINT.max_loss_frac
        routes += found.routed is not None
    seen = proportion(wrong, repeats, 0.99)
    print(f"{score}, n = {n}: broken in {seen.value:.4f} [{seen.lo:.4f}, {seen.hi:.4f}], followed in {routes}")
    assert routes > 0.9 * repeats
    assert seen.lo <= 0.05


def test_a_small_share_is_proven_where_the_expected_one_is_not() -> None:
    """The proving part may look worse than the choosing part promised: the path begins at the least share."""
    path = damped_path(Damped(policy=FixedTier(tier="small"), share=0.4, saved_usd=1.0), "large", 0)
    shares = [policy.share for policy in path if isinstance(policy, Split)]
    assert shares[0] == LEAST_SHARE
    assert shares == sorted(shares)
    assert max(shares) > 0.6
    worse = dataclasses.replace(blind(1500, 12), quality=np.column_stack([np.zeros(1500), np.ones(1500)]))
    found = certify(path, worse, reference="large", limit=LossLimit(max_loss_frac=0.03))
    assert [t.policy.share for t in found.tested if t.certified] == [share for share in shares if share < 0.03]
