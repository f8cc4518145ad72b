"""How many requests the latency level that was promised needs."""

from __future__ import annotations

import math

__all__ = ["requests_for_level", "requests_with_finite_ends"]

_P99 = 0.99


def requests_with_finite_ends(percentile: float, *, confidence: float = 0.95) -> int:
    """Fewest independent samples whose order statistics bound a quantile on both sides.

    All of n samples lie below the q-quantile with probability qⁿ and above it with (1 − q)ⁿ; both must be at most
    (1 − confidence) / 2 (David & Nagaraja, *Order Statistics*, 2003, section 7.1). 368 for p99, 3,688 for p99.9.

    Args:
        percentile: In (0, 1).
        confidence: Two-sided coverage, in (0, 1).

    Raises:
        ValueError: when one of them lies outside (0, 1).
    """
    if not 0 < percentile < 1 or not 0 < confidence < 1:
        raise ValueError(f"percentile and confidence must lie in (0, 1), are {percentile} and {confidence}")
    return math.ceil(math.log((1 - confidence) / 2) / math.log(max(percentile, 1 - percentile)))


def requests_for_level(percentile: float, *, at_p99: int) -> int:
    """Requests of a run that must hold a level beside p50, p90 and p99, which every run holds.

    Up to p99 it is what the settings ask for. Above it the run grows until as many requests lie beyond the level as
    lie beyond p99 with ``at_p99`` of them, and never below what both ends of an interval need. A run of 400 for p99 is
    one of 4,000 for p99.9.

    Args:
        percentile: The level that was promised, in (0, 1).
        at_p99: Requests that p99 is measured with, ≥ 1.

    Raises:
        ValueError: when the level lies outside (0, 1) or ``at_p99`` is below 1.
    """
    if at_p99 < 1:
        raise ValueError(f"at_p99 must be ≥ 1, is {at_p99}")
    fewest = requests_with_finite_ends(percentile)
    if percentile <= _P99:
        return at_p99
    beyond = at_p99 * (1 - _P99)
    return max(fewest, math.ceil(round(beyond / (1 - percentile), 6)))
