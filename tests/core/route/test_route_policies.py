from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from route_worlds import TIERS, world

from farthing.core.route.calibrating.families import Family, families_of, grid_means
from farthing.core.route.controls import oracle
from farthing.core.route.outcomes import OutcomeMatrix, Score
from farthing.core.route.policies import Cascade, FixedTier, PreRoute, follow, label

WORLD = world(300, 5)
NUMBERS = st.floats(-4, 4) | st.sampled_from([-np.inf, np.inf])


def cascades():
    judges = st.tuples(
        st.sampled_from(["margin@small", "energy@small", "agreement"]), st.sampled_from(["margin@medium", "agreement"])
    )
    return st.builds(lambda s, t: Cascade(tiers=TIERS, scores=s, thresholds=t), judges, st.tuples(NUMBERS, NUMBERS))


def pre_routes():
    return st.builds(
        lambda t: PreRoute(tiers=TIERS, score="length", thresholds=tuple(sorted(t, reverse=True))),
        st.tuples(NUMBERS, NUMBERS),
    )


POLICIES = cascades() | pre_routes() | st.builds(FixedTier, tier=st.sampled_from(TIERS))

TWO = OutcomeMatrix(
    request_ids=("a", "b", "c"),
    tiers=TIERS,
    quality=[[1, 0, 1], [0, 1, 1], [0, 0, 1]],
    cost_usd=[[1, 10, 100]] * 3,
    scores={
        "length": Score(values=[3, 2, 1], cost_usd=0.5),
        "small": Score(values=[3, 2, 1], needs=("small",)),
        "medium": Score(values=[1, 3, 2], needs=("medium",), cost_usd=0.25),
        "both": Score(values=[3, 2, 1], needs=("small", "medium")),
    },
)


def test_double_calls_and_scores_are_paid_for() -> None:
    found = follow(Cascade(tiers=TIERS, scores=("small", "medium"), thresholds=(2.5, 2.5)), TWO)
    assert found.tier.tolist() == [0, 1, 2]
    assert found.cost_usd.tolist() == [1, 11.25, 111.25]
    assert found.quality.tolist() == [1, 1, 1]
    assert found.ran.sum(axis=1).tolist() == [1, 2, 3]


def test_a_tier_that_a_score_needs_is_paid_for_once() -> None:
    found = follow(Cascade(tiers=("small", "large"), scores=("both",), thresholds=(2,)), TWO)
    assert found.cost_usd.tolist() == [11, 11, 111]
    through = follow(Cascade(tiers=TIERS, scores=("both", "medium"), thresholds=(2.5, 3)), TWO)
    assert through.cost_usd.tolist() == [11, 11.25, 111.25]


def test_pre_routing_pays_one_tier_and_the_score() -> None:
    found = follow(PreRoute(tiers=TIERS, score="length", thresholds=(3, 2)), TWO)
    assert found.tier.tolist() == [0, 1, 2]
    assert found.cost_usd.tolist() == [1.5, 10.5, 100.5]


@given(cascades())
def test_a_cascade_never_costs_less_than_its_first_tier(policy) -> None:
    assert (follow(policy, WORLD).cost_usd >= WORLD.cost_usd[:, 0]).all()


@given(POLICIES)
def test_the_oracle_dominates(policy) -> None:
    found, best = follow(policy, WORLD), oracle(WORLD)
    rows = np.arange(WORLD.n)
    assert (WORLD.quality[rows, best] >= found.quality).all()
    as_good = found.quality == WORLD.quality[rows, best]
    assert (WORLD.cost_usd[rows, best] <= found.cost_usd + 1e-15)[as_good].all()
    assert (found.cost_usd >= WORLD.cost_usd[rows, found.tier]).all()


