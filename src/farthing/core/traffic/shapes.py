"""Shapes of traffic for workloads that have a volume or a bill but no trace: unit mean, no randomness."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from farthing.nouns import Trace

__all__ = ["SHAPES", "by_name", "day_night", "flat"]

_DAY_S = 86_400.0
_WEEKEND_DROP_FRAC = 0.25
_WEEKEND_EDGE_H = 4.0


def day_night(step_s: float = 60.0, days: int = 7) -> Trace:
    """Draw a week of people's requests: quiet at night, busy in the evening, calmer at the weekend.

    Rate by local hour ``h``, from Monday 0:00:
    ``1 + 0.55·cos(2π(h − 15.5)/24) + 0.15·cos(4π(h − 20)/24)``, times ``1 − 0.25·w`` where ``w`` rises from 0
    to 1 over the four hours around Saturday 0:00 and falls back around Monday 0:00. Over the default week the
    busiest minute is 1.63 times the mean and the quietest 0.26 times, 6.3 between them (for comparison, the
    average week of New York's taxi rides in the Numenta Anomaly Benchmark: 1.67 and 0.13 by hour). Bursts
    shorter than a step are not in it; they are what headroom is for.

    Args:
        step_s: Length of a step in seconds; must divide a day.
        days: Days from Monday on, ≥ 1; fewer than six hold no weekend.

    Returns:
        A Trace whose mean rate is 1 request/s.

    Raises:
        ValueError: when the steps do not divide a day, or ``days`` is < 1.
    """
    t_s = _middles_s(step_s, days)
    hour = t_s / 3600
    day = 1 + 0.55 * np.cos(2 * np.pi * (hour - 15.5) / 24) + 0.15 * np.cos(4 * np.pi * (hour - 20) / 24)
    rate = day * (1 - _WEEKEND_DROP_FRAC * _weekend(hour % 168))
    return Trace(name="day-night", step_s=step_s, counts=rate / rate.mean() * step_s)


def flat(step_s: float = 60.0, days: int = 7) -> Trace:
    """Hold the same rate at all times, 1 request/s; arguments and errors as in :func:`day_night`."""
    return Trace(name="flat", step_s=step_s, counts=np.full(_middles_s(step_s, days).size, float(step_s)))


def by_name(name: str) -> Trace:
    """Look up the shape of that name, one week in steps of a minute.

    Raises:
        ValueError: when there is none; the message lists those there are.
    """
    shape = SHAPES.get(name)
    if shape is None:
        raise ValueError(f"no traffic shape {name!r}; known: {', '.join(sorted(SHAPES))}")
    return shape()


SHAPES: Mapping[str, Callable[[], Trace]] = {"day-night": day_night, "flat": flat}
"""Shapes by the name that a workload file uses."""


def _middles_s(step_s: float, days: int) -> NDArray[np.float64]:
    per_day = round(_DAY_S / step_s) if step_s > 0 else 0
    if per_day < 24 or abs(per_day * step_s - _DAY_S) > 1e-6:
        raise ValueError(f"step_s must divide a day and be ≤ 3600 s, is {step_s}")
    if days < 1:
        raise ValueError(f"days must be ≥ 1, is {days}")
    return (np.arange(per_day * days, dtype=np.float64) + 0.5) * step_s


def _weekend(week_hour: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 on Saturday and Sunday, 0 on workdays, half a cosine between them; periodic in 168 hours."""
    from_middle_h = np.abs((week_hour - 144 + 84) % 168 - 84)  # distance from Sunday 0:00
    edge = np.clip((24 + _WEEKEND_EDGE_H / 2 - from_middle_h) / _WEEKEND_EDGE_H, 0, 1)
    return (1 - np.cos(np.pi * edge)) / 2
