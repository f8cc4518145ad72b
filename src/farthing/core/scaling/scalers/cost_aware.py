"""Replicas by money: the way of holding them that would have been cheapest so far for the same promise, ever again.

Each decision replays hundreds of simple ways on all that has come (:mod:`farthing.core.scaling.scalers.experts`), with
the lag that a new replica has, and takes the cheapest that would have missed no more than the promise allows; or, where
a missed request has a price, the one with the fewest dollars in all. So what one more replica costs is weighed against
what it would have saved, by what this traffic does within the lag and not by an assumption on it.

Two things are steered by what is seen. The share that may be missed is an error budget over all that came and half as
much again: what has been missed above the promise is earned back, what has been missed below it may be spent. And what
a replica takes is learned in intervals in which requests were refused: it is then that replicas take all they can.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farthing.core.scaling.scalers.experts import Experts
from farthing.nouns import FleetSeen, ScalingDecision

__all__ = ["INTERVAL_S", "CostAwarePolicy", "CostAwareScaler"]

INTERVAL_S = 15.0
FEWEST = 40
"""Intervals before a way is chosen by its score."""
FIRST_MARGIN = 1.5
"""On the highest rate so far until then."""
ALLOWED_RANGE = (0.1, 3.0)
"""Times the promised share that may be missed for a while, at least and at most."""
BUDGET_FRAC = 0.5
"""Of the time since the start, in which a surplus or deficit of missed requests is spent or earned back …"""
BUDGET_RANGE_S = (3_600.0, 86_400.0)
"""… and its bounds."""
_CAPACITY_KEPT = 0.98
_CAPACITY_WEIGHT = 1.0
_CAPACITY_RANGE = (0.7, 1.5)
_REFUSING_FRAC = 0.01


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CostAwarePolicy:
    """What the rule is told.

    Attributes:
        rate_rps: That a replica takes within the promise, > 0.
        lag_s: From asking for a replica to its first request, ≥ 0.
        attainment_frac: Share of the requests to be answered as promised, in (0, 1).
        max_replicas: Upper bound.
        min_replicas: Lower bound, ≥ 0.
        initial: Replicas at the start.
        aim_frac: Of what may be missed, that is aimed for, in (0, 1]: room for what never came before.
        usd_per_miss: What a missed request costs; None to go by ``attainment_frac``.
        usd_per_hour: Of a replica, > 0; used with ``usd_per_miss``.
        interval_s: Between decisions, > 0.
        history_rps: Rates of intervals before the start, shape ``(n,)``, ≥ 0; None where none are known.
    """

    rate_rps: float
    lag_s: float
    max_replicas: int
    attainment_frac: float = 0.99
    min_replicas: int = 1
    initial: int = 1
    aim_frac: float = 0.7
    usd_per_miss: float | None = None
    usd_per_hour: float = 1.0
    interval_s: float = INTERVAL_S
    history_rps: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        positive = (self.rate_rps, self.interval_s, self.usd_per_hour)
        if not all(math.isfinite(number) and number > 0 for number in positive):
            raise ValueError(f"rate, price and times must be finite and > 0: {self}")
        if not (0 < self.attainment_frac < 1 and 0 < self.aim_frac <= 1 and 0 <= self.lag_s < math.inf):
            raise ValueError(f"attainment must lie in (0, 1), aim in (0, 1], lag be finite and ≥ 0: {self}")
        if self.usd_per_miss is not None and not self.usd_per_miss > 0:
            raise ValueError(f"what a miss costs must be > 0: {self}")
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
        self._experts = Experts(
            interval_s=policy.interval_s,
            steps_ahead=policy.steps_ahead,
            bounds=(policy.min_replicas, policy.max_replicas),
            initial=policy.initial,
        )
        self._highest = 0.0
        self._came = self._missed = 0.0
        self._capacity = _Capacity(policy.rate_rps)
        for rate in () if policy.history_rps is None else policy.history_rps.tolist():
            self._experts.learn(rate, policy.rate_rps)

    def decide(self, seen: FleetSeen) -> ScalingDecision:
        """Take in the interval, choose the way that would have been best, do as it does now."""
        each_rps = self._capacity.learn(seen)
        late = seen.answered - seen.within_promise
        rate = seen.arrived_rps + self._unserved(seen, late)
        self._experts.learn(rate, each_rps)
        self._came += seen.arrived
        self._missed += seen.failed + late
        if self._experts.seen < FEWEST:
            return self._first(rate, each_rps)
        allowed = self._allowed_frac(seen.at_s)
        if self._p.usd_per_miss is None:
            way = self._experts.within(allowed)
            why = f"of what may be missed now, {allowed * 100:.2g} %"
        else:
            way = self._experts.cheapest(self._p.usd_per_hour / 3600, self._p.usd_per_miss)
            why = f"with ${self._p.usd_per_miss:g} a missed request"
        wanted = self._experts.wanted(way)
        missed = self._experts.missed_frac(way) * 100
        reason = (
            f"{wanted * each_rps:.4g} requests/s covered: {self._experts.words(way)}; so far that would have been the "
            f"cheapest, missing {missed:.2g} % {why}; {each_rps:.4g} a replica"
        )
        return ScalingDecision(replicas=wanted, reason=reason)

    def _first(self, rate: float, each_rps: float) -> ScalingDecision:
        self._highest = max(self._highest, rate)
        wanted = math.ceil(self._highest * FIRST_MARGIN / each_rps - 1e-9)
        within = max(self._p.min_replicas, min(self._p.max_replicas, wanted))
        reason = f"{FIRST_MARGIN:g} × the highest rate so far, {self._highest:.4g} requests/s, until more is known"
        return ScalingDecision(replicas=within, reason=reason)

    def _unserved(self, seen: FleetSeen, late: int) -> float:
        """What waits is to be served beside what comes where requests are answered late rather than refused."""
        if seen.failed or late <= _REFUSING_FRAC * seen.answered:
            return 0.0
        return max(0, seen.waiting - seen.ready) / (self._p.lag_s + self._p.interval_s)

    def _allowed_frac(self, now_s: float) -> float:
        """Share of what comes next that may be missed, so that over all the aim is kept."""
        missable = 1 - self._p.attainment_frac
        shortest_s, longest_s = BUDGET_RANGE_S
        budget_s = min(longest_s, max(shortest_s, BUDGET_FRAC * now_s))
        coming = self._came / max(now_s, self._p.interval_s) * budget_s
        if not coming:
            return missable * self._p.aim_frac
        left = missable * self._p.aim_frac * (self._came + coming) - self._missed
        least, most = ALLOWED_RANGE
        return missable * min(most, max(least, left / coming / missable))


class _Capacity:
    """What a replica takes within the promise: as it was told, and as intervals show in which requests were refused."""

    def __init__(self, told_rps: float) -> None:
        self._told_rps = told_rps
        self._sum = self._weight = 0.0
        self._ready = 0

    def learn(self, seen: FleetSeen) -> float:
        steady = seen.ready == self._ready > 0
        self._ready = seen.ready
        if steady and seen.failed > _REFUSING_FRAC * seen.arrived:
            each = seen.within_promise / (seen.ready * seen.interval_s)
            self._sum = _CAPACITY_KEPT * self._sum + each
            self._weight = _CAPACITY_KEPT * self._weight + 1
        found = (self._sum + _CAPACITY_WEIGHT * self._told_rps) / (self._weight + _CAPACITY_WEIGHT)
        least, most = _CAPACITY_RANGE
        return min(most * self._told_rps, max(least * self._told_rps, found))
