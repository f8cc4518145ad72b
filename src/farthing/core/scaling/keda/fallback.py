"""What the autoscaler is told of a metric whose source fails.

Source: KEDA, ``pkg/fallback/fallback.go``. A failing source's value becomes the target times the replicas to fall back
to, so that the autoscaler arrives at just those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from farthing.core.scaling.fixed_width import to_int64

__all__ = ["PLACEHOLDER_M", "Fallback", "Health", "Reading", "Told", "step"]

PLACEHOLDER_M = -1000
"""Stands for a failing trigger where a formula decides; the formula reads it as nil."""
_BEHAVIORS = (
    "",
    "static",
    "currentReplicas",
    "currentReplicasIfHigher",
    "currentReplicasIfLower",
    "scalingModifiers",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """``spec.fallback`` of a ScaledObject. One that is not valid has no effect, as in KEDA.

    Attributes:
        failure_threshold: Failures in a row that are still borne; valid from 0 on.
        replicas: To fall back to; valid from 0 on.
        behavior: ``static`` (as empty), ``currentReplicas``, ``currentReplicasIfHigher``, ``currentReplicasIfLower``
            or ``scalingModifiers``, which leaves it to a formula.
    """

    failure_threshold: int
    replicas: int
    behavior: str = "static"

    def __post_init__(self) -> None:
        if self.behavior not in _BEHAVIORS:
            raise ValueError(f"no such behaviour of a fallback: {self}")

    @property
    def valid(self) -> bool:
        """Whether it has an effect."""
        return self.failure_threshold >= 0 and self.replicas >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Of one trigger.

    Attributes:
        failures: In a row.
        failing: Whether the last query failed.
    """

    failures: int = 0
    failing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a query returned.

    Attributes:
        value_m: In thousandths; None when it failed.
        target: Of the metric.
        per_pod: Whether the target is an average per pod (``AverageValue``), else a total (``Value``).
        current_replicas: There are; None when they cannot be counted.
        ready_replicas: Of them; needed for a total only.
    """

    value_m: int | None
    target: float
    per_pod: bool = True
    current_replicas: int | None = None
    ready_replicas: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the autoscaler is told.

    Attributes:
        value_m: In thousandths; None is an error.
        falling_back: Whether it stands in for a failing source.
        condition: Whether a trigger of the ScaledObject is falling back; None where that was not looked at.
        reason: Why, in a sentence without a full stop.
    """

    value_m: int | None
    falling_back: bool = False
    condition: bool | None = None
    reason: str


def step(
    fallback: Fallback | None, health: Health, reading: Reading, others: Sequence[Health] = ()
) -> tuple[Health, Told]:
    """Pass a value on, or put another in its place after more failures than the threshold.

    Args:
        fallback: Of the ScaledObject; None without one, which leaves health as it is.
        health: Of this trigger.
        reading: What its query returned.
        others: Health of the ScaledObject's other triggers.
    """
    valid = fallback is not None and fallback.valid
    if fallback is None or not valid:
        reason = "read" if reading.value_m is not None else "failed, without a valid fallback"
        return health, Told(value_m=reading.value_m, reason=reason)
    if reading.value_m is not None:
        health = Health()
        condition = _any_beyond(fallback, (health, *others))
        return health, Told(value_m=reading.value_m, condition=condition, reason="read")
    health = replace(health, failures=health.failures + 1, failing=True)
    condition = _any_beyond(fallback, (health, *others))
    if health.failures <= fallback.failure_threshold:
        reason = f"failed {health.failures} times, {fallback.failure_threshold} are borne"
        return health, Told(value_m=None, condition=condition, reason=reason)
    return health, replace(_instead(fallback, reading), condition=condition)


def _any_beyond(fallback: Fallback, healths: Sequence[Health]) -> bool:
    return any(health.failing and health.failures > fallback.failure_threshold for health in healths)


def _instead(fallback: Fallback, reading: Reading) -> Told:
    if fallback.behavior == "scalingModifiers":
        return Told(value_m=PLACEHOLDER_M, reason="failed too often; the formula decides")
    replicas = _replicas(fallback, reading.current_replicas)
    if replicas is None:
        return Told(value_m=None, reason="failed too often, and replicas cannot be counted")
    if not reading.per_pod and not reading.ready_replicas:
        return Told(value_m=None, reason="failed too often, and no replica is ready to share a total among")
    share = float(replicas) if reading.per_pod else replicas / (reading.ready_replicas or 1)
    value_m = to_int64(reading.target * 1000 * share)
    return Told(value_m=value_m, falling_back=True, reason=f"failed too often, {replicas} replicas instead")


def _replicas(fallback: Fallback, current: int | None) -> int | None:
    if fallback.behavior == "static":
        return fallback.replicas
    if current is None:
        return None
    if fallback.behavior == "currentReplicas":
        return current
    if fallback.behavior == "currentReplicasIfHigher":
        return max(current, fallback.replicas)
    return min(current, fallback.replicas) if fallback.behavior == "currentReplicasIfLower" else fallback.replicas
