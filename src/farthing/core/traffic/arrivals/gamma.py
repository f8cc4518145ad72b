"""Arrivals with gamma distributed gaps: more or less regular than Poisson's, as the variation of the gaps says."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from farthing.core.traffic.arrivals.poisson import BLOCK, check_span

__all__ = ["gamma"]

Floats = NDArray[np.float64]

_FEW = 64
"""Gaps that are drawn at least, so that the last block is seldom too short."""


def gamma(rate_rps: float, gap_cv: float, length_s: float, *, seed: int) -> Iterator[Floats]:
    """Draw requests whose gaps are independent and gamma distributed, as traces of LLM requests were fitted (BurstGPT).

    Over long windows the index of dispersion goes to ``gap_cv²``; at 1 this is Poisson's. The stream is in equilibrium:
    the time to the first request has the density ``(1 − F(x)) · rate`` of a renewal process that began long ago (Cox,
    *Renewal Theory*, 1962, ch. 5), drawn as a uniform share of a length-biased gap, so that the expected number in
    ``length_s`` is ``rate_rps · length_s`` exactly.

    Args:
        rate_rps: Requests a second on average, > 0.
        gap_cv: Coefficient of variation of the gaps (standard deviation by mean), > 0.
        length_s: For how many seconds, > 0.
        seed: Of the draws.

    Returns:
        Blocks of instants in ``[0, length_s)``.

    Raises:
        ValueError: when an argument is not finite and > 0.
    """
    check_span(rate_rps, length_s)
    if not (math.isfinite(gap_cv) and gap_cv > 0):
        raise ValueError(f"gap_cv must be finite and > 0, is {gap_cv}")
    return _drawn(1 / gap_cv**2, gap_cv**2 / rate_rps, length_s, np.random.default_rng(seed))


def _drawn(shape: float, scale_s: float, length_s: float, rng: np.random.Generator) -> Iterator[Floats]:
    last_s = rng.random() * rng.gamma(shape + 1, scale_s)  # a gap drawn in proportion to its length is gamma(shape + 1)
    at_s = np.array([last_s])
    while last_s < length_s:
        yield at_s
        n = int(min(BLOCK, _FEW + 1.1 * (length_s - last_s) / (shape * scale_s)))
        at_s = last_s + np.cumsum(rng.gamma(shape, scale_s, n))
        last_s = float(at_s[-1])
    inside = at_s[: np.searchsorted(at_s, length_s)]
    if inside.size:
        yield inside
