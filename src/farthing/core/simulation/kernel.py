"""The queues of a fleet as compiled code over arrays that are made once.

Order within one instant: batches that end, by place and worker; what happens to replicas; arrivals; last, idle workers
take what waits, replica by replica in the order in which they were touched. This is the order of
:mod:`farthing.core.simulation.reference` too, and of :func:`farthing.core.traffic.batch_queue.latencies`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from farthing.core.simulation.draws import factor
from farthing.core.simulation.kernel_admission import chosen_place, is_shed
from farthing.core.simulation.kernel_state import (
    ANSWERED,
    ARRIVED,
    BATCHES,
    BUSY_S,
    CLOSED,
    EXPIRED,
    HELD,
    HELD_HEAD,
    HIGHEST_S,
    IN_FLIGHT,
    IN_FLIGHT_S,
    LATE,
    LATENCY_S,
    LOST,
    LOWEST_S,
    NOW_S,
    REFUSED,
    REQUEUED,
    STEP,
    TOUCHED,
    WAIT_S,
    WITHIN,
    Arrays,
    Rules,
)
from farthing.core.simulation.latency_histogram import bin_of
from farthing.core.stats.compiled import borrowed, compiled, inlined

__all__ = ["advance", "evict", "release_held"]

_ANSWERED, _REFUSED, _EXPIRED, _LOST = 1, 2, 3, 4  # places in OUTCOMES

Floats = NDArray[np.float64]


# --- Small parts ------------------------------------------------------------------------------------------------


@inlined
def _move(a: Arrays, at_s: float) -> None:
    """Let time pass."""
    a.sums[IN_FLIGHT_S] += a.counts[IN_FLIGHT] * (at_s - a.sums[NOW_S])
    a.sums[NOW_S] = at_s


@inlined
def _record(
    a: Arrays, r: Rules, number: int, outcome: int, replica: int, batch: int, start_s: float, end_s: float
) -> None:
    """Keep how a request of the window ended."""
    row = number - r.record_first
    if 0 <= row < a.record_outcome.size:
        a.record_outcome[row] = outcome
        a.record_replica[row] = replica
        a.record_batch[row] = batch
        a.record_start_s[row] = start_s
        a.record_end_s[row] = end_s


@inlined
def _touch(a: Arrays, place: int) -> None:
    """Look at a place at the end of this instant."""
    if not a.flagged[place]:
        a.flagged[place] = True
        a.touched[a.counts[TOUCHED]] = place
        a.counts[TOUCHED] += 1


@inlined
def _leave(a: Arrays, place: int, n: int) -> None:
    """So many requests leave a place."""
    a.load[place] -= n * STEP
    if a.draining[place] and a.load[place] < CLOSED + STEP:
        a.draining[place] = False
        a.emptied_s[place] = a.sums[NOW_S]


@inlined
def _replay(a: Arrays, worker: int) -> None:
    """Play a worker's matches again, since its end has changed."""
    node = worker + (a.tree.size >> 1)
    winner, end_s = worker, a.end_s[worker]
    while node > 1:
        rival = a.tree[node ^ 1]
        rival_s = a.end_s[rival]
        if rival_s < end_s or (rival_s == end_s and rival < winner):
            winner, end_s = rival, rival_s
        node >>= 1
        a.tree[node] = winner


# --- Requests come ----------------------------------------------------------------------------------------------


@inlined
def _join(a: Arrays, r: Rules, place: int, arrival_s: float, number: int) -> bool:
    """Put a request into a place's queue, if it is taken there."""
    waiting = a.waiting[place]
    if waiting >= r.queue_limit or (r.sheds and is_shed(a, r, place, arrival_s)):
        return False
    cell = (a.head[place] + waiting) & r.mask
    a.queue_s[place, cell] = arrival_s
    a.queue_number[place, cell] = number
    a.waiting[place] = waiting + 1
    a.load[place] += STEP
    if a.busy[place] < r.instances:
        _touch(a, place)
    return True


@inlined
def _hold(a: Arrays, r: Rules, arrival_s: float, number: int) -> bool:
    """Keep a request at the balancer, if there is room."""
    if a.counts[HELD] >= r.held_limit:
        return False
    cell = (a.counts[HELD_HEAD] + a.counts[HELD]) % r.held_limit
    a.held_s[cell] = arrival_s
    a.held_number[cell] = number
    a.counts[HELD] += 1
    return True


