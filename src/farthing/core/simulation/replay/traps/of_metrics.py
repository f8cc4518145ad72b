"""Traps of what is followed: wrong aggregations, totals against ``Value``, gaps, missing requests, coarse series."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from farthing.core.numerals import number
from farthing.core.simulation.replay.autoscaler import Followed
from farthing.core.simulation.replay.recording import Recorded
from farthing.core.simulation.replay.traps.trap import Look, Seen, Trap, share_of

__all__ = ["LOOKS"]

_EACH = ("avg", "max", "min", "median", "quantile")
_LONG_WINDOW_S = 120.0


def _no_requests(seen: Seen) -> Iterator[Trap]:
    for _, followed, _ in seen.metrics():
        if followed.utilization and followed.lacking:
            lacking = ", ".join(followed.lacking)
            resource = followed.metric.resource
            yield Trap(
                name="no-requests",
                where=followed.path,
                said=f"it is a share of the {resource} that pods request, and {lacking} requests "
                f"none: the controller computes nothing (FailedGetResourceMetric)",
                instead=f"resources.requests.{resource} in {lacking}, or averageValue in place of averageUtilization",
                weight=1.0,
            )


def _value_of_total(seen: Seen) -> Iterator[Trap]:
    """With ``Value`` the ratio multiplies the replicas, which a total does not follow: it runs away."""
    at_end = share_of(seen.replayed.after >= seen.autoscaler.spec.max_replicas)
    for _, followed, recorded in seen.metrics():
        if followed.metric.target_type != "value" or recorded.loop != "open":
            continue
        most = float(np.max(recorded.load))
        yield Trap(
            name="value-on-total",
            where=followed.path,
            said=f"it is a total against Value {followed.target_text}: replicas are multiplied by "
            f"total ÷ target, and since more replicas do not lower the total ({_amount(most)} at most) they are "
            f"multiplied again at each pass, up to the maximum ({number(at_end * 100, 0)} % of the time there)",
            instead=_average_value(seen, followed),
            weight=max(at_end, share_of(np.array([p.before != p.after for p in seen.replayed.passes]))),
        )


def _average_value(seen: Seen, followed: Followed) -> str:
    meant = "the target of one replica"
    if seen.autoscaler.keda is None:
        return f"target: {{type: AverageValue, averageValue: …}} with {meant}"
    return f"metricType: AverageValue with {meant} as threshold"


def _average_shared_again(seen: Seen) -> Iterator[Trap]:
    for k, followed, recorded in seen.metrics():
        if followed.of_pods or followed.metric.target_type != "average_value":
            continue
        outer = seen.outer[k]
        if outer in _EACH:
            what = f"{outer}(…) is one replica's already"
        elif recorded.loop == "closed":
            what = "its values are one replica's already"
        else:
            continue
        usual = int(np.median(seen.replayed.after))
        fix = "metricType: Value" if seen.autoscaler.keda is not None else "target: {type: Value, value: …}"
        yield Trap(
            name="average-shared-again",
            where=followed.path,
            said=f"{what}, and AverageValue shares it among the replicas again: with {max(usual, 1)} "
            f"replicas it counts 1/{max(usual, 1)} of it",
            instead=f"sum(…) in the query, or {fix}",
            weight=share_of(seen.replayed.after <= max(1, seen.autoscaler.spec.min_replicas)),
        )


def _gaps(seen: Seen) -> Iterator[Trap]:
    length_s = seen.recording.length_s
    for _, followed, recorded in seen.metrics():
        gap_s = recorded.gap_s(length_s)
        if gap_s <= 0:
            continue
        share = min(1.0, gap_s / length_s)
        long = f"{number(gap_s / 60, 0)} min" if gap_s >= 120 else f"{gap_s:.0f} s"
        if followed.trigger is not None and followed.trigger.empty_is_zero:
            before, least = _fall(seen, recorded)
            fell = f": {before} replicas fell to {least}" if least < before else ""
            yield Trap(
                name="empty-reads-as-zero",
                where=followed.path,
                said=f"the query had no number for {long}, which KEDA reads as 0, as though there "
                f"were no load (ignoreNullValues is true){fell}",
                instead=f'ignoreNullValues: "false" with fallback: {{failureThreshold: 3, replicas: {before}}}',
                weight=max(share, 1 - least / before if before else 0.0),
            )
        elif followed.trigger is None or seen.autoscaler.keda is None or seen.autoscaler.keda.fallback is None:
            yield Trap(
                name="no-number",
                where=followed.path,
                said=f"there was no number for {long}; the controller left the replicas as they were",
                instead="absent series as 0 only where that is true, or a second metric that is always there",
                weight=share,
            )


def _fall(seen: Seen, recorded: Recorded) -> tuple[int, int]:
    """Replicas when numbers ended, and the fewest until they were back, at the gap that cost most of them."""
    worst, before, within = (0, 0), 0, False
    for one in seen.replayed.passes:
        here = recorded.at(one.at_s) is None
        if here and not within:
            before = one.before
        if here and before - one.after >= worst[0] - worst[1]:
            worst = (before, one.after)
        within = here
    return worst


def _coarse(seen: Seen) -> Iterator[Trap]:
    fleet = seen.replayed.fleet
    for k, followed, recorded in seen.metrics():
        window_s = seen.window_s[k]
        if window_s is not None and window_s > max(_LONG_WINDOW_S, fleet.start_s + fleet.load_s):
            yield Trap(
                name="window-lags",
                where=followed.path,
                said=f"a window of {window_s:g} s shows a rise about {window_s / 2:g} s late, on top "
                f"of the {fleet.start_s + fleet.load_s:g} s that a replica takes to be ready",
                instead="a window of four scrape intervals, [1m] at 15 s",
            )
        if recorded.step_s > fleet.sync_s * 1.5:
            yield Trap(
                name="coarse-recording",
                where=followed.path,
                said=f"its series has a value each {recorded.step_s:g} s, the controller looks each "
                f"{fleet.sync_s:g} s: peaks between values were not replayed",
                instead=f"record it with step={fleet.sync_s:g}s",
            )


def _memory(seen: Seen) -> Iterator[Trap]:
    for _, followed, _ in seen.metrics():
        if followed.of_pods and followed.metric.kind != "pods" and followed.metric.resource == "memory":
            yield Trap(
                name="memory-followed",
                where=followed.path,
                said="memory seldom falls when replicas are added, since each holds its own; the "
                "replay took it as shared out",
                instead="CPU, requests or a queue in its place, memory only as a limit",
            )


def _amount(value: float) -> str:
    return number(value, 0 if value >= 100 else 2)


LOOKS: tuple[Look, ...] = (_no_requests, _value_of_total, _average_shared_again, _gaps, _coarse, _memory)
