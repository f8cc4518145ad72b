"""AWS target tracking, as for SageMaker end points: two alarms, cool-downs, and a step whose size is an assumption.

Published (Application Auto Scaling User Guide, "How target tracking scaling works"; CloudWatch alarms as the service
creates them): out after 3 minutes in a row above the target; in after 15 minutes in a row below 0.9 of it, and not
where removing one replica would put the metric above the target; a cool-down after each; missing data never scales
in. Not published is the size of a step.

Assumed: capacity goes in proportion to the metric, rounded up, ``ceil(replicas · metric / target)`` of the last minute.
While a scale-out cools down, the proportion is taken of the replicas before it, so that what it added counts as part of
the next one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from farthing.nouns import ScalingDecision

__all__ = ["ASSUMED", "Policy", "State", "step"]

ASSUMED = "step size: replicas in proportion to the metric, rounded up (AWS does not publish it)"
"""To be shown wherever a result of this rule is."""
OUT_MINUTES = 3
IN_MINUTES = 15
IN_FRAC = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A target tracking policy.

    Attributes:
        target: Of the metric per replica, in its own unit, > 0.
        min_replicas: Lower bound.
        max_replicas: Upper bound.
        scale_out_cooldown_s: After a scale-out; 300 for SageMaker.
        scale_in_cooldown_s: After a scale-in; 300 for SageMaker.
        disable_scale_in: Never remove replicas.
    """

    target: float
    max_replicas: int
    min_replicas: int = 1
    scale_out_cooldown_s: float = 300.0
    scale_in_cooldown_s: float = 300.0
    disable_scale_in: bool = False

    def __post_init__(self) -> None:
        if not (self.target > 0 and math.isfinite(self.target)):
            raise ValueError(f"the target must be > 0: {self}")
        if not 0 <= self.min_replicas <= self.max_replicas:
            raise ValueError(f"replicas must be 0 ≤ min ≤ max: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the policy remembers.

    Attributes:
        minutes: The metric's last values, oldest first, at most 15; None where there was none.
        out_s: Time of the last scale-out; None before the first.
        before_out: Replicas before it.
        in_s: Time of the last scale-in; None before the first and after a scale-out.
    """

    minutes: tuple[float | None, ...] = ()
    out_s: float | None = None
    before_out: int = 0
    in_s: float | None = None


def step(
    policy: Policy, state: State, replicas: int, metric: float | None, now_s: float
) -> tuple[State, ScalingDecision]:
    """Take in the metric of one more minute; to be called once a minute.

    Args:
        policy: The rule.
        state: After the minute before.
        replicas: Wanted so far.
        metric: Average per replica over the minute, in the target's unit; None without data.
        now_s: End of the minute.

    Raises:
        ValueError: when the metric is negative or not finite.
    """
    if metric is not None and not (metric >= 0 and math.isfinite(metric)):
        raise ValueError(f"the metric must be ≥ 0, is {metric}")
    state = replace(state, minutes=(*state.minutes, metric)[-IN_MINUTES:])
    within = min(max(replicas, policy.min_replicas), policy.max_replicas)
    if within != replicas:
        return state, ScalingDecision(replicas=within, reason="outside of the bounds")
    if _all_last(state, OUT_MINUTES, policy.target, above=True):
        return _out(policy, state, replicas, now_s)
    if _all_last(state, IN_MINUTES, policy.target * IN_FRAC, above=False):
        return _in(policy, state, replicas, now_s)
    return state, ScalingDecision(replicas=replicas, reason="no alarm")


def _all_last(state: State, count: int, threshold: float, *, above: bool) -> bool:
    last = [value for value in state.minutes[-count:] if value is not None]
    return len(last) == count and all(value > threshold if above else value < threshold for value in last)


def _in_proportion(policy: Policy, state: State, replicas: int) -> int:
    return math.ceil(replicas * (state.minutes[-1] or 0.0) / policy.target)


def _out(policy: Policy, state: State, replicas: int, now_s: float) -> tuple[State, ScalingDecision]:
    cooling = state.out_s is not None and now_s - state.out_s < policy.scale_out_cooldown_s
    base = state.before_out if cooling else replicas
    wanted = min(_in_proportion(policy, state, base), policy.max_replicas)
    if wanted <= replicas:
        why = "cooling down after a scale-out" if cooling else "at the maximum"
        return state, ScalingDecision(replicas=replicas, reason=f"{OUT_MINUTES} minutes above the target, {why}")
    state = replace(state, out_s=now_s, before_out=replicas, in_s=None)
    return state, ScalingDecision(replicas=wanted, reason=f"{OUT_MINUTES} minutes above the target")


def _in(policy: Policy, state: State, replicas: int, now_s: float) -> tuple[State, ScalingDecision]:
    told = f"{IN_MINUTES} minutes below {IN_FRAC:g} of the target"
    if policy.disable_scale_in:
        return state, ScalingDecision(replicas=replicas, reason=f"{told}, scaling in is disabled")
    if state.in_s is not None and now_s - state.in_s < policy.scale_in_cooldown_s:
        return state, ScalingDecision(replicas=replicas, reason=f"{told}, cooling down after a scale-in")
    wanted = max(_in_proportion(policy, state, replicas), policy.min_replicas)
    if wanted >= replicas:
        return state, ScalingDecision(
            replicas=replicas, reason=f"{told}, but one fewer would be above it or the minimum"
        )
    return replace(state, in_s=now_s), ScalingDecision(replicas=wanted, reason=told)
