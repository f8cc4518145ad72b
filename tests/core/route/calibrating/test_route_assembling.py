"""From a calibration to what is written: names, quantiles, families, curves."""

from __future__ import annotations

import re

import numpy as np
import pytest

from farthing.core.route.calibrating.assembling import assembled
from farthing.core.route.calibrating.calibration import calibrate
from farthing.core.route.calibrating.certification import LossLimit
from farthing.core.route.judging.curve import MANY_TIERS, POINTS, curve_policies, sensible_families
from farthing.core.route.outcomes import OutcomeMatrix, Score, halves
from farthing.core.route.policies import Cascade, FixedTier, PreRoute, follow, label
from farthing.core.route.routes import ScoreSpec, Tier, policy_of


def matrix(n: int = 3000, tiers: int = 3, seed: int = 0) -> OutcomeMatrix:
    rng = np.random.default_rng(seed)
    hard = rng.random(n)
    names = tuple(f"t{k}" for k in range(tiers))
    share = np.linspace(0.2, 0.0, tiers)
    quality = np.column_stack([rng.random(n) > s * (4 * hard**3) for s in share]).astype(float)
    scores = {
        "given": Score(values=-hard + rng.normal(0, 0.1, n)),
        "text_logistic(t1)": Score(values=-hard),
        **{f"margin({t})": Score(values=-hard + rng.normal(0, 0.05, n), needs=(t,)) for t in names[:-1]},
    }
    cost = np.tile(10.0 ** np.arange(tiers), (n, 1))
    return OutcomeMatrix(
        request_ids=tuple(map(str, range(n))), tiers=names, quality=quality, cost_usd=cost, scores=scores
    )


def test_a_route_names_what_its_ladder_needs_and_no_more() -> None:
    choose, prove = halves(matrix(), np.random.default_rng(1), choose_frac=0.5)
    families, said = sensible_families(choose, reference="t2")
    assert said == ""
    found = calibrate(choose, prove, limit=LossLimit(max_loss_frac=0.05), reference="t2", families=families)
    route = assembled(
        found,
        prove,
        name="auto",
        tiers=[Tier(name=t, source="", usd_per_request=1.0) for t in reversed(prove.tiers)],
        scores=[ScoreSpec(name=name, kind="given", needs=s.needs) for name, s in prove.scores.items()],
        quality="given",
        audit_frac=0.02,
        classes=(),
        assumptions=("a",),
    )
    assert route.verdict.outcome == "met"
    assert [t.name for t in route.tiers] == list(prove.tiers)
    assert {s.name for s in route.scores} == {name for rung in route.ladder for name in rung.policy.scores}
    assert route.chosen is not None
    assert policy_of(route.ladder[route.chosen].policy) == found.chosen
    assert route.monitoring.alarm_loss_frac == 0.05
    assert route.assumptions[0] == "a"
    assert re.fullmatch(
        r"audits while .*: [2-9]\.\d% of the answers below t2.* add about [\d.]+% to .*", route.assumptions[1]
    )
    for name, deciles in route.monitoring.score_quantiles.items():
        assert len(deciles) == 9
        assert list(deciles) == sorted(deciles)
        assert name in prove.scores
    for rung in route.ladder:
        assert sum(rung.answered_frac.values()) == pytest.approx(1)


def test_a_predictor_of_one_tier_stands_before_that_tier_only() -> None:
    families, _ = sensible_families(matrix(), reference="t2")
    routed = [f for f in families if f.kind == "pre_route" and f.scores == ("text_logistic(t1)",)]
    assert {f.tiers[0] for f in routed} == {"t1"}
    assert any(f.scores == ("given",) and f.tiers[0] == "t0" for f in families)


def test_of_many_tiers_the_best_take_part() -> None:
    m = matrix(n=800, tiers=MANY_TIERS + 6)
    families, said = sensible_families(m, reference=m.tiers[-1])
    routed = {t for f in families if f.kind != "fixed" for t in f.tiers}
    assert len(routed) <= MANY_TIERS + 1
    assert "are beaten by these" in said
    assert {f.tiers[0] for f in families if f.kind == "fixed"} == set(m.tiers)


def test_a_curve_rises_on_what_it_was_chosen_on() -> None:
    m = matrix()
    families, _ = sensible_families(m, reference="t2")
    policies = curve_policies(m, families, reference="t2")
    assert 2 < len(policies) <= POINTS
    seen = [follow(p, m) for p in policies]
    costs = [s.cost_usd.mean() for s in seen]
    assert costs == sorted(costs)
    qualities = [s.quality.mean() for s in seen]
    assert qualities == sorted(qualities)
    assert not any(isinstance(p, FixedTier) for p in policies)


def test_a_threshold_that_lets_all_through_ends_a_name() -> None:
    inf = float("inf")
    three = {"tiers": ("a", "b", "c")}
    assert label(Cascade(scores=("s", "t"), thresholds=(0.5, -inf), **three)) == "a (s ≥ 0.5) → b"
    assert label(Cascade(scores=("s", "t"), thresholds=(0.5, 0.25), **three)) == "a (s ≥ 0.5) → b (t ≥ 0.25) → c"
    assert label(PreRoute(score="s", thresholds=(0.5, -inf), **three)) == "a if s ≥ 0.5, else b"
    assert label(PreRoute(score="s", thresholds=(-inf, -inf), **three)) == "always a"
