"""From zero to one and back, or to idle; in between the Horizontal Pod Autoscaler decides.

Source: KEDA, ``pkg/scaling/executor/scale_scaledobjects.go``.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Activation", "Observation", "Spec", "idle_or_min", "step"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """Of a ScaledObject.

    Attributes:
        min_replicas: Lower bound while active; None reads as 0.
        idle_replicas: While no trigger is active; None has no idle state.
        fallback_replicas: Of ``spec.fallback``; None without it.
        cooldown_s: Since a trigger was last active, after which it may go to idle.
        initial_cooldown_s: Since it was made, where no trigger ever was active.
        paused: Leave it alone.
        pause_scale_in: Do not deactivate.
        pause_scale_out: Do not activate.
        force_activation: As though a trigger were active.
    """

    min_replicas: int | None = None
    idle_replicas: int | None = None
    fallback_replicas: int | None = None
    cooldown_s: float = 300.0
    initial_cooldown_s: float = 0.0
    paused: bool = False
    pause_scale_in: bool = False
    pause_scale_out: bool = False
    force_activation: bool = False

    def __post_init__(self) -> None:
        counts = (self.min_replicas, self.idle_replicas, self.fallback_replicas)
        if any(count is not None and count < 0 for count in counts):
            raise ValueError(f"replicas must be ≥ 0: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a step sees.

    Attributes:
        replicas: There are.
        active: Whether a trigger is.
        error: Whether a trigger failed.
        created_s: When the ScaledObject was made.
    """

    replicas: int
    active: bool
    error: bool = False
    created_s: float = 0.0

    def __post_init__(self) -> None:
        if self.replicas < 0:
            raise ValueError(f"replicas must be ≥ 0: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """What a step decides.

    Attributes:
        replicas: Wanted from now on.
        reason: Why, in a sentence without a full stop.
        active: Condition of that name: ``True``, ``False``, or ``Unknown`` where the step did not look.
        ready: Condition of that name: ``False`` when all is broken, ``Unknown`` when some is.
        was_active: Whether now counts as the last time of activity.
    """

    replicas: int
    reason: str
    active: str
    ready: str = "True"
    was_active: bool = False


def idle_or_min(spec: Spec) -> tuple[bool, int]:
    """Replicas to deactivate to, and whether they are the idle ones."""
    if spec.idle_replicas is not None:
        return True, spec.idle_replicas
    return False, spec.min_replicas or 0


def step(spec: Spec, last_active_s: float | None, seen: Observation, now_s: float) -> tuple[float | None, Activation]:
    """Activate, deactivate, or leave it.

    Args:
        spec: Of the ScaledObject.
        last_active_s: When a trigger was last active; None when never.
        seen: Now.
        now_s: Now.

    Returns:
        The time of last activity from now on, and the decision.
    """
    if spec.paused:
        return last_active_s, Activation(replicas=seen.replicas, reason="paused", active="Unknown")
    if seen.active or spec.force_activation:
        decided = _activated(spec, seen)
    else:
        decided = _deactivated(spec, last_active_s, seen, now_s)
    return (now_s if decided.was_active else last_active_s), decided


def _activated(spec: Spec, seen: Observation) -> Activation:
    least = spec.min_replicas or 0
    if seen.replicas == 0 or (spec.idle_replicas is not None and seen.replicas < least):
        if spec.pause_scale_out:
            return Activation(replicas=seen.replicas, reason="active, but scaling out is paused", active="True")
        return Activation(replicas=max(least, 1), reason="a trigger is active", active="True", was_active=True)
    if seen.error:
        reason = "a trigger is active, another one fails"
        return Activation(replicas=seen.replicas, reason=reason, active="True", ready="Unknown")
    return Activation(replicas=seen.replicas, reason="a trigger is active", active="True", was_active=True)


def _deactivated(spec: Spec, last_active_s: float | None, seen: Observation, now_s: float) -> Activation:
    least = spec.min_replicas or 0
    if seen.error and spec.fallback_replicas:
        return _left(seen, "a trigger fails; the fallback decides once it has failed often enough")
    if seen.error and spec.fallback_replicas is None:
        return _left(seen, "a trigger fails and there is no fallback", ready="False")
    above_idle = spec.idle_replicas is not None and seen.replicas > spec.idle_replicas
    if above_idle or (seen.replicas > 0 and least == 0):
        return _cooled(spec, last_active_s, seen, now_s)
    if spec.idle_replicas is None and seen.replicas < least:
        return Activation(replicas=least, reason="fewer replicas than the minimum", active="False")
    return _left(seen, "no trigger is active")


def _cooled(spec: Spec, last_active_s: float | None, seen: Observation, now_s: float) -> Activation:
    if spec.pause_scale_in:
        return _left(seen, "no trigger is active, but scaling in is paused")
    since_s = seen.created_s if last_active_s is None else last_active_s
    wait_s = spec.initial_cooldown_s if last_active_s is None else spec.cooldown_s
    if not since_s + wait_s < now_s:
        return _left(seen, "no trigger is active, cooling down")
    idle, replicas = idle_or_min(spec)
    return Activation(
        replicas=replicas, reason=f"to {'idle' if idle else 'minimum'}, no trigger is active", active="False"
    )


def _left(seen: Observation, reason: str, ready: str = "True") -> Activation:
    return Activation(replicas=seen.replicas, reason=reason, active="False", ready=ready)
