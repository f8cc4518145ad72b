"""Simulated pods: when each was asked for, runs and is ready, and what the controller sees of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from farthing.core.scaling.hpa.pods import LONG_AGO_S, Pod, Readiness
from farthing.core.simulation.outcomes import ReplicaLife

__all__ = ["SimulatedPods"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Life:
    number: int
    asked_s: float
    started_s: float
    ready_s: float
    settled: bool = False

    def runs(self, now_s: float) -> bool:
        return self.started_s <= now_s

    def ready(self, now_s: float) -> bool:
        return self.ready_s <= now_s


class SimulatedPods:
    """The pods of one workload; as in Kubernetes those that are not ready go first, then the newest.

    Args:
        initial: Pods that have long been ready, ≥ 0.
        start_s: From asking for a pod to its running, ≥ 0.
        load_s: From there to its readiness, ≥ 0.
        readiness: When a starting pod's CPU is believed.
    """

    def __init__(self, initial: int, *, start_s: float, load_s: float, readiness: Readiness) -> None:
        self._start_s, self._load_s, self._readiness = start_s, load_s, readiness
        long_ago = _Life(number=0, asked_s=0.0, started_s=0.0, ready_s=0.0, settled=True)
        self._there = [replace(long_ago, number=k) for k in range(initial)]
        self._next = initial
        self._gone: list[ReplicaLife] = []
        self._old: dict[int, Pod] = {}
        self.removed_unready = 0

    @property
    def count(self) -> int:
        """Pods that there are or that were asked for."""
        return len(self._there)

    def ready(self, now_s: float) -> int:
        """Pods that take requests."""
        return sum(life.ready(now_s) for life in self._there)

    def running(self, now_s: float) -> int:
        """Pods whose containers run, ready or not."""
        return sum(life.runs(now_s) for life in self._there)

    def scale_to(self, replicas: int, now_s: float) -> None:
        """Ask for pods, or take some away at once."""
        while len(self._there) < replicas:
            started_s = now_s + self._start_s
            ready_s = started_s + self._load_s
            self._there.append(_Life(number=self._next, asked_s=now_s, started_s=started_s, ready_s=ready_s))
            self._next += 1
        while len(self._there) > replicas:
            life = max(self._there, key=lambda one: (not one.ready(now_s), one.number))
            self._there.remove(life)
            self.removed_unready += not life.ready(now_s)
            self._gone.append(replace(_life_until(life, now_s), gone_s=now_s, reason="scaled in"))

    def lives(self, until_s: float) -> tuple[ReplicaLife, ...]:
        """Of all pods that there were up to an instant, those that are there last."""
        return (*self._gone, *(_life_until(life, until_s) for life in self._there))

    def seen(self, now_s: float, request_m: int) -> tuple[Pod, ...]:
        """The pods as the controller sees them.

        Args:
            now_s: Now.
            request_m: Of each pod, in thousandths of the resource; the same at each call.
        """
        return tuple(self._old.get(life.number) or self._seen(life, now_s, request_m) for life in self._there)

    def _seen(self, life: _Life, now_s: float, request_m: int) -> Pod:
        name = f"pod-{life.number}"
        if not life.runs(now_s):
            return Pod(name=name, phase="Pending", request_m=request_m)
        ready, age_s = life.ready(now_s), now_s - life.started_s
        if ready and (life.settled or age_s >= self._readiness.cpu_initialization_period_s):
            old = Pod(name=name, ready=True, start_age_s=LONG_AGO_S, request_m=request_m)
            self._old[life.number] = old
            return old
        changed_s = now_s - (life.ready_s if ready else life.started_s)
        return Pod(name=name, ready=ready, start_age_s=age_s, ready_transition_age_s=changed_s, request_m=request_m)


def _life_until(life: _Life, now_s: float) -> ReplicaLife:
    """As far as it came: a pod that does not run yet has no start."""
    return ReplicaLife(
        number=life.number,
        pool="pods",
        requested_s=life.asked_s,
        started_s=life.started_s if life.runs(now_s) else None,
        ready_s=life.ready_s if life.ready(now_s) else None,
        draining_s=None,
        gone_s=None,
        reason="",
    )
