"""The batch queue against queueing theory, an independent simulation, and its own monotonicity."""

from __future__ import annotations

import heapq
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from farthing.core.traffic.batch_queue import (
    HEADROOM_FRAC,
    latencies,
    p_latency,
    saturation_rps,
    sla_rps,
)
from farthing.core.traffic.service_curve import ServiceCurve

CURVE = ServiceCurve.exact(sizes=(1, 2, 4, 8), seconds=(0.0021, 0.0030, 0.0045, 0.0075), sigma=0.1)
N = 2_000_000


def poisson(rate_rps: float, n: int, seed: int) -> NDArray[np.float64]:
    return np.cumsum(np.random.default_rng(seed).exponential(size=n)) / rate_rps


# --- theory ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [0.3, 0.6, 0.8])
def test_md1_mean_wait(rho: float) -> None:
    latency = latencies(poisson(rho, N, 1), np.array([1.0]), np.ones(N), 1, 1)
    assert (latency - 1).mean() == pytest.approx(rho / (2 * (1 - rho)), rel=0.03)


@pytest.mark.parametrize("rho", [0.3, 0.6, 0.8])
def test_mm1_mean_and_percentile(rho: float) -> None:
    service = np.random.default_rng(2).exponential(size=N)
    latency = latencies(poisson(rho, N, 1), np.array([1.0]), service, 1, 1)
    assert latency.mean() == pytest.approx(1 / (1 - rho), rel=0.04)
    assert np.quantile(latency, 0.99) == pytest.approx(-math.log(0.01) / (1 - rho), rel=0.05)


@pytest.mark.parametrize("sigma", [0.3, 0.8])
def test_pollaczek_khinchine_with_log_normal_jitter(sigma: float) -> None:
    rho = 0.6
    jitter = np.exp(sigma * np.random.default_rng(3).standard_normal(N) - sigma**2 / 2)
    latency = latencies(poisson(rho, N, 1), np.array([1.0]), jitter, 1, 1)
    wait = (latency - jitter).mean()
    assert wait == pytest.approx(rho * math.exp(sigma**2) / (2 * (1 - rho)), rel=0.05)


@pytest.mark.parametrize("k", [2, 5])
def test_mmk_mean_wait_is_erlang_c(k: int) -> None:
    rho = 0.8
    a = k * rho
    queued = a**k / math.factorial(k) / (1 - rho)
    erlang_c = queued / (sum(a**i / math.factorial(i) for i in range(k)) + queued)
    service = np.random.default_rng(4).exponential(size=N)
    latency = latencies(poisson(a, N, 1), np.array([1.0]), service, k, 1)
    assert (latency - service).mean() == pytest.approx(erlang_c / (k - a), rel=0.06)


@pytest.mark.parametrize(("instances", "max_batch"), [(1, 1), (1, 8), (2, 4), (3, 8)])
def test_saturation_throughput_is_full_batches(instances: int, max_batch: int) -> None:
    n = 40_000
    curve = ServiceCurve.exact(sizes=CURVE.sizes, seconds=CURVE.seconds)
    latency = latencies(np.zeros(n), curve.by_size_s(max_batch), np.ones(n), instances, max_batch)
    expected = saturation_rps(curve, instances=instances, max_batch=max_batch)
    assert n / latency.max() == pytest.approx(expected, rel=0.002)


def test_overload_throughput_approaches_saturation_and_light_load_the_bare_service_time() -> None:
    capacity = saturation_rps(CURVE, instances=2, max_batch=8)
    n = 100_000
    arrivals = poisson(1.5 * capacity, n, 5)
    latency = latencies(arrivals, CURVE.by_size_s(8), np.ones(n), 2, 8)
    assert n / (arrivals + latency).max() == pytest.approx(capacity, rel=0.01)
    idle = latencies(poisson(0.001 * capacity, 10_000, 5), CURVE.by_size_s(8), np.ones(10_000), 2, 8)
    assert np.median(idle) == pytest.approx(CURVE.seconds[0])


# --- against another program ----------------------------------------------------------------------------------


