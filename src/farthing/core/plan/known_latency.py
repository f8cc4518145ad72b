"""Latency by rate of a candidate that was measured, from what a plan keeps of it: its curve, a rate kept, a tail seen.

A plan holds the service times of each build and layout, the rate that the choice kept within the promise, and its
latency at the plan's peak, both with intervals. Together they say two things: by what factor the replica is slower
than its curve (``e^f``, as in :mod:`farthing.core.traffic.latency_rate`), and what a request waits for beside the queue
(``a``: protocol, the system's scheduler). With ``K`` the queue model's rate within a bound, ``P`` its percentile there,

    K(bound − a, f) = rate kept          a + P(r, f) = latency seen at the rate r

so a rate at another bound or level, and a latency at another rate, carry the intervals of what they rest on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from farthing.core.plan.findings import Findings
from farthing.core.traffic.batch_queue import HEADROOM_FRAC, saturation_rps
from farthing.core.traffic.latency_rate import LatencyRate, latency_rates, requests_of_run
from farthing.nouns import NEVER_MS, Candidate, Estimate, Latency, LatencyBound, Measurement

__all__ = ["Known", "baseline_known", "known_at", "latency_curves", "stable_slowness"]

_RUN_REQUESTS = 12_500
_USUAL = (0.5, 0.9, 0.95, 0.99)
_LEAST, _MOST = -math.log(4.0), math.log(64.0)
_STEPS = 50
_MOST_ASIDE_FRAC = 0.95
METHOD = "latency–rate curve of the measured runs"

Ends = tuple[float, float, float]
"""Lower end, value, upper end."""
_NONE: Ends = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """Latency by rate at one level, as far as measurements say.

    Attributes:
        curve: Of the candidate.
        slow: Logarithm of its service times over those of the curve.
        aside_s: What a request waits for beside the queue, ≥ 0.
        n: Runs behind it.
    """

    curve: LatencyRate
    slow: Ends = _NONE
    aside_s: Ends = _NONE
    n: int = 0

    def latency(self, rate_rps: float) -> Latency:
        """Long-run percentile at a rate, > 0; ``NEVER_MS`` where the queue grows."""
        queue = [min(1000 * self.curve.latency_s(rate_rps, f), NEVER_MS) for f in self.slow]
        aside = [1000 * a for a in self.aside_s]
        value = min(queue[1] + aside[1], NEVER_MS)
        down, up = (math.hypot(queue[1] - queue[k], aside[1] - aside[k]) for k in (0, 2))
        hi = NEVER_MS if max(queue[2], aside[2], value + up) >= NEVER_MS / 2 else value + up
        found = Estimate(value=value, lo=max(0.0, value - down), hi=max(hi, value), n=self.n, method=METHOD)
        return Latency(percentile=self.curve.percentile, ms=found)

    def kept(self, bound_s: float | None) -> Estimate | None:
        """Highest rate within a bound in requests/s, None where none is; without one, saturation less the headroom."""
        hi, value, lo = (self._kept(bound_s, f) for f in self.slow)
        if not value > 0:
            return None
        return Estimate(value=value, lo=min(lo, value), hi=max(hi, value), n=self.n, method=METHOD)

    def _kept(self, bound_s: float | None, slow: float) -> float:
        if bound_s is None:
            return self.curve.saturation_rps * math.exp(-slow) * (1 - HEADROOM_FRAC)
        left_s = bound_s - self.aside_s[1]
        return self.curve.kept_rps(left_s, slow) if left_s > 0 else 0.0


def latency_curves(found: Findings, c: Candidate, levels: Iterable[float], seed: int = 0) -> dict[float, LatencyRate]:
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
    asked = sorted({*_USUAL, *levels})
    return latency_rates(
        known.upto(c.max_batch),
        instances=c.instances,
        max_batch=c.max_batch,
        percentiles=asked,
        n=max(_RUN_REQUESTS, requests_of_run(asked[-1])),
        seed=seed,
    )


def known_at(found: Findings, c: Candidate, promised: LatencyBound | None, level: float, seed: int = 0) -> Known | None:
    """Latency by rate of a candidate at a level; None without its service times.

    Args:
        found: With the rate that it kept and the latency that was seen, as far as there are any.
        c: Who.
        promised: The bound within which it kept that rate, None for none.
        level: Asked for, in (0, 1).
        seed: Of the queue model.
    """
    seen, kept = found.server.get(c), found.kept_rps.get(c)
    seen_at = _level_seen(seen, level if promised is None else promised.percentile)
    asked = {level, *([] if promised is None else [promised.percentile]), *([] if seen_at is None else [seen_at])}
    curves = latency_curves(found, c, asked, seed)
    if not curves:
        return None
    tail = None if seen is None or seen_at is None else _Tail.of(seen, seen_at, curves[seen_at])
    if kept is not None and kept.value > 0:
        keeps = _Keeps(curve=curves[level if promised is None else promised.percentile], bound=promised, kept=kept)
        aside = _NONE if tail is None else _aside(keeps, tail)
        return Known(curve=curves[level], slow=keeps.slow(aside[1]), aside_s=aside, n=kept.n)
    return Known(curve=curves[level], aside_s=_NONE if tail is None else tail.aside(0.0))


def baseline_known(found: Findings, level: float, seed: int = 0) -> Known | None:
    """The baseline's latency by rate, its rate being the highest stable one; None without service times or a rate."""
    base = found.baseline
    rate, seen = found.sla_rps.get(base), found.server.get(base)
    seen_at = _level_seen(seen, level)
    curves = latency_curves(found, base, {level, *([] if seen_at is None else [seen_at])}, seed)
    if not curves or rate is None:
        return None
    slow = stable_slowness(found, base, rate)
    aside = _NONE if seen is None or seen_at is None else _Tail.of(seen, seen_at, curves[seen_at]).aside(slow)
    return Known(curve=curves[level], slow=(slow, slow, slow), aside_s=aside)