@inlined
def _offer(a: Arrays, r: Rules, arrival_s: float, number: int) -> bool:
    """Give a request to the balancer; whether it is taken."""
    place = chosen_place(a, r, number)
    if place < 0:
        return _hold(a, r, arrival_s, number)
    return _join(a, r, place, arrival_s, number)


@inlined
def _refuse(a: Arrays, r: Rules, number: int) -> None:
    a.counts[REFUSED] += 1
    _record(a, r, number, _REFUSED, -1, -1, math.nan, a.sums[NOW_S])


@inlined
def _arrive(a: Arrays, r: Rules, arrival_s: float) -> None:
    number = a.counts[ARRIVED]
    a.counts[ARRIVED] = number + 1
    row = number - r.record_first
    if 0 <= row < a.record_arrival_s.size:
        a.record_arrival_s[row] = arrival_s
    if _offer(a, r, arrival_s, number):
        a.counts[IN_FLIGHT] += 1
    else:
        _refuse(a, r, number)


# --- Batches begin and end --------------------------------------------------------------------------------------


@inlined
def _fill(a: Arrays, r: Rules, place: int, worker: int) -> int:
    """Move what waits into a worker's batch, past those whose deadline has passed; how many it holds then."""
    now_s = a.sums[NOW_S]
    head, waiting, taken, expired = a.head[place], a.waiting[place], 0, 0
    while waiting > 0 and taken < r.max_batch:
        arrival_s, number = a.queue_s[place, head], a.queue_number[place, head]
        head = (head + 1) & r.mask
        waiting -= 1
        if arrival_s + r.deadline_s < now_s:
            expired += 1
            _record(a, r, number, _EXPIRED, a.serial[place], -1, math.nan, now_s)
        else:
            a.batch_s[worker, taken] = arrival_s
            a.batch_number[worker, taken] = number
            taken += 1
    a.head[place], a.waiting[place] = head, waiting
    if expired > 0:
        a.counts[EXPIRED] += expired
        a.counts[IN_FLIGHT] -= expired
        _leave(a, place, expired)
    return taken


@inlined
def _begin(a: Arrays, r: Rules, place: int, worker: int, size: int) -> None:
    """Begin a worker's batch."""
    now_s, mean_s = a.sums[NOW_S], a.service_s[size - 1]
    batch = a.batches[place]
    service_s = mean_s * factor(a.key[place], np.uint64(batch), r.sigma, r.exponential)
    a.batches[place] = batch + 1
    a.counts[BATCHES] += 1
    a.sums[BUSY_S] += service_s
    a.busy[place] += 1
    a.size[worker], a.batch[worker] = size, batch
    a.start_s[worker], a.end_s[worker], a.expected_end_s[worker] = now_s, now_s + service_s, now_s + mean_s
    _replay(a, worker)


@inlined
def _dispatch(a: Arrays, r: Rules, place: int) -> None:
    """Let idle workers of a place take what waits."""
    while a.busy[place] < r.instances and a.waiting[place] > 0:
        worker = place * r.instances
        while a.end_s[worker] < math.inf:
            worker += 1
        size = _fill(a, r, place, worker)
        if size > 0:
            _begin(a, r, place, worker, size)


@inlined
def _dispatch_touched(a: Arrays, r: Rules) -> None:
    for k in range(a.counts[TOUCHED]):
        place = a.touched[k]
        a.flagged[place] = False
        _dispatch(a, r, place)
    a.counts[TOUCHED] = 0


@inlined
def _answer(a: Arrays, r: Rules, worker: int) -> None:
    """Count the answers of a worker's batch."""
    start_s, end_s, size = a.start_s[worker], a.end_s[worker], a.size[worker]
    latency_sum_s, within, late = 0.0, 0, 0
    for k in range(size):
        latency_s = end_s - a.batch_s[worker, k]
        a.histogram[bin_of(latency_s)] += 1
        latency_sum_s += latency_s
        within += latency_s <= r.promise_s
        late += latency_s > r.deadline_s
        a.sums[LOWEST_S] = min(a.sums[LOWEST_S], latency_s)
        a.sums[HIGHEST_S] = max(a.sums[HIGHEST_S], latency_s)
    a.sums[LATENCY_S] += latency_sum_s
    a.sums[WAIT_S] += latency_sum_s - size * (end_s - start_s)
    a.counts[ANSWERED] += size
    a.counts[IN_FLIGHT] -= size
    a.counts[WITHIN] += within
    a.counts[LATE] += late


