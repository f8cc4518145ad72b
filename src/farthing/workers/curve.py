"""How long a batch takes by its size: measured when the model warms up, kept level by what is served. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

__all__ = ["Curve", "predicted_wait_s", "sizes_to_time"]

WEIGHT = 0.1
"""Of the newest batch in the moving level."""
LEAST_RATIO, LARGEST_RATIO = 0.1, 10.0
"""One batch moves the level by no more than this: a stall is no new service time."""
UNKNOWN_S = 0.01


class Curve:
    """Expected service time by rows.

    The shape is what was measured; one moving level (an exponentially weighted mean of observed / measured) follows
    the load of the machine and the real payloads.

    Args:
        max_rows: Largest batch, ≥ 1.
        seconds: Measured times by rows, > 0; may be empty.
    """

    def __init__(self, max_rows: int, seconds: Mapping[int, float]) -> None:
        self._base = _filled(max_rows, seconds)
        self._level = 1.0

    def measured(self, seconds: Mapping[int, float]) -> None:
        """Replace the shape."""
        self._base, self._level = _filled(len(self._base), seconds), 1.0

    def base_s(self, rows: int) -> float:
        """As measured, without the level."""
        return self._base[min(rows, len(self._base)) - 1]

    def expected_s(self, rows: int) -> float:
        """Now."""
        return self._base[min(rows, len(self._base)) - 1] * self._level

    def observe(self, rows: int, seconds: float) -> None:
        """A batch of so many rows took so long."""
        ratio = seconds / self._base[min(rows, len(self._base)) - 1]
        self._level += WEIGHT * (min(LARGEST_RATIO, max(LEAST_RATIO, ratio)) - self._level)


def _filled(max_rows: int, seconds: Mapping[int, float]) -> list[float]:
    """A time for each of 1 … ``max_rows``: linear between those measured, never falling, proportional beyond."""
    known = sorted((rows, s) for rows, s in seconds.items() if rows >= 1 and s > 0 and math.isfinite(s))
    if not known:
        return [UNKNOWN_S] * max_rows
    found: list[float] = []
    for rows in range(1, max_rows + 1):
        below = [p for p in known if p[0] <= rows]
        above = [p for p in known if p[0] >= rows]
        if not below:
            value = known[0][1]
        elif not above:
            value = known[-1][1] * rows / known[-1][0]
        else:
            (r0, s0), (r1, s1) = below[-1], above[0]
            value = s0 if r1 == r0 else s0 + (s1 - s0) * (rows - r0) / (r1 - r0)
        found.append(max(value, found[-1] if found else 0.0))
    return found


def sizes_to_time(max_rows: int) -> list[int]:
    """Batch sizes that are timed: powers of two and the largest."""
    return sorted({1, max_rows, *(2**k for k in range(max_rows.bit_length()))} & set(range(1, max_rows + 1)))


def predicted_wait_s(curve: Curve, *, rows_waiting: int, max_rows: int, instances: int, soonest_s: float) -> float:
    """How long a request that comes now waits until its batch is dispatched.

    Full batches of what waits go first, each when a worker is free: the first after ``soonest_s``, the others every
    ``s(max_rows) / instances``.

    Args:
        curve: Service times.
        rows_waiting: Rows in front of it.
        max_rows: Of a batch.
        instances: Workers, ≥ 1.
        soonest_s: From now until the first worker is free, ≥ 0.
    """
    return soonest_s + rows_waiting // max_rows * curve.expected_s(max_rows) / instances
