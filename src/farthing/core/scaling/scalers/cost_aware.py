"""Replicas by money: one more is bought while what it would save, by the forecast's own errors, is dearer than it is.

With ``n`` replicas that take ``c`` requests/s each, one more avoids up to ``c`` missed requests a second, with the
probability that the rate will be above ``n · c``. It pays while ``P(rate > n · c) · c · usd_per_miss`` is more than its
price a second: ``n`` is the quantile ``1 − price / (c · usd_per_miss)`` of the rate over ``c``, rounded up (the
newsvendor problem: Arrow, Harris & Marschak, "Optimal inventory policy", Econometrica 1951).

The rate that counts is the highest one until a replica that is asked for now would be ready. It is forecast as the
smoothed rate, times what a known season says of the time to come; the quantile is that of the forecast's past errors
at rates like the present one. Nothing is assumed of how arrivals are distributed.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farthing.nouns import FleetSeen, ScalingDecision, Trace

__all__ = ["CostAwarePolicy", "CostAwareScaler", "protected_frac"]

HISTORY = 4_096
"""Errors that are remembered."""
ALIKE = 256
"""Of them, those at the rates nearest to the present one, of which the quantile is taken."""
FIRST_FRAC = 0.5
"""Taken for the forecast's error before there are any."""
FEWEST = 16
_MOST_GROWTH = 4.0


def protected_frac(usd_per_replica_hour: float, rate_rps: float, usd_per_miss: float) -> float:
    """Probability with which the rate should be covered, in [0, 1).

    Args:
        usd_per_replica_hour: Price of one more, > 0.
        rate_rps: That it takes within the promise, > 0.
        usd_per_miss: What a request costs that is not answered as promised, > 0.

    Raises:
        ValueError: when an argument is not > 0.
    """
    if not (usd_per_replica_hour > 0 and rate_rps > 0 and usd_per_miss > 0):
        raise ValueError(f"price, rate and cost must be > 0: {usd_per_replica_hour}, {rate_rps}, {usd_per_miss}")
    return max(0.0, 1 - usd_per_replica_hour / 3600 / (rate_rps * usd_per_miss))


@dataclass(frozen=True, slots=True, kw_only=True)
class CostAwarePolicy:
    """What the rule is told.

    Attributes:
        rate_rps: That a replica takes within the promise, > 0.
        lag_s: From asking for a replica to its first request, ≥ 0.
        protected_frac: Probability with which the rate until then is covered, in [0, 1); see :func:`protected_frac`.
        max_replicas: Upper bound.
        min_replicas: Lower bound, ≥ 0.
        interval_s: Between decisions, > 0.
        smoothing_s: Time constant of the smoothed rate, > 0.
        hold_s: A replica is given up once it has not been wanted for so long, ≥ 0.
        season: Rates of a period that repeats, from the fleet's start on; None where none is known.
    """

    rate_rps: float
    lag_s: float
    protected_frac: float
    max_replicas: int
    min_replicas: int = 1
    interval_s: float = 15.0
    smoothing_s: float = 30.0
    hold_s: float = 60.0
    season: Trace | None = None

    def __post_init__(self) -> None:
        if not (self.rate_rps > 0 and self.interval_s > 0 and self.smoothing_s > 0):
            raise ValueError(f"rate, interval and smoothing must be > 0: {self}")
        if not (0 <= self.protected_frac < 1 and 0 <= self.lag_s < math.inf and self.hold_s >= 0):
            raise ValueError(f"protected_frac must lie in [0, 1), lag and hold be ≥ 0: {self}")
        if not 0 <= self.min_replicas <= self.max_replicas:
            raise ValueError(f"replicas must be 0 ≤ min ≤ max: {self}")

    @property
    def steps_ahead(self) -> int:
        """Intervals until a replica that is asked for now has served one."""
        return math.ceil(self.lag_s / self.interval_s) + 1


class CostAwareScaler:
    """See :class:`farthing.ports.Scaler`.

    Args:
        policy: What it is told.
    """

    name = "cost-aware"
    assumed: tuple[str, ...] = ()

    def __init__(self, policy: CostAwarePolicy) -> None:
        self._p = policy
        self.interval_s = policy.interval_s
        self._level: float | None = None
        self._rates: deque[float] = deque(maxlen=policy.steps_ahead)
        self._forecasts: deque[float] = deque(maxlen=policy.steps_ahead + 1)
        self._known: NDArray[np.float64] = np.empty((2, HISTORY))  # a ring: forecasts and their errors, on logarithms
        self._judged = 0
        self._wants: deque[int] = deque(maxlen=max(1, math.ceil(policy.hold_s / policy.interval_s)))

    def decide(self, seen: FleetSeen) -> ScalingDecision:
        """Learn from the interval, forecast, buy while it pays."""
        p, rate = self._p, seen.arrived_rps
        self._learn(rate)
        weight = 1 - math.exp(-seen.interval_s / p.smoothing_s)
        self._level = rate if self._level is None else self._level + weight * (rate - self._level)
        forecast = self._level * self._growth(seen.at_s)
        self._forecasts.append(forecast)
        covered = forecast * math.exp(self._error(forecast))
        backlog = max(0, seen.waiting - seen.ready) / (p.lag_s + p.interval_s)
        exact = (covered + backlog) / p.rate_rps
        self._wants.append(max(p.min_replicas, min(p.max_replicas, math.ceil(exact - 1e-9))))
        wanted = max(self._wants)
        held = f", {wanted} held for {p.hold_s:g} s" if wanted != self._wants[-1] else ""
        reason = (
            f"{forecast:.4g} requests/s expected, {covered:.4g} covered at {p.protected_frac * 100:.4g} %, "
            f"{p.rate_rps:.4g} a replica{held}"
        )
        return ScalingDecision(replicas=wanted, reason=reason)

    def _learn(self, rate: float) -> None:
        """Note how far the highest rate since was from a forecast that can be judged now."""
        self._rates.append(rate)
        if len(self._forecasts) >= self._p.steps_ahead:
            forecast = self._forecasts[-self._p.steps_ahead]
            at = self._logged(forecast)
            self._known[:, self._judged % HISTORY] = at, self._logged(max(self._rates)) - at
            self._judged += 1

    def _logged(self, rate: float) -> float:
        """Logarithm of a rate; one request an interval more, so that none has one as well."""
        return math.log(rate + 1 / self._p.interval_s)

    def _error(self, forecast: float) -> float:
        """Quantile of past errors at rates like this one, on logarithms."""
        if self._judged < FEWEST:
            return math.log1p(FIRST_FRAC)
        at_rate, errors = self._known[:, : min(self._judged, HISTORY)]
        far = np.abs(at_rate - self._logged(forecast))
        count = min(ALIKE, far.size)
        alike = errors[np.argpartition(far, count - 1)[:count]]
        at = math.ceil(self._p.protected_frac * (count + 1))  # of errors to come, not of those seen
        if at <= count:
            return float(np.partition(alike, max(0, at - 1))[max(0, at - 1)])
        return float(alike.max())

    def _growth(self, at_s: float) -> float:
        """Highest rate of the season until the step ahead over that of now."""
        season = self._p.season
        if season is None:
            return 1.0
        now = int(at_s // season.step_s)
        ahead = int((at_s + self._p.lag_s + self._p.interval_s) // season.step_s)
        size = season.counts.size
        later = max(float(season.counts[k % size]) for k in range(now, ahead + 1))
        here = float(season.counts[now % size])
        return min(_MOST_GROWTH, later / here) if here > 0 else 1.0
