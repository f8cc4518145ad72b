"""Latency by rate of a candidate that was measured, from what a plan keeps of it: its curve, a rate kept, a tail seen.

A plan holds the service times of each build and layout, the rate that the choice kept within the promise, and its
latency at the plan's peak, both with intervals. Each of the two says how much slower than its curve the replica is
(:mod:`farthing.core.traffic.latency_rate`): the slowness at which the queue model gives what was seen. Its ends follow
from the ends of what was seen, so a rate or a latency at another bound, level or rate carries the interval of the
measurement that it rests on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from farthing.core.search.findings import Findings
from farthing.core.traffic.batch_queue import HEADROOM_FRAC, saturation_rps
from farthing.core.traffic.latency_rate import LatencyRate, latency_rates, requests_of_run
from farthing.nouns import NEVER_MS, Candidate, Estimate, Latency, LatencyBound

__all__ = ["Known", "latency_curves", "slowness_at", "slowness_of_kept", "slowness_of_stable"]

_RUN_REQUESTS = 12_500
_LEAST, _MOST = -math.log(4.0), math.log(64.0)
_STEPS = 60
METHOD = "latency–rate curve of the measured runs"

Slow = tuple[float, float, float]
"""Logarithm of the service times over those of the curve: lower end, value, upper end."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """Latency by rate at one level, as far as measurements say.

    Attributes:
        curve: Of the candidate.
        slow: How much slower than it the replica is.
        n: Runs behind it.
    """

    curve: LatencyRate
    slow: Slow
    n: int = 0

    def latency(self, rate_rps: float) -> Latency:
        """Long-run percentile at a rate, > 0; ``NEVER_MS`` where the queue grows."""
        lo, value, hi = (min(1000 * self.curve.latency_s(rate_rps, f), NEVER_MS) for f in self.slow)
        found = Estimate(value=value, lo=min(lo, value), hi=max(hi, value), n=self.n, method=METHOD)
        return Latency(percentile=self.curve.percentile, ms=found)

    def kept(self, bound_s: float | None) -> Estimate | None:
        """Highest rate within a bound in requests/s; without one what queues need is left of saturation; None for 0."""
        ends = [self._kept(bound_s, f) for f in self.slow]
        hi, value, lo = ends
        if not value > 0:
            return None
        return Estimate(value=value, lo=min(lo, value), hi=max(hi, value), n=self.n, method=METHOD)

    def _kept(self, bound_s: float | None, slow: float) -> float:
        if bound_s is None:
            return self.curve.saturation_rps * math.exp(-slow) * (1 - HEADROOM_FRAC)
        return self.curve.kept_rps(bound_s, slow)


def latency_curves(found: Findings, c: Candidate, levels: Sequence[float], seed: int = 0) -> dict[float, LatencyRate]:
    """Simulate a candidate's latency by rate; empty when its service times are not known up to its batch.

    Args:
        found: With its curve.
        c: Who.
        levels: Percentiles, each in (0, 1).
        seed: Of arrivals and jitter.
    """
    known = found.curves.get(replace(c, max_batch=1))
    if known is None or known.sizes[-1] < c.max_batch:
        return {}
    n = max(_RUN_REQUESTS, requests_of_run(max(levels)))
    chosen = tuple(sorted(set(levels)))
    return latency_rates(known, instances=c.instances, max_batch=c.max_batch, percentiles=chosen, n=n, seed=seed)


def slowness_of_kept(curve: LatencyRate, bound: LatencyBound | None, kept: Estimate) -> Slow:
    """What a rate kept within a bound says; without a bound, kept is a share of saturation.

    Args:
        curve: At the bound's level.
        bound: The promise it kept, None for none.
        kept: In requests/s, > 0.
    """
    if bound is None:
        full = curve.saturation_rps * (1 - HEADROOM_FRAC)
        hi, value, lo = (math.log(full / max(x, full / 64)) for x in (kept.lo, kept.value, kept.hi))
        return min(lo, value), value, max(hi, value)
    bound_s = bound.ms / 1000
    hi, value, lo = (_solve(lambda f, x=x: curve.kept_rps(bound_s, f) <= x) for x in (kept.lo, kept.value, kept.hi))
    return min(lo, value), value, max(hi, value)


def slowness_at(curve: LatencyRate, rate_rps: float, ms: Estimate) -> Slow:
    """What a latency that was seen at a rate says.

    Args:
        curve: At the level of the latency.
        rate_rps: > 0.
        ms: The latency.
    """
    lo, value, hi = (_solve(lambda f, x=x: 1000 * curve.latency_s(rate_rps, f) >= x) for x in (ms.lo, ms.value, ms.hi))
    return min(lo, value), value, max(hi, value)


def slowness_of_stable(found: Findings, c: Candidate, rate_rps: float) -> float:
    """How much slower than its curve a candidate is that is rated at its highest stable rate (the server's share)."""
    known = found.curves[replace(c, max_batch=1)]
    full = saturation_rps(known, instances=c.instances, max_batch=c.max_batch) * (1 - HEADROOM_FRAC)
    return math.log(full / rate_rps)


def _solve(reached: Callable[[float], bool]) -> float:
    """Least slowness at which a condition holds that holds from there on; the ends of the grid where there is none."""
    low, high = _LEAST, _MOST
    if reached(low):
        return low
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
