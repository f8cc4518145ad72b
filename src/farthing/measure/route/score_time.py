"""Time of computing a score once, for one request, as the data plane computes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from farthing.ports import Clock

__all__ = ["seconds_of"]

BLOCKS, LEAST_BLOCK_S = 7, 0.002


def seconds_of(compute: Callable[[Any], object], arguments: Sequence[Any], clock: Clock) -> float:
    """Median over seven blocks of the mean time of a call in seconds; arguments are taken in turns.

    Args:
        compute: What is timed.
        arguments: At least one.
        clock: Time.

    Raises:
        ValueError: when there are no arguments.
    """
    if not arguments:
        raise ValueError("seconds_of: nothing to call with")
    for argument in arguments:
        compute(argument)
    means = []
    for _ in range(BLOCKS):
        calls, start_s = 0, clock.monotonic_s()
        while True:
            for argument in arguments:
                compute(argument)
            calls += len(arguments)
            took_s = clock.monotonic_s() - start_s
            if took_s >= LEAST_BLOCK_S:
                break
        means.append(took_s / calls)
    return float(np.median(means))
