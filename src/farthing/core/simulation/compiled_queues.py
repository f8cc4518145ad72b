"""The compiled queues behind the port: makes their arrays once and feeds them blocks of arrivals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from farthing.core.simulation import kernel
from farthing.core.simulation.arrival_blocks import arrival_blocks
from farthing.core.simulation.draws import BALANCER, stream_key
from farthing.core.simulation.kernel import Arrays, Rules
from farthing.core.simulation.latency_histogram import BINS, LatencyHistogram
from farthing.core.simulation.outcomes import RequestRecords, Totals
from farthing.core.simulation.setup import Setup, Shedding

__all__ = ["CompiledQueues"]

_BALANCING = {
    "round_robin": kernel.ROUND_ROBIN,
    "random": kernel.RANDOM,
    "least_outstanding": kernel.LEAST_OUTSTANDING,
}
_NONE = np.empty(0)


class CompiledQueues:
    """See :class:`~farthing.core.simulation.queues.Queues`.

    Args:
        setup: What is simulated.
        arrivals: Blocks of instants in seconds, checked as they come.
    """

    def __init__(self, setup: Setup, arrivals: Iterable[ArrayLike]) -> None:
        self._rules = _rules(setup)
        self._records = RequestRecords.empty(setup.record.first, setup.record.count)
        self._a = _arrays(setup, self._rules, self._records)
        self._seed = np.uint64(setup.seed)
        self._blocks: Iterator[NDArray[np.float64]] = arrival_blocks(arrivals, setup.horizon_s)
        self._block, self._at = next(self._blocks, _NONE), 0
        self._next = next(self._blocks, _NONE)

    def advance(self, until_s: float) -> None:
        """See :meth:`~farthing.core.simulation.queues.Queues.advance`."""
        while True:
            after_s = float(self._next[0]) if self._next.size else math.inf
            self._at = kernel.advance(self._a, self._rules, self._block, self._at, after_s, until_s)
            if self._at < self._block.size or after_s >= until_s:
                return
            self._block, self._at = self._next, 0
            self._next = next(self._blocks, _NONE)

    def open(self, place: int, replica: int) -> None:
        """See :meth:`~farthing.core.simulation.queues.Queues.open`."""
        a = self._a
        a.load[place] = place
        a.serial[place] = replica
        a.key[place] = stream_key(self._seed, np.uint64(replica))
        a.batches[place] = a.head[place] = a.waiting[place] = 0
        a.draining[place] = False
        a.emptied_s[place] = np.nan
        a.refused_frac[place] = 0.0
        self._list_open()
        if a.counts[kernel.HELD]:
            kernel.release_held(a, self._rules)

    def close(self, place: int) -> None:
        """See :meth:`~farthing.core.simulation.queues.Queues.close`."""
        a = self._a
        if a.load[place] >= kernel.CLOSED:
            return
        a.load[place] += kernel.CLOSED
        if a.load[place] < kernel.CLOSED + kernel.STEP:
            a.emptied_s[place] = a.sums[kernel.NOW_S]
        else:
            a.draining[place] = True
        self._list_open()

    def _list_open(self) -> None:
        places = np.flatnonzero(self._a.load < kernel.CLOSED)
        self._a.open_places[: places.size] = places
        self._a.counts[kernel.OPEN] = places.size
        self._a.counts[kernel.USED] = places[-1] + 1 if places.size else 0

    def evict(self, place: int, *, running: bool, requeue: bool) -> None:
        """See :meth:`~farthing.core.simulation.queues.Queues.evict`."""
        kernel.evict(self._a, self._rules, place, running, requeue)

    def emptied_s(self, place: int) -> float | None:
        """See :meth:`~farthing.core.simulation.queues.Queues.emptied_s`."""
        at_s = float(self._a.emptied_s[place])
        return None if math.isnan(at_s) else at_s

    def totals(self) -> Totals:
        """See :meth:`~farthing.core.simulation.queues.Queues.totals`."""
        a = self._a
        running = np.isfinite(a.end_s)
        counts, sums = a.counts.tolist(), a.sums.tolist()
        return Totals(
            arrived=counts[kernel.ARRIVED],
            answered=counts[kernel.ANSWERED],
            within_promise=counts[kernel.WITHIN],
            late=counts[kernel.LATE],
            refused=counts[kernel.REFUSED],
            expired=counts[kernel.EXPIRED],
            lost=counts[kernel.LOST],
            requeued=counts[kernel.REQUEUED],
            in_flight=counts[kernel.IN_FLIGHT],
            waiting=int(a.waiting.sum()),
            held=counts[kernel.HELD],
            batches=counts[kernel.BATCHES],
            busy_s=sums[kernel.BUSY_S] - float((a.end_s[running] - sums[kernel.NOW_S]).sum()),
            in_flight_s=sums[kernel.IN_FLIGHT_S],
            latency_s=sums[kernel.LATENCY_S],
            wait_s=sums[kernel.WAIT_S],
        )

    def latencies(self) -> LatencyHistogram:
        """See :meth:`~farthing.core.simulation.queues.Queues.latencies`."""
        sums = self._a.sums
        return LatencyHistogram(
            counts=self._a.histogram.copy(),
            lowest_s=float(sums[kernel.LOWEST_S]),
            highest_s=float(sums[kernel.HIGHEST_S]),
        )

    def records(self) -> RequestRecords:
        """See :meth:`~farthing.core.simulation.queues.Queues.records`."""
        return self._records


def _power_of_two(n: int) -> int:
    """The smallest one that is not below ``n`` ≥ 1."""
    return 1 << (n - 1).bit_length()


def _rules(setup: Setup) -> Rules:
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


def _arrays(setup: Setup, rules: Rules, records: RequestRecords) -> Arrays:
    places, workers = setup.max_replicas, setup.max_replicas * rules.instances
    leaves = _power_of_two(workers)
    sums = np.zeros(kernel.N_SUMS)
    sums[kernel.LOWEST_S] = math.inf
    counts = np.zeros(kernel.N_COUNTS, np.int64)
    counts[kernel.LAST] = -1
    return Arrays(
        counts=counts,
        sums=sums,
        service_s=np.array(setup.server.service_s, dtype=np.float64),
        load=kernel.CLOSED + np.arange(places),
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
