"""State of the compiled queues: arrays that are made once, and what their places mean.

``load[place]`` is ``outstanding · STEP + place``, with ``CLOSED`` added while the place takes no requests: the least of
them is the least loaded open place and the first of equals. ``tree`` is a tournament among workers: its root is the one
whose batch ends first.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from farthing.core.simulation.draws import BALANCER, stream_key
from farthing.core.simulation.latency_histogram import BINS
from farthing.core.simulation.outcomes import RequestRecords
from farthing.core.simulation.setup import Setup, Shedding

__all__ = [
    "ANSWERED",
    "ARRIVED",
    "BATCHES",
    "BUSY_S",
    "CLOSED",
    "EXPIRED",
    "HELD",
    "HELD_HEAD",
    "HIGHEST_S",
    "IN_FLIGHT",
    "IN_FLIGHT_S",
    "LAST",
    "LATE",
    "LATENCY_S",
    "LEAST_OUTSTANDING",
    "LOST",
    "LOWEST_S",
    "NOW_S",
    "OPEN",
    "RANDOM",
    "REFUSED",
    "REQUEUED",
    "ROUND_ROBIN",
    "STEP",
    "TOUCHED",
    "USED",
    "WAIT_S",
    "WITHIN",
    "Arrays",
    "Rules",
    "arrays_of",
    "rules_of",
]

STEP = 1 << 16
CLOSED = 1 << 60
ROUND_ROBIN, RANDOM, LEAST_OUTSTANDING = 0, 1, 2

ARRIVED, ANSWERED, WITHIN, LATE, REFUSED, EXPIRED, LOST, REQUEUED, BATCHES, IN_FLIGHT = range(10)
HELD, HELD_HEAD, TOUCHED, LAST, USED, OPEN = range(10, 16)
N_COUNTS = 16
NOW_S, IN_FLIGHT_S, BUSY_S, LATENCY_S, WAIT_S, LOWEST_S, HIGHEST_S = range(7)
N_SUMS = 7

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Rules(NamedTuple):
    """What does not change during a simulation."""

    instances: int
    max_batch: int
    queue_limit: int
    mask: int
    held_limit: int
    balancing: int
    balancer_key: np.uint64
    sigma: float
    exponential: bool
    promise_s: float
    deadline_s: float
    sheds: bool
    margin: float
    overloaded_frac: float
    memory_requests: float
    record_first: int


class Arrays(NamedTuple):
    """What changes; places count replicas that are not gone, a place's workers follow each other."""

    counts: Ints  # (N_COUNTS,)
    sums: Floats  # (N_SUMS,)
    service_s: Floats  # (max_batch,)
    load: Ints  # (places,)
    open_places: Ints  # (places,), the first counts[OPEN] of them, ascending
    serial: Ints  # (places,) number of the replica that has the place
    key: NDArray[np.uint64]  # (places,)
    batches: Ints  # (places,) begun by this replica
    busy: Ints  # (places,) workers
    head: Ints  # (places,)
    waiting: Ints  # (places,)
    draining: NDArray[np.bool_]  # (places,)
    emptied_s: Floats  # (places,) when a draining place had nothing left, else NaN
    refused_frac: Floats  # (places,)
    flagged: NDArray[np.bool_]  # (places,) is in touched
    touched: Ints  # (places,), the first counts[TOUCHED] of them
    queue_s: Floats  # (places, mask + 1) arrivals, a ring from head
    queue_number: Ints  # (places, mask + 1)
    end_s: Floats  # (leaves,) infinite while idle
    start_s: Floats  # (leaves,)
    expected_end_s: Floats  # (leaves,)
    place_of: Ints  # (leaves,)
    size: Ints  # (leaves,) of the batch
    batch: Ints  # (leaves,) its number at its replica
    batch_s: Floats  # (leaves, max_batch) arrivals of its requests
    batch_number: Ints  # (leaves, max_batch)
    tree: Ints  # (2 · leaves,)
    held_s: Floats  # (held_limit or 1,) a ring
    held_number: Ints  # (held_limit or 1,)
    histogram: Ints  # (BINS,)
    record_arrival_s: Floats  # (recorded,), and so on
    record_outcome: Ints
    record_replica: Ints
    record_batch: Ints
    record_start_s: Floats
    record_end_s: Floats


