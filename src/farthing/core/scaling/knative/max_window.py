"""The highest value of the last so many buckets of time.

Source: Knative Serving, ``pkg/autoscaler/aggregation/max``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

__all__ = ["MaxWindow", "max_window", "record"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxWindow:
    """Values that may still be the highest.

    Attributes:
        count: Buckets that the window holds, ≥ 1.
        granularity_s: Length of one, in whole seconds.
        entries: Number of the bucket and value, values falling.
    """

    count: int
    granularity_s: int = 1
    entries: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        if not (self.count >= 1 and self.granularity_s >= 1 and self.granularity_s == int(self.granularity_s)):
            raise ValueError(f"a window needs a bucket of whole seconds: {self}")

    @property
    def highest(self) -> float:
        """Of the window, 0 before the first value."""
        return self.entries[0][1] if self.entries else 0


def max_window(window_s: float, granularity_s: int = 1) -> MaxWindow:
    """An empty window.

    Args:
        window_s: In seconds, > 0; rounded up to whole buckets.
        granularity_s: Length of a bucket, whole seconds.

    Raises:
        ValueError: when either is not.
    """
    count = math.ceil(window_s / granularity_s) if granularity_s > 0 else 0
    return MaxWindow(count=count, granularity_s=granularity_s)


def record(window: MaxWindow, t_s: float, value: float) -> MaxWindow:
    """Take in a value; of several in one bucket the highest counts.

    Args:
        window: Before.
        t_s: Time of the value.
        value: To take in.
    """
    number = math.floor(t_s) // int(window.granularity_s)
    entries = list(window.entries)
    while entries and value >= entries[-1][1]:
        entries.pop()
    while entries and number - entries[0][0] >= window.count:
        entries.pop(0)
    if entries and entries[-1][0] == number:
        value = max(value, entries.pop()[1])
    return replace(window, entries=(*entries, (number, value)))
