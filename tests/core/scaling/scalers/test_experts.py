"""Ways of holding replicas: their scores are those of a plain replay, their fading and floors as they are told."""

from __future__ import annotations

import math

import numpy as np
import pytest

from farthing.core.scaling.scalers import experts as module
from farthing.core.scaling.scalers.experts import FLOORS, MARGINS, WINDOWS, Experts

LAG, EACH = 4, 10.0  # three intervals of start-up, one in which it is asked


def learned(rates: np.ndarray) -> Experts:
    found = Experts(interval_s=15.0, steps_ahead=LAG, bounds=(1, 50), initial=2)
    for rate in rates.tolist():
        found.learn(rate, EACH)
    return found


def plain(rates: np.ndarray, window: int, margin: float) -> tuple[float, float, list[int]]:
    """Cost and misses of a way without a floor, written down as it is said."""
    wanted, cost, missed, keep_first = [2] * LAG, 0.0, 0.0, module.LEAST_HALF_LIFE_S / 15.0
    for k, rate in enumerate(rates):
        keep = 0.5 ** (1 / max(keep_first, module.HALF_LIFE_FRAC * k))
        missed = missed * keep + max(0.0, rate - min(wanted[-LAG:]) * EACH)
        highest = rates[max(0, k - window * (LAG - 1) + 1) : k + 1].max()
        wanted.append(int(min(50, max(1, math.ceil(margin * highest / EACH - 1e-9)))))
        cost = cost * keep + wanted[-1]
    return cost, missed, wanted


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_a_plain_replay(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rates = np.abs(rng.normal(100, 60, 600)) * (1 + 2 * (rng.random(600) < 0.02))
    found = learned(rates)
    came = 0.0
    for k, rate in enumerate(rates):
        came = came * 0.5 ** (1 / max(240.0, 0.5 * k)) + rate
    for w, m in ((0, 7), (2, 3), (4, 12), (6, 0)):
        way = int(np.ravel_multi_index((w, m, 0), (len(WINDOWS), len(MARGINS), len(FLOORS))))
        cost, missed, wanted = plain(rates, WINDOWS[w], MARGINS[m])
        assert found.wanted(way) == wanted[-1]
        assert found.missed_frac(way) == pytest.approx(missed / came)
        assert f"{MARGINS[m]:g} × the highest rate of {WINDOWS[w] * 45:g} s" == found.words(way)
        assert cost > 0


def test_the_cheapest_that_misses_few_enough_or_the_one_that_misses_least() -> None:
    rates = np.tile(np.repeat([20.0, 90.0], 20), 10)
    found = learned(rates)
    shape = len(WINDOWS) * len(MARGINS) * len(FLOORS)
    missed = [found.missed_frac(way) for way in range(shape)]
    strict, loose = found.within(0.01), found.within(0.3)
    assert missed[strict] <= 0.01 + 1e-9 or missed[strict] == min(missed)
    assert missed[loose] <= 0.3
    assert found.wanted(loose) <= found.wanted(strict)
    assert missed[found.within(-1.0)] == pytest.approx(min(missed))


def test_floors_are_quantiles_of_what_came() -> None:
    rates = np.concatenate([np.full(400, 30.0), np.full(20, 300.0), np.full(401, 30.0)])
    found = learned(rates)
    way = int(np.ravel_multi_index((0, 0, len(FLOORS) - 1), (len(WINDOWS), len(MARGINS), len(FLOORS))))
    assert found.wanted(way) == 30
    assert "at least the 100 % quantile of all" in found.words(way)
    middle = int(np.ravel_multi_index((0, 0, 1), (len(WINDOWS), len(MARGINS), len(FLOORS))))
    assert found.wanted(middle) == 3


def test_what_was_fades() -> None:
    """Rates that rose sharply long ago cost those ways that do not expect it less and less."""
    steep = np.tile(np.repeat([10.0, 100.0], 20), 10)
    way = int(np.ravel_multi_index((0, 7, 0), (len(WINDOWS), len(MARGINS), len(FLOORS))))
    soon = learned(np.concatenate([steep, np.full(50, 50.0)])).missed_frac(way)
    later = learned(np.concatenate([steep, np.full(3_000, 50.0)])).missed_frac(way)
    assert later < 0.2 * soon
