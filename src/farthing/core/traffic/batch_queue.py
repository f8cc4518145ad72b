"""One replica as a queue: identical workers that take what waits whenever they are idle, and the rate it sustains.

Model of timer-free dynamic batching: ``instances`` workers share one first-come-first-served queue; an idle
worker takes all that waits, up to ``max_batch`` requests, and is busy for the batch's service time
``s(b) × jitter``. Nothing is held back to fill a batch, so batches grow only while all workers are busy.

At saturation the queue is never empty and every batch is full: throughput is ``k·B / s(B)`` with ``k`` workers
and ``B = max_batch``, whatever ``s`` does below ``B``. Should a smaller batch have the better ``b / s(b)``, a
smaller ``max_batch`` is the better candidate; the queue itself never chooses to leave requests waiting.

Under a load-balancer that splits a Poisson stream at random each replica sees a Poisson stream of its own, so
``n`` replicas carry ``n`` times the rate of one; smarter balancing only does better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from farthing.core.stats.compiled import compiled
from farthing.core.stats.quantiles import quantiles
from farthing.core.traffic.service_curve import ServiceCurve
from farthing.nouns import Estimate, percentile_name

__all__ = ["HEADROOM_FRAC", "latencies", "p_latency", "saturation_rps", "simulated", "sla_rps"]

HEADROOM_FRAC = 0.15
"""Share of a replica's rate that :func:`sla_rps` keeps free by default.

