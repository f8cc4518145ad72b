"""Coverage of what is said about a queue's latency, by simulating the queue itself: requests that wait for each other."""

from __future__ import annotations

import numpy as np

from farthing.core.stats.intervals import quantile
from farthing.core.traffic.batch_queue import latencies, saturation_rps
from farthing.core.traffic.latency_rate import latency_rates, long_run, tail_of
from farthing.core.traffic.service_curve import ServiceCurve
from farthing.nouns import Estimate
from simulations import rate as share

__all__ = ["order_statistics_misses", "rate_kept_misses", "tail_misses"]

RUNS = 6
"""Runs behind one interval, as ``optimize`` proves a plan with."""
LEVEL = 0.99
SIGMA = 0.15
STALL = 30.0
TRUTH_RUNS, TRUTH_REQUESTS = 12, 400_000


def curve_of(batch: int) -> ServiceCurve:
    """10 ms for one request, half as much for each further one of a batch: what batching gains on a CPU."""
    sizes = sorted({1, batch})
    return ServiceCurve.exact(sizes=sizes, seconds=[0.005 + 0.005 * size for size in sizes], sigma=SIGMA)


def _jitter(rng: np.random.Generator, n: int, drift: float, stalls: float) -> np.ndarray:
    """Log-normal spread of service times; ``drift`` > 0 adds slow bursts, an AR(1) of 0.98 on their logarithm.

    A share ``stalls`` of them takes ``STALL`` times as long: the machine did something else.
    """
    free = SIGMA * rng.standard_normal(n) - SIGMA**2 / 2
    if stalls:
        free += np.log(STALL) * (rng.random(n) < stalls)
    if not drift:
        return np.exp(free)
    slow = np.empty(n)
    steps = rng.standard_normal(n) * np.sqrt(1 - 0.98**2)
    level = rng.standard_normal()
    for k in range(n):
        level = 0.98 * level + steps[k]
        slow[k] = level
    return np.exp(free + drift * slow - drift**2 / 2)


def _run(
    rng: np.random.Generator,
    curve: ServiceCurve,
    rate_rps: float,
    n: int,
    workers: int,
    batch: int,
    drift: float = 0.0,
    stalls: float = 0.0,
) -> np.ndarray:
    arrivals = np.cumsum(rng.exponential(1 / rate_rps, n))
    return latencies(arrivals, curve.by_size_s(batch), _jitter(rng, n, drift, stalls), workers, batch)


def _truth_s(
    rng: np.random.Generator,
    curve: ServiceCurve,
    rate: float,
    workers: int,
    batch: int,
    drift: float = 0.0,
    stalls: float = 0.0,
) -> float:
    runs = (_run(rng, curve, rate, TRUTH_REQUESTS, workers, batch, drift, stalls) for _ in range(TRUTH_RUNS))
    return float(np.mean([np.quantile(run[TRUTH_REQUESTS // 10 :], LEVEL) for run in runs]))


def tail_misses(
    rng: np.random.Generator,
    repeats: int,
    *,
    workers: int,
    batch: int,
    load: float,
    n: int,
    drift: float = 0.0,
    stalls: float = 0.0,
) -> Estimate:
    """How often the interval of p99 from a few short runs misses the queue's long-run p99.

    Args:
        rng: Of everything.
        repeats: Intervals.
        workers: Of the replica.
        batch: Largest batch.
        load: Rate over saturation, in (0, 1).
        n: Requests of one run.
        drift: Standard deviation of slow bursts in the logarithm of service times.
        stalls: Share of batches that take ``STALL`` times as long, of which the model knows nothing.
    """
    curve, rate = _at(workers, batch, load)
    truth_ms = 1000 * _truth_s(rng, curve, rate, workers, batch, drift, stalls)
    model = latency_rates(curve, instances=workers, max_batch=batch, percentiles=(0.5, LEVEL), n=n, seed=1)

    def missed() -> bool:
        runs = [_run(rng, curve, rate, n, workers, batch, drift, stalls) for _ in range(RUNS)]
        slow = model[0.5].fit([(rate, tail_of(run, 0.5)) for run in runs])
        said = long_run(model[LEVEL], rate, [tail_of(run, LEVEL) for run in runs], slow)
        return not said.lo <= truth_ms <= said.hi

    return share(sum(missed() for _ in range(repeats)), repeats)


def rate_kept_misses(
    rng: np.random.Generator, repeats: int, *, workers: int, batch: int, load: float, n: int
) -> Estimate:
    """How often the interval of the highest rate that keeps a bound misses the rate whose p99 is that bound.

    Arguments as for :func:`tail_misses`.
    """
    curve, rate = _at(workers, batch, load)
    truth_s = _truth_s(rng, curve, rate, workers, batch)
    model = latency_rates(curve, instances=workers, max_batch=batch, percentiles=(LEVEL,), n=n, seed=1)[LEVEL]

    def missed() -> bool:
        runs = [(rate, tail_of(_run(rng, curve, rate, n, workers, batch), LEVEL)) for _ in range(RUNS)]
        said = model.kept(truth_s, model.fit(runs))
        return not said.lo <= rate <= said.hi

    return share(sum(missed() for _ in range(repeats)), repeats)


def _at(workers: int, batch: int, load: float) -> tuple[ServiceCurve, float]:
    curve = curve_of(batch)
    return curve, load * saturation_rps(curve, instances=workers, max_batch=batch)


def order_statistics_misses(
    rng: np.random.Generator, repeats: int, *, workers: int, batch: int, load: float, n: int
) -> Estimate:
    """The same with order statistics of one run, which are for independent samples: what is not done, and why.

    Arguments as for :func:`tail_misses`.
    """
    curve = curve_of(batch)
    rate = load * saturation_rps(curve, instances=workers, max_batch=batch)
    truth_s = _truth_s(rng, curve, rate, workers, batch)
    said = [quantile(_run(rng, curve, rate, n, workers, batch), LEVEL) for _ in range(repeats)]
    return share(sum(not e.lo <= truth_s <= e.hi for e in said), repeats)
