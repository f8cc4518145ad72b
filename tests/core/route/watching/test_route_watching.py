"""The watch of a route: false alarms while nothing changes, and what is found when something does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.core.route.routes import Monitoring
from farthing.core.route.watching.losses import LossTest, begin_loss, loss_estimate, observe_loss
from farthing.core.route.watching.monitoring import DECILES
from farthing.core.route.watching.scores import ScoreTest, begin_scores, bins_of, observe_scores
from farthing.core.route.watching.watch import (
    audit_frac_of,
    begin,
    counted,
    observe_audits,
    observe_score,
    watch_of,
    would_count,
)
from farthing.core.stats.intervals import proportion

EDGES = tuple(k / 10 for k in range(1, 10))
BLOCK = 64


def score_test(values: np.ndarray) -> ScoreTest:
    edges = np.quantile(values, DECILES, method="inverted_cdf")
    less, same = (np.array([f(values, e).mean() for e in edges]) for f in (np.less, np.equal))
    below = tuple(np.clip((np.array(DECILES) - less) / same, 0, 1).tolist())
    return ScoreTest(name="s", quantiles=tuple(edges.tolist()), below=below, n=values.size)


def most_of_scores(test: ScoreTest, x: np.ndarray, rng: np.random.Generator, block: int = BLOCK) -> float:
    bins, state = bins_of(test, x, rng.random(x.size)), begin_scores(test)
    for k in range(0, x.size, block):
        state = observe_scores(test, state, bins[k : k + block])
    return state.most


# — scores ————————————————————————————————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize("draw", ["continuous", "ties", "two values"])
@pytest.mark.parametrize("n", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_scores_as_in_calibration_seldom_alarm_however_few_calibrated(draw, n):
    """The error of the deciles is part of the test: with 40 calibration scores they are off by several points."""
    rng, alpha, repeats = np.random.default_rng(n), 0.1, 250

    def scores(size: int) -> np.ndarray:
        x = rng.normal(size=size)
        return {"continuous": x, "ties": np.round(x, 1), "two values": (x > 1.0).astype(float)}[draw]

    alarms = sum(most_of_scores(score_test(scores(n)), scores(2000), rng) >= 1 / alpha for _ in range(repeats))
    assert proportion(alarms, repeats, 0.99).lo <= alpha


def test_a_shift_of_the_scores_is_found_soon_and_a_small_one_is_none():
    rng = np.random.default_rng(3)
    test = score_test(rng.random(3000))
    usual = rng.random(5000)
    moved = np.where(rng.random(5000) < 0.2, rng.random(5000) * 0.2, rng.random(5000))
    little = np.where(rng.random(5000) < 0.03, rng.random(5000) * 0.2, rng.random(5000))
    assert most_of_scores(test, np.concatenate([usual, moved[:500]]), rng) > 1e3
    assert most_of_scores(test, np.concatenate([usual, little]), rng) < 40
    assert most_of_scores(test, np.concatenate([usual, 1 - moved[:500]]), rng) > 1e3  # the other way too


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 70))
def test_blocks_do_not_matter(seed, block):
    rng = np.random.default_rng(seed)
    test, bins = score_test(rng.random(500)), rng.integers(10, size=300)
    whole = observe_scores(test, begin_scores(test), bins)
    parts = begin_scores(test)
    for k in range(0, 300, block):
        parts = observe_scores(test, parts, bins[k : k + block])
    assert parts.n == whole.n
    assert np.allclose(parts.wealth, whole.wealth)
    assert parts.most == pytest.approx(whole.most)
    assert np.allclose(parts.recent, whole.recent)


def test_bins_part_ties_as_calibration_did():
    rng = np.random.default_rng(0)
    values = np.repeat([0.0, 1.0], [120, 880])
    test = score_test(values)
    found = np.bincount(bins_of(test, np.tile(values, 200), rng.random(200_000)), minlength=10) / 200_000
    assert found == pytest.approx(np.full(10, 0.1), abs=0.005)
    assert bins_of(test, [np.nan, 0.5], [0.3, 0.3]).size == 1


def test_a_score_test_checks_itself():
    with pytest.raises(ValueError, match="must not fall"):
        ScoreTest(name="s", quantiles=(1.0, 0.0), below=(1.0, 1.0), n=10)
    with pytest.raises(ValueError, match="n ≥ 1"):
        ScoreTest(name="s", quantiles=(1.0,), below=(), n=10)


# — the loss ——————————————————————————————————————————————————————————————————————————————————————————————————————————


def most_of_losses(rng: np.random.Generator, mean: float, limit: float, n: int, *, adaptive: bool) -> float:
    """Evidence on a stream whose audits are more where differences were seen just before."""
    test = LossTest(alarm_loss_frac=limit)
    state, closer = begin_loss(test), 0
    loss, coins = (rng.random(n) < mean).astype(float), rng.random(n)
    start = 0
    while start < n:
        q = 1.0 if adaptive and start < closer else 0.1
        stop = min(n, start + BLOCK)
        audited = coins[start:stop] < q
        hits = np.flatnonzero(audited & (loss[start:stop] > 0))
        if adaptive and hits.size:
            stop = start + int(hits[0]) + 1
            closer = stop + 50
        part = slice(start, stop)
        state = observe_loss(test, state, np.full(stop - start, q), coins[part] < q, loss[part])
        start = stop
    return state.most


@pytest.mark.parametrize("adaptive", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_loss_at_the_limit_seldom_alarms_however_audits_are_placed(adaptive):
    rng, alpha, repeats = np.random.default_rng(4), 0.2, 300
    alarms = sum(most_of_losses(rng, 0.02, 0.02, 3000, adaptive=adaptive) >= 1 / alpha for _ in range(repeats))
    assert proportion(alarms, repeats, 0.99).lo <= alpha


def test_looking_closer_finds_a_loss_sooner():
    rng = np.random.default_rng(5)
    found = [[most_of_losses(rng, 0.06, 0.005, 1000, adaptive=a) >= 40 for _ in range(40)] for a in (False, True)]
    assert sum(found[1]) > 30
    assert sum(found[1]) > sum(found[0])


def test_limits_hold_at_all_times():
    rng, n, repeats, mean = np.random.default_rng(6), 3000, 120, 0.01
    test, missed = LossTest(alarm_loss_frac=0.02), 0
    for _ in range(repeats):
        state, q = begin_loss(test), 0.2
        loss, audited = (rng.random(n) < mean).astype(float), rng.random(n) < q
        ever = False
        for k in range(0, n, 100):
            part = slice(k, k + 100)
            state = observe_loss(test, state, np.full(100, q), audited[part], loss[part])
            now = loss_estimate(test, state)
            ever = ever or not now.lo <= mean <= now.hi
        missed += ever
    assert proportion(missed, repeats, 0.99).lo <= 0.05
    assert now.hi < 0.05


def test_the_watch_says_which_share_it_rests_on():
    test = LossTest(alarm_loss_frac=0.01)
    state = begin_loss(test)
    assert state.audited_frac is None
    audited = np.arange(1000) % 40 == 0
    state = observe_loss(test, state, np.full(1000, 0.02), audited, np.zeros(1000))
    assert state.audited_frac == 0.025
    assert counted(state) == "25 of 1,000 requests audited, 2.5 %"
    said = would_count(Monitoring(audit_frac=0.02, calibrated_loss_frac=0.0), 800, 1000, "large")
    assert "about 16 of 1,000 such requests, 1.6 %" in said and "2 % of the answers below large" in said
    assert "no answer is audited" in would_count(Monitoring(audit_frac=0.0), 800, 1000, "large")


def test_losses_may_be_graded_and_nothing_need_be_audited():
    test = LossTest(alarm_loss_frac=0.05)
    state = observe_loss(
        test, begin_loss(test), np.full(3, 0.5), np.array([True, True, False]), np.array([0.4, 0, 0.9])
    )
    assert (state.audited, state.lost, state.weighted) == (2, 0.4, 0.8)
    quiet = observe_loss(test, state, np.zeros(500), np.zeros(500, dtype=bool), np.zeros(500))
    assert quiet.wealth.sum() > 0
    assert loss_estimate(test, begin_loss(test)) is None
    assert observe_loss(test, quiet, np.zeros(0), np.zeros(0, dtype=bool), np.zeros(0)) is quiet


@pytest.mark.parametrize(
    ("frac", "audited", "loss"), [([1.2], [True], [0.0]), ([0.0], [True], [0.0]), ([0.5], [True], [1.5])]
)
def test_wrong_audits_are_refused(frac, audited, loss):
    test = LossTest(alarm_loss_frac=0.05)
    with pytest.raises(ValueError, match="must lie in"):
        observe_loss(test, begin_loss(test), np.array(frac), np.array(audited), np.array(loss))


# — together ——————————————————————————————————————————————————————————————————————————————————————————————————————————

MONITORING = Monitoring(audit_frac=0.05, alarm_loss_frac=0.01, score_quantiles={"s": EDGES, "t": EDGES})


def test_one_budget_is_shared():
    watch = watch_of(MONITORING, 1000)
    assert watch.alpha_of_loss == 0.025
    assert (watch.alpha_of_score("s"), watch.alpha_of_score("t")) == (0.0125, 0.0125)
    three = watch_of(replace(MONITORING, score_quantiles={"s": EDGES, "t": EDGES, "u": EDGES}), 1000)
    parts = [three.alpha_of_loss, *(three.alpha_of_score(name) for name in "stu")]
    assert parts == pytest.approx([0.025, 0.0125, 0.00625, 0.00625])
    alone = watch_of(replace(MONITORING, audit_frac=0.0), 1000)
    assert alone.alpha_of_loss == 0
    assert alone.alpha_of_score("s") + alone.alpha_of_score("t") == pytest.approx(0.05)
    assert watch_of(replace(MONITORING, score_quantiles={}), 1000).alpha_of_loss == 0.05
    assert watch_of(MONITORING, 0).scores == {}


@pytest.mark.parametrize("wrong", [{"false_alarm": 0.7}, {"audit_frac": 1.2}, {"alarm_loss_frac": 0.0}])
def test_a_watch_checks_what_it_is_asked_for(wrong):
    with pytest.raises(ValueError, match=r"wanted|must lie"):
        watch_of(replace(MONITORING, **wrong), 1000)


def test_the_first_alarm_stays():
    watch = watch_of(MONITORING, 1000)
    state = begin(watch)
    n, ones = 300, np.ones(300, dtype=bool)
    state = observe_audits(watch, state, np.ones(n), ones, np.ones(n))
    assert state.alarm.kind == "loss"
    assert "more than 1 % (300 of 300 requests audited, 100 %)" in state.alarm.message
    assert observe_score(watch, state, "s", np.zeros(500, dtype=np.int64)) is state
    assert observe_audits(watch, state, np.ones(n), ones, np.ones(n)) is state


def test_a_suspicious_score_has_audits_look_closer_before_it_alarms():
    watch = watch_of(MONITORING, 1000)
    state = begin(watch)
    rng, looked = np.random.default_rng(0), 0
    while state.alarm is None:
        bins = np.where(rng.random(4) < 0.25, 0, rng.integers(10, size=4))
        state = observe_score(watch, state, "s", bins)
        looked += audit_frac_of(watch, state) == 1.0
        state = observe_audits(watch, state, np.full(4, 0.05), np.zeros(4, dtype=bool), np.zeros(4))
    assert looked > 0
    assert state.alarm.kind == "score"
    assert state.alarm.subject == "s"
    assert "are below" in state.alarm.message
    assert "10% were then" in state.alarm.message


def test_a_score_that_is_not_watched_changes_nothing():
    watch = watch_of(MONITORING, 1000)
    state = begin(watch)
    assert observe_score(watch, state, "other", np.zeros(9, dtype=np.int64)) is state
