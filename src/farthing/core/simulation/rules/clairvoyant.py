"""One who knows the arrivals, with the same lag, queues and whole replicas: what rules are held against."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farthing.nouns import FleetSeen, ScalingDecision, Trace
from farthing.ports import Scaler

__all__ = ["ClairvoyantScaler", "Known", "clairvoyant_replicas", "clairvoyant_rules"]

STEP_S = 60.0
"""Of the arrivals that are known."""
_RATES = (0.9, 1.0, 1.1, 1.2, 1.3)
_MISSED = (0.0, 0.5, 0.9)
_INTERVAL_S = 15.0


def clairvoyant_replicas(
    counts: NDArray[np.float64], step_s: float, rate_rps: float, *, missed_frac: float, min_replicas: int = 1
) -> NDArray[np.int64]:
    """Fewest whole replicas in each step such that at most a share of all requests is missed.

    In each step ``⌈rate / rate_rps⌉`` replicas would miss none; taken away are first those that the fewest requests
    hang on, as long as the share allows.

    Args:
        counts: Requests by step, shape ``(n,)``, ≥ 0.
        step_s: Length of a step, > 0.
        rate_rps: That a replica takes within the promise, > 0.
        missed_frac: Allowed, in [0, 1).
        min_replicas: At any time, ≥ 0.

    Returns:
        Shape ``(n,)``.
    """
    most = rate_rps * step_s
    replicas = np.maximum(np.ceil(counts / most - 1e-9).astype(np.int64), min_replicas)
    budget = missed_frac * float(counts.sum())
    hanging = [(float(counts[k] - (replicas[k] - 1) * most), k) for k in np.flatnonzero(replicas > min_replicas)]
    heapq.heapify(hanging)
    while hanging:
        missed, k = heapq.heappop(hanging)  # requests that the last replica of step k serves
        if missed > budget:
            break
        budget -= missed
        replicas[k] -= 1
        if replicas[k] > min_replicas:
            heapq.heappush(hanging, (most, k))
    return replicas


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """Replicas that will be needed.

    Attributes:
        replicas: By step, shape ``(n,)``.
        step_s: Its length, > 0.
        lag_s: From asking for a replica to its first request, ≥ 0.
        max_replicas: That can be had.
    """

    replicas: NDArray[np.int64]
    step_s: float
    lag_s: float
    max_replicas: int

    def between(self, start_s: float, end_s: float) -> int:
        """Most that are needed from one time to another."""
        last = self.replicas.size - 1
        first = min(last, int(start_s // self.step_s))
        until = min(last, int(end_s // self.step_s))
        return min(self.max_replicas, int(self.replicas[first : until + 1].max()))


class ClairvoyantScaler:
    """Asks for what will be needed once it could be there; see :class:`farthing.ports.Scaler`.

    Args:
        known: What will be needed.
    """

    name = "all arrivals known beforehand"
    interval_s = _INTERVAL_S
    assumed: tuple[str, ...] = ()

    def __init__(self, known: Known) -> None:
        self._known = known

    def decide(self, seen: FleetSeen) -> ScalingDecision:
        """The most until a replica that is asked for at the next look would be there."""
        wanted = self._known.between(seen.at_s, seen.at_s + self._known.lag_s + self.interval_s)
        return ScalingDecision(replicas=wanted, reason="known beforehand")


def clairvoyant_rules(
    trace: Trace, rate_rps: float, *, attainment_frac: float, lag_s: float, min_replicas: int, max_replicas: int
) -> Iterator[Scaler]:
    """Rules of one who knows the arrivals of each minute, from cautious to bold; the cheapest that keeps is the one.

    What a replica takes and what may be missed are varied, since what queues and the lag do to them is seen only by
    simulating them.

    Args:
        trace: Arrivals.
        rate_rps: That a replica takes within the promise, > 0.
        attainment_frac: Asked for, in (0, 1).
        lag_s: From asking for a replica to its first request, ≥ 0.
        min_replicas: At any time, ≥ 0.
        max_replicas: At any time.
    """
    group = max(1, round(STEP_S / trace.step_s))
    starts = np.arange(0, trace.counts.size, group)
    counts, step_s = np.add.reduceat(trace.counts, starts), trace.step_s * group
    for rate in _RATES:
        for missed in _MISSED:
            replicas = clairvoyant_replicas(
                counts,
                step_s,
                rate * rate_rps,
                missed_frac=missed * (1 - attainment_frac),
                min_replicas=min_replicas,
            )
            known = Known(replicas=replicas, step_s=step_s, lag_s=lag_s, max_replicas=max_replicas)
            yield ClairvoyantScaler(known)
