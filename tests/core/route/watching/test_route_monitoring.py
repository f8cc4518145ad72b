"""What calibration leaves for the watch."""

from __future__ import annotations

import numpy as np
import pytest

from farthing.core.route.outcomes import OutcomeMatrix, Score
from farthing.core.route.policies import Cascade, FixedTier, PreRoute, follow
from farthing.core.route.watching.monitoring import monitoring_of
from farthing.core.route.watching.watch import expected_audit_frac, watch_of

CASCADE = Cascade(tiers=("small", "large"), scores=("margin",), thresholds=(0.3,))
TWICE = Cascade(tiers=("small", "medium", "large"), scores=("margin", "second"), thresholds=(0.6, 0.2))


def matrix(n: int = 2000, *, seed: int = 0, ties: bool = False) -> OutcomeMatrix:
    rng = np.random.default_rng(seed)
    margin = rng.random(n)
    if ties:
        margin = np.round(margin, 1)
    quality = np.column_stack([rng.random(n) > 0.1, rng.random(n) > 0.05, np.ones(n)]).astype(float)
    return OutcomeMatrix(
        request_ids=tuple(map(str, range(n))),
        tiers=("small", "medium", "large"),
        quality=quality,
        cost_usd=np.tile([1.0, 2.0, 10.0], (n, 1)),
        scores={"margin": Score(values=margin, needs=("small",)), "second": Score(values=rng.random(n))},
    )


def test_agreement_is_held_to_the_promise():
    m = matrix()
    found = monitoring_of(CASCADE, [CASCADE], m, reference="large", max_loss_frac=0.02, audit_frac=0.05)
    assert found.alarm_loss_frac == 0.02
    assert found.audit_frac == 0.05
    assert found.calibrated_loss_frac == pytest.approx(1 - follow(CASCADE, m).quality.mean())


def test_answers_may_differ_more_often_than_quality_is_lost():
    m = matrix()
    disagreed = np.zeros(m.quality.shape, dtype=bool)
    disagreed[:40, 0] = True
    careful = FixedTier(tier="large")
    bold = FixedTier(tier="small")
    of = {"reference": "large", "max_loss_frac": 0.001, "audit_frac": 0.05, "disagreed": disagreed}
    assert monitoring_of(careful, [careful], m, **of).alarm_loss_frac == pytest.approx(0.0023, abs=1e-4)
    found = monitoring_of(careful, [careful, bold], m, **of)  # any rung may be followed
    assert found.calibrated_loss_frac == 0
    assert 0.02 < found.alarm_loss_frac < 0.032


def test_the_shape_of_differences_is_that_of_qualities():
    with pytest.raises(ValueError, match="shape"):
        monitoring_of(
            CASCADE, [], matrix(), reference="large", max_loss_frac=0.1, audit_frac=0.1, disagreed=np.zeros((2000, 2))
        )


def test_only_scores_that_all_requests_have_are_watched():
    m = matrix()
    first = PreRoute(tiers=("small", "large"), score="second", thresholds=(0.5,))
    one = monitoring_of(TWICE, [TWICE], m, reference="large", max_loss_frac=0.1, audit_frac=0.1)
    two = monitoring_of(TWICE, [first, TWICE], m, reference="large", max_loss_frac=0.1, audit_frac=0.1)
    assert set(one.score_quantiles) == {"margin"}
    assert set(two.score_quantiles) == {"margin", "second"}
    deciles = one.score_quantiles["margin"]
    assert deciles == tuple(sorted(deciles))
    assert deciles[4] == pytest.approx(np.median(m.scores["margin"].values), abs=1e-3)
    assert one.score_below == {}


def test_ties_are_parted_as_they_were():
    m = matrix(ties=True)
    found = monitoring_of(CASCADE, [CASCADE], m, reference="large", max_loss_frac=0.1, audit_frac=0.1)
    below, edges = found.score_below["margin"], found.score_quantiles["margin"]
    assert len(below) == len(edges) == 9
    values = m.scores["margin"].values
    for k, (share, edge) in enumerate(zip(below, edges, strict=True)):
        assert (values < edge).mean() + share * (values == edge).mean() == pytest.approx((k + 1) / 10, abs=1e-9)


def test_audits_are_priced_with_their_closer_looks():
    found = monitoring_of(CASCADE, [CASCADE], matrix(), reference="large", max_loss_frac=0.1, audit_frac=0.0)
    assert expected_audit_frac(found) == 0
    assert watch_of(found, 2000).loss is None
    rare = found.__class__(audit_frac=0.02, calibrated_loss_frac=0.0035, closer_frac=1.0, closer_requests=100)
    assert 0.024 < expected_audit_frac(rare) < 0.032  # simulated: 0.0264
    assert expected_audit_frac(found.__class__(audit_frac=0.02, calibrated_loss_frac=None)) == 0.02
