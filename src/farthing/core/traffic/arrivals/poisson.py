"""Poisson arrivals: at one rate, or along a curve of how many are expected."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK", "along", "check_span", "poisson"]

Floats = NDArray[np.float64]

BLOCK = 65_536
"""Requests of a block, about."""


def poisson(rate_rps: float, length_s: float, *, seed: int) -> Iterator[Floats]:
    """Draw requests that do not know of each other, at one rate.

    Args:
        rate_rps: Requests a second on average, > 0.
        length_s: For how many seconds, > 0.
        seed: Of the draws.

    Returns:
        Blocks of instants in ``[0, length_s]``.

    Raises:
        ValueError: when the rate or the length is not finite and > 0.
    """
    check_span(rate_rps, length_s)
    return along(np.array([0.0, length_s]), np.array([0.0, rate_rps * length_s]), np.random.default_rng(seed))


def along(edges_s: Floats, expected: Floats, rng: np.random.Generator) -> Iterator[Floats]:
    """Draw Poisson arrivals whose expected number up to each time is given.

    Given how many there are, the instants of a Poisson process are independent of each other and uniform in what is
    expected (Cox & Lewis, *The Statistical Analysis of Series of Events*, 1966, ch. 2); n of them in order are the
    partial sums of n + 1 exponential variables over their total.

    Args:
        edges_s: Times, ascending, shape ``(n,)``, n ≥ 2.
        expected: Requests expected from the first time on up to each, from 0 on, not decreasing, linear between; shape
            ``(n,)``.
        rng: Source of the draws.

    Yields:
        Blocks of about :data:`BLOCK` instants between the first and the last edge; none where nothing comes.
    """
    total = float(expected[-1])
    parts = max(1, math.ceil(total / BLOCK))
    for part in range(parts):
        low, high = total * part / parts, total * (part + 1) / parts
        n = int(rng.poisson(high - low))
        if n:
            sums = np.cumsum(rng.standard_exponential(n + 1))
            yield np.interp(low + (high - low) * sums[:-1] / sums[-1], expected, edges_s)


def check_span(rate_rps: float, length_s: float) -> None:
    """Pass when requests can be drawn at that rate for that long.

    Raises:
        ValueError: when one of them is not finite and > 0.
    """
    if not (math.isfinite(rate_rps) and rate_rps > 0 and math.isfinite(length_s) and length_s > 0):
        raise ValueError(f"rate_rps and length_s must be finite and > 0, are {rate_rps} and {length_s}")
