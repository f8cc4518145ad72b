"""What little traffic costs where a replica need not be paid all month: scale to zero, and by the request.

*Scale to zero* keeps a replica for an idle time ``T`` after each request. With arrivals Poisson at the trace's rate,
``W(t)`` requests are expected in the ``T`` before ``t``: the replica is up with probability ``1 − e^(−W)``, and a
request that comes finds it down, and waits for a start, with probability ``e^(−W)`` (a start is short beside ``T``).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from farthing.nouns import Trace

__all__ = ["IDLE_S", "up_frac", "waiting_frac"]

IDLE_S = 900.0
"""How long a replica without requests is kept, as autoscalers that go to zero do by default (some minutes)."""


def up_frac(trace: Trace, idle_s: float = IDLE_S) -> float:
    """Share of the time for which a replica that scales to zero is up and paid for, in (0, 1].

    Args:
        trace: Arrivals; it repeats.
        idle_s: Time without requests after which it goes, > 0.

    Raises:
        ValueError: when ``idle_s`` is not finite and > 0.
    """
    return float((1 - np.exp(-_expected(trace, idle_s))).mean())


def waiting_frac(trace: Trace, idle_s: float = IDLE_S) -> float:
    """Share of the requests that find it down and wait for a start, in [0, 1); arguments as :func:`up_frac`."""
    return float((trace.counts * np.exp(-_expected(trace, idle_s))).sum() / trace.counts.sum())


def _expected(trace: Trace, idle_s: float) -> NDArray[np.float64]:
    """Requests expected in the idle time before the middle of each step, shape as the trace's counts."""
    if not (math.isfinite(idle_s) and idle_s > 0):
        raise ValueError(f"idle_s must be finite and > 0, is {idle_s}")
    n, whole = trace.counts.size, float(trace.counts.sum())
    running = np.concatenate([[0.0], np.cumsum(trace.counts)])
    edges, middles = np.arange(n + 1.0), np.arange(n) + 0.5
    turns, rest = divmod(idle_s / trace.step_s, n)
    before = middles - rest
    since = np.where(before < 0, np.interp(before + n, edges, running) - whole, np.interp(before, edges, running))
    expected: NDArray[np.float64] = turns * whole + np.interp(middles, edges, running) - since
    return expected
