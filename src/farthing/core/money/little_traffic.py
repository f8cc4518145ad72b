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
_MOMENTS, _MOST_MOMENTS = 16, 128
"""Moments of a step that are looked at: so many in the idle time, at most so many."""


def up_frac(trace: Trace, idle_s: float = IDLE_S) -> float:
    """Share of the time for which a replica that scales to zero is up and paid for, in (0, 1].

    Args:
        trace: Arrivals; it repeats.
        idle_s: Time without requests after which it goes, > 0.

    Raises:
        ValueError: when ``idle_s`` is not finite and > 0.
    """
    return float((1 - np.exp(-_expected(trace, idle_s))).mean())  # moments are equally spaced


def waiting_frac(trace: Trace, idle_s: float = IDLE_S) -> float:
    """Share of the requests that find it down and wait for a start, in [0, 1); arguments as :func:`up_frac`."""
    down = np.exp(-_expected(trace, idle_s)).mean(axis=1)
    return float((trace.counts * down).sum() / trace.counts.sum())


def _expected(trace: Trace, idle_s: float) -> NDArray[np.float64]:
    """Requests expected in the idle time before some moments of each step, shape ``(n_steps, n_moments)``."""
    if not (math.isfinite(idle_s) and idle_s > 0):
        raise ValueError(f"idle_s must be finite and > 0, is {idle_s}")
    n, whole = trace.counts.size, float(trace.counts.sum())
    many = min(_MOST_MOMENTS, max(1, math.ceil(_MOMENTS * trace.step_s / idle_s)))
    moments = np.arange(n)[:, None] + (np.arange(many)[None, :] + 0.5) / many
    running, edges = np.concatenate([[0.0], np.cumsum(trace.counts)]), np.arange(n + 1.0)
    turns, rest = divmod(idle_s / trace.step_s, n)
    before = moments - rest
    since = np.where(before < 0, np.interp(before + n, edges, running) - whole, np.interp(before, edges, running))
    expected: NDArray[np.float64] = turns * whole + np.interp(moments, edges, running) - since
    return expected
