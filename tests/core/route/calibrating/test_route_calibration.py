from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from route_worlds import TIERS, world

from farthing.core.route.calibrating.calibration import calibrate, candidate_path
from farthing.core.route.calibrating.certification import LossLimit, certify
from farthing.core.route.calibrating.families import Family, families_of
from farthing.core.route.outcomes import OutcomeMatrix, Score, halves
from farthing.core.route.policies import Cascade, FixedTier, Split, follow

HALF_POINT = LossLimit(max_loss_frac=0.005)
POPULATION = world(200_000, 77)


def parts(n: int = 6000, seed: int = 0, **kwargs):
    return halves(world(n, seed, **kwargs), np.random.default_rng(seed), choose_frac=0.3)


def ladder_of(n: int) -> list[Cascade]:
    return [Cascade(tiers=("small", "large"), scores=("margin@small",), thresholds=(x,)) for x in np.linspace(3, -3, n)]


def test_the_chosen_policy_holds_the_limit_and_saves() -> None:
    found = calibrate(*parts(), limit=HALF_POINT)
    assert found.verdict.outcome == "met"
    assert found.worth_it
    assert found.verdict.reasons[0].startswith("routing saves")
    true = follow(found.chosen, POPULATION)
    assert POPULATION.quality[:, 2].mean() - true.quality.mean() <= 0.005
    assert true.cost_usd.mean() < 0.6 * POPULATION.cost_usd[:, 2].mean()
    assert found.saving_frac is not None
    assert (
        found.saving_frac.lo < 1 - true.cost_usd.mean() / POPULATION.cost_usd[:, 2].mean() < found.saving_frac.hi + 0.02
    )
    assert found.n_needed is None


def test_the_ladder_is_a_prefix_that_gets_cheaper() -> None:
    found = calibrate(*parts(), limit=HALF_POINT, splits=False)
    assert found.certification is not None
    flags = [t.certified for t in found.certification.tested]
    assert flags == sorted(flags, reverse=True)
    assert found.ladder[-1].policy == found.chosen
    both = calibrate(*parts(), limit=HALF_POINT).ladder
    assert sorted((t.cost_usd for t in both), reverse=True) == [t.cost_usd for t in both]
    assert len(both) > len(found.ladder)
    tested = found.ladder[-1]
    assert tested.answered_frac.sum() == pytest.approx(1)
    assert tested.called_frac.sum() > 1
    assert (tested.called_frac >= tested.answered_frac).all()


def test_every_score_and_kind_is_compared() -> None:
    choose, prove = parts()
    found = calibrate(choose, prove, limit=HALF_POINT)
    assert len(found.compared) == len(families_of(choose, reference="large"))
    costs = [c.cost_usd for c in found.compared if c.cost_usd is not None]
    assert costs == sorted(costs)
    assert found.compared[-1].policy is None


def test_too_few_requests_are_unproven_with_the_number_that_would_settle_it() -> None:
    found = calibrate(*parts(700, seed=3), limit=HALF_POINT, splits=False)
    assert found.verdict.outcome == "unproven"
    assert found.chosen == FixedTier(tier="large")
    assert found.n_needed is not None
    assert f"{found.n_needed:,} labelled requests" in found.verdict.hint
    again = calibrate(*parts(2 * found.n_needed, seed=4), limit=HALF_POINT, splits=False)
    assert again.verdict.outcome == "met"


def test_where_no_policy_is_proven_whole_a_share_of_one_is() -> None:
    found = calibrate(*parts(700, seed=3), limit=HALF_POINT)
    assert found.verdict.outcome == "met"
    assert isinstance(found.chosen, Split)
    true = follow(found.chosen, POPULATION)
    assert POPULATION.quality[:, 2].mean() - true.quality.mean() <= 0.005


def test_when_every_policy_loses_too_much_it_is_not_met() -> None:
    data = world(8000, 1, skills=(-1.0, -0.5, 8.0))
    choose, prove = halves(data, np.random.default_rng(0), choose_frac=0.3)
    only = (Family(kind="fixed", tiers=("small",)), Family(kind="fixed", tiers=("medium",)))
    found = calibrate(choose, prove, limit=HALF_POINT, families=only)
    assert found.verdict.outcome == "not_met"
    assert found.n_needed is None
    assert found.chosen == FixedTier(tier="large")


def test_routing_is_not_worth_it_when_a_tier_alone_will_do() -> None:
    found = calibrate(*parts(skills=(8.0, 8.0, 8.0)), limit=LossLimit(max_loss_frac=0.02))
    assert found.chosen == FixedTier(tier="small")
    assert not found.worth_it
    assert found.verdict.outcome == "met"
    assert found.verdict.reasons[0].startswith("routing is not worth it: always small is the cheapest that is proven")


def test_routing_is_not_worth_it_when_nothing_is_cheaper() -> None:
    found = calibrate(*parts(costs=(2e-3, 2e-3, 8e-4)), limit=HALF_POINT)
    assert found.chosen == FixedTier(tier="large")
    assert found.certification is None
    assert "no policy costs less than always large" in found.verdict.reasons[0]


def test_a_saving_below_the_least_one_is_not_worth_it() -> None:
    found = calibrate(*parts(), limit=HALF_POINT, least_saving_frac=0.95)
    assert not found.worth_it
    assert found.routed is not None
    assert found.chosen == found.best_fixed == FixedTier(tier="large")