_BALANCING = {
    "round_robin": ROUND_ROBIN,
    "random": RANDOM,
    "least_outstanding": LEAST_OUTSTANDING,
}


def _power_of_two(n: int) -> int:
    """The smallest one that is not below ``n`` ≥ 1."""
    return 1 << (n - 1).bit_length()


def rules_of(setup: Setup) -> Rules:
    """Take from a setup what the kernel is told."""
    server, promise = setup.server, setup.promise
    shedding = promise.shedding or Shedding()
    return Rules(
        instances=server.instances,
        max_batch=server.max_batch,
        queue_limit=server.queue_limit,
        mask=_power_of_two(server.queue_limit) - 1,
        held_limit=setup.held_limit,
        balancing=_BALANCING[setup.balancing],
        balancer_key=np.uint64(stream_key(np.uint64(setup.seed), BALANCER)),
        sigma=float(server.sigma),
        exponential=server.spread == "exponential",
        promise_s=float(promise.latency_s),
        deadline_s=float(promise.deadline_s),
        sheds=promise.shedding is not None,
        margin=float(shedding.margin),
        overloaded_frac=float(shedding.overloaded_frac),
        memory_requests=float(shedding.memory_requests),
        record_first=setup.record.first,
    )


def arrays_of(setup: Setup, rules: Rules, records: RequestRecords) -> Arrays:
    """Make the arrays of a fleet without replicas at time 0; ``records`` is written to."""
    places, workers = setup.max_replicas, setup.max_replicas * rules.instances
    leaves = _power_of_two(workers)
    sums = np.zeros(N_SUMS)
    sums[LOWEST_S] = math.inf
    counts = np.zeros(N_COUNTS, np.int64)
    counts[LAST] = -1
    return Arrays(
        counts=counts,
        sums=sums,
        service_s=np.array(setup.server.service_s, dtype=np.float64),
        load=CLOSED + np.arange(places),
        open_places=np.zeros(places, np.int64),
        serial=np.full(places, -1),
        key=np.zeros(places, np.uint64),
        batches=np.zeros(places, np.int64),
        busy=np.zeros(places, np.int64),
        head=np.zeros(places, np.int64),
        waiting=np.zeros(places, np.int64),
        draining=np.zeros(places, np.bool_),
        emptied_s=np.full(places, np.nan),
        refused_frac=np.zeros(places),
        flagged=np.zeros(places, np.bool_),
        touched=np.zeros(places, np.int64),
        queue_s=np.zeros((places, rules.mask + 1)),
        queue_number=np.zeros((places, rules.mask + 1), np.int64),
        end_s=np.full(leaves, math.inf),
        start_s=np.zeros(leaves),
        expected_end_s=np.zeros(leaves),
        place_of=np.arange(leaves) // rules.instances,
        size=np.zeros(leaves, np.int64),
        batch=np.zeros(leaves, np.int64),
        batch_s=np.zeros((leaves, rules.max_batch)),
        batch_number=np.zeros((leaves, rules.max_batch), np.int64),
        tree=_tournament(leaves),
        held_s=np.zeros(max(1, setup.held_limit)),
        held_number=np.zeros(max(1, setup.held_limit), np.int64),
        histogram=np.zeros(BINS, np.int64),
        record_arrival_s=records.arrival_s,
        record_outcome=records.outcome,
        record_replica=records.replica,
        record_batch=records.batch,
        record_start_s=records.start_s,
        record_end_s=records.end_s,
    )


def _tournament(leaves: int) -> NDArray[np.int64]:
    """Winners while all are equal: of each match the first."""
    tree = np.zeros(2 * leaves, np.int64)
    tree[leaves:] = np.arange(leaves)
    for node in range(leaves - 1, 0, -1):
        tree[node] = tree[2 * node]
    return tree
