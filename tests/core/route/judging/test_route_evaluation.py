from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from route_worlds import TIERS, world

from farthing.core.route.controls import hull_of, needed_frac, oracle, random_router_quality
from farthing.core.route.judging.evaluation import evaluate
from farthing.core.route.outcomes import OutcomeMatrix, Score
from farthing.core.route.policies import Cascade, PreRoute

DATA = world(3000, 11)
UNIT = st.integers(0, 100).map(lambda i: i / 100)


def router(score: str = "margin@small", n: int = 9):
    return [Cascade(tiers=("small", "large"), scores=(score,), thresholds=(x,)) for x in np.linspace(3, -3, n)]


def judged(policies, data=DATA, **kwargs):
    return evaluate(policies, data, np.random.default_rng(0), draws=kwargs.pop("draws", 300), **kwargs)


@given(st.lists(st.tuples(UNIT, UNIT), min_size=1, max_size=20))
def test_the_hull_is_concave_rising_and_above_every_point(points) -> None:
    cost, quality = np.array(points).T
    hull = hull_of(cost, quality)
    assert (np.diff(hull.cost_usd) > 0).all()
    assert (np.diff(hull.quality) > 0).all()
    slopes = np.diff(hull.quality) / np.diff(hull.cost_usd)
    assert (np.diff(slopes) <= 1e-6 * np.abs(slopes[:-1])).all()
    assert (hull.quality_at(cost) >= quality - 1e-9).all()
    reached = [hull.cost_at(float(q)) for q in quality]
    assert all(r is not None and r <= c + 1e-9 for r, c in zip(reached, cost, strict=True))


@given(st.lists(st.tuples(UNIT, UNIT), min_size=1, max_size=10), UNIT, UNIT)
def test_the_curve_never_falls_with_cost(points, a, b) -> None:
    hull = hull_of(*np.array(points).T)
    low, high = hull.quality_at(sorted((a, b)))
    assert np.isnan(low) or low <= high


def test_hull_edges() -> None:
    hull = hull_of([1, 2, 3, 4], [0.5, 0.5, 0.9, 0.7])
    assert hull.cost_usd.tolist() == [1, 3]
    assert np.isnan(hull.quality_at(0.5))
    assert hull.quality_at(9) == 0.9
    assert hull.cost_at(0.7) == pytest.approx(2)
    assert (hull.cost_at(0.1), hull.cost_at(0.95)) == (1, None)
    with pytest.raises(ValueError, match="a hull needs"):
        hull_of([], [])


def test_a_good_score_beats_the_controls_and_a_useless_one_does_not() -> None:
    good = judged(router())
    middle = good.points[4]
    assert middle.over_split.lo > 0
    assert middle.over_random.lo > 0
    assert middle.over_random.value >= middle.over_split.value
    assert good.area_gain.value > 0
    noise = np.random.default_rng(3).normal(size=DATA.n)
    blind = OutcomeMatrix(
        request_ids=DATA.request_ids,
        tiers=TIERS,
        quality=DATA.quality,
        cost_usd=DATA.cost_usd,
        scores={"noise": Score(values=noise)},
    )
    useless = judged([PreRoute(tiers=("small", "large"), score="noise", thresholds=(0.0,))], blind)
    assert useless.points[0].over_random.lo < 0.003
    assert useless.points[0].over_split.lo <= 0


def test_tiers_alone_are_on_their_own_split_and_the_oracle_is_above_all() -> None:
    found = judged(router())
    assert [t.label for t in found.tiers] == ["always small", "always medium", "always large"]
    for tier in found.tiers:
        assert tier.over_split.value <= 1e-12
    for point in (*found.points, *found.tiers):
        assert point.to_oracle.lo >= -1e-12
        assert point.quality.lo <= point.quality.value <= point.quality.hi
    rows = np.arange(DATA.n)
    assert found.oracle_quality.value == pytest.approx(DATA.quality[rows, oracle(DATA)].mean())
    assert found.oracle_cost_usd.value < found.tiers[2].cost_usd.value


def test_cost_save_and_perf_gain_in_a_world_that_can_be_counted() -> None:
    data = OutcomeMatrix(
        request_ids=tuple("abcd"),
        tiers=("small", "large"),
        quality=[[1, 1], [1, 0], [1, 1], [0, 1]],
        cost_usd=[[1, 10]] * 4,
        scores={"sure": Score(values=[3, 4, 2, 1], needs=("small",))},
    )
    policy = Cascade(tiers=("small", "large"), scores=("sure",), thresholds=(1.5,))
    found = judged([policy], data)
    assert found.best_single == "small"
    assert found.points[0].quality.value == 1
    assert found.points[0].cost_usd.value == pytest.approx((1 + 1 + 1 + 11) / 4)
    assert found.cost_save_frac is not None
    assert found.cost_save_frac.value == pytest.approx(1 - 3.5)
    assert found.perf_gain is None
    assert needed_frac(data, "large") == 0.25
    both = judged([policy, Cascade(tiers=("small", "large"), scores=("sure",), thresholds=(-np.inf,))], data)
    assert both.cost_save_frac is not None
    assert both.cost_save_frac.value == pytest.approx(0)
    assert both.perf_gain is not None
    assert both.perf_gain.value == pytest.approx(0)
    assert [p.pareto for p in both.points] == [True, True]
    assert [t.pareto for t in both.tiers] == [True, False]


def test_a_router_that_never_reaches_the_best_tier_has_no_cost_save() -> None:
    found = judged([Cascade(tiers=("small", "large"), scores=("margin@small",), thresholds=(-np.inf,))])
    assert found.best_single == "large"
    assert found.cost_save_frac is None
    assert found.perf_gain is not None
    assert found.perf_gain.value < 0


def test_random_router_of_equal_cost() -> None:
    cost, quality = np.array([1.0, 3.0]), np.array([0.5, 0.9])
    assert random_router_quality(np.array([0.0, 1.0, 2.0, 9.0]), cost, quality).tolist() == pytest.approx(
        [0.5, 0.5, 0.7, 0.9]
    )
    assert random_router_quality(np.array([1.0]), np.array([2.0, 2.0]), quality)[0] == 0.9


@given(st.integers(0, 200))
@settings(max_examples=10, deadline=None)
def test_the_same_seed_gives_the_same_bands(seed) -> None:
    data = world(80, seed)
    one, two = (evaluate(router(n=3), data, np.random.default_rng(seed), draws=100) for _ in range(2))
    assert one.points == two.points
    assert one.area == two.area


def test_bands_cover() -> None:
    population, policy, covered = world(100_000, 5), router()[4:5], 0
    whole = judged(policy, population, draws=100).points[0].over_split.value
    for seed in range(100):
        band = judged(policy, world(500, 1000 + seed), draws=200).points[0].over_split
        covered += band.lo <= whole <= band.hi
    print(f"coverage of a 95 % band over the best split: {covered / 100:.3f}")
    assert covered >= 87


def test_evaluation_refuses() -> None:
    for policies, draws in [([], 300), (router(), 50)]:
        with pytest.raises(ValueError, match="draws ≥ 100"):
            judged(policies, draws=draws)
