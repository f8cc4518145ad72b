"""The server of a simulated replica from a plan's measurements, made as slow as the plan's proof saw it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from farthing.core.search.sustained import HEADROOM
from farthing.core.simulation.setup import BatchingServer, Promise, Shedding
from farthing.core.traffic.batch_queue import saturation_rps, sla_rps
from farthing.core.traffic.service_curve import ServiceCurve
from farthing.nouns import Evaluation, Objective

__all__ = ["MeasuredReplica", "promise_of", "replica_of"]

_STEPS = 40
_SLOWEST = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredReplica:
    """A replica as it is simulated.

    Attributes:
        server: Its queue and workers.
        rate_rps: That it keeps within the promise.
        planned_rps: Of it, what the plan uses.
        slower: Factor on the measured service times with which the batch queue keeps that rate; above 1 where a server
            takes time of its own.
    """

    server: BatchingServer
    rate_rps: float
    planned_rps: float
    slower: float

    @property
    def in_flight(self) -> float:
        """Requests that wait or run where all workers are busy with the batches that keep that rate, ≥ 1."""
        busy_s = np.asarray(self.server.service_s)
        sizes = np.arange(1, busy_s.size + 1)
        kept = sizes * self.server.instances / busy_s >= self.rate_rps
        size = int(sizes[kept][0]) if kept.any() else self.server.max_batch
        return float(2 * size * self.server.instances)


def promise_of(objective: Objective) -> Promise:
    """When an answer is in time, and which requests are refused, as farthing's server does with this objective.

    A promise on p99 or above is each request's deadline: what would come later is refused.
    """
    bound = objective.latency
    if bound is None:
        return Promise()
    if objective.deadline_s is None:
        return Promise(latency_s=bound.ms / 1000)
    return Promise(latency_s=bound.ms / 1000, deadline_s=objective.deadline_s, shedding=Shedding())


def replica_of(chosen: Evaluation, objective: Objective, capacity_factor: float = 1.0) -> MeasuredReplica:
    """Take a plan's choice.

    Its service times were measured beside the server, the rate that it keeps through it: all times are multiplied by
    the one factor with which the batch queue keeps that rate.

    Args:
        chosen: With its batch curve and planned rate.
        objective: With the promise.
        capacity_factor: Capacity of what is bought over that of the machine that was measured, > 0: it has as many
            times the workers, at least one.

    Raises:
        ValueError: when the curve or the rate is missing, or the promise has no latency.
    """
    if not chosen.service_ms or chosen.sla_rps is None:
        raise ValueError(f"{chosen.candidate.label} has no batch curve or no rate within the promise")
    c, bound = chosen.candidate, objective.latency
    curve = ServiceCurve.of(chosen.service_ms, sigma=chosen.service_sigma).upto(c.max_batch)
    planned_rps = chosen.sla_rps.value
    kept_rps = planned_rps * HEADROOM

    def kept(slower: float) -> float:
        scaled = curve.scaled(slower)
        if bound is None:
            return saturation_rps(scaled, instances=c.instances, max_batch=c.max_batch)
        found = sla_rps(
            scaled,
            instances=c.instances,
            max_batch=c.max_batch,
            latency_s=bound.ms / 1000,
            percentile=objective.level,
            headroom=0.0,
        )
        return 0.0 if found is None else found

    low, high = 1 / _SLOWEST, _SLOWEST  # the batch queue keeps more than the plan at the one, less at the other
    for _ in range(_STEPS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if kept(middle) > kept_rps else (low, middle)
    slower = math.sqrt(low * high)
    instances = max(1, round(c.instances * capacity_factor))
    server = BatchingServer.of(curve.scaled(slower), instances=instances, max_batch=c.max_batch)
    share = instances / c.instances
    return MeasuredReplica(server=server, rate_rps=kept_rps * share, planned_rps=planned_rps * share, slower=slower)
