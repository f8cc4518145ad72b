"""The change test and the sums of gamblers, step by step by hand, and at the ends of their domains."""

from __future__ import annotations

import math

import numpy as np
import pytest

from farthing.core.stats.change import ChangeTest, alarm_after, begin, observe
from farthing.core.stats.onsets import PATIENCE, stakes, wealth_path

SHARES = np.array([1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128])


def watch(side: str = "rise", null: float = 0.5, horizon: int = 100, false_alarm: float = 0.05) -> ChangeTest:
    return ChangeTest(null_lo=null, null_hi=null, horizon=horizon, false_alarm=false_alarm, side=side)  # type: ignore[arg-type]


def test_a_gambler_bets_a_share_of_what_cannot_go_broke() -> None:
    slopes, means, weights = watch("rise", 0.25).bets()
    assert slopes == pytest.approx(SHARES / 0.25)
    assert means == pytest.approx([0.25] * 7)
    assert weights == pytest.approx([1 / 7] * 7)
    slopes, means, _ = watch("fall", 0.25).bets()
    assert slopes == pytest.approx(-SHARES / 0.75)
    wide = ChangeTest(null_lo=0.2, null_hi=0.6, horizon=10, false_alarm=0.1)
    slopes, means, weights = wide.bets()
    assert slopes == pytest.approx([*(SHARES / 0.6), *(-SHARES / 0.8)])
    assert means == pytest.approx([0.6] * 7 + [0.2] * 7)
    assert weights == pytest.approx([1 / 14] * 14)


def test_at_the_ends_of_the_range_there_is_nothing_to_bet_on() -> None:
    assert not watch("rise", 0.0).bets()[0].any()
    assert not watch("fall", 1.0).bets()[0].any()
    assert watch("rise", 1.0).bets()[0] == pytest.approx(SHARES)
    assert watch("fall", 0.0).bets()[0] == pytest.approx(-SHARES)


def test_the_sums_of_two_steps_by_hand() -> None:
    """The factors at null 1/2 are 1 + share after a 1 and 1 − share after a 0; a lost wealth starts anew."""
    one = observe(watch(), begin(watch()), 1.0)
    assert one.n == 1
    assert one.sums == pytest.approx(1 + SHARES)
    assert one.log_wealth == pytest.approx(np.log(1 + SHARES))
    assert one.starts == (0,) * 7
    two = observe(watch(), one, 0.0)
    assert two.n == 2
    assert two.sums == pytest.approx((2 + SHARES) * (1 - SHARES))
    assert two.log_wealth == (0.0,) * 7  # (1 + s)(1 − s) < 1
    assert two.starts == (2,) * 7
    nothing_won = observe(watch(), begin(watch()), 0.5)
    assert nothing_won.starts == (1,) * 7
    assert nothing_won.sums == (1.0,) * 7


def test_the_alarm_is_at_horizon_over_false_alarm() -> None:
    assert watch(horizon=200, false_alarm=0.1).threshold == pytest.approx(2000)
    # 1, 1, 1 …: gambler s has Σ (1 + s)^i after t steps; the mean over the seven first reaches the threshold at t.
    sums, t, threshold = np.zeros(7), 0, 2000.0
    while sums.mean() < threshold:
        sums, t = (sums + 1) * (1 + SHARES), t + 1
    assert alarm_after(watch(horizon=200, false_alarm=0.1), np.ones(200)) == t
    assert alarm_after(watch(horizon=200, false_alarm=0.1), np.ones(t - 1)) is None


def test_a_sum_that_equals_the_threshold_is_an_alarm() -> None:
    two_steps = float(np.sum(((np.zeros(7) + 1) * (1 + SHARES) + 1) * (1 + SHARES) * (1 / 7)))
    test = watch(horizon=2, false_alarm=2 / two_steps)
    assert test.threshold <= two_steps * (1 + 1e-15)
    assert alarm_after(test, [1.0, 1.0]) == 2
    assert alarm_after(watch(horizon=2, false_alarm=1.999 / two_steps), [1.0, 1.0]) is None


def test_the_onset_is_where_the_winner_began() -> None:
    stream = [0.0] * 10 + [1.0] * 30
    state = observe(watch(), begin(watch()), stream)
    assert state.began == 10
    assert state.alarm_at is not None
    assert state.n == state.alarm_at


def test_the_whole_horizon_may_be_used_and_no_more() -> None:
    test = watch(horizon=4)
    full = observe(test, begin(test), [0.5] * 4)
    assert full.n == 4
    with pytest.raises(ValueError, match="5 observations, the promise holds for 4"):
        observe(test, full, 0.5)


@pytest.mark.parametrize(
    ("lo", "hi", "horizon", "false_alarm"),
    [(-0.1, 0.5, 9, 0.1), (0.5, 1.1, 9, 0.1), (0.6, 0.5, 9, 0.1), (0, 1, 0, 0.1), (0, 1, 9, 0.0), (0, 1, 9, 1.0)],
)
def test_what_is_no_watch_is_refused(lo: float, hi: float, horizon: int, false_alarm: float) -> None:
    with pytest.raises(ValueError, match="ChangeTest"):
        ChangeTest(null_lo=lo, null_hi=hi, horizon=horizon, false_alarm=false_alarm)
    assert ChangeTest(null_lo=0, null_hi=1, horizon=1, false_alarm=0.1).threshold == 10


@pytest.mark.parametrize("bad", [-0.01, 1.01, math.nan, [[0.5]]])
def test_observations_lie_in_the_unit_interval_ends_included(bad: object) -> None:
    with pytest.raises(ValueError, match="lie in"):
        observe(watch(), begin(watch()), bad)  # type: ignore[arg-type]
    assert observe(watch(), begin(watch()), [0.0, 1.0]).n == 2


def test_stakes_by_hand() -> None:
    """log p / ((p + t) log²(p + t)) at p = 3, t = 1 and 2, and what comes after five steps."""
    assert stakes(0, 2, 3) == pytest.approx(
        [math.log(3) / (4 * math.log(4) ** 2), math.log(3) / (5 * math.log(5) ** 2)]
    )
    assert stakes(5, 1, 3) == pytest.approx([math.log(3) / (9 * math.log(9) ** 2)])
    assert stakes(0, 3) == pytest.approx(stakes(0, 3, 1000))
    assert PATIENCE == 1000


def test_each_kind_of_gambler_gets_its_share_of_the_stake() -> None:
    path = wealth_path(np.zeros(4), np.array([1.0]), np.full((4, 1), 2.0))
    assert path == pytest.approx(np.full((4, 1), 0.5))


def test_what_is_beyond_a_million_million_is_given_away() -> None:
    """Wealth that grew tenfold for 64 steps goes on from 10¹², not from 10⁶⁴."""
    path = wealth_path(np.ones(1), np.zeros(66), np.full((1, 66), 10.0))[0]
    assert path[63] == pytest.approx(1e64)
    assert path[64:] == pytest.approx([1e13, 1e14])
