"""Latency of one replica as a function of its rate: the batch queue's curve, fitted to runs that were measured.

A run under Poisson arrivals is short and starts empty, and waiting times that follow each other are alike. So its own
percentile says too little (order statistics of dependent samples) and is too low (it never reaches the steady state):
of M/D/1 at 90 % utilisation eight runs of 6,000 requests each cover the truth with 70 % where 95 % are meant, and
longer series of short runs make it worse. Here each run is compared with what *runs of the same length* do in the
queue model. With service times ``e^f`` times those of the measured curve, the mean log percentile of such a run at rate
``r`` is

    g(f, r) = f + M(r · e^f / saturation)

since time scales with the service; ``M`` comes from simulation. ``f`` is where the mean over runs of
``log q − g(f, r)`` is zero (solving each run for its own ``f`` would be biased, since ``g`` is convex); Student's t
over these independent residuals holds what the runs differ in: arrivals, and the machine. The highest rate that keeps
a bound, and the long-run percentile at another rate, follow by the steady curve ``P`` in the place of ``M``.

At the rate of the runs themselves the model is asked for less (:func:`long_run`): the percentile is the runs' own, and
only by what factor a long run's is higher than one of their length,

    d = P(r / saturation) − M(r / saturation),

is the model's, of a curve that is scaled to what the replica was seen to answer at most. How busy a run was beside the
others is read from its median. A machine that stops for milliseconds now and then lengthens the tail of a model that
answers in microseconds a hundredfold, and what a request waits for beside the queue lengthens its median: read as
slowness, either would be a queue that never rests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from farthing.core.stats.intervals import mean_t
from farthing.core.stats.quantiles import quantiles
from farthing.core.traffic.batch_queue import saturation_rps, simulated
from farthing.core.traffic.service_curve import ServiceCurve
from farthing.nouns import Estimate

__all__ = [
    "MOST_UTILISATION",
    "WARM_UP_FRAC",
    "LatencyRate",
    "Slowness",
    "after_warm_up",
    "latency_rates",
    "least_requests_of_run",
    "long_run",
    "requests_of_run",
    "tail_of",
]

Floats = NDArray[np.float64]

WARM_UP_FRAC = 0.1
"""Share of a run's first requests that do not count: the replica starts empty."""
MOST_UTILISATION = 0.985
"""Beyond this share of saturation no steady percentile is worked out: the queue's memory is longer than any run."""
_UTILISATIONS = np.concatenate([np.linspace(0.02, 0.7, 14), np.linspace(0.73, 0.97, 13), np.linspace(0.985, 1.4, 12)])
_REQUESTS, _FEWEST_RUNS, _STEADY_RUNS, _STEADY_REQUESTS = 600_000, 12, 8, 1_200_000
_MOST_QUICKER, _MOST_SLOWER = math.log(4.0), math.log(64.0)
_SLOWNESS_STEP = 1e-4
_SLOPE_STEP = 0.02
_MOST_LOG = 30.0
_GRID = np.linspace(-_MOST_QUICKER, _MOST_SLOWER, 3201)
_FEWEST_BEYOND = 1.0
_LEAST_FRAC = 0.35


def requests_of_run(percentile: float) -> int:
    """Fewest requests of one run in which a percentile says anything: one beyond it after the warm-up.

    Args:
        percentile: In (0, 1).
    """
    return math.ceil(_FEWEST_BEYOND / (1 - percentile) / (1 - WARM_UP_FRAC))


def least_requests_of_run(percentile: float) -> int:
    """Requests of one run below which its percentile is refused: about a third of :func:`requests_of_run`.

    Such a run's percentile is all but its maximum, and is compared with what runs of that length do in the model.

    Args:
        percentile: In (0, 1).
    """
    return max(2, math.ceil(_LEAST_FRAC * requests_of_run(percentile)))


def after_warm_up(latency: Floats) -> Floats:
    """The part of a run that counts.

    Args:
        latency: In order of arrival, shape ``(n,)``.
    """
    return latency[_warm_up(latency.size) :]


def _warm_up(n: int) -> int:
    """How many requests of a run of ``n`` do not count."""
    return math.ceil(n * WARM_UP_FRAC)


