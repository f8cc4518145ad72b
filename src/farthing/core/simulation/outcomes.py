"""What a simulation tells: totals, the observation of an interval, the lives of replicas, single requests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from farthing.core.simulation.latency_histogram import LatencyHistogram

__all__ = [
    "OUTCOMES",
    "STATES",
    "Observation",
    "ReplicaLife",
    "RequestRecords",
    "ScalingEvent",
    "SimulationResult",
    "State",
    "Totals",
]

State = Literal["requested", "loading", "ready", "draining"]
STATES: tuple[State, ...] = ("requested", "loading", "ready", "draining")
"""Of a replica that is not gone, in the order in which it goes through them."""

OUTCOMES = ("unfinished", "answered", "refused", "expired", "lost")
"""How a request ends, by the code in :class:`RequestRecords`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums from the start up to one instant.

    ``arrived = answered + refused + expired + lost + in_flight`` at every instant.

    Attributes:
        arrived: Requests that came.
        answered: Those whose batch has ended.
        within_promise: Of the answered, those that took no longer than promised.
        late: Of the answered, those that came after their deadline.
        refused: At the door: the queue was full, no replica was ready, or the answer would have been late.
        expired: Not run since their deadline had passed while they waited.
        lost: Gone with their replica, or sent on from it and refused elsewhere.
        requeued: Times that a request was sent on from a preempted replica and accepted elsewhere.
        in_flight: Requests that are held, wait or run.
        waiting: Of those, the ones that wait at a replica.
        held: Of those, the ones that wait at the balancer for a ready replica.
        batches: Begun.
        busy_s: Worker-seconds spent on batches.
        in_flight_s: Integral of ``in_flight`` over time, in request-seconds.
        latency_s: Sum over the answered, from arrival to answer.
        wait_s: Sum over the answered, from arrival to the start of the batch that answered.
    """

    arrived: int
    answered: int
    within_promise: int
    late: int
    refused: int
    expired: int
    lost: int
    requeued: int
    in_flight: int
    waiting: int
    held: int
    batches: int
    busy_s: float
    in_flight_s: float
    latency_s: float
    wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a controller sees: the interval since it was last asked, and the fleet now.

    Attributes:
        start_s: When the interval began.
        at_s: Now, the end of the interval.
        arrived: Requests that came in the interval.
        answered: Requests answered in it.
        within_promise: Of those, as quickly as promised.
        refused: Requests refused in it.
        expired: Requests given up in it.
        lost: Requests lost in it.
        in_flight: Requests that are held, wait or run now.
        waiting: Of those, waiting at replicas.
        held: Of those, waiting at the balancer.
        mean_in_flight: Average of ``in_flight`` over the interval.
        busy_s: Worker-seconds of the interval spent on batches.
        replicas: Replicas now, by pool and state; every pool and state is there.
    """

    start_s: float
    at_s: float
    arrived: int
    answered: int
    within_promise: int
    refused: int
    expired: int
    lost: int
    in_flight: int
    waiting: int
    held: int
    mean_in_flight: float
    busy_s: float
    replicas: Mapping[str, Mapping[State, int]]

    @classmethod
    def between(
        cls,
        before: Totals,
        now: Totals,
        *,
        start_s: float,
        at_s: float,
        replicas: Mapping[str, Mapping[State, int]],
    ) -> Observation:
        """Take the differences of two totals."""
        return cls(
            start_s=start_s,
            at_s=at_s,
            arrived=now.arrived - before.arrived,
            answered=now.answered - before.answered,
            within_promise=now.within_promise - before.within_promise,
            refused=now.refused - before.refused,
            expired=now.expired - before.expired,
            lost=now.lost - before.lost,
            in_flight=now.in_flight,
            waiting=now.waiting,
            held=now.held,
            mean_in_flight=(now.in_flight_s - before.in_flight_s) / (at_s - start_s),
            busy_s=now.busy_s - before.busy_s,
            replicas=replicas,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaLife:
    """When a replica went from state to state; None for what it did not reach before the horizon.

    Attributes:
        number: From 0 in the order of requests.
        pool: Where it was bought.
        requested_s: When it was asked for.
        started_s: When its machine ran.
        ready_s: When it took its first request.
        draining_s: When it took its last one.
        gone_s: When it was handed back or taken away.
        reason: Why it went: ``scaled in``, ``preempted`` or ``killed``; empty while it is there.
    """

    number: int
    pool: str
    requested_s: float
    started_s: float | None
    ready_s: float | None
    draining_s: float | None
    gone_s: float | None
    reason: str

    def seconds(self, horizon_s: float) -> Mapping[State, float]:
        """Time spent in each state up to the horizon."""
        end_s = horizon_s if self.gone_s is None else self.gone_s
        found: dict[State, float] = {}
        for state, at_s in reversed(tuple(zip(STATES, self._entered_s()))):
            start_s = end_s if at_s is None else at_s
            found[state] = end_s - start_s
            end_s = start_s
        return {state: found[state] for state in STATES}

    def _entered_s(self) -> tuple[float | None, ...]:
        return self.requested_s, self.started_s, self.ready_s, self.draining_s


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingEvent:
    """One step of a replica's life, or a wish that could not be met.

    Attributes:
        at_s: When.
        kind: The state that the replica entered, ``gone``, or ``no place`` (then there is no replica).
        pool: Where it was bought.
        replica: Its number; −1 for none.
        reason: ``initial``, ``wanted``, ``scaled in``, ``preempted``, ``killed``, or empty for what time alone brings.
    """

    at_s: float
    kind: str
    pool: str
    replica: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RequestRecords:
    """What became of the requests of a window, one row each, shape ``(count,)``.

    Attributes:
        first: Number of the first one.
        arrival_s: When it came; NaN for numbers that never came.
        outcome: Code, a place in ``OUTCOMES``.
        replica: Number of the replica that answered or held it last; −1 for none.
        batch: Number of the batch at that replica; −1 when it was not run.
        start_s: When that batch began; NaN when it was not run.
        end_s: When the request ended; NaN while it is unfinished.
    """

    first: int
    arrival_s: NDArray[np.float64]
    outcome: NDArray[np.int64]
    replica: NDArray[np.int64]
    batch: NDArray[np.int64]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]

    @classmethod
    def empty(cls, first: int, count: int) -> RequestRecords:
        """Rows of requests that have not come yet."""
        return cls(
            first=first,
            arrival_s=np.full(count, np.nan),
            outcome=np.zeros(count, np.int64),
            replica=np.full(count, -1),
            batch=np.full(count, -1),
            start_s=np.full(count, np.nan),
            end_s=np.full(count, np.nan),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SimulationResult:
    """What a simulation found.

    Attributes:
        horizon_s: When it ended.
        totals: Up to the horizon; what is in flight then is unfinished.
        latencies: Of the answered requests.
        lives: Of all replicas, by their number.
        events: Steps of those lives and wishes that could not be met, in the order of time.
        records: Of the requests of the window.
    """

    horizon_s: float
    totals: Totals
    latencies: LatencyHistogram
    lives: tuple[ReplicaLife, ...]
    events: tuple[ScalingEvent, ...]
    records: RequestRecords

    @property
    def attainment_frac(self) -> float:
        """Requests answered as quickly as promised among those that arrived and ended; NaN when there are none."""
        ended = self.totals.arrived - self.totals.in_flight
        return self.totals.within_promise / ended if ended else math.nan

    def percentile_s(self, q: float) -> float:
        """Percentile of the latency of answered requests; see :meth:`LatencyHistogram.percentile_s`."""
        return self.latencies.percentile_s(q)

    def replica_s(self) -> Mapping[str, Mapping[State, float]]:
        """Replica-seconds up to the horizon by pool and state, for pools that had a replica."""
        found: dict[str, dict[State, float]] = {}
        for life in self.lives:
            sums = found.setdefault(life.pool, dict.fromkeys(STATES, 0.0))
            for state, seconds in life.seconds(self.horizon_s).items():
                sums[state] += seconds
        return found
