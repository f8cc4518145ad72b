"""Series of Prometheus on one grid of steps, added up as requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farthing.errors import TraceError
from farthing.load.traffic.prometheus.answer import Sampled
from farthing.load.traffic.prometheus.kinds import Held

__all__ = ["Summed", "summed"]

Floats = NDArray[np.float64]

_GRID_TOLERANCE = 0.1
_MAX_STEP_S = 3600.0
_MAX_MISSING_FRAC = 0.05
_LOOK_BACK_STEPS = 5
"""A rate is taken to lie between its neighbours over at most as many missing steps; a series that was away for longer
had no requests.
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Summed:
    """Requests by step.

    Attributes:
        start_s: Seconds since 1970 of the first step.
        step_s: Length of a step in seconds.
        counts: Requests of all series in each step, shape ``(n_steps,)``.
        missing: Steps in which no series has a value.
        restarts: How often a total started again.
    """

    start_s: float
    step_s: float
    counts: Floats
    missing: int
    restarts: int


def summed(path: Path, series: Sequence[Sampled], held: Held) -> Summed:
    """Add series up by step.

    A total is counted by its growth, from 0 where it fell (as Prometheus' ``increase`` has it); growth over missing
    steps is shared, and what a series had before its first sample is not counted. Rates over up to five missing steps
    lie between their neighbours.

    Args:
        path: For messages.
        series: At least one, on one grid as range queries have it.
        held: What they hold.

    Raises:
        TraceError: when steps are uneven, longer than an hour, fewer than two, or more than 5 % of them are missing.
    """
    moments = np.unique(np.concatenate([one.at_s for one in series]))
    step_s = _step_s(path, moments)
    n_steps = round((moments[-1] - moments[0]) / step_s) + 1
    missing = n_steps - moments.size
    if missing > _MAX_MISSING_FRAC * n_steps:
        raise TraceError(
            f"the trace {path} lacks {missing:,} of {n_steps:,} steps of {step_s:g} s ({missing / n_steps:.0%}); the "
            f"limit is {_MAX_MISSING_FRAC:.0%}",
            hint="ask for a span in which Prometheus was up, or in which the service was",
        )
    counts, restarts = np.zeros(n_steps), 0
    for one in series:
        index = np.rint((one.at_s - moments[0]) / step_s).astype(np.int64)
        if held.kind == "counter":
            counts += _growth(index, one.values, n_steps)
            restarts += int((np.diff(one.values) < 0).sum())
        elif held.kind == "rates":
            counts += _between(index, one.values, n_steps) * step_s / held.per_s
        else:
            counts[index] += one.values
    if held.kind == "counter":
        counts = counts[:-1]
    return Summed(start_s=float(moments[0]), step_s=step_s, counts=counts, missing=missing, restarts=restarts)


def _step_s(path: Path, moments: Floats) -> float:
    if moments.size < 2:
        raise TraceError(f"the trace {path} has one step; at least 2 are needed to know its length")
    step_s = float(np.median(np.diff(moments)))
    if step_s > _MAX_STEP_S:
        raise TraceError(
            f"the trace {path} has steps of {step_s:,.0f} s; the limit is {_MAX_STEP_S:,.0f} s", hint="ask with step=60"
        )
    places = (moments - moments[0]) / step_s
    if np.abs(places - np.rint(places)).max() > _GRID_TOLERANCE:
        raise TraceError(
            f"the trace {path} has times that are no whole number of {step_s:g} s steps apart",
            hint="ask /api/v1/query_range once for all series: it puts them on one grid",
        )
    return step_s


def _growth(index: NDArray[np.int64], values: Floats, n_steps: int) -> Floats:
    """Requests in the step that begins at each place, shape ``(n_steps,)``."""
    grown = np.zeros(n_steps)
    steps = np.diff(values)
    requests = np.where(steps < 0, values[1:], steps)
    apart = np.diff(index)
    if apart.size:
        places = np.repeat(index[:-1], apart) + np.concatenate([np.arange(n) for n in apart])
        grown[places] = np.repeat(requests / apart, apart)
    return grown


def _between(index: NDArray[np.int64], values: Floats, n_steps: int) -> Floats:
    """Rates at each step, between their neighbours over a few missing ones, 0 over more, shape ``(n_steps,)``."""
    places = np.arange(n_steps)
    rates = np.interp(places, index, values, left=0.0, right=0.0)
    for k in np.flatnonzero(np.diff(index) > _LOOK_BACK_STEPS + 1):
        rates[index[k] + 1 : index[k + 1]] = 0.0
    return rates
