"""Several quantiles of a long row of latencies at once: NumPy's numbers, without moving the whole row for each.

A double that is not negative orders as its bits do. One pass counts the values by their leading bits, and only those
that share them with a wanted rank are gathered and sorted. ``numpy.quantile`` partitions the row once for each rank,
which is several times as much work and is most of what a simulation of latencies would cost.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from farthing.core.stats.compiled import compiled

Floats = NDArray[np.float64]
_LEAST_BUCKETS, _MOST_BUCKETS = 16, 4096


@compiled
def _ranked(rows: Floats, bits: NDArray[np.int64], ranks: NDArray[np.int64], found: Floats) -> None:
    """Write each row's values of some ascending ranks; ``bits`` are those of the values."""
    n = bits.shape[1]
    buckets = _LEAST_BUCKETS
    while buckets < _MOST_BUCKETS and 8 * buckets < n:
        buckets *= 2
    counts = np.empty(buckets, np.int64)
    begins = np.empty(buckets, np.int64)  # where a wanted bucket's values are gathered
    gathered = np.empty(n)
    for r in range(bits.shape[0]):
        least, most = bits[r, 0], bits[r, 0]
        for i in range(n):
            least = min(least, bits[r, i])
            most = max(most, bits[r, i])
        shift = 0
        while (most - least) >> shift >= buckets:
            shift += 1
        counts[:] = 0
        for i in range(n):
            counts[(bits[r, i] - least) >> shift] += 1
        begins[:] = -1
        before, k, end = 0, 0, 0
        for b in range(buckets):
            if k < ranks.size and ranks[k] < before + counts[b]:
                begins[b] = end
                while k < ranks.size and ranks[k] < before + counts[b]:
                    found[r, k] = end + ranks[k] - before  # its place among the gathered
                    k += 1
                end += counts[b]
            before += counts[b]
        counts[:] = 0
        for i in range(n):
            b = (bits[r, i] - least) >> shift
            if begins[b] >= 0:
                gathered[begins[b] + counts[b]] = rows[r, i]
                counts[b] += 1
        for b in range(buckets):
            if counts[b] > 1:
                gathered[begins[b] : begins[b] + counts[b]].sort()
        for k in range(ranks.size):
            found[r, k] = gathered[int(found[r, k])]


def quantiles(values: Floats, levels: Sequence[float]) -> Floats:
    """What ``numpy.quantile`` gives along the last axis, to the last bit, linear between the two nearest values.

    Args:
        values: Finite and ≥ 0, shape ``(n,)`` or ``(rows, n)`` with ``n ≥ 1``; in any order.
        levels: Each in [0, 1].

    Returns:
        Shape ``(len(levels),)`` or ``(len(levels), rows)``.

    Raises:
        ValueError: for no value, a negative or infinite one, or a level outside [0, 1].
    """
    rows = np.atleast_2d(np.asarray(values, dtype=np.float64)) + 0.0  # no negative zero, whose bits are not in order
    at = np.asarray(levels, dtype=np.float64)
    if rows.ndim != 2 or not rows.size:
        raise ValueError(f"rows of at least one value are wanted, not shape {np.shape(values)}")
    if not ((at >= 0) & (at <= 1)).all():
        raise ValueError(f"levels must lie in [0, 1], are {list(levels)}")
    if not (rows.min() >= 0 and np.isfinite(rows.max())):
        raise ValueError("values must be finite and not negative")
    n = rows.shape[1]
    place = at * (n - 1)
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, n - 1)
    ranks = np.unique(np.concatenate([below, above]))
    found = np.empty((rows.shape[0], ranks.size))
    _ranked(rows, rows.view(np.int64), ranks, found)
    lower, upper = found[:, np.searchsorted(ranks, below)], found[:, np.searchsorted(ranks, above)]
    part, step = place - below, upper - lower
    result = np.ascontiguousarray(np.where(part < 0.5, lower + step * part, upper - step * (1 - part)).T)
    return result if np.ndim(values) == 2 else result[:, 0]
