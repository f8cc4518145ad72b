"""Whole replicas of one who knows the arrivals: what no rule can go below by much."""

from __future__ import annotations

import heapq
import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["clairvoyant_replicas", "clairvoyant_usd"]


def clairvoyant_replicas(
    counts: NDArray[np.float64], step_s: float, rate_rps: float, *, missed_frac: float, min_replicas: int = 1
) -> NDArray[np.int64]:
    """Fewest whole replicas in each step such that at most a share of all requests is missed.

    In each step ``⌈rate / rate_rps⌉`` replicas would miss none; taken away are first those that the fewest requests
    hang on, as long as the share allows. A replica that is asked for in time is there in time, so that the lag does not
    matter to one who knows.

    Args:
        counts: Requests by step, shape ``(n,)``, ≥ 0.
        step_s: Length of a step, > 0; no shorter than a replica is paid at least.
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


def clairvoyant_usd(replicas: NDArray[np.int64], step_s: float, usd_per_hour: float) -> float:
    """What those replicas cost, each paid to the second.

    Args:
        replicas: By step.
        step_s: Length of a step, > 0.
        usd_per_hour: Of a replica.
    """
    return math.fsum((replicas * step_s / 3600 * usd_per_hour).tolist())
