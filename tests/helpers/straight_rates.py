"""A latency–rate curve whose logarithms are straight lines of the utilisation: everything about it comes by hand."""

from __future__ import annotations

import math

from farthing.core.traffic.latency_rate import _UTILISATIONS, MOST_UTILISATION, LatencyRate

__all__ = ["IDLE_S", "RUN_SLOPE", "STEADY_SLOPE", "straight"]

IDLE_S = 0.01
"""Percentile of a replica that nobody asks."""
RUN_SLOPE, STEADY_SLOPE = 1.5, 2.0
"""Growth of the log percentile by the utilisation, in a run and in the long run."""


def straight(saturation_rps: float = 100.0) -> LatencyRate:
    """p99 is ``0.01 s · exp(1.5 u)`` in runs of 300, ``0.01 s · exp(2 u)`` in the long run, at utilisation ``u``."""
    steady = _UTILISATIONS[_UTILISATIONS <= MOST_UTILISATION]
    return LatencyRate(
        percentile=0.99,
        n=300,
        saturation_rps=saturation_rps,
        run_log_s=math.log(IDLE_S) + RUN_SLOPE * _UTILISATIONS,
        steady_log_s=math.log(IDLE_S) + STEADY_SLOPE * steady,
    )