Service times are trusted to ± 10 % and a trace says nothing of bursts within its steps: at 85 % of saturation a
service time 10 % longer still means 93.5 % utilisation, a stable queue.
"""

_RUNS = 20
_WARM_UP_FRAC = 0.2
_TAIL_REQUESTS = 400
_FEWEST_REQUESTS = 100_000
_SCAN_FRAC = (0.001, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
_RELATIVE_WIDTH = 0.005

Floats = NDArray[np.float64]


@compiled
def _serve(arrivals_s: Floats, service_by_size_s: Floats, jitter: Floats, instances: int, max_batch: int) -> Floats:
    n = arrivals_s.size
    latency_s = np.empty(n)
    free_s = np.full(instances, -np.inf)
    head = 0
    while head < n:
        worker = 0
        for w in range(1, instances):
            if free_s[w] < free_s[worker]:
                worker = w
        start_s = max(free_s[worker], arrivals_s[head])
        end = head + 1
        while end < n and end - head < max_batch and arrivals_s[end] <= start_s:
            end += 1
        done_s = start_s + service_by_size_s[end - head - 1] * jitter[head]
        free_s[worker] = done_s
        for i in range(head, end):
            latency_s[i] = done_s - arrivals_s[i]
        head = end
    return latency_s


@compiled
def _serve_runs(
    unit_arrivals: Floats, rate_rps: float, service_by_size_s: Floats, jitter: Floats, instances: int, max_batch: int
) -> Floats:
    latency_s = np.empty(unit_arrivals.shape)
    for r in range(unit_arrivals.shape[0]):
        latency_s[r] = _serve(unit_arrivals[r] / rate_rps, service_by_size_s, jitter[r], instances, max_batch)
    return latency_s


def latencies(arrivals_s: Floats, service_by_size_s: Floats, jitter: Floats, instances: int, max_batch: int) -> Floats:
    """Latency of each request of one replica that starts empty: first come, first served, no randomness.

    Args:
        arrivals_s: When each request comes, ascending, shape ``(n,)``.
        service_by_size_s: Service time of 1 … ``max_batch`` requests, shape ``(≥ max_batch,)``.
        jitter: Factor on the service time of the batch whose first request is ``i``, shape ``(n,)``, > 0.
        instances: Workers, ≥ 1.
        max_batch: Largest batch, ≥ 1.

    Returns:
        From arrival to the end of the request's batch in seconds, shape ``(n,)``.

    Raises:
        ValueError: when shapes or counts do not fit or arrivals are not ascending.
    """
    if arrivals_s.ndim != 1 or jitter.shape != arrivals_s.shape:
        raise ValueError(f"one jitter for each arrival: shapes {jitter.shape} and {arrivals_s.shape}")
    if instances < 1 or not 1 <= max_batch <= service_by_size_s.size:
        raise ValueError(
            f"instances ≥ 1 and max_batch in [1, {service_by_size_s.size}] wanted, are {instances} and {max_batch}"
        )
    if arrivals_s.size > 1 and (np.diff(arrivals_s) < 0).any():
        raise ValueError("arrivals must be ascending")
    return _serve(arrivals_s, service_by_size_s, jitter, instances, max_batch)


def saturation_rps(curve: ServiceCurve, *, instances: int, max_batch: int) -> float:
    """Throughput of one replica that never runs out of requests: ``instances · max_batch / s(max_batch)``."""
    return instances * max_batch / float(curve.by_size_s(max_batch)[-1])


def simulated(
    curve: ServiceCurve,
    rates_rps: Floats,
    *,
    runs: int,
    n: int,
    instances: int,
    max_batch: int,
    seed: int = 0,
) -> Iterator[Floats]:
    """Latencies of runs that start empty, at one rate after the other on common random numbers.

    Args:
        curve: Measured service times and their spread.
        rates_rps: Poisson rates, > 0, shape ``(k,)``.
        runs: Independent runs at each rate.
        n: Requests of a run.
        instances: Workers.
        max_batch: Largest batch.
        seed: Of arrivals and jitter.

    Yields:
        For each rate, the latencies in seconds of each run, shape ``(runs, n)``.
    """
    rng = np.random.default_rng(seed)
    service_s = curve.by_size_s(max_batch)
    unit = np.cumsum(rng.exponential(size=(runs, n)), axis=1)
    jitter = np.exp(curve.sigma * rng.standard_normal((runs, n)) - curve.sigma * curve.sigma / 2)
    for rate in rates_rps:
        yield _serve_runs(unit, float(rate), service_s, jitter, instances, max_batch)


@dataclass(frozen=True, slots=True, eq=False)
class _Draws:
    """Common random numbers: the same streams at every rate and for every candidate of one seed."""

    unit_arrivals: Floats  # (runs, m): arrival times of a Poisson stream of rate 1
    jitter: Floats  # (runs, m): log-normal with mean 1


def _draw(seed: int, n_requests: int | None, percentile: float, sigma: float) -> _Draws:
    if not 0 < percentile < 1:
        raise ValueError(f"percentile must lie in (0, 1), is {percentile}")
    fewest = math.ceil(_TAIL_REQUESTS / (1 - percentile))
    n = max(_FEWEST_REQUESTS, fewest) if n_requests is None else n_requests
    if n < fewest // 4:
        raise ValueError(f"{percentile_name(percentile)} needs n_requests ≥ {fewest // 4}, is {n}")
    shape = (_RUNS, math.ceil(n / _RUNS))
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(size=shape), axis=1)
    return _Draws(arrivals, np.exp(sigma * rng.standard_normal(shape) - sigma * sigma / 2))


def _percentile_of(
    draws: _Draws, service_s: Floats, rate_rps: float, instances: int, percentile: float, confidence: float
) -> Estimate:
    runs, m = draws.unit_arrivals.shape
    skip = math.ceil(m * _WARM_UP_FRAC)
    latency_s = _serve_runs(draws.unit_arrivals, float(rate_rps), service_s, draws.jitter, instances, service_s.size)
    (values,) = quantiles(latency_s[:, skip:], [percentile])
    mean = float(values.mean())
    half = float(stdtrit(runs - 1, (1 + confidence) / 2) * values.std(ddof=1) / math.sqrt(runs))
    return Estimate(
        value=mean,
        lo=max(0.0, mean - half),
        hi=mean + half,
        n=runs,
        method=f"t on {runs} independent runs of {m - skip:,} requests",
        source="batch queue model",
        confidence=confidence,
    )


def p_latency(
    curve: ServiceCurve,
    rate_rps: float,
    *,
    instances: int,
    max_batch: int,
    percentile: float = 0.99,
    seed: int = 0,
    n_requests: int | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Percentile of the latency of one replica under Poisson arrivals, in seconds.

    The interval is Student's t over 20 independent runs, each started empty with its first fifth dropped;
    intervals within one run would be too narrow, because waiting times that follow each other are alike.
    Above saturation there is no steady state and the figure only says “too long”.

    Args:
        curve: Measured service times.
        rate_rps: Arrivals at this replica, > 0.
        instances: Workers.
        max_batch: Largest batch.
        percentile: In (0, 1).
        seed: Of arrivals and jitter; the same seed gives common random numbers at all rates.
        n_requests: Requests simulated in all, None for 100,000 or 400 beyond the percentile, whichever is more.
        confidence: Of the two-sided interval.

    Raises:
        ValueError: when an argument is outside its domain.
    """
    if not (math.isfinite(rate_rps) and rate_rps > 0):
        raise ValueError(f"rate_rps must be finite and > 0, is {rate_rps}")
    draws = _draw(seed, n_requests, percentile, curve.sigma)
    return _percentile_of(draws, curve.by_size_s(max_batch), rate_rps, instances, percentile, confidence)


