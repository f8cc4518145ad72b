"""What is simulated: the server of a replica, the promise, where replicas come from, and what befalls them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from farthing.core.traffic.service_curve import ServiceCurve

__all__ = [
    "MAX_REPLICAS",
    "Balancing",
    "BatchingServer",
    "Disruption",
    "Pool",
    "Promise",
    "Setup",
    "Shedding",
    "Window",
]

Balancing = Literal["round_robin", "random", "least_outstanding"]
Spread = Literal["log_normal", "exponential"]
MAX_REPLICAS = 65_536
"""Places that a fleet can have at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchingServer:
    """One replica: identical workers that take what waits, up to a batch, whenever they are idle.

    Attributes:
        service_s: Mean service time of a batch of 1, 2, … requests in seconds, finite and > 0; the last size is the
            largest batch.
        sigma: Standard deviation of the logarithm of one batch's service time, ≥ 0.
        spread: ``log_normal`` with that sigma, or ``exponential``, which has none.
        instances: Workers, ≥ 1.
        queue_limit: Requests that may wait at a replica, ≥ 1; one more is refused.
    """

    service_s: tuple[float, ...]
    sigma: float = 0.0
    spread: Spread = "log_normal"
    instances: int = 1
    queue_limit: int = 1024

    def __post_init__(self) -> None:
        if not self.service_s or not all(math.isfinite(s) and s > 0 for s in self.service_s):
            raise ValueError(f"BatchingServer: service times must be finite and > 0, at least one: {self!r}")
        if not (math.isfinite(self.sigma) and self.sigma >= 0):
            raise ValueError(f"BatchingServer: sigma must be finite and ≥ 0: {self!r}")
        if self.spread not in get_args(Spread):
            raise ValueError(f"BatchingServer: spread must be one of {get_args(Spread)}: {self!r}")
        if self.instances < 1 or self.queue_limit < 1:
            raise ValueError(f"BatchingServer: instances and queue_limit must be ≥ 1: {self!r}")

    @classmethod
    def of(cls, curve: ServiceCurve, *, instances: int, max_batch: int, queue_limit: int = 1024) -> BatchingServer:
        """Take service times and their spread as measured.

        Raises:
            ValueError: when ``max_batch`` is outside the sizes measured.
        """
        service_s = tuple(float(s) for s in curve.by_size_s(max_batch))
        return cls(service_s=service_s, sigma=curve.sigma, instances=instances, queue_limit=queue_limit)

    @property
    def max_batch(self) -> int:
        """Largest batch."""
        return len(self.service_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shedding:
    """Refuse what would come too late, as farthing's server does: by the predicted end of the request's batch.

    Attributes:
        margin: Factor on the prediction under overload, ≥ 1.
        overloaded_frac: Share of refused requests from which on the margin is whole; below it grows with the share.
        memory_requests: Requests over which that share is an exponentially weighted mean, ≥ 1.
    """

    margin: float = 1.25
    overloaded_frac: float = 0.05
    memory_requests: float = 100.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.margin) and self.margin >= 1 and 0 < self.overloaded_frac <= 1):
            raise ValueError(f"Shedding: margin must be ≥ 1, overloaded_frac in (0, 1]: {self!r}")
        if not (math.isfinite(self.memory_requests) and self.memory_requests >= 1):
            raise ValueError(f"Shedding: memory_requests must be finite and ≥ 1: {self!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """When an answer is in time.

    Attributes:
        latency_s: From arrival to answer at most, > 0; infinite when nothing is promised.
        deadline_s: After so long nobody wants the answer, > 0, infinite for never: who still waits then is not run.
        shedding: How requests that would miss the deadline are refused at the door; None to let them wait.
    """

    latency_s: float = math.inf
    deadline_s: float = math.inf
    shedding: Shedding | None = None

    def __post_init__(self) -> None:
        if not (self.latency_s > 0 and self.deadline_s > 0):
            raise ValueError(f"Promise: latency_s and deadline_s must be > 0: {self!r}")
        if self.shedding is not None and math.isinf(self.deadline_s):
            raise ValueError(f"Promise: shedding goes by a deadline, and there is none: {self!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Replicas bought in one way: on demand, or spot in one zone.

    Attributes:
        name: Of the purchase kind, such as ``on_demand`` or ``spot``.
        initial: Replicas that are ready when the simulation starts, ≥ 0.
        start_s: From the request to a running machine, ≥ 0; infinite when none ever comes.
        load_s: From a running machine to a ready replica, ≥ 0; infinite when it never gets ready.
    """

    name: str
    initial: int = 0
    start_s: float = 0.0
    load_s: float = 0.0

    def __post_init__(self) -> None:
        if not self.name or self.initial < 0:
            raise ValueError(f"Pool: a name and initial ≥ 0 wanted: {self!r}")
        if not (self.start_s >= 0 and self.load_s >= 0):
            raise ValueError(f"Pool: start_s and load_s must be ≥ 0: {self!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Disruption:
    """Replicas that are taken away: the oldest of a pool that are not already under notice.

    Attributes:
        at_s: When it happens, or when the notice is given, ≥ 0.
        pool: Its name.
        count: Replicas that it takes, ≥ 1; all when there are fewer.
        kind: ``killed``: gone at once with all that it holds. ``preempted``: it takes no more requests, those that wait
            go to others at once, those that run may end within the notice and else go to others too.
        notice_s: Of a preemption, ≥ 0.
    """

    at_s: float
    pool: str
    count: int = 1
    kind: Literal["killed", "preempted"] = "preempted"
    notice_s: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.at_s) and self.at_s >= 0 and self.notice_s >= 0):
            raise ValueError(f"Disruption: at_s must be finite and ≥ 0, notice_s ≥ 0: {self!r}")
        if self.count < 1 or self.kind not in ("killed", "preempted"):
            raise ValueError(f"Disruption: count must be ≥ 1, kind killed or preempted: {self!r}")
        if self.kind == "killed" and self.notice_s > 0:
            raise ValueError(f"Disruption: a kill has no notice: {self!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Requests of which is kept what became of them, by their number from 0.

    Attributes:
        first: The first one, ≥ 0.
        count: How many, ≥ 0.
    """

    first: int = 0
    count: int = 0

    def __post_init__(self) -> None:
        if self.first < 0 or self.count < 0:
            raise ValueError(f"Window: first and count must be ≥ 0: {self!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """All that a simulation is told beside its arrivals and its controller.

    Attributes:
        server: Of every replica.
        pools: Where replicas come from, each name once.
        horizon_s: When the simulation ends, finite and > 0: later arrivals are not taken, replicas are paid until then.
        promise: When an answer is in time.
        balancing: Which ready replica gets a request; should its queue be full the request is refused.
        control_s: Between two questions to the controller, > 0; infinite for none.
        held_limit: Requests that wait at the balancer while no replica is ready, ≥ 0; one more is refused.
        drain_limit_s: How long a replica that is no longer wanted may work off its queue, ≥ 0; what it then still holds
            is lost.
        max_replicas: Places for replicas that are not gone, in [1, ``MAX_REPLICAS``].
        disruptions: In any order.
        seed: Of service times and random balancing, in [0, 2⁶⁴).
        record: Requests of which is kept what became of them.
    """

    server: BatchingServer
    pools: tuple[Pool, ...]
    horizon_s: float
    promise: Promise = Promise()
    balancing: Balancing = "least_outstanding"
    control_s: float = math.inf
    held_limit: int = 0
    drain_limit_s: float = math.inf
    max_replicas: int = 64
    disruptions: tuple[Disruption, ...] = ()
    seed: int = 0
    record: Window = Window()

    def __post_init__(self) -> None:
        names = [pool.name for pool in self.pools]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"Setup: at least one pool, each name once: {names}")
        if not (math.isfinite(self.horizon_s) and self.horizon_s > 0 and self.control_s > 0):
            raise ValueError(
                f"Setup: horizon_s must be finite and > 0, control_s > 0; are {self.horizon_s} and {self.control_s}"
            )
        if self.balancing not in get_args(Balancing):
            raise ValueError(f"Setup: balancing must be one of {get_args(Balancing)}, is {self.balancing!r}")
        if self.held_limit < 0 or not self.drain_limit_s >= 0:
            raise ValueError(
                f"Setup: held_limit and drain_limit_s must be ≥ 0, are {self.held_limit} and {self.drain_limit_s}"
            )
        initial = sum(pool.initial for pool in self.pools)
        if not max(1, initial) <= self.max_replicas <= MAX_REPLICAS:
            raise ValueError(
                f"Setup: max_replicas must lie in [{max(1, initial)}, {MAX_REPLICAS:,}] with {initial} at the start, "
                f"is {self.max_replicas}"
            )
        unknown = {d.pool for d in self.disruptions} - set(names)
        if unknown:
            raise ValueError(f"Setup: disruptions of pools that are not there: {sorted(unknown)}; there are {names}")
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"Setup: seed must lie in [0, 2⁶⁴), is {self.seed}")
