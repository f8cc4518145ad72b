"""Latencies counted in bins whose width follows their value: percentiles without keeping the values.

Every power of two is cut into 256 bins of equal width, so that a bin is at most 1/256 = 0.39 % of its lower end wide.
The bin of a number is then the upper part of its bits, without a logarithm (as in HdrHistogram). 1 µs to 12 days have
bins of their own; what lies outside counts in the first or the last one.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farthing.core.stats.compiled import inlined

__all__ = ["BINS", "LatencyHistogram", "bin_of", "lower_end_s"]

_BITS = 8
_SHIFT = 52 - _BITS
_OCTAVES_BELOW_1_S = 20
_OCTAVES = 40
BINS = _OCTAVES << _BITS
"""Number of bins."""
_ROUNDING = 1e-12
_FIRST = struct.unpack("<q", struct.pack("<d", 2.0**-_OCTAVES_BELOW_1_S))[0] >> _SHIFT


@inlined
def bin_of(latency_s: float) -> int:
    """Bin of a latency in seconds, in [0, ``BINS``)."""
    k: int = (np.float64(latency_s).view(np.int64) >> _SHIFT) - _FIRST
    return min(max(k, 0), BINS - 1)


def lower_end_s(k: int) -> float:
    """Lower end of bin ``k`` in seconds, ``k`` in [0, ``BINS``]."""
    octave, part = divmod(k, 1 << _BITS)
    return math.ldexp(1.0 + part / (1 << _BITS), octave - _OCTAVES_BELOW_1_S)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LatencyHistogram:
    """How many requests took how long.

    Attributes:
        counts: Requests by bin, shape ``(BINS,)``.
        lowest_s: The shortest latency exactly; infinite when there is none.
        highest_s: The longest latency exactly; 0 when there is none.
    """

    counts: NDArray[np.int64]
    lowest_s: float
    highest_s: float

    @property
    def n(self) -> int:
        """Requests counted."""
        return int(self.counts.sum())

    def percentile_s(self, q: float) -> float:
        """The order statistic of rank ``⌈q·n⌉`` to 0.2 %: the middle of its bin, within the extremes that were seen.

        Args:
            q: In (0, 1].

        Returns:
            Seconds; NaN when nothing was counted.

        Raises:
            ValueError: when ``q`` is outside its domain.
        """
        if not 0 < q <= 1:
            raise ValueError(f"a percentile's level must lie in (0, 1], is {q}")
        below = np.cumsum(self.counts)
        if below[-1] == 0:
            return math.nan
        rank = math.ceil(q * int(below[-1]) * (1 - _ROUNDING))
        k = int(np.searchsorted(below, rank))
        return min(max((lower_end_s(k) + lower_end_s(k + 1)) / 2, self.lowest_s), self.highest_s)