def event_by_event(arrivals: list[float], service: list[float], jitter: list[float], k: int, b: int) -> list[float]:
    """The same queue written as events: arrivals and completions in time order, idle workers take what waits."""
    events = [(t, 1, i) for i, t in enumerate(arrivals)]  # completions (0) before arrivals (1) of the same time
    heapq.heapify(events)
    idle, waiting, done = k, [], [0.0] * len(arrivals)
    while events:
        now = events[0][0]
        while events and events[0][0] == now:
            _, kind, i = heapq.heappop(events)
            if kind == 0:
                idle += 1
            else:
                waiting.append(i)
        while idle and waiting:
            batch, waiting = waiting[:b], waiting[b:]
            end = now + service[len(batch) - 1] * jitter[batch[0]]
            idle -= 1
            heapq.heappush(events, (end, 0, -1))
            for i in batch:
                done[i] = end
    return [d - a for d, a in zip(done, arrivals)]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    k=st.integers(1, 4),
    b=st.integers(1, 8),
    load=st.floats(0.05, 1.6),
    n=st.integers(1, 200),
)
def test_kernel_is_the_event_simulation(seed: int, k: int, b: int, load: float, n: int) -> None:
    arrivals = poisson(load * saturation_rps(CURVE, instances=k, max_batch=b), n, seed)
    jitter = np.random.default_rng(seed).lognormal(0, 0.2, n)
    service = CURVE.by_size_s(b)
    expected = event_by_event(arrivals.tolist(), service.tolist(), jitter.tolist(), k, b)
    assert latencies(arrivals, service, jitter, k, b) == pytest.approx(expected, rel=1e-9)


# --- relations under common random numbers --------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 6), rate=st.floats(0.1, 5.0), factor=st.floats(1.01, 3.0))
def test_one_at_a_time_every_request_gains_from_a_worker_and_loses_from_load(
    seed: int, k: int, rate: float, factor: float
) -> None:
    n = 500
    jitter = np.random.default_rng(seed).exponential(size=n)
    here = latencies(poisson(rate, n, seed), np.array([1.0]), jitter, k, 1)
    more_workers = latencies(poisson(rate, n, seed), np.array([1.0]), jitter, k + 1, 1)
    more_load = latencies(poisson(rate * factor, n, seed), np.array([1.0]), jitter, k, 1)
    assert (more_workers <= here + 1e-9).all()
    assert (more_load >= here - 1e-9).all()


