"""Answers of Prometheus as the metrics that an autoscaler follows: the load that there was, whatever the replicas.

A total such as requests a second is the load itself (an open loop: replayed exactly). What one replica had, its CPU or
its requests, depended on how many there were (a closed loop): the load is that times the replicas of that time, which
are those of the series where there is one a pod, and otherwise have to be said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farthing.core.simulation.replay.autoscaler import Autoscaler, Followed
from farthing.core.simulation.replay.recording import Loop, Recorded, Recording
from farthing.errors import InputError, TraceError
from farthing.load.scaling.asked import SeriesAsked, files_by_metric, requests_by_metric, said_of
from farthing.load.scaling.promql import outer_aggregation
from farthing.load.traffic.prometheus.answer import Sampled, read_series

__all__ = ["recording_of"]

Floats = NDArray[np.float64]
_POD_LABELS = ("pod", "pod_name", "kubernetes_pod_name", "k8s_pod_name", "exported_pod", "instance")
_PER_REPLICA = ("avg", "max", "min", "median", "quantile")
_FEW_PERCENT = 3.0
_OFF_GRID = 0.05
_LATE = 1.1
"""A series' own samples may come that much later than usual."""
_MANY_REQUESTS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Joined:
    """All series of a file on the times that any has.

    Attributes:
        at_s: Seconds since 1970, shape ``(n,)``.
        sums: Over the series, shape ``(n,)``.
        series: That have a sample at each time, shape ``(n,)``.
        step_s: Between times.
        of_pods: Whether each series is a pod's.
        names: How many series there are.
    """

    at_s: Floats
    sums: Floats
    series: Floats
    step_s: float
    of_pods: bool
    names: int


def recording_of(autoscaler: Autoscaler, asked: SeriesAsked) -> Recording:
    """Read the series of every metric that an autoscaler follows.

    The recording is the time that all of them cover.

    Args:
        autoscaler: From its manifest.
        asked: Which file holds which metric, and what its numbers are.

    Raises:
        InputError: when a metric lacks a series, it is not clear what its numbers are, or the replicas of that time are
            needed and not known (says how to say it).
        TraceError: when a file is no range query's answer, or holds no number.
    """
    paths = files_by_metric(autoscaler, asked.files)
    joined = [_joined(path) for path in paths]
    replicas = _replicas(asked, joined)
    totals = said_of(autoscaler, asked.totals, "--total")
    singles = said_of(autoscaler, asked.per_replica, "--per-replica")
    requests = requests_by_metric(autoscaler, asked.requests)
    start_s, end_s = _span(paths, joined)
    metrics = []
    for k, (followed, path, series) in enumerate(zip(autoscaler.followed, paths, joined)):
        _refuse_several(followed, path, series, k in totals or k in singles)
        said = True if k in totals else False if k in singles else None
        load, loop, words = _load(followed, path, series, replicas, said)
        if followed.utilization:
            request_m = requests.get(k, followed.request_m)
            load, unit = _in_percent(followed, path, load, series, replicas, request_m, k in requests)
            words = f"{words}, {unit}"
        inside = (series.at_s >= start_s - series.step_s) & (series.at_s < end_s)
        if not inside.any():
            raise TraceError(
                f"the series {path} has no number in the time that all series cover",
                hint="record them over the same time",
            )
        metrics.append(
            Recorded(
                at_s=series.at_s[inside] - start_s, load=load[inside], step_s=series.step_s, loop=loop, read_as=words
            )
        )
    first = None if replicas is None else round(float(replicas.at(np.array([start_s]))[0]))
    return Recording(start_s=start_s, length_s=end_s - start_s, metrics=tuple(metrics), replicas=first)


def _joined(path: Path) -> _Joined:
    found = read_series(path)
    if not found:
        raise TraceError(
            f"the series {path} has no numbers: the query matched nothing in its time",
            hint="look for a misspelt label; KEDA reads such an answer as 0 unless ignoreNullValues is false",
        )
    at_s = np.unique(np.round(np.concatenate([one.at_s for one in found]), 3))
    sums, series = np.zeros(at_s.size), np.zeros(at_s.size)
    for one in found:
        places = np.searchsorted(at_s, np.round(one.at_s, 3))
        sums[places] += one.values
        series[places] += 1
    if at_s.size < 2:
        raise TraceError(f"the series {path} has one moment", hint="ask for a range with start, end and step")
    return _Joined(
        at_s=at_s,
        sums=sums,
        series=series,
        step_s=_step_s(path, at_s, len(found)),
        of_pods=_of_pods(found),
        names=len(found),
    )


def _step_s(path: Path, at_s: Floats, n_series: int) -> float:
    """Between samples: a range query's step, or the usual distance of one series' own samples.

    Raises:
        TraceError: when several series do not share their times, so that they cannot be added up.
    """
    gaps = np.diff(at_s)
    step_s = float(gaps.min())
    places = (at_s - at_s[0]) / step_s
    if np.abs(places - np.round(places)).max() < _OFF_GRID:
        return step_s
    if n_series == 1:
        return float(np.quantile(gaps, 0.9)) * _LATE
    raise TraceError(
        f"the series {path}: its {n_series} series have times of their own, as samples of x[1h] have",
        hint="ask /api/v1/query_range with start, end and step=15",
    )