@given(cascades(), st.floats(0, 3))
def test_a_higher_first_threshold_costs_no_less(policy, more) -> None:
    raised = Cascade(tiers=TIERS, scores=policy.scores, thresholds=(policy.thresholds[0] + more, policy.thresholds[1]))
    assert (follow(raised, WORLD).cost_usd >= follow(policy, WORLD).cost_usd - 1e-15).all()


def test_infinite_thresholds() -> None:
    always = Cascade(tiers=TIERS, scores=("margin@small", "margin@medium"), thresholds=(-np.inf, 0))
    assert (follow(always, WORLD).cost_usd == WORLD.cost_usd[:, 0]).all()
    never = Cascade(tiers=TIERS, scores=("margin@small", "margin@medium"), thresholds=(np.inf, np.inf))
    assert follow(never, WORLD).cost_usd == pytest.approx(WORLD.cost_usd.sum(axis=1))


@pytest.mark.parametrize("kind", ["pre_route", "cascade", "fixed"])
@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_the_grid_equals_following_each_member(kind, seed) -> None:
    data = world(60, seed)
    part = np.arange(60) % 2 == 0
    for family in families_of(data, reference="large"):
        if family.kind != kind:
            continue
        means, half = (
            grid_means(family, data, reference="large"),
            grid_means(family, data, reference="large", rows=part),
        )
        assert means.cost_usd.size > 0
        for i in {0, len(means.cost_usd) // 3, len(means.cost_usd) - 1}:
            found = follow(family.policy([float(x) for x in means.thresholds[i]]), data)
            loss = data.quality[:, 2] - found.quality
            assert set(found.tier) >= {data.tier(name) for name in family.tiers[:-1]}
            assert means.cost_usd[i] == pytest.approx(found.cost_usd.mean())
            assert means.loss_frac[i] == pytest.approx(loss.mean(), abs=1e-12)
            assert means.loss_std_frac[i] == pytest.approx(loss.std(), abs=1e-7)
            assert half.cost_usd[i] == pytest.approx(found.cost_usd[part].mean())


def test_families_compare_every_kind_and_score() -> None:
    found = families_of(WORLD, reference="large")
    names = [family.name for family in found]
    assert len(set(names)) == len(names)
    assert sum(f.kind == "fixed" for f in found) == 3
    assert sum(f.kind == "pre_route" for f in found) == 3
    assert sum(f.kind == "cascade" for f in found) == 3 + 2 + 3 * 2
    assert "cascade small → large by margin@small" in names
    assert {f.tiers for f in families_of(WORLD, reference="medium")} >= {("small", "medium"), ("large",)}


def test_labels() -> None:
    assert label(FixedTier(tier="large")) == "always large"
    assert label(PreRoute(tiers=("s", "l"), score="length", thresholds=(-3.0,))) == "s if length ≥ -3, else l"
    assert label(Cascade(tiers=("s", "l"), scores=("margin",), thresholds=(0.62,))) == "s (margin ≥ 0.62) → l"


def test_policies_refuse() -> None:
    with pytest.raises(ValueError, match="must not rise"):
        PreRoute(tiers=TIERS, score="length", thresholds=(1, 2))
    with pytest.raises(ValueError, match="one score a threshold"):
        Cascade(tiers=TIERS, scores=("a",), thresholds=(1, 2))
    with pytest.raises(ValueError, match="at least two different tiers"):
        Cascade(tiers=("a", "a"), scores=("a",), thresholds=(1,))
    with pytest.raises(ValueError, match="NaN"):
        PreRoute(tiers=("a", "b"), score="length", thresholds=(np.nan,))
    with pytest.raises(ValueError, match="no score 'x'; there are length"):
        follow(PreRoute(tiers=TIERS, score="x", thresholds=(1, 0)), TWO)
    with pytest.raises(ValueError, match="no tier 'tiny'"):
        follow(FixedTier(tier="tiny"), TWO)
    with pytest.raises(ValueError, match="2 to 3 tiers"):
        Family(kind="cascade", tiers=("a", "b", "c", "d"), scores=("x", "y", "z"))
