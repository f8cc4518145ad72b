"""An autoscaler's decisions, pass by pass, over a recording.

The controller looks every ``sync_s``; KEDA looks at its triggers every ``pollingInterval``, switches the workload on
and off, and leaves the rest to the controller. Decisions are those of :mod:`farthing.core.scaling.hpa.reconcile` and
:mod:`farthing.core.scaling.keda`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from farthing.core.scaling.hpa.reconcile import Observation, Outcome, State, reconcile
from farthing.core.scaling.keda import activation, fallback
from farthing.core.simulation.replay.autoscaler import PERCENT_REQUEST_M, Autoscaler
from farthing.core.simulation.replay.passes import Change, Fleet, Pass, Replayed
from farthing.core.simulation.replay.pods import SimulatedPods
from farthing.core.simulation.replay.readings import demand, reading_of, said, shown
from farthing.core.simulation.replay.recording import Recording

__all__ = ["replay"]

_TOLD_EVERY = 5_000


def replay(
    autoscaler: Autoscaler, recording: Recording, fleet: Fleet, *, tell: Callable[[int, int], None] | None = None
) -> Replayed:
    """Replay an autoscaler.

    Args:
        autoscaler: As its manifest says it.
        recording: One metric for each that is followed.
        fleet: Its replicas.
        tell: Called now and then with passes done and in all.

    Raises:
        ValueError: when there is not one recorded metric for each that is followed.
    """
    if len(recording.metrics) != len(autoscaler.followed):
        raise ValueError(f"{len(autoscaler.followed)} metrics need as many recordings: {len(recording.metrics)}")
    return _Replay(autoscaler, recording, fleet).run(tell)


class _Replay:
    """One run: the pods, what the controllers remember, what was noted."""

    def __init__(self, autoscaler: Autoscaler, recording: Recording, fleet: Fleet) -> None:
        self._scaler, self._recording, self._fleet = autoscaler, recording, fleet
        readiness = autoscaler.spec.controller.readiness
        self._pods = SimulatedPods(fleet.initial, start_s=fleet.start_s, load_s=fleet.load_s, readiness=readiness)
        self._state = State()
        self._health = [fallback.Health() for _ in autoscaler.followed]
        self._polled: list[float | None] = [None] * len(autoscaler.followed)
        self._last_active_s: float | None = None
        self._passes: list[Pass] = []
        self._changes: list[Change] = []
        self._counts_pods = any(one.of_pods or one.metric.target_type == "value" for one in autoscaler.followed)

    def run(self, tell: Callable[[int, int], None] | None) -> Replayed:
        sync_s, keda, length_s = self._fleet.sync_s, self._scaler.keda, self._recording.length_s
        total, polls = math.ceil(length_s / sync_s), 0
        for k in range(total):
            now_s = k * sync_s
            while keda is not None and polls * keda.polling_s <= now_s:
                self._poll(polls * keda.polling_s)
                polls += 1
            self._reconcile(now_s)
            if tell is not None and k and k % _TOLD_EVERY == 0:
                tell(k, total)
        return Replayed(
            length_s=length_s,
            fleet=self._fleet,
            passes=tuple(self._passes),
            changes=tuple(self._changes),
            lives=self._pods.lives(length_s),
            removed_unready=self._pods.removed_unready,
            ever_active=keda is None or self._last_active_s is not None,
        )

    def _poll(self, now_s: float) -> None:
        """KEDA looks at its triggers, and switches."""
        keda, ready = self._scaler.keda, self._pods.ready(now_s)
        assert keda is not None
        active, error, queries = False, False, 0
        for k, followed in enumerate(self._scaler.followed):
            if followed.trigger is None:
                continue
            queries += 1
            value = self._polled[k] = self._queried(k, now_s, ready)
            error = error or value is None
            active = active or (value is not None and value > followed.trigger.activation_threshold)
        observed = activation.Observation(
            replicas=self._pods.count, active=active or not queries, error=error, created_s=0.0
        )
        self._last_active_s, found = activation.step(keda.activation, self._last_active_s, observed, now_s)
        self._change(now_s, found.replicas, "keda", self._polled_words(found.reason))

    def _polled_words(self, reason: str) -> str:
        read = [
            f"{one.name} {'without a number' if value is None else f'{value:,.5g}'}"
            for one, value in zip(self._scaler.followed, self._polled)
            if one.trigger is not None
        ]
        return f"{', '.join(read)}: {reason}" if read else reason

    def _reconcile(self, now_s: float) -> None:
        """The controller looks at its metrics, and scales."""
        ready, before = self._pods.ready(now_s), self._pods.count
        loads = [recorded.at(now_s) for recorded in self._recording.metrics]
        values = [self._value(k, now_s, ready, load) for k, load in enumerate(loads)]
        pods = self._pods.seen(now_s, PERCENT_REQUEST_M) if self._counts_pods else ()
        readings = tuple(
            reading_of(followed, recorded, value, pods, self._fleet.sync_s)
            for followed, recorded, value in zip(self._scaler.followed, self._recording.metrics, values)
        )
        seen = Observation(spec_replicas=before, status_replicas=before, pods=pods, readings=readings)
        self._state, outcome = reconcile(self._scaler.spec, self._state, seen, now_s)
        self._change(now_s, outcome.replicas, "hpa", self._words(outcome, values, ready))
        self._note(now_s, before, ready, outcome, loads)

    def _value(self, k: int, now_s: float, ready: int, load: float | None) -> float | None:
        """What the controller is told of one metric; of metrics of pods the load, which they share."""
        followed = self._scaler.followed[k]
        if followed.of_pods:
            return load
        if followed.trigger is None:
            return shown(self._recording.metrics[k], load, ready)
        if self._pods.count == 0:
            return None  # at zero the controller does not ask
        value = self._polled[k] if followed.trigger.cached else self._queried(k, now_s, ready)
        return self._or_fallback(k, value, ready)

    def _queried(self, k: int, now_s: float, ready: int) -> float | None:
        """A trigger's query; None is an error of KEDA's."""
        recorded, trigger = self._recording.metrics[k], self._scaler.followed[k].trigger
        value = shown(recorded, recorded.at(now_s), ready)
        if value is None and trigger is not None and trigger.empty_is_zero:
            return 0.0
        return value

    def _or_fallback(self, k: int, value: float | None, ready: int) -> float | None:
        keda, metric = self._scaler.keda, self._scaler.followed[k].metric
        if keda is None or keda.fallback is None:
            return value
        reading = fallback.Reading(
            value_m=None if value is None else round(value * 1000),
            target=metric.target / 1000,
            per_pod=metric.target_type == "average_value",
            current_replicas=self._pods.count,
            ready_replicas=ready,
        )
        others = [health for j, health in enumerate(self._health) if j != k]
        self._health[k], told = fallback.step(keda.fallback, self._health[k], reading, others)
        if value is not None or told.value_m is None:
            return value
        return told.value_m / 1000

    def _change(self, now_s: float, replicas: int, by: Literal["hpa", "keda"], reason: str) -> None:
        before = self._pods.count
        if replicas != before:
            self._pods.scale_to(replicas, now_s)
            self._changes.append(Change(at_s=now_s, before=before, after=replicas, by=by, reason=reason))

    def _words(self, outcome: Outcome, values: Sequence[float | None], ready: int) -> str:
        """The metric that asked for the most, and what was made of it."""
        most = max((asked for asked in outcome.asked if asked is not None), default=None)
        if not outcome.scaled or most is None:
            return outcome.reason
        k = outcome.asked.index(most)
        return f"{said(self._scaler.followed[k], values[k], ready)}: {outcome.reason}"

    def _note(self, now_s: float, before: int, ready: int, outcome: Outcome, loads: Sequence[float | None]) -> None:
        needs = [
            demand(followed, recorded, load)
            for followed, recorded, load in zip(self._scaler.followed, self._recording.metrics, loads)
        ]
        held, reason = outcome.conditions.get("ScalingLimited", (False, ""))
        self._passes.append(
            Pass(
                at_s=now_s,
                before=before,
                after=outcome.replicas,
                ready=ready,
                asked=max((asked for asked in outcome.asked if asked is not None), default=None),
                needed=max((need for need in needs if need is not None), default=None),
                limited=reason if held else "",
                failed=outcome.error is not None,
            )
        )
