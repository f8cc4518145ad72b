"""Which replica a request goes to, and whether it is shed there: parts of the compiled queues that look and tell."""

from __future__ import annotations

import math

import numpy as np

from farthing.core.simulation.draws import unit
from farthing.core.simulation.kernel_state import (
    CLOSED,
    LAST,
    LEAST_OUTSTANDING,
    NOW_S,
    OPEN,
    ROUND_ROBIN,
    STEP,
    USED,
    Arrays,
    Rules,
)
from farthing.core.stats.compiled import inlined

__all__ = ["chosen_place", "is_shed"]


@inlined
def _least_outstanding(a: Arrays) -> int:
    least = CLOSED
    for place in range(a.counts[USED]):
        least = min(least, a.load[place])
    return least & (STEP - 1) if least < CLOSED else -1


@inlined
def _next_open(a: Arrays) -> int:
    """The open place after the last one that was chosen."""
    used = a.counts[USED]
    place = a.counts[LAST]
    for _ in range(used):
        place = place + 1 if place + 1 < used else 0
        if a.load[place] < CLOSED:
            a.counts[LAST] = place
            return place
    return -1


@inlined
def chosen_place(a: Arrays, r: Rules, number: int) -> int:
    """The place that a request goes to; −1 when none is open."""
    if r.balancing == LEAST_OUTSTANDING:
        return _least_outstanding(a)
    if a.counts[OPEN] == 0:
        return -1
    if r.balancing == ROUND_ROBIN:
        return _next_open(a)
    return int(a.open_places[int(unit(r.balancer_key, np.uint64(number)) * a.counts[OPEN])])


@inlined
def _soonest_s(a: Arrays, r: Rules, place: int) -> float:
    """Predicted time until a worker is idle."""
    if a.busy[place] < r.instances:
        return 0.0
    soonest_s = math.inf
    for worker in range(place * r.instances, (place + 1) * r.instances):
        soonest_s = min(soonest_s, a.expected_end_s[worker] - a.sums[NOW_S])
    return max(0.0, soonest_s)


@inlined
def _predicted_s(a: Arrays, r: Rules, place: int) -> float:
    """Predicted time until one more request would be answered."""
    rows = a.waiting[place] + 1
    last_s: float = a.service_s[min(rows, r.max_batch) - 1]
    if rows <= r.max_batch and a.busy[place] < r.instances:
        return last_s
    full_s: float = a.waiting[place] // r.max_batch * a.service_s[r.max_batch - 1] / r.instances
    return _soonest_s(a, r, place) + full_s + last_s


@inlined
def is_shed(a: Arrays, r: Rules, place: int, arrival_s: float) -> bool:
    """Whether a request is refused since its answer would be late."""
    if a.waiting[place] == 0 and a.busy[place] < r.instances:
        return False
    margin = 1.0 + (r.margin - 1.0) * min(1.0, a.refused_frac[place] / r.overloaded_frac)
    late: bool = margin * _predicted_s(a, r, place) > arrival_s + r.deadline_s - a.sums[NOW_S]
    a.refused_frac[place] += ((1.0 if late else 0.0) - a.refused_frac[place]) / r.memory_requests
    return late
