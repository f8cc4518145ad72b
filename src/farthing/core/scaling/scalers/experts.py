"""Simple ways of choosing replicas, and what each of them would have cost and missed on all that has come so far.

A way is three numbers: *as many as the highest rate of the last ``w`` seconds needs, times a margin ``m``, and never
fewer than the quantile ``q`` of all rates needs*. Windows hold replicas and say when they go, margins are room for what
grows while a replica starts, quantiles are a floor for what comes back. All of them are replayed at once, interval by
interval, as a fluid: a replica that a way asks for serves from its lag on, what is above what those serve is missed.

Choosing the way that would have been best so far is "follow the leader" of prediction with expert advice
(Cesa-Bianchi & Lugosi, *Prediction, Learning, and Games*, 2006); scores fade, so that an old leader can be overtaken.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

__all__ = ["FLOORS", "MARGINS", "WINDOWS", "Experts"]

Floats = NDArray[np.float64]
WINDOWS = (1, 2, 5, 10, 20, 40, 160)
"""In times that a replica takes to start: one that is given up sooner is missed before another could be there."""
MARGINS = (0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.3, 1.5, 2.0, 3.0)
FLOORS = (0.0, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 1.0)
LEAST_HALF_LIFE_S = 3_600.0
HALF_LIFE_FRAC = 0.5
"""Of the time seen, after which a score counts half."""
REMEMBERED = 23_040
"""Rates of which the quantiles are taken: four days of 15 s."""
_QUANTILES_EVERY = 20


class _RollingMaximum:
    """Highest of the last so many values (Lemire 2006)."""

    def __init__(self, size: int) -> None:
        self._size, self._seen = size, 0
        self._falling: deque[tuple[int, float]] = deque()

    def push(self, value: float) -> float:
        while self._falling and self._falling[-1][1] <= value:
            self._falling.pop()
        self._falling.append((self._seen, value))
        self._seen += 1
        if self._falling[0][0] <= self._seen - 1 - self._size:
            self._falling.popleft()
        return self._falling[0][1]


class Experts:
    """All ways, and their scores.

    Args:
        interval_s: Between two rates, > 0.
        steps_ahead: Intervals until a replica that is asked for has served one, ≥ 1.
        bounds: Fewest and most replicas.
        initial: Replicas that every way begins with.
    """

    def __init__(self, *, interval_s: float, steps_ahead: int, bounds: tuple[int, int], initial: int) -> None:
        sizes = [w * max(1, steps_ahead - 1) for w in WINDOWS]
        self._windows_s = [size * interval_s for size in sizes]
        self._windows = [_RollingMaximum(size) for size in sizes]
        self._shape = (len(WINDOWS), len(MARGINS), len(FLOORS))
        self._margins = np.array(MARGINS)
        self._least_half_life = LEAST_HALF_LIFE_S / interval_s
        self._bounds = bounds
        ways = math.prod(self._shape)
        self._asked = np.full((steps_ahead, ways), float(initial))  # a ring: wanted after each of the last steps
        self._cost, self._missed, self._came = np.zeros(ways), np.zeros(ways), 0.0
        self._rates: deque[float] = deque(maxlen=REMEMBERED)
        self._floors = np.zeros(len(FLOORS))
        self.seen = 0

    def learn(self, rate_rps: float, each_rps: float) -> None:
        """Take in one interval.

        Args:
            rate_rps: That came in it, ≥ 0.
            each_rps: That a replica takes within the promise, > 0.
        """
        there = self._asked.min(axis=0)  # replicas that have been wanted ever since they could have started
        keep = 0.5 ** (1 / max(self._least_half_life, HALF_LIFE_FRAC * self.seen))
        for score in (self._cost, self._missed):
            score *= keep
        self._missed += np.maximum(0.0, rate_rps - there * each_rps)
        self._came = self._came * keep + rate_rps
        wanted = self._ways(rate_rps, each_rps)
        self._asked[self.seen % len(self._asked)] = wanted
        self._cost += wanted
        self.seen += 1

    def _ways(self, rate_rps: float, each_rps: float) -> Floats:
        self._rates.append(rate_rps)
        if self.seen % _QUANTILES_EVERY == 0:
            self._floors = np.quantile(np.array(self._rates), FLOORS)
            self._floors[0] = 0.0
        highest = np.array([window.push(rate_rps) for window in self._windows])
        rates = np.maximum(np.multiply.outer(highest, self._margins)[:, :, None], self._floors).reshape(-1)
        wanted: Floats = np.clip(np.ceil(rates / each_rps - 1e-9), *self._bounds)
        return wanted

    def within(self, missed_frac: float) -> int:
        """The cheapest way that would have missed at most so much; where none, the one that would have missed least.

        Args:
            missed_frac: Of what came, in (−∞, 1].
        """
        allowed = max(0.0, missed_frac) * self._came
        least = float(self._missed.min())
        near = self._missed <= max(allowed, least) + 1e-12 * self._came
        return int(np.where(near, self._cost, math.inf).argmin())

    def cheapest(self, usd_per_replica_s: float, usd_per_miss: float) -> int:
        """The way with the fewest dollars, missed requests included.

        Args:
            usd_per_replica_s: Price of a replica, > 0.
            usd_per_miss: What a missed request costs, > 0.
        """
        return int((self._cost * usd_per_replica_s + self._missed * usd_per_miss).argmin())

    def wanted(self, way: int) -> int:
        """Replicas that a way wants now."""
        return int(self._asked[(self.seen - 1) % len(self._asked), way])

    def missed_frac(self, way: int) -> float:
        """What it would have missed of what came so far."""
        return float(self._missed[way]) / self._came if self._came else 0.0

    def words(self, way: int) -> str:
        """A way in words."""
        window, margin, floor = np.unravel_index(way, self._shape)
        held = f"{MARGINS[margin]:g} × the highest rate of {self._windows_s[window]:g} s"
        return held if floor == 0 else f"{held}, at least the {FLOORS[floor] * 100:g} % quantile of all"
