"""Risk control at its edges: p-values by hand, levels met exactly, and the least sample that would settle it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from farthing.core.stats.risk import conformal_risk_control, hoeffding_bentkus_p, learn_then_test


def test_no_loss_in_ten_by_hand() -> None:
    """Hoeffding: exp(−n h(0, α)) = (1 − α)ⁿ = 0.9¹⁰; e times that by Bentkus is more."""
    assert hoeffding_bentkus_p(0.0, 10, 0.1) == pytest.approx(0.9**10)
    assert hoeffding_bentkus_p(0.0, 10, 0.1, binary=True) == pytest.approx(0.9**10)


def test_hoeffdings_bound_by_hand() -> None:
    """h(0.2, 0.4) = 0.2 log ½ + 0.8 log 4/3; ten samples, where Bentkus gives e · 0.1673 = 0.455."""
    h = 0.2 * math.log(0.5) + 0.8 * math.log(4 / 3)
    bentkus = math.e * (0.6**10 + 10 * 0.4 * 0.6**9 + 45 * 0.16 * 0.6**8)
    assert hoeffding_bentkus_p(0.2, 10, 0.4) == pytest.approx(min(math.exp(-10 * h), bentkus))
    assert math.exp(-10 * h) != pytest.approx(bentkus, rel=0.05)


@pytest.mark.parametrize(("mean", "losses"), [(0.3, 30), (0.301, 31), (0.305, 31), (0.31, 31)])
def test_bentkus_bound_rounds_losses_up(mean: float, losses: int) -> None:
    """Of 100 samples at α = 1/2 Bentkus' bound is the smaller one: e · P(Bin(100, ½) ≤ ⌈100 R̂⌉)."""
    assert hoeffding_bentkus_p(mean, 100, 0.5) == pytest.approx(math.e * stats.binom.cdf(losses, 100, 0.5))


def test_at_or_above_the_target_nothing_speaks_against_it() -> None:
    assert hoeffding_bentkus_p([0.5, 0.7, 1.0], 100, 0.5) == pytest.approx([1, 1, 1])


def test_a_p_value_equal_to_the_level_passes() -> None:
    """Two samples without loss at a target of 1/2 have p = 1/4; so do two columns that share a level of 1/2."""
    two = np.zeros((2, 2))
    assert learn_then_test(two, max_risk=0.5, confidence=0.75).valid.all()
    assert not learn_then_test(two, max_risk=0.5, confidence=0.76).valid.any()
    assert learn_then_test(two, max_risk=0.5, confidence=0.5, procedure="bonferroni").valid.all()
    assert not learn_then_test(np.zeros((2, 3)), max_risk=0.5, confidence=0.5, procedure="bonferroni").valid.any()


def test_a_fixed_sequence_stops_where_bonferroni_goes_on() -> None:
    table = np.zeros((100, 3))
    table[:, 1] = 1
    in_turn = learn_then_test(table, max_risk=0.5, confidence=0.9)
    shared = learn_then_test(table, max_risk=0.5, confidence=0.9, procedure="bonferroni")
    assert (in_turn.valid.tolist(), in_turn.chosen) == ([True, False, False], 0)
    assert (shared.valid.tolist(), shared.chosen) == ([True, False, True], 2)
    assert shared.method == "exact binomial, bonferroni"
    assert learn_then_test(np.full((4, 1), 0.5), max_risk=0.6, confidence=0.9).method.startswith("Hoeffding-Bentkus")


def needed(losses: int, n: int, max_risk: float, alpha: float) -> tuple[int, int]:
    """The counts of samples, one below and one at the answer, with the losses that the share seen would give."""
    found = learn_then_test(
        np.repeat([1.0, 0.0], [losses, n - losses])[:, None], max_risk=max_risk, confidence=1 - alpha
    ).n_needed
    assert found is not None
    return found - 1, found