@inlined
def _complete(a: Arrays, r: Rules, worker: int) -> None:
    """A worker's batch ends."""
    place, size = a.place_of[worker], a.size[worker]
    _answer(a, r, worker)
    if a.record_outcome.size > 0:
        start_s, end_s = a.start_s[worker], a.end_s[worker]
        for k in range(size):
            _record(a, r, a.batch_number[worker, k], _ANSWERED, a.serial[place], a.batch[worker], start_s, end_s)
    a.end_s[worker] = math.inf
    _replay(a, worker)
    a.busy[place] -= 1
    _leave(a, place, size)
    if a.waiting[place] > 0:
        _touch(a, place)


# --- What is called from outside --------------------------------------------------------------------------------


@compiled
def advance(a: Arrays, r: Rules, arrivals_s: Floats, first: int, after_s: float, until_s: float) -> int:
    """Let the queues run through batches that end up to ``until_s`` and arrivals before it.

    Args:
        a: State, changed in place.
        r: Rules.
        arrivals_s: A block of ascending instants.
        first: The first of them that has not come yet.
        after_s: The first instant of the next block, infinite when there is none.
        until_s: Where to stop, finite.

    Returns:
        The first arrival of the block that has not come; when it is the block's size and ``after_s < until_s`` then
        time stands still before ``after_s`` and the next block is wanted.
    """
    a = borrowed(a)
    n = arrivals_s.size
    i = first
    while True:
        worker = a.tree[1]
        end_s = a.end_s[worker]
        arrival_s = arrivals_s[i] if i < n else after_s
        if a.counts[TOUCHED] > 0 and a.sums[NOW_S] < min(until_s, end_s, arrival_s):
            _dispatch_touched(a, r)
        elif end_s <= arrival_s:
            if end_s > until_s:
                break
            _move(a, end_s)
            _complete(a, r, worker)
        elif arrival_s >= until_s or i == n:
            break
        else:
            _move(a, arrival_s)
            _arrive(a, r, arrival_s)
            i += 1
    if i < n or after_s >= until_s:
        _move(a, until_s)
    return i


@inlined
def _send_on(a: Arrays, r: Rules, place: int, arrival_s: float, number: int, requeue: bool) -> None:
    """A request leaves its replica without an answer: to another one, or for good."""
    if requeue and _offer(a, r, arrival_s, number):
        a.counts[REQUEUED] += 1
        return
    a.counts[LOST] += 1
    a.counts[IN_FLIGHT] -= 1
    _record(a, r, number, _LOST, a.serial[place], -1, math.nan, a.sums[NOW_S])


@inlined
def _break_off(a: Arrays, r: Rules, place: int, worker: int, requeue: bool) -> None:
    """End a worker's batch, if it has one, without answers."""
    if a.end_s[worker] == math.inf:
        return
    a.sums[BUSY_S] -= a.end_s[worker] - a.sums[NOW_S]
    a.end_s[worker] = math.inf
    _replay(a, worker)
    a.busy[place] -= 1
    for k in range(a.size[worker]):
        _send_on(a, r, place, a.batch_s[worker, k], a.batch_number[worker, k], requeue)
    _leave(a, place, a.size[worker])


@compiled
def evict(a: Arrays, r: Rules, place: int, running: bool, requeue: bool) -> None:
    """Take requests from a closed place: those that run if ``running`` (first, by worker), and those that wait.

    Args:
        a: State, changed in place.
        r: Rules.
        place: Where.
        running: Whether batches are broken off.
        requeue: Whether they go through the balancer again, or are lost.
    """
    a = borrowed(a)
    if running:
        for worker in range(place * r.instances, (place + 1) * r.instances):
            _break_off(a, r, place, worker, requeue)
    waiting = a.waiting[place]
    for k in range(waiting):
        cell = (a.head[place] + k) & r.mask
        _send_on(a, r, place, a.queue_s[place, cell], a.queue_number[place, cell], requeue)
    a.waiting[place] = 0
    if waiting > 0:
        _leave(a, place, waiting)


@compiled
def release_held(a: Arrays, r: Rules) -> None:
    """Give what the balancer held to replicas, now that one is ready; what they do not take is refused."""
    a = borrowed(a)
    for _ in range(a.counts[HELD]):
        cell = a.counts[HELD_HEAD]
        a.counts[HELD_HEAD] = (cell + 1) % r.held_limit
        a.counts[HELD] -= 1
        number = a.held_number[cell]
        if not _offer(a, r, a.held_s[cell], number):
            a.counts[IN_FLIGHT] -= 1
            _refuse(a, r, number)
