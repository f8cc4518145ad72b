"""Traces of counts cut, joined and thinned, and the week that one repeats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np

from farthing.nouns import Trace

__all__ = ["halves", "joined", "thinned_counts", "usual_week"]

_HOUR_S, _DAY_S, _WEEK_S = 3600.0, 86_400.0, 604_800.0
_STEP_S = 60.0


def halves(trace: Trace) -> tuple[Trace, Trace]:
    """Cut a trace in two in time; of an odd number of steps the second half is one step longer.

    Raises:
        ValueError: when it has one step, or nothing comes in one of the halves.
    """
    middle = trace.counts.size // 2
    if middle == 0:
        raise ValueError(f"Trace {trace.name}: one step has no halves")
    start = None if trace.start is None else trace.start + timedelta(seconds=middle * trace.step_s)
    first = replace(trace, name=f"{trace.name}, first half", counts=trace.counts[:middle])
    return first, replace(trace, name=f"{trace.name}, second half", counts=trace.counts[middle:], start=start)


def joined(traces: Sequence[Trace]) -> Trace:
    """Put traces of one step end to end; the result begins when the first one does.

    Raises:
        ValueError: when there are none, or their steps differ in length.
    """
    steps_s = {trace.step_s for trace in traces}
    if len(steps_s) != 1:
        raise ValueError(f"traces of one step are joined, these have {sorted(steps_s)} s")
    name = " + ".join(dict.fromkeys(trace.name for trace in traces))
    return replace(traces[0], name=name, counts=np.concatenate([trace.counts for trace in traces]))


def thinned_counts(trace: Trace, keep_frac: float, *, seed: int) -> Trace:
    """Keep each request with the same probability: counts are binomial, as those of a stream that is thinned.

    Args:
        trace: Of whole counts.
        keep_frac: In (0, 1].
        seed: Of the draws.

    Raises:
        ValueError: when the share is outside (0, 1], a count is no whole number, or nothing is left.
    """
    if not 0 < keep_frac <= 1:
        raise ValueError(f"keep_frac must lie in (0, 1], is {keep_frac}")
    if (trace.counts != np.floor(trace.counts)).any():
        raise ValueError(f"Trace {trace.name}: only whole counts can be thinned; scale rates instead")
    kept = np.random.default_rng(seed).binomial(trace.counts.astype(np.int64), keep_frac)
    return replace(trace, counts=kept.astype(np.float64))


def usual_week(trace: Trace) -> Trace:
    """Fit the week, or of less than a week the day, that a trace repeats.

    The mean rate of each hour of the week (of the day), with straight lines between the hours' middles, which keep the
    mean. A week begins on Monday where it is known when the trace was, else when the trace does. It is a rate, for
    :func:`~farthing.core.traffic.arrivals.of_traces.poisson_like` or, with bursts,
    :func:`~farthing.core.traffic.arrivals.of_traces.follow`.

    Args:
        trace: At least a day long.

    Returns:
        A trace of a week (or a day) in steps of a minute.

    Raises:
        ValueError: when the trace is shorter than a day.
    """
    length_s = trace.counts.size * trace.step_s
    if length_s < _DAY_S:
        raise ValueError(f"Trace {trace.name}: a day at least shows what repeats, it lasts {trace.hours:.3g} h")
    period_s = _WEEK_S if length_s >= _WEEK_S else _DAY_S
    since_s = _since_monday_s(trace) % period_s
    n_hours = round(period_s / _HOUR_S)
    middles_s = since_s + (np.arange(trace.counts.size) + 0.5) * trace.step_s
    hour = (middles_s // _HOUR_S).astype(np.int64) % n_hours
    rate_rps = np.bincount(hour, trace.counts, n_hours) / (np.bincount(hour, minlength=n_hours) * trace.step_s)
    at_s = (np.arange(round(period_s / _STEP_S)) + 0.5) * _STEP_S
    rates = np.interp(at_s, (np.arange(n_hours) + 0.5) * _HOUR_S, rate_rps, period=period_s)
    start = None if trace.start is None else trace.start - timedelta(seconds=since_s)
    return Trace(
        name=f"usual {'week' if period_s == _WEEK_S else 'day'} of {trace.name}",
        step_s=_STEP_S,
        counts=rates * _STEP_S,
        start=start,
        inferred=True,
        read_as=f"mean by hour over {length_s / _DAY_S:.3g} days",
    )


def _since_monday_s(trace: Trace) -> float:
    """Seconds from Monday 0:00 to the trace's first step, 0 where it is not known when that was."""
    start = trace.start
    if start is None:
        return 0.0
    return (
        start.weekday() * _DAY_S + start.hour * _HOUR_S + start.minute * 60.0 + start.second + start.microsecond / 1e6
    )
