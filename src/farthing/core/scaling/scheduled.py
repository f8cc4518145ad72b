"""Bounds by the clock: actions of a schedule that repeats, as AWS' scheduled scaling and KEDA's cron trigger have them.

Source: Application Auto Scaling User Guide, "Scheduled scaling": an action sets minimum and maximum, replicas follow
where they lie outside, and both hold until the next action.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

from farthing.nouns import ScalingDecision

__all__ = ["Action", "Schedule", "action_at", "step"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Bounds from a time on.

    Attributes:
        at_s: Since the start of the period.
        min_replicas: Lower bound.
        max_replicas: Upper bound.
    """

    at_s: float
    min_replicas: int
    max_replicas: int

    def __post_init__(self) -> None:
        if not 0 <= self.min_replicas <= self.max_replicas:
            raise ValueError(f"replicas must be 0 ≤ min ≤ max: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Actions that repeat.

    Attributes:
        actions: By time, rising, within the period.
        period_s: A day by default.
    """

    actions: tuple[Action, ...]
    period_s: float = 86_400.0

    def __post_init__(self) -> None:
        times_s = [action.at_s for action in self.actions]
        if not (times_s and times_s == sorted(set(times_s)) and times_s[0] >= 0 and times_s[-1] < self.period_s):
            raise ValueError(f"actions must have rising times within the period: {self}")


def action_at(schedule: Schedule, now_s: float) -> Action:
    """The last action before or at ``now_s``; early in a period that is the last of the period before.

    Raises:
        ValueError: when the time is not finite.
    """
    if not math.isfinite(now_s):
        raise ValueError(f"a time must be finite, is {now_s}")
    return schedule.actions[bisect_right([a.at_s for a in schedule.actions], now_s % schedule.period_s) - 1]


def step(schedule: Schedule, replicas: int, now_s: float) -> ScalingDecision:
    """Bring replicas within the bounds of now.

    Args:
        schedule: The rule; it has no state.
        replicas: Wanted so far, or by another rule.
        now_s: Since the start of some period.
    """
    action = action_at(schedule, now_s)
    within = min(max(replicas, action.min_replicas), action.max_replicas)
    since = f"scheduled since {action.at_s:g} s: {action.min_replicas} to {action.max_replicas}"
    return ScalingDecision(replicas=within, reason=since)
