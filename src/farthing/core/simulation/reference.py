"""The queues of a fleet written to be read: a heap of events, requests and replicas as objects.

It says what :mod:`farthing.core.simulation.kernel` must do, and is some hundred times slower. The draws are the same
functions, so that both agree to the last bit on when each request ends and where.

Order within one instant: batches that end, by place and worker; what happens to replicas; arrivals; last, idle workers
take what waits, replica by replica in the order in which they were touched.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from farthing.core.simulation.arrival_blocks import arrival_blocks
from farthing.core.simulation.draws import BALANCER, factor, stream_key, unit
from farthing.core.simulation.latency_histogram import BINS, LatencyHistogram, bin_of
from farthing.core.simulation.outcomes import OUTCOMES, RequestRecords, Totals
from farthing.core.simulation.setup import Setup

__all__ = ["ReferenceQueues"]

_END, _ARRIVAL = 0, 1
_ANSWERED, _REFUSED, _EXPIRED, _LOST = (OUTCOMES.index(name) for name in ("answered", "refused", "expired", "lost"))


@dataclass(slots=True, eq=False)
class _Request:
    number: int
    arrival_s: float


@dataclass(slots=True, eq=False)
class _Batch:
    """What one worker works on."""

    number: int
    requests: list[_Request]
    start_s: float
    end_s: float
    expected_end_s: float


@dataclass(slots=True, eq=False)
class _Replica:
    """A replica that is ready or drains."""

    place: int
    number: int
    key: np.uint64
    running: list[_Batch | None]  # by worker
    waiting: deque[_Request] = field(default_factory=deque)
    begun: int = 0
    refused_frac: float = 0.0
    is_open: bool = True
    emptied_s: float | None = None

    @property
    def outstanding(self) -> int:
        return len(self.waiting) + sum(len(batch.requests) for batch in self.running if batch)

    @property
    def has_idle_worker(self) -> bool:
        return None in self.running


class ReferenceQueues:
    """See :class:`~farthing.core.simulation.queues.Queues`.

    Args:
        setup: What is simulated.
        arrivals: Blocks of instants in seconds, checked as they come.
    """

    def __init__(self, setup: Setup, arrivals: Iterable[ArrayLike]) -> None:
        self._setup = setup
        self._now_s = 0.0
        self._arrivals: Iterator[float] = (float(t) for b in arrival_blocks(arrivals, setup.horizon_s) for t in b)
        self._events: list[tuple[float, int, int, int, int, _Batch | None]] = []
        self._replicas: dict[int, _Replica] = {}  # by place
        self._held: deque[_Request] = deque()
        self._touched: dict[int, None] = {}  # places, in order
        self._last_chosen = -1
        self._counts = dict.fromkeys(Totals.__slots__, 0)
        self._in_flight_s = self._latency_s = self._wait_s = self._busy_s = 0.0
        self._latencies: list[float] = []
        self._records = RequestRecords.empty(setup.record.first, setup.record.count)
        self._schedule_arrival()

    # --- Time -------------------------------------------------------------------------------------------------

    def advance(self, until_s: float) -> None:
        """See :meth:`~farthing.core.simulation.queues.Queues.advance`."""
        while True:
            next_s = self._events[0][0] if self._events else math.inf
            if self._touched and self._now_s < min(until_s, next_s):
                self._dispatch()
            elif self._is_due(until_s):
                self._happen(*heapq.heappop(self._events))
            else:
                break
        self._move(until_s)

    def _is_due(self, until_s: float) -> bool:
        """Whether the next event comes before what happens to replicas at ``until_s``."""
        return bool(self._events) and self._events[0][:2] <= (until_s, _END)

    def _happen(self, at_s: float, kind: int, place: int, worker: int, _: int, batch: _Batch | None) -> None:
        if kind == _ARRIVAL:
            self._move(at_s)
            self._arrive(_Request(self._counts["arrived"], at_s))
            self._schedule_arrival()
        elif place in self._replicas and self._replicas[place].running[worker] is batch:  # else it was broken off
            self._move(at_s)
            self._complete(self._replicas[place], worker)

    def _move(self, at_s: float) -> None:
        self._in_flight_s += self._counts["in_flight"] * (at_s - self._now_s)
        self._now_s = at_s

    def _schedule_arrival(self) -> None:
        at_s = next(self._arrivals, None)
        if at_s is not None:
            heapq.heappush(self._events, (at_s, _ARRIVAL, 0, 0, 0, None))

    # --- Requests come ------------------------------------------------------------------------------------------

    def _arrive(self, request: _Request) -> None:
        self._counts["arrived"] += 1
        if self._row(request) is not None:
            self._records.arrival_s[self._row(request)] = request.arrival_s
        if self._offer(request):
            self._counts["in_flight"] += 1
        else:
            self._refuse(request)

    def _refuse(self, request: _Request) -> None:
        self._counts["refused"] += 1
        self._record(request, _REFUSED)

    def _offer(self, request: _Request) -> bool:
        """Give a request to the balancer; whether it is taken."""
        ready = [self._replicas[place] for place in sorted(self._replicas) if self._replicas[place].is_open]
        if ready:
            return self._join(self._chosen(ready, request), request)
        if len(self._held) < self._setup.held_limit:
            self._held.append(request)
            return True
        return False

    def _chosen(self, ready: list[_Replica], request: _Request) -> _Replica:
        if self._setup.balancing == "least_outstanding":
            return min(ready, key=lambda replica: (replica.outstanding, replica.place))
        if self._setup.balancing == "random":
            key = np.uint64(stream_key(np.uint64(self._setup.seed), BALANCER))
            return ready[int(unit(key, np.uint64(request.number)) * len(ready))]
        later = [replica for replica in ready if replica.place > self._last_chosen]
        chosen = later[0] if later else ready[0]
        self._last_chosen = chosen.place
        return chosen

    def _join(self, replica: _Replica, request: _Request) -> bool:
        """Put a request into a replica's queue, if it is taken there."""
        if len(replica.waiting) >= self._setup.server.queue_limit or self._is_shed(replica, request):
            return False
        replica.waiting.append(request)
        if replica.has_idle_worker:
            self._touched[replica.place] = None
        return True

    def _is_shed(self, replica: _Replica, request: _Request) -> bool:
        """Whether a request is refused since its answer would be late."""
        shedding = self._setup.promise.shedding
        if shedding is None or (not replica.waiting and replica.has_idle_worker):
            return False
        overload = min(1.0, replica.refused_frac / shedding.overloaded_frac)
        margin = 1.0 + (shedding.margin - 1.0) * overload
        left_s = request.arrival_s + self._setup.promise.deadline_s - self._now_s
        late = margin * self._predicted_s(replica) > left_s
        replica.refused_frac += (float(late) - replica.refused_frac) / shedding.memory_requests
        return late

    def _predicted_s(self, replica: _Replica) -> float:
        """Predicted time until one more request would be answered."""
        server = self._setup.server
        rows = len(replica.waiting) + 1
        last_s = server.service_s[min(rows, server.max_batch) - 1]
        if rows <= server.max_batch and replica.has_idle_worker:
            return last_s
        full_s = len(replica.waiting) // server.max_batch * server.service_s[-1] / server.instances
        return self._soonest_s(replica) + full_s + last_s

    def _soonest_s(self, replica: _Replica) -> float:
        """Predicted time until a worker is idle."""
        if replica.has_idle_worker:
            return 0.0
        return max(0.0, min(batch.expected_end_s - self._now_s for batch in replica.running if batch))

    # --- Batches begin and end ----------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        for place in self._touched:
            replica = self._replicas.get(place)
            while replica and replica.waiting and replica.has_idle_worker:
                requests = self._taken(replica)
                if requests:
                    self._begin(replica, requests)
        self._touched.clear()

    def _taken(self, replica: _Replica) -> list[_Request]:
        """The next batch, past those whose deadline has passed."""
        taken: list[_Request] = []
        while replica.waiting and len(taken) < self._setup.server.max_batch:
            request = replica.waiting.popleft()
            if request.arrival_s + self._setup.promise.deadline_s < self._now_s:
                self._counts["expired"] += 1
                self._counts["in_flight"] -= 1
                self._record(request, _EXPIRED, replica)
            else:
                taken.append(request)
        if not taken:
            self._note_empty(replica)
        return taken

    def _begin(self, replica: _Replica, requests: list[_Request]) -> None:
        server = self._setup.server
        mean_s = server.service_s[len(requests) - 1]
        drawn = factor(replica.key, np.uint64(replica.begun), server.sigma, server.spread == "exponential")
        batch = _Batch(replica.begun, requests, self._now_s, self._now_s + mean_s * drawn, self._now_s + mean_s)
        worker = replica.running.index(None)
        replica.running[worker] = batch
        replica.begun += 1
        self._counts["batches"] += 1
        heapq.heappush(self._events, (batch.end_s, _END, replica.place, worker, self._counts["batches"], batch))

    def _complete(self, replica: _Replica, worker: int) -> None:
        batch = replica.running[worker]
        assert batch is not None
        for request in batch.requests:
            self._answer(request, batch, replica)
        self._busy_s += batch.end_s - batch.start_s
        replica.running[worker] = None
        self._note_empty(replica)
        if replica.waiting:
            self._touched[replica.place] = None

    def _answer(self, request: _Request, batch: _Batch, replica: _Replica) -> None:
        latency_s = batch.end_s - request.arrival_s
        self._latencies.append(latency_s)
        self._latency_s += latency_s
        self._wait_s += batch.start_s - request.arrival_s
        self._counts["answered"] += 1
        self._counts["in_flight"] -= 1
        self._counts["within_promise"] += latency_s <= self._setup.promise.latency_s
        self._counts["late"] += latency_s > self._setup.promise.deadline_s
        self._record(request, _ANSWERED, replica, batch)

    def _note_empty(self, replica: _Replica) -> None:
        if not replica.is_open and replica.emptied_s is None and replica.outstanding == 0:
            replica.emptied_s = self._now_s

    # --- Replicas -----------------------------------------------------------------------------------------------

    def open(self, place: int, replica: int) -> None:
        """See :meth:`~farthing.core.simulation.queues.Queues.open`."""
        key = np.uint64(stream_key(np.uint64(self._setup.seed), np.uint64(replica)))
        self._replicas[place] = _Replica(place, replica, key, [None] * self._setup.server.instances)
        held, self._held = self._held, deque()
        for request in held:
            if not self._offer(request):
                self._counts["in_flight"] -= 1
                self._refuse(request)

    def close(self, place: int) -> None:
        """See :meth:`~farthing.core.simulation.queues.Queues.close`."""
        self._replicas[place].is_open = False
        self._note_empty(self._replicas[place])

    def evict(self, place: int, *, running: bool, requeue: bool) -> None:
        """See :meth:`~farthing.core.simulation.queues.Queues.evict`."""
        replica = self._replicas[place]
        broken_off = [batch for batch in replica.running if batch] if running else []
        if running:
            self._busy_s += sum(self._now_s - batch.start_s for batch in broken_off)
            replica.running = [None] * len(replica.running)
        requests = [request for batch in broken_off for request in batch.requests] + list(replica.waiting)
        replica.waiting.clear()
        for request in requests:
            if requeue and self._offer(request):
                self._counts["requeued"] += 1
            else:
                self._counts["lost"] += 1
                self._counts["in_flight"] -= 1
                self._record(request, _LOST, replica)
        self._note_empty(replica)

    def emptied_s(self, place: int) -> float | None:
        """See :meth:`~farthing.core.simulation.queues.Queues.emptied_s`."""
        return self._replicas[place].emptied_s

    # --- What was found -----------------------------------------------------------------------------------------

    def totals(self) -> Totals:
        """See :meth:`~farthing.core.simulation.queues.Queues.totals`."""
        running = [batch for replica in self._replicas.values() for batch in replica.running if batch]
        sums = {
            "waiting": sum(len(replica.waiting) for replica in self._replicas.values()),
            "held": len(self._held),
            "busy_s": self._busy_s + sum(self._now_s - batch.start_s for batch in running),
            "in_flight_s": self._in_flight_s,
            "latency_s": self._latency_s,
            "wait_s": self._wait_s,
        }
        return Totals(**(self._counts | sums))  # type: ignore[arg-type]

    def latencies(self) -> LatencyHistogram:
        """See :meth:`~farthing.core.simulation.queues.Queues.latencies`."""
        bins = np.array([bin_of(latency_s) for latency_s in self._latencies], dtype=np.int64)
        return LatencyHistogram(
            counts=np.bincount(bins, minlength=BINS),
            lowest_s=min(self._latencies, default=math.inf),
            highest_s=max(self._latencies, default=0.0),
        )

    def records(self) -> RequestRecords:
        """See :meth:`~farthing.core.simulation.queues.Queues.records`."""
        return self._records

    def _row(self, request: _Request) -> int | None:
        row = request.number - self._records.first
        return row if 0 <= row < self._records.outcome.size else None

    def _record(
        self, request: _Request, outcome: int, replica: _Replica | None = None, batch: _Batch | None = None
    ) -> None:
        row = self._row(request)
        if row is None:
            return
        self._records.outcome[row] = outcome
        self._records.replica[row] = -1 if replica is None else replica.number
        self._records.batch[row] = -1 if batch is None else batch.number
        self._records.start_s[row] = math.nan if batch is None else batch.start_s
        self._records.end_s[row] = self._now_s if batch is None else batch.end_s