def _of_pods(found: Sequence[Sampled]) -> bool:
    """Whether each series is one pod's, by a label in which all differ."""
    for label in _POD_LABELS:
        pods = {one.labels.get(label) for one in found}
        if None not in pods and len(pods) == len(found):
            return True
    return False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Replicas:
    """Replicas that there were, as they were counted last."""

    at_s: Floats
    counts: Floats
    words: str

    def at(self, times: Floats) -> Floats:
        places = np.searchsorted(self.at_s, times, side="right") - 1
        return self.counts[np.maximum(places, 0)]


def _replicas(asked: SeriesAsked, joined: Sequence[_Joined]) -> _Replicas | None:
    if asked.replicas is not None:
        words = f"{asked.replicas} replicas throughout"
        return _Replicas(at_s=np.zeros(1), counts=np.full(1, float(asked.replicas)), words=words)
    if asked.replicas_file is not None:
        found = read_series(asked.replicas_file)
        if len(found) != 1:
            raise TraceError(
                f"the series {asked.replicas_file} has {len(found)} series, not one of replicas over time",
                hint="ask for max(kube_deployment_status_replicas_ready{deployment=…})",
            )
        return _Replicas(at_s=found[0].at_s, counts=found[0].values, words=f"the replicas of {asked.replicas_file}")
    pods = next((one for one in joined if one.of_pods), None)
    return None if pods is None else _Replicas(at_s=pods.at_s, counts=pods.series, words="as many as there are series")


def _span(paths: Sequence[Path], joined: Sequence[_Joined]) -> tuple[float, float]:
    start_s = max(float(one.at_s[0]) for one in joined)
    end_s = min(float(one.at_s[-1]) + one.step_s for one in joined)
    if not end_s > start_s:
        raise InputError(
            f"the series of {', '.join(map(str, paths))} have no time in common", hint="record them over the same time"
        )
    return start_s, end_s


def _refuse_several(followed: Followed, path: Path, series: _Joined, said: bool) -> None:
    """KEDA fails on an answer of several series; a query that is a sum was recorded without it."""
    if followed.trigger is None or series.names == 1 or said or outer_aggregation(followed.trigger.query) == "sum":
        return
    raise InputError(
        f"{path} has {series.names} series, and KEDA fails on a query that returns several ({followed.path}: "
        f"{followed.trigger.query})",
        hint=f"write sum(…) around the query; to replay it as their sum: --total {followed.name}",
    )


def _load(
    followed: Followed, path: Path, series: _Joined, replicas: _Replicas | None, total: bool | None
) -> tuple[Floats, Loop, str]:
    """The load of all replicas, whether it is an open or a closed loop, and how it was read.

    Args:
        followed: The metric.
        path: Of its series, for messages.
        series: As they stand.
        replicas: Of that time, where they are known.
        total: What the user says; None for nothing.
    """
    loop: Loop = "closed" if followed.of_pods else "open"
    if total:
        return series.sums, loop, "a total that does not depend on replicas (as said), replayed as it is"
    if series.of_pods and (followed.of_pods or total is False):
        words = f"{series.names} series, one a pod, added up to the load that simulated replicas share"
        return series.sums, "closed", words
    if not followed.of_pods and total is None and not _each(followed):
        added = f"{series.names} series added up: " if series.names > 1 else ""
        return series.sums, "open", f"{added}a total that does not depend on replicas, replayed as it is"
    mean = series.sums / series.series
    if replicas is None:
        raise InputError(
            f"{followed.name} ({path}) is what one replica had, which depends on how many there were, and that is "
            "not known",
            hint=f"--replicas-series FILE, --recorded-replicas N, or --total {followed.name} where it is a total",
        )
    return mean * replicas.at(series.at_s), "closed", f"what one replica had × {replicas.words}: the load is kept"


def _each(followed: Followed) -> bool:
    """Whether the query is an average or the like, which depends on how many replicas there are."""
    return followed.trigger is not None and outer_aggregation(followed.trigger.query) in _PER_REPLICA


def _in_percent(
    followed: Followed,
    path: Path,
    load: Floats,
    series: _Joined,
    replicas: _Replicas | None,
    request_m: int | None,
    said: bool,
) -> tuple[Floats, str]:
    """The load in percent of what a pod requests, and in which unit it was recorded."""
    counts = series.series if series.of_pods or replicas is None else replicas.at(series.at_s)
    most = float(np.max(load / np.maximum(counts, 1.0)))
    if request_m is not None:
        request = request_m / 1000
        if not said and most > _MANY_REQUESTS * request:
            raise InputError(
                f"{path}: {followed.name} reaches {most:,.4g} a pod, {most / request:,.0f} times its request",
                hint=f"where it is percent of the request: --request {followed.name}=percent",
            )
        return load / request * 100, f"in {_unit(followed)} against a request of {_amount(request)}"
    if most <= _FEW_PERCENT and not said:
        raise InputError(
            f"{path}: {followed.name} is at most {most:.3g} a pod, which is hardly percent of a request",
            hint=f"usage in {_unit(followed)}: --request {followed.name}=500m (what a pod requests); "
            f"percent indeed: --request {followed.name}=percent; a fraction: record it × 100",
        )
    return load, "in percent of the request"


def _unit(followed: Followed) -> str:
    return "bytes" if followed.metric.resource == "memory" else "cores"


def _amount(value: float) -> str:
    return f"{value:,.4g}"
