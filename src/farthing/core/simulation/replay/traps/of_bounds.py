"""Traps of bounds and behaviour: tolerance, maximum, minimum, rates, windows, the number in the workload's manifest."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from farthing.core.numerals import number
from farthing.core.scaling.hpa.behavior import Rules
from farthing.core.simulation.replay.traps.trap import Look, Seen, Trap, share_of

__all__ = ["LOOKS"]

_NOTICED = 0.01
"""A share of the time below which a trap made no difference worth a line."""
_TURNS_AN_HOUR = 4
_MOSTLY = 0.5
Bools = NDArray[np.bool_]


def _percent(share: float) -> str:
    return "less than 1 %" if 0 < share < 0.01 else f"{number(share * 100, 0)} %"


def _held_by_tolerance(seen: Seen) -> Bools:
    """Passes that needed more, and in which the controller asked for what there was."""
    passes = seen.replayed.passes
    return np.array(
        [p.needed is not None and p.before > 0 and p.asked == p.before and p.needed > p.before for p in passes]
    )


def _tolerance(seen: Seen) -> Iterator[Trap]:
    up = seen.autoscaler.spec.tolerance.up
    held = _held_by_tolerance(seen)
    share = share_of(held)
    if up <= 0 or share < _NOTICED:
        return
    most = max(p.before for p, here in zip(seen.replayed.passes, held) if here)
    missing = max(p.needed - p.before for p, here in zip(seen.replayed.passes, held) if here and p.needed)
    from_n = math.ceil(1 / up - 1e-9)
    alone = f"from {from_n} replicas on it never adds one alone" if most >= from_n else f"at {most} it adds none"
    finer = max(0.01, math.floor(100 / (most + 1)) / 100)
    yield Trap(
        name="tolerance-band",
        said=f"a tolerance of {number(up * 100, 0)} % changes nothing until the metric is {number(up * 100, 0)} % over "
        f"its target: {alone}, and {_percent(share)} of the time up to {missing} fewer ran than the target asks for",
        instead=f"behavior.scaleUp.tolerance: {finer:g} (Kubernetes from 1.33 on, at first behind "
        f"HPAConfigurableTolerance), or a target {number((1 - 1 / (1 + up)) * 100, 0)} % lower",
        weight=share,
    )


def _maximum(seen: Seen) -> Iterator[Trap]:
    found, most = seen.steadiness, seen.autoscaler.spec.max_replicas
    if found.beyond_max_frac > 0 and found.most_asked is not None:
        yield Trap(
            name="maximum-reached",
            said=f"the maximum of {most} held it down {_percent(found.beyond_max_frac)} of the time: the metrics asked "
            f"for up to {found.most_asked:,}",
            instead=f"{_max_field(seen)}: {found.most_asked}, or a cause of that peak that is none of the load",
            weight=found.beyond_max_frac,
        )


def _max_field(seen: Seen) -> str:
    return "maxReplicas" if seen.autoscaler.keda is None else "maxReplicaCount"


def _min_field(seen: Seen) -> str:
    return "minReplicas" if seen.autoscaler.keda is None else "minReplicaCount"


def _minimum(seen: Seen) -> Iterator[Trap]:
    needed, least = seen.replayed.needed, seen.autoscaler.spec.min_replicas
    known = ~np.isnan(needed)
    share = share_of(needed[known] < least)
    if least <= 1 or share < _MOSTLY:
        return
    enough = int(np.quantile(needed[known], 0.25))
    yield Trap(
        name="minimum-decides",
        said=f"the minimum of {least} decided {_percent(share)} of the time: the metrics asked for fewer",
        instead=f"{_min_field(seen)}: {max(1, enough)}, if nothing else (zones, start-up) needs {least}",
        weight=share,
    )


def _rates(seen: Seen) -> Iterator[Trap]:
    behavior, passes = seen.autoscaler.spec.behavior, seen.replayed.passes
    for limit, key, rules in (
        ("ScaleUpLimit", "scaleUp", None if behavior is None else behavior.scale_up),
        ("ScaleDownLimit", "scaleDown", None if behavior is None else behavior.scale_down),
    ):
        held = np.array([p.limited == limit for p in passes])
        share = share_of(held)
        if not share or rules is None:
            continue
        if rules.select == "Disabled":
            other = "more" if key == "scaleUp" else "fewer"
            yield Trap(
                name="direction-disabled",
                said=f"behavior.{key}.selectPolicy: Disabled let nothing happen in that direction, while {other} "
                f"replicas were wanted {_percent(share)} of the time",
                instead=f"behavior.{key}.selectPolicy: Max with a policy, if that is not meant for good",
                weight=share,
            )
        elif share >= _NOTICED:
            yield Trap(
                name="rate-limited",
                said=f"the policies of behavior.{key} ({_policies(rules)}) held it back {_percent(share)} of the time",
                instead=f"a larger value or a shorter periodSeconds in behavior.{key}.policies",
                weight=share,
            )


def _policies(rules: Rules) -> str:
    each = [f"{p.value}{' %' if p.kind == 'Percent' else ' pods'} in {p.period_s:g} s" for p in rules.policies]
    return ", ".join(each)


def _stabilization(seen: Seen) -> Iterator[Trap]:
    """Replicas are given back in less time than it takes to get them."""
    spec, fleet = seen.autoscaler.spec, seen.replayed.fleet
    down = None if spec.behavior is None else spec.behavior.scale_down.stabilization_s
    window_s = spec.controller.downscale_stabilization_s if down is None else down
    ready_s = fleet.start_s + fleet.load_s
    if window_s < ready_s and seen.replayed.changes:
        lost = seen.replayed.removed_unready
        waste = f"; {lost} were removed before they were ready" if lost else ""
        yield Trap(
            name="start-longer-than-window",
            said=f"a replica takes {ready_s:g} s to be ready, and is given up after {window_s:g} s of lower "
            f"demand{waste}",
            instead=f"behavior.scaleDown.stabilizationWindowSeconds: {math.ceil(2 * ready_s)}",
            weight=seen.steadiness.short_frac if lost else 0.0,
        )


def _late(seen: Seen) -> Iterator[Trap]:
    """Replicas were asked for in time for the metric, not for their start-up."""
    fleet, passes = seen.replayed.fleet, seen.replayed.passes
    late = np.array([p.needed is not None and p.ready < p.needed <= p.after for p in passes])
    share = share_of(late)
    if share >= _NOTICED and fleet.start_s + fleet.load_s > fleet.sync_s:
        yield Trap(
            name="start-up-late",
            said=f"replicas that take {fleet.start_s + fleet.load_s:g} s to be ready came too late {_percent(share)} "
            "of the time: they were asked for, and not there",
            instead="a lower target (room for the rise while they start), or a quicker start-up",
            weight=share,
        )


def _oscillates(seen: Seen) -> Iterator[Trap]:
    turns = seen.steadiness.busiest_hour_turns
    if turns < _TURNS_AN_HOUR:
        return
    behavior = seen.autoscaler.spec.behavior
    down = None if behavior is None else behavior.scale_down.stabilization_s
    window_s = seen.autoscaler.spec.controller.downscale_stabilization_s if down is None else down
    longer = min(3600, int(max(2 * window_s, 600)))
    instead = f"behavior.scaleDown.stabilizationWindowSeconds: {longer} (it is {window_s:g})"
    if window_s >= 3600:
        instead = "a metric that swings less: a longer rate window, or another target"
    yield Trap(
        name="oscillates",
        said=f"it goes up and down again: {turns} turns in the busiest hour, {seen.steadiness.turns} of its "
        f"{seen.steadiness.changes} changes take back the one before",
        instead=instead,
        weight=min(1.0, seen.steadiness.turns * 300 / seen.replayed.length_s),
    )


def _written_replicas(seen: Seen) -> Iterator[Trap]:
    written = seen.autoscaler.written_replicas
    if written is not None:
        yield Trap(
            name="replicas-written-too",
            said=f"the manifest of {seen.autoscaler.target} in the same file says replicas: {written}: each time it is "
            f"applied it sets {written}, whatever the autoscaler had decided",
            instead="no spec.replicas in that manifest",
        )


LOOKS: tuple[Look, ...] = (
    _tolerance, _maximum, _minimum, _rates, _stabilization, _late, _oscillates, _written_replicas,
)  # fmt: skip