def tail_of(latency: Floats, percentile: float) -> float:
    """A run's own percentile after the warm-up; infinite when too few were answered.

    Args:
        latency: In order of arrival, infinite where no answer came, shape ``(n,)``.
        percentile: In (0, 1).
    """
    seen = after_warm_up(latency)
    beyond = np.quantile(np.where(np.isfinite(seen), 0.0, 1.0), percentile, method="higher")
    return math.inf if beyond > 0 else float(np.quantile(seen, percentile))


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowness:
    """Logarithm of a replica's service times over those of its measured curve.

    Attributes:
        lo: Lower end of the t interval over runs.
        value: Estimate.
        hi: Upper end.
        confidence: Of the two-sided interval.
        by_run: What each run alone says, to first order; their mean is ``value``.
    """

    lo: float
    value: float
    hi: float
    confidence: float
    by_run: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LatencyRate:
    """The queue model's latency by rate of one replica, in the long run and in runs of one length.

    Attributes:
        percentile: Which one, in (0, 1).
        n: Requests of one run.
        saturation_rps: Rate at which the measured service times leave no worker idle.
        run_log_s: Mean of log percentile (of seconds) of a run at each of the model's utilisations.
        steady_log_s: The same of an endless run; at utilisations up to ``MOST_UTILISATION``.
    """

    percentile: float
    n: int
    saturation_rps: float
    run_log_s: Floats
    steady_log_s: Floats

    def fit(self, runs: Sequence[tuple[float, float]], confidence: float = 0.95) -> Slowness:
        """How much slower than its measured curve the replica is, as some runs saw it.

        The mean over runs of ``log q − g(f, r)`` is zero at the estimate, and plus or minus the half width of its t
        interval at the ends.

        Args:
            runs: Rate in requests/s, > 0, and percentile after the warm-up in seconds, > 0 (infinite where too few
                were answered), of each of at least two runs.
            confidence: Of the two-sided interval.

        Raises:
            ValueError: when there are fewer than two runs.
        """
        if len(runs) < 2:
            raise ValueError(f"an interval over runs needs at least two, got {len(runs)}")
        expected, seen = self._expected(runs)
        mean = np.maximum.accumulate(expected.mean(axis=0))
        middle = float(np.interp(seen.mean(), mean, _GRID))
        rest = seen - np.array([np.interp(middle, _GRID, row) for row in expected])
        half = float(stdtrit(len(runs) - 1, (1 + confidence) / 2) * rest.std(ddof=1) / math.sqrt(len(runs)))
        lo, hi = (float(np.interp(seen.mean() + way * half, mean, _GRID)) for way in (-1, 1))
        slope = float(np.interp(middle, _GRID, np.gradient(mean, _GRID)))
        return Slowness(
            lo=lo, value=middle, hi=hi, confidence=confidence, by_run=tuple(map(float, middle + rest / slope))
        )

    def middle(self, runs: Sequence[tuple[float, float]]) -> float:
        """The estimate of :meth:`fit` alone, from at least one run."""
        expected, seen = self._expected(runs)
        return float(np.interp(seen.mean(), np.maximum.accumulate(expected.mean(axis=0)), _GRID))

    def _expected(self, runs: Sequence[tuple[float, float]]) -> tuple[Floats, Floats]:
        """What each run should see at each slowness, shape ``(runs, grid)``; what it saw, within what the grid has."""
        rates = np.array([rate for rate, _ in runs])
        loads = rates[:, None] * np.exp(_GRID)[None, :] / self.saturation_rps
        expected = _GRID[None, :] + self._run_at(loads)
        seen = np.log(np.maximum([s for _, s in runs], np.finfo(np.float64).tiny))
        return expected, np.clip(seen, expected[:, 0], expected[:, -1])

    def latency_s(self, rate_rps: float, slowness: float) -> float:
        """Long-run percentile at a rate in seconds; infinite beyond ``MOST_UTILISATION``."""
        load = rate_rps * math.exp(slowness) / self.saturation_rps
        steady = _UTILISATIONS[: self.steady_log_s.size]
        if load > steady[-1]:
            return math.inf
        return math.exp(slowness + float(np.interp(load, steady, self.steady_log_s)))

    def longer(self, rate_rps: float, slowness: float) -> float:
        """Logarithm of the long-run percentile over that of a run; infinite where no long run is worked out.

        Args:
            rate_rps: > 0.
            slowness: As :meth:`slowness_at` gives it.
        """
        load = rate_rps * math.exp(slowness) / self.saturation_rps
        steady = _UTILISATIONS[: self.steady_log_s.size]
        if load > steady[-1]:
            return math.inf
        return float(np.interp(load, steady, self.steady_log_s) - self._run_at(np.array([load]))[0])

    def slowness_at(self, rate_rps: float, latency_s: float) -> float:
        """Slowness at which the long-run percentile at a rate is a given one, within what is tried at all.

        Args:
            rate_rps: > 0.
            latency_s: In seconds, > 0; where it is infinite, the least slowness at which no percentile is worked out.
        """
        low, high = -_MOST_QUICKER, _MOST_SLOWER
        while high - low > _SLOWNESS_STEP:
            middle = (low + high) / 2
            seen_s = self.latency_s(rate_rps, middle)
            low, high = (low, middle) if seen_s >= latency_s else (middle, high)
        return high

    def kept_rps(self, bound_s: float, slowness: float) -> float:
        """Highest rate whose long-run percentile keeps a bound, 0 when none does.

        Args:
            bound_s: In seconds, > 0.
            slowness: As :meth:`slowness_at` gives it.
        """
        steady = _UTILISATIONS[: self.steady_log_s.size]
        wanted = math.log(bound_s) - slowness
        if wanted < self.steady_log_s[0]:
            return 0.0
        # where the curve is level the last of its points counts: the highest rate
        last = int(np.searchsorted(self.steady_log_s, wanted, side="right")) - 1
        if last >= steady.size - 1:
            load = float(steady[-1])
        else:
            low, high = self.steady_log_s[last], self.steady_log_s[last + 1]
            load = float(steady[last] + (steady[last + 1] - steady[last]) * (wanted - low) / (high - low))
        return load * self.saturation_rps * math.exp(-slowness)

    def latency(self, rate_rps: float, seen: Slowness) -> Estimate:
        """Long-run percentile at a rate in ms.

        Args:
            rate_rps: Rate, > 0.
            seen: From :meth:`fit`.
        """
        return self._estimate([1000 * self.latency_s(rate_rps, f) for f in (seen.lo, seen.value, seen.hi)], seen)

    def kept(self, bound_s: float, seen: Slowness) -> Estimate:
        """Highest rate that keeps a bound in requests/s.

        Args:
            bound_s: In seconds, > 0.
            seen: From :meth:`fit`.
        """
        return self._estimate([self.kept_rps(bound_s, f) for f in (seen.hi, seen.value, seen.lo)], seen)

    def _estimate(self, ends: Sequence[float], seen: Slowness) -> Estimate:
        lo, value, hi = ends
        return Estimate(
            value=value,
            lo=lo,
            hi=hi,
            n=len(seen.by_run),
            method=f"latency–rate curve on {len(seen.by_run)} runs of {self.n:,} requests, each with its own seed, t",
            confidence=seen.confidence,
        )

    def _run_at(self, loads: Floats) -> Floats:
        """Mean log percentile of a run; beyond the last utilisation as it grows between the last two."""
        found = np.interp(loads, _UTILISATIONS, self.run_log_s)
        rise = (self.run_log_s[-1] - self.run_log_s[-2]) / (_UTILISATIONS[-1] - _UTILISATIONS[-2])
        beyond: Floats = np.maximum(loads - _UTILISATIONS[-1], 0.0) * max(rise, 0.0)
        return found + beyond


