"""Draws depend on their purpose alone, and are distributed as they say."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit
from scipy import stats

from farthing.core.simulation.draws import BALANCER, factor, mixed, stream_key, unit

GOLDEN = 0x9E3779B97F4A7C15
ALL = 2**64


@njit
def many_factors(key: np.uint64, n: int, sigma: float, exponential: bool) -> np.ndarray:
    out = np.empty(n)
    for k in range(n):
        out[k] = factor(key, np.uint64(k), sigma, exponential)
    return out


def test_splitmix64_gives_the_published_numbers_of_seed_1234567() -> None:
    state, seen = 1234567, []
    for _ in range(5):
        state = (state + GOLDEN) % ALL
        seen.append(int(mixed(np.uint64(state))))
    assert seen == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_streams_of_replicas_and_of_the_balancer_differ_and_are_uniform() -> None:
    keys = [np.uint64(stream_key(np.uint64(7), np.uint64(k))) for k in (*range(20), int(BALANCER))]
    draws = np.array([[unit(key, np.uint64(k)) for k in range(2000)] for key in keys])
    assert ((draws >= 0) & (draws < 1)).all()
    assert stats.kstest(draws.ravel(), "uniform").pvalue > 1e-3
    between = np.corrcoef(draws)[np.triu_indices(len(keys), 1)]
    assert np.abs(between).max() < 5 / np.sqrt(2000)


@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0])
def test_log_normal_factors_have_mean_1_and_the_sigma_of_their_logarithm(sigma: float) -> None:
    logs = np.log(many_factors(np.uint64(stream_key(np.uint64(1), np.uint64(0))), 400_000, sigma, False))
    assert stats.kstest((logs + sigma**2 / 2) / sigma, "norm").pvalue > 1e-3
    assert np.exp(logs).mean() == pytest.approx(1, abs=5 * np.sqrt(np.expm1(sigma**2) / 400_000))


def test_exponential_factors() -> None:
    draws = many_factors(np.uint64(stream_key(np.uint64(1), np.uint64(3))), 400_000, 0.3, True)
    assert stats.kstest(draws, "expon").pvalue > 1e-3


def test_no_spread_is_exactly_1() -> None:
    assert set(many_factors(np.uint64(5), 100, 0.0, False)) == {1.0}