def stable_slowness(found: Findings, c: Candidate, rate_rps: float) -> float:
    """Logarithm of how much slower than its curve a candidate is that is rated at its highest stable rate."""
    known = found.curves[replace(c, max_batch=1)]
    full = saturation_rps(known, instances=c.instances, max_batch=c.max_batch) * (1 - HEADROOM_FRAC)
    return math.log(full / rate_rps)


def _level_seen(served: Measurement | None, level: float) -> float | None:
    """The level itself where it was seen at a known rate, else the highest one that was; None where none was."""
    if served is None or "offered_rps" not in served.metrics or not served.levels:
        return None
    return level if level in served.levels else served.levels[-1]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Keeps:
    """A rate that was kept within a bound."""

    curve: LatencyRate
    bound: LatencyBound | None
    kept: Estimate

    def slow(self, aside_s: float) -> Ends:
        """Slowness that explains it where so much of the bound is spent beside the queue; its own interval's ends."""
        lo, value, hi = (self._slow(x, aside_s) for x in (self.kept.hi, self.kept.value, self.kept.lo))
        return min(lo, value), value, max(hi, value)

    def _slow(self, kept_rps: float, aside_s: float) -> float:
        if self.bound is None:
            full = self.curve.saturation_rps * (1 - HEADROOM_FRAC)
            return math.log(full / min(max(kept_rps, full / 64), full * 4))
        left_s = self.bound.ms / 1000 - aside_s
        return _solve(lambda f: self.curve.kept_rps(left_s, f) <= kept_rps)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Tail:
    """A latency that was seen at a rate."""

    curve: LatencyRate
    rate_rps: float
    seen_s: Ends

    @classmethod
    def of(cls, served: Measurement, level: float, curve: LatencyRate) -> _Tail:
        ms = served.latency(level)
        return cls(
            curve=curve,
            rate_rps=served.metrics["offered_rps"].value,
            seen_s=(ms.lo / 1000, ms.value / 1000, ms.hi / 1000),
        )

    def more_s(self, slow: float) -> float:
        """What was seen beyond the queue of a replica that is so slow; negative where the queue alone is longer."""
        return self.seen_s[1] - self.curve.latency_s(self.rate_rps, slow)

    def aside(self, slow: float) -> Ends:
        """The same as a wait beside the queue, with the ends of what was seen."""
        more = self.more_s(slow)
        if not more > 0 or self.seen_s[1] >= NEVER_MS / 1000:
            return _NONE
        return max(0.0, more - self.seen_s[1] + self.seen_s[0]), more, more + self.seen_s[2] - self.seen_s[1]


def _aside(keeps: _Keeps, tail: _Tail) -> Ends:
    """The wait beside the queue at which rate kept and latency seen are explained by one slowness; 0 where none is."""
    if keeps.bound is None or tail.seen_s[1] >= NEVER_MS / 1000:
        return tail.aside(keeps.slow(0.0)[1]) if keeps.bound is None else _NONE
    low, high = 0.0, _MOST_ASIDE_FRAC * min(keeps.bound.ms / 1000, tail.seen_s[1])
    if tail.more_s(keeps.slow(0.0)[1]) <= 0:
        return _NONE
    for _ in range(_STEPS // 2):
        middle = (low + high) / 2
        enough = tail.more_s(keeps.slow(middle)[1]) <= middle
        low, high = (low, middle) if enough else (middle, high)
    down, up = (abs(tail.seen_s[k] - tail.seen_s[1]) for k in (0, 2))
    return max(0.0, high - down), high, high + up


def _solve(reached: Callable[[float], bool]) -> float:
    """Least slowness at which a condition holds that holds from there on; the ends of the grid where there is none."""
    low, high = _LEAST, _MOST
    if reached(low):
        return low
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
