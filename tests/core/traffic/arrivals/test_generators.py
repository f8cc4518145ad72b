"""Arrivals that are drawn, against theory: means, variances, indexes of dispersion in closed form, at fixed seeds."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from farthing.core.traffic.arrivals.bursts import Bursts, bursts
from farthing.core.traffic.arrivals.gamma import gamma
from farthing.core.traffic.arrivals.of_traces import expected_requests, follow, placed, poisson_like
from farthing.core.traffic.arrivals.poisson import BLOCK, along, poisson
from farthing.core.traffic.burstiness import burstiness
from farthing.core.traffic.shapes import day_night, flat
from farthing.nouns import Trace

Floats = NDArray[np.float64]
STORM = Bursts(calm_rps=5, burst_rps=50, calm_s=20, burst_s=5)
STREAMS: dict[str, Callable[[int], Iterator[Floats]]] = {
    "poisson": lambda seed: poisson(40.0, 5000.0, seed=seed),
    "gamma": lambda seed: gamma(40.0, 2.5, 5000.0, seed=seed),
    "regular": lambda seed: gamma(40.0, 0.3, 5000.0, seed=seed),
    "bursts": lambda seed: bursts(STORM, 14_000.0, seed=seed),
    "trace": lambda seed: placed(day_night().scaled(0.3), seed=seed),
    "week": lambda seed: poisson_like(day_night().scaled(0.3), 700_000.0, seed=seed),
}


def whole(blocks: Iterator[Floats]) -> Floats:
    return np.concatenate(list(blocks))


@pytest.mark.parametrize("name", STREAMS)
def test_blocks_ascend_and_repeat_by_seed(name: str) -> None:
    blocks = list(STREAMS[name](3))
    assert all(block.size for block in blocks)
    assert max(block.size for block in blocks) < 1.1 * BLOCK
    at_s = np.concatenate(blocks)
    assert at_s.size > 2 * BLOCK
    assert at_s[0] >= 0
    assert (np.diff(at_s) >= 0).all()
    assert np.array_equal(at_s, whole(STREAMS[name](3)))
    assert not np.array_equal(at_s[:100], whole(STREAMS[name](4))[:100])


@pytest.mark.parametrize(("rate_rps", "length_s"), [(0.2, 10.0), (3.0, 40.0), (1e4, 3.0)])
def test_poisson_counts_and_gaps(rate_rps: float, length_s: float) -> None:
    counts = np.array([sum(b.size for b in poisson(rate_rps, length_s, seed=s)) for s in range(300)], dtype=float)
    expected = rate_rps * length_s
    assert counts.mean() == pytest.approx(expected, abs=4 * np.sqrt(expected / counts.size))
    assert counts.var(ddof=1) == pytest.approx(expected, rel=4 * np.sqrt(2.5 / counts.size))
    at_s = whole(poisson(rate_rps, 5000 / rate_rps, seed=1))
    assert at_s[-1] <= 5000 / rate_rps
    assert stats.kstest(np.diff(at_s) * rate_rps, "expon").pvalue > 0.01
    assert stats.kstest(at_s * rate_rps / 5000, "uniform").pvalue > 0.01


def test_poisson_along_a_curve() -> None:
    """Nothing where nothing is expected, and Poisson counts elsewhere."""
    rng = np.random.default_rng(2)
    edges_s, expected = np.array([0.0, 10.0, 20.0, 40.0]), np.array([0.0, 50.0, 50.0, 90.0])
    counts = np.array([np.histogram(whole(along(edges_s, expected, rng)), edges_s)[0] for _ in range(2000)])
    assert counts[:, 1].sum() == 0
    assert counts.mean(axis=0) == pytest.approx([50, 0, 40], abs=0.7)
    assert counts.var(axis=0)[[0, 2]] == pytest.approx([50, 40], rel=0.13)
    assert abs(np.corrcoef(counts[:, 0], counts[:, 2])[0, 1]) < 0.09
    assert not list(along(np.array([0.0, 5.0]), np.array([0.0, 0.0]), rng))


@pytest.mark.parametrize(("gap_cv", "window_s"), [(3.0, 60.0), (0.5, 10.0), (1.0, 10.0)])
def test_gamma_counts_vary_as_renewal_theory_has_it(gap_cv: float, window_s: float) -> None:
    """Var N(t) → c² λ t + (1 − c⁴) / 6 of gamma gaps in equilibrium (Cox 1962, sec. 4.5)."""
    rate_rps = 10.0
    found = burstiness(gamma(rate_rps, gap_cv, 200_000.0, seed=5), 200_000.0, windows_s=(window_s,)).at(window_s)
    assert found is not None
    mean = rate_rps * window_s
    assert found.mean == pytest.approx(mean, rel=4 * gap_cv / np.sqrt(rate_rps * 200_000))
    assert found.idc == pytest.approx((gap_cv**2 * mean + (1 - gap_cv**4) / 6) / mean, rel=0.1)


@pytest.mark.parametrize("gap_cv", [0.3, 3.0])
def test_gamma_streams_begin_in_equilibrium(gap_cv: float) -> None:
    """The mean number in a window that is short against a gap is the rate's, from the first one on."""
    counts = np.array([sum(b.size for b in gamma(1.0, gap_cv, 0.5, seed=s)) for s in range(4000)], dtype=float)
    assert counts.mean() == pytest.approx(0.5, abs=4 * counts.std() / np.sqrt(counts.size))


