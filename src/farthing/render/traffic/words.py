"""A trace in words: first and last time, requests a month, mean and peak rate, and how bursty it is."""

from __future__ import annotations

from datetime import timedelta

from farthing.core.traffic.burstiness import Burstiness
from farthing.nouns import Trace
from farthing.render.numbers import count, duration, moment, times

__all__ = ["burstiness_words", "traffic_words"]

_LONG_H = 48.0
_NAMED_S = (1.0, 60.0, 3600.0)
"""Windows in which bursts are said."""


def traffic_words(trace: Trace) -> str:
    """``2026-10-20 08:00 to 2026-10-21 08:00 (24 h) · 526 M requests a month, mean 200/s, busiest minute 350/s``."""
    span_s = trace.counts.size * trace.step_s
    length = f"{trace.hours / 24:.3g} days" if trace.hours > _LONG_H else duration(span_s)
    if trace.start is None:
        when = length
    else:
        when = f"{moment(trace.start)} to {moment(trace.start + timedelta(seconds=span_s))} ({length})"
    mean_rps, peak_rps = float(trace.counts.mean()) / trace.step_s, float(trace.counts.max()) / trace.step_s
    return (
        f"{when} · {count(trace.requests_per_month())} requests a month, mean {_rate(mean_rps)}, "
        f"busiest {_step(trace.step_s)} {_rate(peak_rps)}"
    )


def burstiness_words(found: Burstiness) -> str:
    """``busiest against mean: second 4.10 ×, hour 1.40 × · counts vary against Poisson's: 1.30 × by second, …``.

    Empty where the trace is too short for ten windows of a second.
    """
    seen = [one for one in map(found.at, _NAMED_S) if one is not None]
    if not seen:
        return ""
    peaks = ", ".join(f"{_step(one.window_s)} {times(one.peak_to_mean)}" for one in seen)
    vary = ", ".join(f"{times(one.idc)} by {_step(one.window_s)}" for one in seen)
    return f"busiest against mean: {peaks} · counts vary against Poisson's: {vary}"


def _rate(rps: float) -> str:
    if rps >= 0.1:
        return f"{count(rps)}/s"
    return f"{count(rps * 60)}/min" if rps * 60 >= 0.1 else f"{count(rps * 3600)}/h"


def _step(step_s: float) -> str:
    known = {1.0: "second", 60.0: "minute", 3600.0: "hour"}
    return known.get(step_s, duration(step_s))
