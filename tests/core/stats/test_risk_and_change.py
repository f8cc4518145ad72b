from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from farthing.core.stats.change import ChangeTest, alarm_after, begin, observe
from farthing.core.stats.risk import conformal_risk_control, hoeffding_bentkus_p, learn_then_test


def losses(n: int, risks, seed: int = 0):
    return (np.random.default_rng(seed).random((n, 1)) < np.asarray(risks)).astype(float)


@given(st.integers(1, 400), st.floats(0, 1), st.floats(0, 1), st.floats(0.02, 0.5))
def test_p_values_grow_with_the_loss(n, one, two, target) -> None:
    low, high = sorted((one, two))
    p = hoeffding_bentkus_p([low, high], n, target)
    assert 0 <= p[0] <= p[1] + 1e-12 <= 1 + 1e-9


@given(st.integers(1, 400), st.data(), st.floats(0.02, 0.5))
def test_hoeffding_bentkus_never_beats_the_exact_p(n, data, target) -> None:
    k = data.draw(st.integers(0, n))
    exact = hoeffding_bentkus_p(k / n, n, target, binary=True)
    assert exact == pytest.approx(stats.binom.cdf(k, n, target), abs=1e-12)
    assert hoeffding_bentkus_p(k / n, n, target) >= exact - 1e-12


def test_learn_then_test_chooses_the_cheapest_valid_threshold() -> None:
    table = losses(1000, [0.01, 0.03, 0.05, 0.2, 0.4])
    found = learn_then_test(table, max_risk=0.1, confidence=0.95)
    assert found.valid.tolist() == [True, True, True, False, False]
    assert found.chosen == 2
    assert found.n_needed is None
    assert found.method == "exact binomial, fixed_sequence"
    shared = learn_then_test(table[:, ::-1], max_risk=0.1, confidence=0.95, procedure="bonferroni")
    assert shared.valid.tolist() == [False, False, True, True, True]
    assert learn_then_test(table[:, ::-1], max_risk=0.1, confidence=0.95).chosen is None


def test_learn_then_test_says_how_many_samples_are_needed() -> None:
    table = np.zeros((20, 3))
    found = learn_then_test(table, max_risk=0.05, confidence=0.95)
    assert found.chosen is None
    assert found.n_needed == 59  # 0.95^59 ≤ 0.05 < 0.95^58
    hopeless = learn_then_test(np.ones((20, 3)), max_risk=0.05, confidence=0.95)
    assert hopeless.n_needed is None
    fractional = learn_then_test(np.full((50, 1), 0.04), max_risk=0.1, confidence=0.95)
    assert fractional.chosen is None
    assert fractional.n_needed is not None
    enough = learn_then_test(np.full((fractional.n_needed, 1), 0.04), max_risk=0.1, confidence=0.95)
    assert enough.chosen == 0


@given(st.floats(0.5, 0.9), st.floats(0.901, 0.999))
@settings(max_examples=30)
def test_more_confidence_allows_fewer_thresholds(low, high) -> None:
    table = losses(300, np.linspace(0.01, 0.3, 12), seed=3)
    loose, strict = (learn_then_test(table, max_risk=0.15, confidence=c).valid for c in (low, high))
    assert (strict <= loose).all()


def test_conformal_risk_control() -> None:
    table = losses(200, np.linspace(0, 0.5, 51), seed=4)
    found = conformal_risk_control(table, max_risk=0.2)
    assert found.chosen is not None
    assert (200 * found.risk[found.chosen] + 1) / 201 <= 0.2
    assert np.isnan(found.p_values).all()
    few = conformal_risk_control(np.zeros((5, 2)), max_risk=0.1)
    assert (few.chosen, few.n_needed) == (None, 9)
    with pytest.raises(ValueError, match="row 0"):
        conformal_risk_control([[0.5, 0.2]], max_risk=0.1)


@pytest.mark.parametrize(
    ("table", "target", "word"), [([0.1], 0.1, "shape"), ([[1.5]], 0.1, "lie in"), ([[0.5]], 0.0, "max_risk")]
)
def test_risk_refuses(table, target, word) -> None:
    with pytest.raises(ValueError, match=word):
        learn_then_test(table, max_risk=target, confidence=0.9)
    with pytest.raises(ValueError, match="confidence"):
        learn_then_test([[0.5]], max_risk=0.1, confidence=1.0)


WATCH = ChangeTest(null_lo=0.1, null_hi=0.1, horizon=2000, false_alarm=0.01)


def changed(at: int, to: float, n: int = 2000):
    rng = np.random.default_rng(7)
    return (rng.random(n) < np.where(np.arange(n) < at, 0.1, to)).astype(float)


def test_change_is_found_and_dated() -> None:
    x = changed(1000, 0.3)
    state = observe(WATCH, begin(WATCH), x)
    assert state.alarm_at is not None
    assert 1000 < state.alarm_at < 1150
    assert state.began is not None
    assert 900 < state.began < 1060
    assert alarm_after(WATCH, changed(2000, 0.3)) is None


def test_one_by_one_equals_all_at_once_and_the_alarm_stays() -> None:
    x = changed(500, 0.4)[:800]
    state = begin(WATCH)
    for value in x:
        state = observe(WATCH, state, value)
    assert state == observe(WATCH, begin(WATCH), x)
    assert observe(WATCH, state, 0.0) == state


def test_sides() -> None:
    x, fell = changed(200, 0.5)[:600], 1 - changed(200, 0.5)[:600]
    rise = ChangeTest(null_lo=0.1, null_hi=0.1, horizon=600, false_alarm=0.05, side="rise")
    fall = ChangeTest(null_lo=0.9, null_hi=0.9, horizon=600, false_alarm=0.05, side="fall")
    assert alarm_after(rise, x) == alarm_after(fall, fell)
    only_falls = ChangeTest(null_lo=0.1, null_hi=0.1, horizon=600, false_alarm=0.05, side="fall")
    assert alarm_after(only_falls, x) is None


@given(st.floats(0.005, 0.1), st.floats(0.11, 0.6))
@settings(max_examples=20, deadline=None)
def test_a_stricter_watch_never_alarms_earlier(strict, loose) -> None:
    x = changed(300, 0.25)
    late, early = (
        alarm_after(ChangeTest(null_lo=0.1, null_hi=0.1, horizon=2000, false_alarm=a), x) or 10**9
        for a in (strict, loose)
    )
    assert early <= late


def test_change_refuses() -> None:
    with pytest.raises(ValueError, match="null_lo"):
        ChangeTest(null_lo=0.3, null_hi=0.2, horizon=10, false_alarm=0.1)
    with pytest.raises(ValueError, match="horizon ≥ 1"):
        ChangeTest(null_lo=0.1, null_hi=0.2, horizon=0, false_alarm=0.1)
    short = ChangeTest(null_lo=0.1, null_hi=0.2, horizon=3, false_alarm=0.1)
    with pytest.raises(ValueError, match="promise holds for 3"):
        observe(short, begin(short), [0.1] * 4)
    with pytest.raises(ValueError, match="lie in"):
        observe(short, begin(short), 2.0)