def sla_rps(
    curve: ServiceCurve,
    *,
    instances: int,
    max_batch: int,
    latency_s: float | None,
    percentile: float = 0.99,
    seed: int = 0,
    n_requests: int | None = None,
    confidence: float = 0.95,
    headroom: float = HEADROOM_FRAC,
) -> float | None:
    """Rate that one replica sustains within the latency bound.

    ``(1 − headroom) · min(saturation, r)`` where ``r`` is the highest Poisson rate up to which the *upper* end of
    the percentile's interval stays within the bound. With no bound it is ``(1 − headroom)`` of saturation: the
    maximum utilisation. Rates are scanned upwards and the first crossing is bisected to 0.5 %, on common random
    numbers, so that a lucky rate beyond a bad one never counts.

    Args:
        curve: Measured service times; the slow ends of their intervals give a cautious rate.
        instances: Workers.
        max_batch: Largest batch.
        latency_s: Bound on the percentile, > 0; None for no bound.
        percentile: In (0, 1).
        seed: Of arrivals and jitter.
        n_requests: As in :func:`p_latency`.
        confidence: Of the percentile's two-sided interval.
        headroom: Share of the rate kept free, in [0, 1).

    Returns:
        Requests/s, or None when not even an idle replica (a thousandth of saturation) keeps the bound.

    Raises:
        ValueError: when an argument is outside its domain.
    """
    if not 0 <= headroom < 1:
        raise ValueError(f"headroom must lie in [0, 1), is {headroom}")
    top_rps = saturation_rps(curve, instances=instances, max_batch=max_batch)
    if latency_s is None:
        return (1 - headroom) * top_rps
    if not latency_s > 0:
        raise ValueError(f"latency_s must be > 0, is {latency_s}")
    draws = _draw(seed, n_requests, percentile, curve.sigma)
    service_s = curve.by_size_s(max_batch)

    def holds(rate_rps: float) -> bool:
        return _percentile_of(draws, service_s, rate_rps, instances, percentile, confidence).hi <= latency_s

    highest_rps = _first_crossing(holds, top_rps)
    return None if highest_rps is None else (1 - headroom) * highest_rps


def _first_crossing(holds: Callable[[float], bool], top_rps: float) -> float | None:
    """Highest rate of [0.001, 1] · top up to which all scanned rates hold, to 0.5 %; None when the first fails."""
    good_rps, bad_rps = 0.0, math.inf
    for share in _SCAN_FRAC:
        if not holds(share * top_rps):
            bad_rps = share * top_rps
            break
        good_rps = share * top_rps
    if good_rps == 0.0:
        return None
    while math.isfinite(bad_rps) and bad_rps - good_rps > _RELATIVE_WIDTH * good_rps:
        middle_rps = (good_rps + bad_rps) / 2
        good_rps, bad_rps = (middle_rps, bad_rps) if holds(middle_rps) else (good_rps, middle_rps)
    return good_rps
