"""Traps of a ScaledObject: activation that never comes, cool-downs, idle replicas that the autoscaler takes back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from farthing.core.numerals import number
from farthing.core.simulation.replay.traps.trap import Look, Seen, Trap, share_of

__all__ = ["LOOKS"]


def _never_active(seen: Seen) -> Iterator[Trap]:
    keda = seen.autoscaler.keda
    if keda is None or not keda.switches_off or seen.replayed.ever_active:
        return
    for _, followed, recorded in seen.metrics():
        if followed.trigger is None:
            continue
        level, peak = followed.trigger.activation_threshold, float(np.max(recorded.load))
        yield Trap(
            name="never-activated",
            where=followed.path,
            said=f"activationThreshold {level:g} was never passed (at most {peak:,.4g}): the workload "
            f"stays at {keda.floor}",
            instead=f'activationThreshold: "{int(peak / 10)}"; it is passed above that value',
            weight=share_of(seen.replayed.after <= keda.floor),
        )
        return


def _activation_above_target(seen: Seen) -> Iterator[Trap]:
    keda = seen.autoscaler.keda
    if keda is None or not keda.switches_off:
        return
    for _, followed, recorded in seen.metrics():
        if followed.trigger is None or followed.trigger.activation_threshold <= followed.metric.target / 1000:
            continue
        level, target = followed.trigger.activation_threshold, followed.metric.target / 1000
        off = [(p.after <= keda.floor, recorded.at(p.at_s)) for p in seen.replayed.passes]
        between = share_of(
            np.array([at_floor and load is not None and target < load <= level for at_floor, load in off])
        )
        if between and recorded.loop == "open":
            yield Trap(
                name="activation-above-threshold",
                where=followed.path,
                said=f"activationThreshold {level:g} lies above threshold {target:g}: "
                f"{number(between * 100, 0)} % of the time it was off with work for more than one replica",
                instead=f'activationThreshold: "0", or below {target:g}',
                weight=between,
            )


def _cooldown(seen: Seen) -> Iterator[Trap]:
    keda = seen.autoscaler.keda
    if keda is None:
        return
    wait_s, poll_s = keda.activation.cooldown_s, keda.polling_s
    if keda.switches_off and wait_s < poll_s:
        yield Trap(
            name="cooldown-below-polling",
            said=f"cooldownPeriod {wait_s:g} is shorter than pollingInterval {poll_s:g}: the first look that finds no "
            f"activity switches the workload off",
            instead=f"cooldownPeriod: {int(max(300, 4 * poll_s))}, or a shorter pollingInterval",
            weight=min(1.0, _switched_off(seen) * poll_s / seen.replayed.length_s),
        )
    if not keda.switches_off and keda.cooldown_written:
        yield Trap(
            name="cooldown-unused",
            said=f"cooldownPeriod {wait_s:g} has no effect: it counts only down to zero or idle, and minReplicaCount "
            f"is {keda.activation.min_replicas}",
            instead="advanced.horizontalPodAutoscalerConfig.behavior.scaleDown.stabilizationWindowSeconds: "
            f"{min(3600, int(wait_s))}",
        )


def _switched_off(seen: Seen) -> int:
    return sum(change.by == "keda" and not change.up for change in seen.replayed.changes)


def _idle(seen: Seen) -> Iterator[Trap]:
    keda = seen.autoscaler.keda
    idle = None if keda is None else keda.activation.idle_replicas
    if idle:
        yield Trap(
            name="idle-above-zero",
            said=f"idleReplicaCount {idle} is taken back by the autoscaler at its next pass, since its minimum is "
            f"{seen.autoscaler.spec.min_replicas}: KEDA and it set the number in turns",
            instead="idleReplicaCount: 0, the only number for which it works",
            weight=share_of(np.array([p.before != p.after for p in seen.replayed.passes])),
        )


LOOKS: tuple[Look, ...] = (_never_active, _activation_above_target, _cooldown, _idle)