def long_run(
    rate: LatencyRate, rate_rps: float, tails_s: Sequence[float], seen: Slowness, aside_s: float = 0.0
) -> Estimate:
    """Long-run percentile in ms at the rate of some runs: theirs, times what a long run's is of one of that length.

    Student's t over the logarithms of what the runs say one by one. How much busier one was than the others, as its
    median says, is taken into account to first order.

    Args:
        rate: Latency by rate at that level, of runs of that length, scaled to the capacity that was seen.
        rate_rps: Of all runs, > 0.
        tails_s: Their percentiles in seconds, > 0; infinite where too few were answered, then the upper end is too.
        seen: As many runs' slowness by their medians, of which only the differences count, with the confidence of the
            interval.
        aside_s: What a request waits for beside the queue at that level, ≥ 0: it does not grow with the run. It is
            seen in few runs, so that the upper end is worked out without it.

    Returns:
        With infinite ends where no long run is worked out at that rate.

    Raises:
        ValueError: when there are not as many as in ``seen``.
    """
    if len(tails_s) != len(seen.by_run):
        raise ValueError(f"{len(tails_s)} percentiles of {len(seen.by_run)} runs")
    tails, more = np.array(tails_s), rate.longer(rate_rps, 0.0)
    lo, value, hi = float(tails.min()), math.inf, math.inf
    if np.isfinite(tails).all() and math.isfinite(more):
        by_run = more + _slope(rate, rate_rps) * (np.array(seen.by_run) - seen.value)
        aside = np.minimum(tails, aside_s)
        found = mean_t(np.log(aside + (tails - aside) * np.exp(by_run)), confidence=seen.confidence)
        top = max(found.hi, mean_t(np.log(tails) + by_run, confidence=seen.confidence).hi)
        lo, value = math.exp(found.lo), math.exp(found.value)
        hi = math.exp(top) if top < _MOST_LOG else math.inf
    return Estimate(
        value=1000 * value,
        lo=1000 * lo,
        hi=1000 * hi,
        n=tails.size,
        method=f"percentiles of {tails.size} runs of {rate.n:,} requests, each with its own seed, made long by the "
        "latency–rate curve, t",
        confidence=seen.confidence,
    )


