"""How many jobs a ScaledJob starts.

Source: KEDA, ``pkg/scaling/executor/scale_jobs.go`` and ``pkg/scaling/scaledjob/metrics.go``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from farthing.core.scaling.fixed_width import to_int64

__all__ = ["Demand", "Jobs", "ScalerReading", "Strategy", "decide", "demand", "effective_max_scale", "target_average"]

DEFAULT_MAX_REPLICAS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """``spec.scalingStrategy``.

    Attributes:
        name: ``custom``, ``accurate``, ``eager``; any other is the default.
        queue_length_deduction: Of ``custom``: taken off the queue; None takes nothing.
        running_job_frac: Of ``custom``: share of running jobs taken off; None, as where it cannot be read, makes the
            strategy the default.
    """

    name: str = "default"
    queue_length_deduction: int | None = None
    running_job_frac: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """Jobs of a ScaledJob.

    Attributes:
        running: Not finished, pending ones included.
        pending: Of them, without a pod that runs or ran.
    """

    running: int
    pending: int = 0


def effective_max_scale(
    strategy: Strategy, max_scale: int, jobs: Jobs, max_replicas: int, scale_to: int
) -> tuple[int, int]:
    """Most jobs to start, which may be below zero, and how many are wanted.

    Args:
        strategy: Of the ScaledJob.
        max_scale: Jobs that the queue asks for.
        jobs: There are.
        max_replicas: Upper bound.
        scale_to: Wanted before.
    """
    if strategy.name == "custom" and strategy.running_job_frac is not None:
        share = to_int64(jobs.running * strategy.running_job_frac)
        return min(max_scale - (strategy.queue_length_deduction or 0) - share, max_replicas), scale_to
    if strategy.name == "accurate":
        return min(max_scale - jobs.pending, max_replicas - jobs.running), scale_to
    if strategy.name == "eager":
        return min(max_replicas - jobs.running - jobs.pending, max_scale), max_replicas
    return max_scale - jobs.running, scale_to


def decide(
    strategy: Strategy,
    max_scale: int,
    jobs: Jobs,
    scale_to: int,
    *,
    min_replicas: int = 0,
    max_replicas: int = DEFAULT_MAX_REPLICAS,
) -> tuple[int, int]:
    """Fill up to the minimum first; the strategy then sees only the jobs beyond it.

    Args:
        strategy: Of the ScaledJob.
        max_scale: Jobs that the queue asks for.
        jobs: There are.
        scale_to: Wanted before.
        min_replicas: Lower bound.
        max_replicas: Upper bound.

    Returns:
        As of :func:`effective_max_scale`. As many jobs are started as the smaller of the two says, if it is > 0.
    """
    if jobs.running < min_replicas:
        return min_replicas - jobs.running, min_replicas - jobs.running
    beyond = Jobs(running=jobs.running - min_replicas, pending=jobs.pending)
    return effective_max_scale(strategy, max_scale, beyond, max_replicas, scale_to)


def target_average(targets: Sequence[float]) -> float:
    """Mean of the targets of a scaler's metrics, 0 of none."""
    return sum(targets) / len(targets) if targets else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalerReading:
    """What one scaler says.

    Attributes:
        queue_length: Of its queue.
        target_average: Of the queue, for one job; 0 asks for none.
        active: Whether it is.
        failed: Whether it could not be read; it is then left out.
    """

    queue_length: float
    target_average: float
    active: bool
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What all scalers say together.

    Attributes:
        active: Whether there is anything to do; always with a minimum above zero.
        error: Whether a scaler failed.
        queue_length: Rounded up.
        max_value: Jobs that it asks for, rounded up.
    """

    active: bool
    error: bool
    queue_length: int
    max_value: int


def demand(
    scalers: Sequence[ScalerReading], calculation: str = "", *, min_replicas: int = 0, max_replicas: int
) -> Demand:
    """Join scalers.

    Args:
        scalers: In their order.
        calculation: ``min``, ``avg`` or ``sum`` over active ones; any other is the one with the longest queue.
        min_replicas: Lower bound.
        max_replicas: Upper bound, of each and of all together.
    """
    read = [(s.queue_length, _jobs(s, max_replicas)) for s in scalers if s.active and not s.failed]
    queue, jobs, active = _joined(read, calculation)
    return Demand(
        active=active or min_replicas > 0,
        error=any(scaler.failed for scaler in scalers),
        queue_length=math.ceil(queue),
        max_value=math.ceil(min(jobs, float(max_replicas))),
    )


def _jobs(scaler: ScalerReading, max_replicas: int) -> float:
    if scaler.target_average == 0:
        return 0.0
    return min(scaler.queue_length / scaler.target_average, float(max_replicas))


def _joined(read: Sequence[tuple[float, float]], calculation: str) -> tuple[float, float, bool]:
    if calculation in ("avg", "sum"):
        count = len(read) if calculation == "avg" and read else 1
        return sum(q for q, _ in read) / count, sum(j for _, j in read) / count, bool(read)
    queue, jobs, active = 0.0, 0.0, False
    for length, wanted in read:
        shorter = calculation == "min" and (queue == 0 or length < queue)
        if shorter or (calculation != "min" and length > queue):
            queue, jobs, active = length, wanted, True
    return queue, jobs, active
