"""What the controller reads of a metric: the load as it is, or each simulated pod's share of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from farthing.core.numerals import number
from farthing.core.scaling.fixed_width import to_int64
from farthing.core.scaling.hpa.pods import Pod, Sample
from farthing.core.scaling.hpa.reconcile import Reading
from farthing.core.simulation.replay.autoscaler import PERCENT_REQUEST_M, Followed
from farthing.core.simulation.replay.recording import Recorded

__all__ = ["demand", "reading_of", "said", "shown"]

_MILLI = 1000
_MIB = 2**20


def shown(recorded: Recorded, load: float | None, ready: int) -> float | None:
    """What a query returns of the load: all of it, or a ready pod's share; None where there is nothing to return.

    Args:
        recorded: The metric.
        load: Of all replicas now; None in a gap.
        ready: Pods that are.
    """
    if load is None or recorded.loop == "open":
        return load
    return load / ready if ready else None


def reading_of(
    followed: Followed, recorded: Recorded, value: float | None, pods: Sequence[Pod], window_s: float
) -> Reading:
    """A query's answer for the controller, empty where there is no number.

    A pod's CPU before it is ready is taken as none and its memory as that of the others; its other metrics are not
    there until it is ready.

    Args:
        followed: The metric.
        recorded: Its recording.
        value: The load of all replicas for metrics of pods, what the query returns for others; None for nothing.
        pods: As the controller sees them.
        window_s: Over which samples are averaged.
    """
    if followed.utilization and followed.lacking:
        return Reading(failed=True)
    if value is None:
        return Reading()
    if not followed.of_pods:
        return Reading(values_m=(to_int64(value * _MILLI),))
    ready = [pod.name for pod in pods if pod.ready]
    if not ready:
        return Reading()
    each_m = round(value * _MILLI / len(ready))
    samples = dict.fromkeys(ready, Sample(value_m=each_m, window_s=window_s))
    if followed.metric.kind != "pods":
        usage_m = 0 if followed.metric.resource == "cpu" else each_m
        starting = [pod.name for pod in pods if pod.phase == "Running" and not pod.ready]
        samples |= dict.fromkeys(starting, Sample(value_m=usage_m, window_s=window_s))
    return Reading(samples=samples)


def demand(followed: Followed, recorded: Recorded, load: float | None) -> int | None:
    """Fewest replicas among which the load stays within the target; None where replicas cannot bring it there.

    Args:
        followed: The metric.
        recorded: Its recording.
        load: Of all replicas now; None in a gap.
    """
    if load is None or (followed.metric.target_type == "value" and recorded.loop == "open"):
        return None
    if not followed.of_pods and followed.metric.target_type == "average_value" and recorded.loop == "closed":
        return None
    target = followed.metric.target * (PERCENT_REQUEST_M / 100 if followed.utilization else 1)
    return max(0, math.ceil(load * _MILLI / target - 1e-9))


def said(followed: Followed, value: float | None, ready: int) -> str:
    """What was read against the target: ``cpu 84 % against 70 %``, ``requests 1,240 in all against 100 a pod``.

    Args:
        followed: The metric.
        value: As :func:`reading_of` takes it.
        ready: Pods that are.
    """
    if value is None or (followed.of_pods and not ready):
        return f"{followed.name} without a number"
    each = " a pod" if followed.metric.target_type == "average_value" else ""
    if not followed.of_pods:
        return f"{followed.name} {_amount(followed, value)} in all against {followed.target_text}{each or ' in all'}"
    text = _amount(followed, value / ready)
    return f"{followed.name} {text}{each} against {followed.target_text}"


def _amount(followed: Followed, value: float) -> str:
    if followed.utilization:
        return f"{number(value, 0)} %"
    if followed.metric.kind != "pods" and followed.of_pods and followed.metric.resource == "memory":
        return f"{number(value / _MIB, 0)}Mi"
    size = abs(value)
    return number(value, 0 if size >= 100 or value == round(value) else 1 if size >= 10 else 2)