def _slope(rate: LatencyRate, rate_rps: float) -> float:
    """How fast what a long run has more grows with the slowness; from below where it is endless above."""
    low, middle, high = (rate.longer(rate_rps, way * _SLOPE_STEP) for way in (-1, 0, 1))
    return (high - low) / (2 * _SLOPE_STEP) if math.isfinite(high) else (middle - low) / _SLOPE_STEP


def latency_rates(
    curve: ServiceCurve, *, instances: int, max_batch: int, percentiles: Sequence[float], n: int, seed: int = 0
) -> dict[float, LatencyRate]:
    """Simulate the latency by rate of one replica at some percentiles; the last ones asked for are remembered.

    Args:
        curve: Measured service times.
        instances: Workers.
        max_batch: Largest batch.
        percentiles: Each in (0, 1).
        n: Requests of one run, ≥ :func:`least_requests_of_run` of the highest.
        seed: Of arrivals and jitter, common to all rates.

    Raises:
        ValueError: when an argument is outside its domain.
    """
    if not percentiles or not all(0 < p < 1 for p in percentiles):
        raise ValueError(f"percentiles must lie in (0, 1), are {list(percentiles)}")
    if n < least_requests_of_run(max(percentiles)):
        raise ValueError(
            f"p{max(percentiles) * 100:g} needs runs of {least_requests_of_run(max(percentiles))} requests, not {n}"
        )
    return dict(_simulated(curve, instances, max_batch, tuple(percentiles), n, seed))


@lru_cache(maxsize=64)  # a plan that is priced again asks for the same several times
def _simulated(
    curve: ServiceCurve, instances: int, max_batch: int, percentiles: tuple[float, ...], n: int, seed: int
) -> dict[float, LatencyRate]:
    top = saturation_rps(curve, instances=instances, max_batch=max_batch)

    def logs(runs: int, requests: int, utilisations: Floats) -> Floats:
        found = [
            np.log(quantiles(at[:, _warm_up(requests) :], percentiles)).mean(axis=1)
            for at in simulated(
                curve, utilisations * top, runs=runs, n=requests, instances=instances, max_batch=max_batch, seed=seed
            )
        ]
        return np.maximum.accumulate(np.array(found), axis=0)

    long = max(_STEADY_REQUESTS // _STEADY_RUNS, 10 * requests_of_run(max(percentiles)))
    steady = logs(_STEADY_RUNS, long, _UTILISATIONS[_UTILISATIONS <= MOST_UTILISATION])
    short = logs(max(_FEWEST_RUNS, _REQUESTS // n), n, _UTILISATIONS)
    return {
        p: LatencyRate(percentile=p, n=n, saturation_rps=top, run_log_s=short[:, k], steady_log_s=steady[:, k])
        for k, p in enumerate(percentiles)
    }
