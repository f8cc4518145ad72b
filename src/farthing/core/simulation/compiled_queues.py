"""The compiled queues behind the port: makes their arrays once and feeds them blocks of arrivals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from farthing.core.simulation import kernel
from farthing.core.simulation import kernel_state as state
from farthing.core.simulation.arrival_blocks import arrival_blocks
from farthing.core.simulation.draws import stream_key
from farthing.core.simulation.latency_histogram import LatencyHistogram
from farthing.core.simulation.outcomes import RequestRecords, Totals
from farthing.core.simulation.setup import Setup

__all__ = ["CompiledQueues"]

_NONE = np.empty(0)


class CompiledQueues:
    """See :class:`~farthing.core.simulation.queues.Queues`.

    Args:
        setup: What is simulated.
        arrivals: Blocks of instants in seconds, checked as they come.
    """

    def __init__(self, setup: Setup, arrivals: Iterable[ArrayLike]) -> None:
        self._rules = state.rules_of(setup)
        self._records = RequestRecords.empty(setup.record.first, setup.record.count)
        self._a = state.arrays_of(setup, self._rules, self._records)
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
        if a.counts[state.HELD]:
            kernel.release_held(a, self._rules)

    def close(self, place: int) -> None:
        """See :meth:`~farthing.core.simulation.queues.Queues.close`."""
        a = self._a
        if a.load[place] >= state.CLOSED:
            return
        a.load[place] += state.CLOSED
        if a.load[place] < state.CLOSED + state.STEP:
            a.emptied_s[place] = a.sums[state.NOW_S]
        else:
            a.draining[place] = True
        self._list_open()

    def _list_open(self) -> None:
        places = np.flatnonzero(self._a.load < state.CLOSED)
        self._a.open_places[: places.size] = places
        self._a.counts[state.OPEN] = places.size
        self._a.counts[state.USED] = places[-1] + 1 if places.size else 0

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
            arrived=counts[state.ARRIVED],
            answered=counts[state.ANSWERED],
            within_promise=counts[state.WITHIN],
            late=counts[state.LATE],
            refused=counts[state.REFUSED],
            expired=counts[state.EXPIRED],
            lost=counts[state.LOST],
            requeued=counts[state.REQUEUED],
            in_flight=counts[state.IN_FLIGHT],
            waiting=int(a.waiting.sum()),
            held=counts[state.HELD],
            batches=counts[state.BATCHES],
            busy_s=sums[state.BUSY_S] - float((a.end_s[running] - sums[state.NOW_S]).sum()),
            in_flight_s=sums[state.IN_FLIGHT_S],
            latency_s=sums[state.LATENCY_S],
            wait_s=sums[state.WAIT_S],
        )

    def latencies(self) -> LatencyHistogram:
        """See :meth:`~farthing.core.simulation.queues.Queues.latencies`."""
        sums = self._a.sums
        return LatencyHistogram(
            counts=self._a.histogram.copy(),
            lowest_s=float(sums[state.LOWEST_S]),
            highest_s=float(sums[state.HIGHEST_S]),
        )

    def records(self) -> RequestRecords:
        """See :meth:`~farthing.core.simulation.queues.Queues.records`."""
        return self._records