@pytest.mark.parametrize("max_batch", [1, 4, 8])
def test_more_instances_and_less_load_never_worsen_the_percentile(max_batch: int) -> None:
    base = saturation_rps(CURVE, instances=1, max_batch=max_batch)

    def p99(load: float, k: int) -> float:
        return p_latency(CURVE, load * base, instances=k, max_batch=max_batch, seed=7, n_requests=60_000).value

    by_load = [p99(load, 1) for load in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert by_load == sorted(by_load)
    by_workers = [p99(0.8, k) for k in (1, 2, 3, 4)]
    assert by_workers == sorted(by_workers, reverse=True)


@pytest.mark.parametrize("latency_s", [0.004, 0.01, 0.03, 0.2])
def test_sla_rate_rises_with_instances(latency_s: float) -> None:
    rates = [sla_rps(CURVE, instances=k, max_batch=8, latency_s=latency_s, seed=1) or 0.0 for k in (1, 2, 3)]
    assert rates == sorted(rates)
    assert rates[0] > 0


def test_sla_rate_rises_with_the_bound_up_to_the_maximum_utilisation() -> None:
    bounds = (0.0028, 0.004, 0.008, 0.016, 0.05, 1.0, 10.0)
    rates = [sla_rps(CURVE, instances=2, max_batch=8, latency_s=b, seed=1) or 0.0 for b in bounds]
    unbounded = sla_rps(CURVE, instances=2, max_batch=8, latency_s=None)
    assert rates == sorted(rates)
    assert unbounded == pytest.approx((1 - HEADROOM_FRAC) * saturation_rps(CURVE, instances=2, max_batch=8))
    assert rates[-1] == unbounded
    assert rates[0] < 0.2 * rates[-1]


def test_slower_service_lowers_the_rate_and_jitter_does_too() -> None:
    def rate(curve: ServiceCurve) -> float:
        return sla_rps(curve, instances=2, max_batch=8, latency_s=0.01, seed=1) or 0.0

    jittery = ServiceCurve.exact(sizes=CURVE.sizes, seconds=CURVE.seconds, sigma=0.4)
    assert rate(CURVE.scaled(1.1)) < rate(CURVE)
    assert rate(jittery) < rate(CURVE)


# --- the rate keeps its promise -------------------------------------------------------------------------------


@pytest.mark.parametrize("percentile", [0.9, 0.99])
def test_bound_holds_at_the_rate_and_is_used_up(percentile: float) -> None:
    kwargs = {"instances": 2, "max_batch": 8, "percentile": percentile}
    rate = sla_rps(CURVE, latency_s=0.01, seed=1, headroom=0.0, **kwargs)
    assert rate is not None
    at_rate = p_latency(CURVE, rate, seed=1, **kwargs)
    above = p_latency(CURVE, 1.01 * rate, seed=1, **kwargs)
    assert at_rate.hi <= 0.01 < above.hi
    fresh = p_latency(CURVE, (1 - HEADROOM_FRAC) * rate, seed=99, **kwargs)
    assert fresh.hi < 0.01


def test_none_when_an_idle_replica_is_too_slow() -> None:
    assert sla_rps(CURVE, instances=4, max_batch=8, latency_s=0.0020) is None
    steady = ServiceCurve.exact(sizes=(1,), seconds=(0.01,))
    assert sla_rps(steady, instances=1, max_batch=1, latency_s=0.0099) is None
    just = sla_rps(steady, instances=1, max_batch=1, latency_s=0.0101)
    assert just is not None
    assert just < 3  # only the one request in a hundred that waits is allowed to


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    """M/D/1's 90th percentile from a run of 4 million requests lies in 95 % intervals of 100 seeds."""
    rho, n = 0.7, 4_000_000
    steady = ServiceCurve.exact(sizes=(1,), seconds=(1.0,))
    truth = np.quantile(latencies(poisson(rho, n, 11), np.array([1.0]), np.ones(n), 1, 1), 0.9)
    kwargs = {"instances": 1, "max_batch": 1, "percentile": 0.9, "n_requests": 20_000}
    hits = 0
    for seed in range(100):
        e = p_latency(steady, rho, seed=seed, **kwargs)
        hits += e.lo <= truth <= e.hi
    assert hits >= 88  # P(Binomial(100, 0.95) < 88) ≈ 0.002


def test_common_random_numbers_repeat() -> None:
    a = p_latency(CURVE, 900.0, instances=2, max_batch=8, seed=3)
    assert a == p_latency(CURVE, 900.0, instances=2, max_batch=8, seed=3)
    assert a != p_latency(CURVE, 900.0, instances=2, max_batch=8, seed=4)
    assert a.n == 20


# --- bad input ------------------------------------------------------------------------------------------------


def test_bad_arguments_are_refused() -> None:
    one = np.array([1.0])
    with pytest.raises(ValueError, match="ascending"):
        latencies(np.array([1.0, 0.5]), one, np.ones(2), 1, 1)
    with pytest.raises(ValueError, match="one jitter"):
        latencies(np.array([1.0]), one, np.ones(2), 1, 1)
    with pytest.raises(ValueError, match="max_batch in"):
        latencies(np.array([1.0]), one, one, 1, 2)
    with pytest.raises(ValueError, match="sizes measured; is 9"):
        sla_rps(CURVE, instances=1, max_batch=9, latency_s=0.1)
    with pytest.raises(ValueError, match="headroom"):
        sla_rps(CURVE, instances=1, max_batch=8, latency_s=0.1, headroom=1.0)
    with pytest.raises(ValueError, match="latency_s"):
        sla_rps(CURVE, instances=1, max_batch=8, latency_s=0.0)
    with pytest.raises(ValueError, match="needs n_requests"):
        p_latency(CURVE, 100, instances=1, max_batch=8, percentile=0.999, n_requests=1000)
    with pytest.raises(ValueError, match="rate_rps"):
        p_latency(CURVE, 0.0, instances=1, max_batch=8)


def test_no_requests_no_latencies() -> None:
    assert latencies(np.array([]), np.array([1.0]), np.array([]), 1, 1).size == 0