@pytest.mark.parametrize(("losses", "n", "max_risk"), [(1, 20, 0.1), (1, 30, 0.1), (1, 7, 0.2), (3, 40, 0.12)])
def test_the_samples_asked_for_suffice_and_one_fewer_does_not(losses: int, n: int, max_risk: float) -> None:
    """The share of losses stays as seen; a part of a loss counts as a whole one."""
    before, at = needed(losses, n, max_risk, 0.05)
    share = losses / n
    assert stats.binom.cdf(math.ceil(share * at - 1e-9), at, max_risk) <= 0.05
    assert stats.binom.cdf(math.ceil(share * before - 1e-9), before, max_risk) > 0.05


def test_bonferroni_asks_for_its_least_risky_column() -> None:
    """Of two columns that share 10 %, the second without loss: 0.9²⁹ ≤ 0.05 < 0.9²⁸."""
    table = np.zeros((20, 2))
    table[:10, 0] = 1
    assert learn_then_test(table, max_risk=0.1, confidence=0.9, procedure="bonferroni").n_needed == 29


def test_a_loss_at_the_target_or_hardly_below_is_never_settled() -> None:
    at = learn_then_test(np.repeat([1.0, 0.0], [2, 8])[:, None], max_risk=0.2, confidence=0.9)
    assert (at.chosen, at.n_needed) == (None, None)
    hardly = conformal_risk_control(np.full((4, 1), 0.5 - 1e-10), max_risk=0.5)  # needs 5 · 10⁹
    assert (hardly.chosen, hardly.n_needed) == (None, None)
    far = conformal_risk_control(np.full((4, 1), 0.5 - 1e-8), max_risk=0.5)  # needs 5 · 10⁷
    assert far.n_needed == pytest.approx(5e7, rel=1e-6)


def test_the_conformal_bound_by_hand() -> None:
    """(n R̂ + 1) / (n + 1): without loss nine samples just do for 10 %, eight do not; at 5 % loss it takes 18."""
    assert conformal_risk_control(np.zeros((9, 1)), max_risk=0.1).chosen == 0
    eight = conformal_risk_control(np.zeros((8, 1)), max_risk=0.1)
    assert (eight.chosen, eight.n_needed) == (None, 9)
    assert conformal_risk_control(np.full((10, 1), 0.05), max_risk=0.1).n_needed == 18
    assert conformal_risk_control(np.full((3, 1), 0.1), max_risk=0.1).n_needed is None


def test_the_cheapest_of_those_that_hold_is_chosen() -> None:
    found = conformal_risk_control(np.tile([0.0, 0.0, 0.4], (30, 1)), max_risk=0.1)
    assert (found.valid.tolist(), found.chosen, found.n) == ([True, True, False], 1, 30)
    assert found.risk == pytest.approx([0, 0, 0.4])


def test_the_row_that_falls_is_named() -> None:
    with pytest.raises(ValueError, match="row 2 does"):
        conformal_risk_control([[0.1, 0.1], [0.2, 0.3], [0.3, 0.2], [1.0, 0.0]], max_risk=0.1)


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan])
def test_losses_and_target_lie_in_their_ranges(bad: float) -> None:
    with pytest.raises(ValueError, match=r"losses must lie in \[0, 1\]"):
        learn_then_test([[0.5, bad]], max_risk=0.1, confidence=0.9)
    for max_risk in (0.0, 1.0):
        with pytest.raises(ValueError, match="max_risk"):
            conformal_risk_control([[0.5]], max_risk=max_risk)
    for confidence in (0.0, 1.0):
        with pytest.raises(ValueError, match="confidence"):
            learn_then_test([[0.5]], max_risk=0.1, confidence=confidence)
    for shape in ((0, 2), (3,)):
        with pytest.raises(ValueError, match="must have shape"):
            learn_then_test(np.zeros(shape), max_risk=0.1, confidence=0.9)
    assert learn_then_test([[0.0, 1.0]], max_risk=0.9, confidence=0.5).valid.tolist() == [True, False]
