"""Ray Serve's default policy: replicas in proportion to ongoing requests, smoothed, and held until a delay has passed.

Source: Ray Serve, ``autoscaling_policy.py`` (``replica_queue_length_autoscaling_policy`` and what is applied to it) and
``_private/autoscaling_state.py`` (bounds), as of Ray 2.60.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from farthing.nouns import ScalingDecision

__all__ = ["Observation", "Policy", "State", "step"]

_SLACK_S = 1e-6
"""By which a delay may fall short: differences of times are not exact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """``autoscaling_config`` of a deployment, with Ray's defaults.

    Attributes:
        max_replicas: Upper bound.
        min_replicas: Lower bound.
        target_ongoing_requests: On one replica, > 0.
        upscaling_factor: Of the difference to what is wanted, when it is more.
        downscaling_factor: The same when it is less.
        upscale_delay_s: For which more must have been wanted.
        downscale_delay_s: For which less must have been wanted.
        downscale_to_zero_delay_s: The same from one replica to none; None is the one above.
    """

    max_replicas: int
    min_replicas: int = 1
    target_ongoing_requests: float = 2.0
    upscaling_factor: float = 1.0
    downscaling_factor: float = 1.0
    upscale_delay_s: float = 30.0
    downscale_delay_s: float = 600.0
    downscale_to_zero_delay_s: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.min_replicas <= self.max_replicas:
            raise ValueError(f"replicas must be 0 ≤ min ≤ max: {self}")
        if not (self.target_ongoing_requests > 0 and self.upscaling_factor > 0 and self.downscaling_factor > 0):
            raise ValueError(f"target and factors must be > 0: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the policy remembers.

    Attributes:
        direction: Of the change that is waited for: 1, −1, or 0 for none.
        since_s: Since when it has been wanted; None for none.
    """

    direction: int = 0
    since_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a step sees.

    Attributes:
        running_replicas: That serve.
        target_replicas: Wanted so far.
        ongoing_requests: Queued and running, of all replicas together, averaged over the look-back.
    """

    running_replicas: int
    target_replicas: int
    ongoing_requests: float

    def __post_init__(self) -> None:
        if min(self.running_replicas, self.target_replicas) < 0 or not self.ongoing_requests >= 0:
            raise ValueError(f"replicas and requests must be ≥ 0: {self}")


def step(policy: Policy, state: State, seen: Observation, now_s: float) -> tuple[State, ScalingDecision]:
    """Decide; Ray does so every 0.1 s.

    Args:
        policy: The rule.
        state: After the step before.
        seen: Now.
        now_s: Now.
    """
    if seen.running_replicas == 0 and seen.ongoing_requests > 0:
        wanted = max(math.ceil(policy.upscaling_factor), seen.target_replicas)
        return state, _bounded(policy, wanted, "requests wait and no replica runs")
    wanted = _wanted(policy, seen)
    if seen.running_replicas == 0 and wanted > 0:
        return state, _bounded(policy, wanted, "no replica runs yet")
    state, replicas, reason = _delayed(policy, state, max(0, wanted), seen.target_replicas, now_s)
    return state, _bounded(policy, replicas, reason)


def _wanted(policy: Policy, seen: Observation) -> int:
    running = seen.running_replicas
    if running == 0:
        return seen.target_replicas
    exact = running * (seen.ongoing_requests / (policy.target_ongoing_requests * running))
    difference = exact - running
    factor = policy.upscaling_factor if difference > 0 else policy.downscaling_factor
    wanted = math.ceil(running + factor * difference)
    stuck = math.ceil(exact) < running and wanted == running
    return wanted - 1 if stuck else wanted


def _delayed(policy: Policy, state: State, wanted: int, target: int, now_s: float) -> tuple[State, int, str]:
    """Go to ``wanted`` once it has lain on the same side of ``target`` for as long as the delay."""
    if wanted == target:
        return State(), target, "as many as wanted"
    direction = 1 if wanted > target else -1
    since_s = state.since_s if state.direction != -direction else None
    since_s = now_s if since_s is None else since_s
    if direction > 0:
        delay_s = policy.upscale_delay_s
    else:
        to_zero_s = policy.downscale_to_zero_delay_s
        delay_s = to_zero_s if target == 1 and to_zero_s is not None else policy.downscale_delay_s
        wanted = wanted if target == 1 else max(1, wanted)
    if now_s - since_s + _SLACK_S >= delay_s:
        return State(), wanted, f"requests ask for {wanted}"
    return State(direction=direction, since_s=since_s), target, f"requests ask for {wanted}, waiting for the delay"


def _bounded(policy: Policy, replicas: int, reason: str) -> ScalingDecision:
    within = max(policy.min_replicas, min(policy.max_replicas, replicas))
    return ScalingDecision(replicas=within, reason=reason if within == replicas else f"{reason}, held to the bounds")