def test_gamma_gaps() -> None:
    gaps = np.diff(whole(gamma(2.0, 1.5, 20_000.0, seed=8)))
    assert gaps.mean() == pytest.approx(0.5, rel=0.03)
    assert gaps.std() / gaps.mean() == pytest.approx(1.5, rel=0.03)
    assert stats.kstest(gaps, "gamma", args=(1 / 1.5**2, 0, 1.5**2 / 2)).pvalue > 0.01


def test_the_index_of_dispersion_of_bursts_in_closed_form() -> None:
    windows_s = (0.1, 1.0, 10.0, 60.0, 600.0)
    found = burstiness(bursts(STORM, 1e6, seed=11), 1e6, windows_s=windows_s)
    exact = STORM.idc(np.array(windows_s))
    assert exact == pytest.approx([3.3, 22.3, 118, 174, 185], rel=0.02)
    assert found.requests == pytest.approx(STORM.mean_rps * 1e6, rel=4 * np.sqrt(186 / 14e6))
    assert [one.idc for one in found.by_window] == pytest.approx(list(exact), rel=0.08)


def test_bursts_that_are_only_bursts() -> None:
    """An interrupted Poisson process: nothing between bursts."""
    found = burstiness(
        bursts(Bursts(calm_rps=0, burst_rps=20, calm_s=3, burst_s=1), 4e5, seed=2), 4e5, windows_s=(1.0,)
    )
    process = Bursts(calm_rps=0, burst_rps=20, calm_s=3, burst_s=1)
    assert found.by_window[0].mean == pytest.approx(5, rel=0.03)
    assert found.by_window[0].idc == pytest.approx(process.idc(np.array([1.0]))[0], rel=0.05)


def test_bursts_begin_in_equilibrium() -> None:
    """The mean number in a window that is short against stays is that of all time, from the first one on."""
    counts = np.array([sum(b.size for b in bursts(STORM, 0.5, seed=s)) for s in range(4000)], dtype=float)
    assert counts.mean() == pytest.approx(0.5 * STORM.mean_rps, abs=4 * counts.std() / np.sqrt(counts.size))
    assert counts.var() / counts.mean() == pytest.approx(STORM.idc(np.array([0.5]))[0], rel=0.15)


def test_bursts_of_a_mean() -> None:
    process = Bursts.of_mean(10.0, ratio=8, burst_frac=0.1, burst_s=30)
    assert process.mean_rps == pytest.approx(10)
    assert process.burst_rps / process.calm_rps == pytest.approx(8)
    assert process.burst_frac == pytest.approx(0.1)
    assert process.idc(np.array([1e-6]))[0] == pytest.approx(1, abs=1e-4)
    assert (np.diff(process.idc(np.geomspace(0.01, 1e5, 50))) > 0).all()


