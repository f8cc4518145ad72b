"""The latency–rate curve: short runs say what the long run is; independent arrivals make the interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from farthing.core.traffic.batch_queue import p_latency, saturation_rps, simulated, sla_rps
from farthing.core.traffic.latency_rate import (
    MOST_UTILISATION,
    LatencyRate,
    after_warm_up,
    latency_rates,
    least_requests_of_run,
    long_run,
    requests_of_run,
    tail_of,
)
from farthing.core.traffic.service_curve import ServiceCurve

CURVE = ServiceCurve.exact(sizes=[1, 8], seconds=[0.010, 0.040], sigma=0.15)
N = 400


@pytest.fixture(scope="module")
def rates() -> dict[float, LatencyRate]:
    return latency_rates(CURVE, instances=2, max_batch=8, percentiles=(0.5, 0.9, 0.99), n=N)


@pytest.fixture(scope="module")
def p99(rates: dict[float, LatencyRate]) -> LatencyRate:
    return rates[0.99]


def runs_at(rate: float, k: int, seed: int, curve: ServiceCurve = CURVE) -> list[tuple[float, float]]:
    return [(rate, tail_of(run, 0.99)) for run in latencies_at(rate, k, seed, curve)]


def latencies_at(rate: float, k: int, seed: int, curve: ServiceCurve = CURVE) -> Sequence[NDArray[np.float64]]:
    return next(simulated(curve, np.array([rate]), runs=k, n=N, instances=2, max_batch=8, seed=seed))


def test_the_steady_curve_is_the_queue_models(p99: LatencyRate) -> None:
    top = saturation_rps(CURVE, instances=2, max_batch=8)
    assert p99.saturation_rps == top
    for load in (0.3, 0.6, 0.8):
        model = p_latency(CURVE, load * top, instances=2, max_batch=8, n_requests=800_000)
        assert p99.latency_s(load * top, 0.0) == pytest.approx(model.value, rel=0.03)


def test_the_rate_kept_is_the_queue_models(p99: LatencyRate) -> None:
    model = sla_rps(CURVE, instances=2, max_batch=8, latency_s=0.1, headroom=0.0, n_requests=800_000)
    assert model is not None
    assert p99.kept_rps(0.1, 0.0) == pytest.approx(model, rel=0.03)


def test_levels_rise_and_time_scales_with_the_service(rates: dict[float, LatencyRate], p99: LatencyRate) -> None:
    rate = 0.5 * p99.saturation_rps
    assert rates[0.5].latency_s(rate, 0.0) < rates[0.9].latency_s(rate, 0.0) < p99.latency_s(rate, 0.0)
    # twice as slow a machine at half the rate: everything takes twice as long
    assert p99.latency_s(rate / 2, math.log(2)) == pytest.approx(2 * p99.latency_s(rate, 0.0))
    assert p99.kept_rps(0.2, math.log(2)) == pytest.approx(p99.kept_rps(0.1, 0.0) / 2)


def test_short_runs_see_less_than_the_long_run_and_the_fit_knows(p99: LatencyRate) -> None:
    rate = 0.85 * p99.saturation_rps
    truth = p99.latency_s(rate, 0.0)
    runs = runs_at(rate, 400, seed=3)
    assert np.mean([tail for _, tail in runs]) < 0.93 * truth
    assert p99.latency(rate, p99.fit(runs)).value == pytest.approx(1000 * truth, rel=0.04)


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.3])
def test_a_slower_machine_is_told_from_runs_at_any_rate(p99: LatencyRate, factor: float) -> None:
    rates = [load * p99.saturation_rps / factor for load in (0.5, 0.7, 0.85)]
    runs = [run for k, rate in enumerate(rates) for run in runs_at(rate, 60, seed=k, curve=CURVE.scaled(factor))]
    fit = p99.fit(runs)
    assert fit.value == pytest.approx(math.log(factor), abs=0.03)
    assert np.mean(fit.by_run) == pytest.approx(fit.value, abs=0.02)
    assert p99.middle(runs) == fit.value


def test_the_interval_is_students_t_over_runs(p99: LatencyRate) -> None:
    rate = 0.7 * p99.saturation_rps
    few, many = p99.fit(runs_at(rate, 4, seed=1)), p99.fit(runs_at(rate, 64, seed=1))
    assert few.hi - few.lo > 2.5 * (many.hi - many.lo)
    kept, tail = p99.kept(0.1, few), p99.latency(rate, few)
    assert kept.lo < kept.value < kept.hi
    assert tail.lo < tail.value < tail.hi
    assert kept.n == tail.n == 4
    # the slow end of the machine is the low end of the rate
    assert kept.lo == p99.kept_rps(0.1, few.hi)


def test_runs_that_saw_the_same_have_no_interval(p99: LatencyRate) -> None:
    fit = p99.fit([(100.0, 0.05)] * 3)
    assert fit.lo == pytest.approx(fit.value) == pytest.approx(fit.hi)


def test_beyond_saturation_there_is_no_latency_and_without_answers_no_rate(p99: LatencyRate) -> None:
    assert p99.latency_s(p99.saturation_rps * MOST_UTILISATION * 1.001, 0.0) == math.inf
    assert math.isfinite(p99.latency_s(p99.saturation_rps * MOST_UTILISATION * 0.999, 0.0))
    assert p99.kept_rps(0.001, 0.0) == 0.0
    assert p99.kept_rps(1e6, 0.0) == pytest.approx(MOST_UTILISATION * p99.saturation_rps)
    lost = p99.fit([(100.0, math.inf), (100.0, math.inf)])
    assert lost.value == pytest.approx(math.log(64), abs=0.01)
    assert p99.kept_rps(0.1, lost.value) == 0.0


def test_the_warm_up_does_not_count_and_missing_answers_are_infinite() -> None:
    latency = np.arange(100.0)
    assert after_warm_up(latency).tolist() == list(range(10, 100))
    assert tail_of(latency, 0.5) == 54.5
    latency[-1] = math.inf
    assert tail_of(latency, 0.99) == math.inf
    assert tail_of(latency, 0.9) == pytest.approx(np.quantile(np.arange(10.0, 100.0), 0.9))
    latency[:10] = math.inf  # nobody answered while it warmed up
    assert math.isfinite(tail_of(latency, 0.9))


@pytest.mark.parametrize(("percentile", "n", "least"), [(0.99, 112, 40), (0.999, 1112, 390), (0.5, 3, 2)])
def test_a_level_needs_one_request_beyond_it_and_a_third_of_them_at_the_least(
    percentile: float, n: int, least: int
) -> None:
    assert requests_of_run(percentile) == n
    assert least_requests_of_run(percentile) == least
    with pytest.raises(ValueError, match=f"needs runs of {least} requests, not {least - 1}"):
        latency_rates(CURVE, instances=1, max_batch=1, percentiles=(percentile,), n=least - 1)


@pytest.mark.parametrize("percentiles", [(), (0.0,), (1.0,), (0.5, 2.0)])
def test_levels_outside_their_domain_are_refused(percentiles: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="percentiles must lie"):
        latency_rates(CURVE, instances=1, max_batch=1, percentiles=percentiles, n=N)


def test_one_run_has_no_interval(p99: LatencyRate) -> None:
    with pytest.raises(ValueError, match="at least two, got 1"):
        p99.fit([(10.0, 0.05)])


@pytest.mark.parametrize("slowness", [-0.5, 0.0, 0.3])
def test_the_slowness_behind_a_percentile_at_a_rate(p99: LatencyRate, slowness: float) -> None:
    rate = 0.5 * p99.saturation_rps
    assert p99.slowness_at(rate, p99.latency_s(rate, slowness)) == pytest.approx(slowness, abs=2e-3)


def test_an_endless_percentile_is_that_of_a_replica_without_rest(p99: LatencyRate) -> None:
    rate = 0.5 * p99.saturation_rps
    assert p99.slowness_at(rate, math.inf) == pytest.approx(math.log(MOST_UTILISATION / 0.5), abs=2e-3)


def test_at_their_own_rate_the_long_run_is_that_of_the_runs(rates: dict[float, LatencyRate]) -> None:
    """Here the median tells how busy the queue is, the tail how late its latest are."""
    rate = 0.8 * rates[0.99].saturation_rps
    seen = latencies_at(rate, 40, seed=4)
    slow = rates[0.5].fit([(rate, tail_of(run, 0.5)) for run in seen])
    found = long_run(rates[0.99], rate, [tail_of(run, 0.99) for run in seen], slow)
    assert found.value == pytest.approx(1000 * rates[0.99].latency_s(rate, 0.0), rel=0.04)
    assert found.lo < found.value < found.hi


def test_stalls_of_a_machine_are_no_queue_that_never_rests(rates: dict[float, LatencyRate]) -> None:
    """One request in fifty waits for 2 s whatever the queue does: their tail is 2 s, the median is what it was."""
    rate = 0.3 * rates[0.99].saturation_rps
    seen = [np.where(np.arange(N) % 50 == 0, 2.0, run) for run in latencies_at(rate, 6, seed=5)]
    tails = [tail_of(run, 0.99) for run in seen]
    slow = rates[0.5].fit([(rate, tail_of(run, 0.5)) for run in seen])
    assert long_run(rates[0.99], rate, tails, slow).value == pytest.approx(2000, rel=0.1)
    assert rates[0.99].latency(rate, rates[0.99].fit([(rate, s) for s in tails])).value == math.inf


def test_what_is_waited_for_beside_the_queue_is_no_longer_in_a_long_run(rates: dict[float, LatencyRate]) -> None:
    rate = 0.8 * rates[0.99].saturation_rps
    slow = rates[0.5].fit([(rate, rates[0.5].latency_s(rate, 0.0))] * 3)
    alone = long_run(rates[0.99], rate, [0.1, 0.1, 0.1], slow)
    beside = long_run(rates[0.99], rate, [0.15, 0.15, 0.15], slow, 0.05)
    assert beside.value == pytest.approx(alone.value + 50)
    assert alone.value > 100


def test_a_run_with_too_few_answers_or_a_rate_of_no_rest_has_no_upper_end(rates: dict[float, LatencyRate]) -> None:
    rate = 0.5 * rates[0.99].saturation_rps
    seen = rates[0.5].fit([(rate, rates[0.5].latency_s(rate, 0.0))] * 3)
    lost = long_run(rates[0.99], rate, [0.1, math.inf, 0.1], seen)
    assert lost.lo == 100.0
    assert lost.value == lost.hi == math.inf
    never = long_run(rates[0.99], 0.99 * rates[0.99].saturation_rps, [0.1] * 3, seen)
    assert (never.lo, never.value) == (100.0, math.inf)
    with pytest.raises(ValueError, match="2 percentiles of 3 runs"):
        long_run(rates[0.99], rate, [0.1, 0.1], seen)


def test_medians_that_are_long_for_another_reason_are_no_busy_queue(rates: dict[float, LatencyRate]) -> None:
    """6 ms of protocol on each request: the percentile is that of the runs, and no queue at the edge of saturation."""
    rate = 0.8 * rates[0.99].saturation_rps
    runs = latencies_at(rate, 6, seed=4)
    tails = [tail_of(run, 0.99) for run in runs]
    plain, slower = ([(rate, tail_of(run, 0.5) + more) for run in runs] for more in (0.0, 0.006))
    one, other = (long_run(rates[0.99], rate, tails, rates[0.5].fit(seen)) for seen in (plain, slower))
    assert other.value == pytest.approx(one.value, rel=0.001)
    assert other.hi == pytest.approx(one.hi, rel=0.1)