def test_segments_have_limits_of_their_own() -> None:
    choose, prove = parts(12_000, segments=True)
    loose = calibrate(choose, prove, limit=HALF_POINT)
    both = LossLimit(max_loss_frac=0.005, by_segment={"rare": 0.004})
    strict = calibrate(choose, prove, limit=both)
    assert strict.verdict.outcome == "met"
    assert strict.routed is not None
    assert loose.routed is not None
    assert strict.routed.cost_usd > loose.routed.cost_usd
    tiny = calibrate(choose, prove, limit=LossLimit(max_loss_frac=0.005, by_segment={"rare": 0.0002}))
    assert tiny.verdict.outcome == "unproven"
    assert tiny.certification is not None
    assert "rare" in tiny.certification.tested[0].failed
    with pytest.raises(ValueError, match="segment 'gone', which no request has"):
        calibrate(choose, prove, limit=LossLimit(max_loss_frac=0.005, by_segment={"gone": 0.1}))


@pytest.mark.parametrize("method", ["paired", "lost_answers", "conformal"])
@pytest.mark.parametrize("procedure", ["fixed_sequence", "bonferroni"])
def test_methods(method, procedure) -> None:
    found = calibrate(*parts(8000), limit=LossLimit(max_loss_frac=0.01), method=method, procedure=procedure)
    assert found.verdict.outcome == "met"
    assert found.certification is not None
    assert ("conformal" in found.certification.method) == (method == "conformal")
    true = follow(found.chosen, POPULATION)
    assert POPULATION.quality[:, 2].mean() - true.quality.mean() <= 0.01


def test_lost_answers_never_certify_more_than_the_pair() -> None:
    data = world(4000, 8)
    proven = [
        {
            t.policy
            for t in certify(ladder_of(15), data, reference="large", limit=HALF_POINT, method=m).tested
            if t.certified
        }
        for m in ("paired", "lost_answers")
    ]
    assert len(proven[1]) <= len(proven[0])


def test_graded_quality_is_tested_by_betting() -> None:
    data = world(5000, 2)
    graded = dataclasses.replace(data, quality=0.2 + 0.6 * data.quality)
    choose, prove = halves(graded, np.random.default_rng(0), choose_frac=0.3)
    found = calibrate(choose, prove, limit=LossLimit(max_loss_frac=0.01))
    assert found.certification is not None
    assert "betting" in found.certification.method
    assert found.verdict.outcome == "met"
    few = calibrate(
        *halves(graded, np.random.default_rng(0), choose_frac=0.9), limit=LossLimit(max_loss_frac=0.001), splits=False
    )
    assert few.verdict.outcome == "unproven"


@pytest.mark.parametrize("confidence", [(0.8, 0.95), (0.95, 0.999)])
def test_more_confidence_certifies_no_more(confidence) -> None:
    data = world(3000, 6)
    counts = [
        sum(
            t.certified
            for t in certify(
                ladder_of(20), data, reference="large", limit=LossLimit(max_loss_frac=0.005, confidence=c)
            ).tested
        )
        for c in confidence
    ]
    assert counts[0] >= counts[1]


def test_the_path_is_undominated_and_most_careful_first() -> None:
    choose, _ = parts()
    path, _, least = candidate_path(
        choose, families_of(choose, reference="large"), limit=HALF_POINT, reference="large", n_proving=4200, longest=12
    )
    costs = [follow(policy, choose).cost_usd.mean() for policy in path]
    assert 1 < len(path) <= 12
    assert (np.diff(costs) < 0).all()
    assert least < 1


def test_one_request_and_useless_scores() -> None:
    flat = OutcomeMatrix(
        request_ids=tuple(map(str, range(40))),
        tiers=TIERS,
        quality=np.ones((40, 3)),
        cost_usd=np.tile([1.0, 2.0, 3.0], (40, 1)),
        scores={"flat": Score(values=np.zeros(40), needs=("small",))},
    )
    choose, prove = halves(flat, np.random.default_rng(0), choose_frac=0.97)
    found = calibrate(choose, prove, limit=HALF_POINT, splits=False)
    assert (prove.n, found.verdict.outcome) == (1, "unproven")
    assert found.n_needed is not None
    assert found.n_needed >= 598


def test_calibration_refuses() -> None:
    choose, prove = parts(200)
    with pytest.raises(ValueError, match="overlap"):
        calibrate(choose, choose, limit=HALF_POINT)
    with pytest.raises(ValueError, match="no tier 'huge'"):
        calibrate(choose, prove, limit=HALF_POINT, reference="huge")
    with pytest.raises(ValueError, match="least_saving_frac"):
        calibrate(choose, prove, limit=HALF_POINT, least_saving_frac=1.0)
    with pytest.raises(ValueError, match="same tiers"):
        calibrate(choose, dataclasses.replace(prove, tiers=("a", "b", "c"), scores={}), limit=HALF_POINT)
    with pytest.raises(ValueError, match="no policy was given"):
        certify([], prove, reference="large", limit=HALF_POINT)
    with pytest.raises(ValueError, match="LossLimit"):
        LossLimit(max_loss_frac=0.0)
    with pytest.raises(ValueError, match="LossLimit"):
        LossLimit(max_loss_frac=0.01, by_segment={"a": 1.5})