def test_as_many_as_were_counted_at_random_within_each_step() -> None:
    counts = np.array([3, 0, 2 * BLOCK + 17, 1, 0, 0, 40_000, 30_000, 5])
    trace = Trace(name="x", step_s=300.0, counts=counts.astype(float))
    blocks = list(placed(trace, seed=6))
    assert [round(block.size, -4) for block in blocks] == [0, 40_000, 40_000, 40_000, 40_000, 30_000]
    at_s = np.concatenate(blocks)
    assert np.array_equal(np.histogram(at_s, np.arange(10) * 300.0)[0], counts)
    of_long = at_s[(at_s >= 600) & (at_s < 900)]
    assert stats.kstest((of_long - 600) / 300, "uniform").pvalue > 0.01


def test_rates_are_rounded_without_a_drift() -> None:
    trace = Trace(name="x", step_s=60.0, counts=np.full(1000, 0.3))
    counts = np.histogram(whole(placed(trace, seed=1)), np.arange(1001) * 60.0)[0]
    assert np.abs(np.cumsum(counts) - 0.3 * np.arange(1, 1001)).max() <= 0.5 + 1e-9


def test_a_week_is_followed_and_repeated() -> None:
    week = day_night().scaled(0.05)
    length_s = 2.5 * 604_800
    assert expected_requests(flat(), 1000.0) == pytest.approx(1000)
    assert expected_requests(week, length_s) == pytest.approx(
        0.05 * 604_800 * 2 + expected_requests(week, 0.5 * 604_800)
    )
    counts = np.histogram(whole(poisson_like(week, length_s, seed=3)), np.arange(421) * 3600.0)[0]
    hourly = week.counts.reshape(168, 60).sum(axis=1)
    expected = np.concatenate((hourly, hourly, hourly[:84]))
    assert ((counts - expected) ** 2 / expected).sum() == pytest.approx(420, abs=4 * np.sqrt(2 * 420))


def test_bursts_on_a_day() -> None:
    """What makes a stream bursty stays, counted in requests: at a steady rate of 40/s windows are 40 times as short."""
    unit = Bursts.of_mean(1.0, ratio=10, burst_frac=0.2, burst_s=40.0)
    rate = Trace(name="x", step_s=60.0, counts=np.full(10, 2400.0))
    found = burstiness(follow(bursts(unit, 4e6, seed=7), rate), 1e5, windows_s=(1.0, 10.0))
    assert [one.idc for one in found.by_window] == pytest.approx(list(unit.idc(np.array([40.0, 400.0]))), rel=0.08)


def test_memory_does_not_grow_with_the_number_of_requests() -> None:
    tracemalloc.start()
    n = sum(block.size for block in poisson(1000.0, 3000.0, seed=1))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n > 2_900_000
    assert peak_bytes < 6e6


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: poisson(0.0, 1.0, seed=1), lambda: poisson(1.0, np.inf, seed=1), lambda: gamma(1.0, 0.0, 1.0, seed=1),
        lambda: gamma(-1.0, 1.0, 1.0, seed=1), lambda: bursts(STORM, 0.0, seed=1),
        lambda: Bursts(calm_rps=2, burst_rps=1, calm_s=1, burst_s=1),
        lambda: Bursts(calm_rps=-0.5, burst_rps=1, calm_s=1, burst_s=1),
        lambda: Bursts(calm_rps=1, burst_rps=np.inf, calm_s=1, burst_s=1),
        lambda: Bursts.of_mean(0.0, ratio=2.0, burst_frac=0.1, burst_s=1),
        lambda: Bursts.of_mean(1.0, ratio=2.0, burst_frac=0.0, burst_s=1), lambda: Bursts(calm_rps=1, burst_rps=2, calm_s=0, burst_s=1),
        lambda: Bursts.of_mean(1.0, ratio=1.0, burst_frac=0.1, burst_s=1),
        lambda: Bursts.of_mean(1.0, ratio=2.0, burst_frac=1.0, burst_s=1),
        lambda: poisson_like(flat(), -5.0, seed=1),
    ],
)  # fmt: skip
def test_arguments_outside_their_domain(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"finite|wanted"):
        wrong()
