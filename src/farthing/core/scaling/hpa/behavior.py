"""How fast replicas may be added and removed: ``spec.behavior``, and the limits without it.

Source: Kubernetes, ``pkg/controller/podautoscaler/horizontal.go``. A change counts within a period while it is younger
than it, and is outdated once it is older than the longest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from farthing.core.scaling.fixed_width import MAX_INT32, MIN_INT32, ceil_int32, to_int32, wrap

__all__ = [
    "Behavior",
    "Limited",
    "Policy",
    "Rules",
    "ScaleEvent",
    "change_in_period",
    "limit_rate",
    "limit_without_behavior",
    "record_event",
    "scale_down_limit",
    "scale_up_limit",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """At most so much change within a period.

    Attributes:
        kind: ``Pods`` or ``Percent`` of the replicas at the period's start.
        value: In pods or percent.
        period_s: Its length.
    """

    kind: str
    value: int
    period_s: float

    def __post_init__(self) -> None:
        if self.kind not in ("Pods", "Percent"):
            raise ValueError(f"a policy's kind must be Pods or Percent: {self}")
        if not (self.value >= 0 and self.period_s > 0):
            raise ValueError(f"a policy needs a value ≥ 0 and a period > 0: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """For one direction.

    Attributes:
        policies: The largest or the smallest change that they allow is allowed.
        select: ``Max`` (largest), ``Min`` (smallest) or ``Disabled`` (no change in this direction).
        stabilization_s: How far back recommendations are looked at; None on scaling down is the controller's own.
        tolerance: In place of the controller's; None keeps that.
    """

    policies: tuple[Policy, ...]
    select: str = "Max"
    stabilization_s: float | None = None
    tolerance: float | None = None

    def __post_init__(self) -> None:
        if self.select not in ("Max", "Min", "Disabled"):
            raise ValueError(f"select must be Max, Min or Disabled: {self}")
        if any(number is not None and not number >= 0 for number in (self.stabilization_s, self.tolerance)):
            raise ValueError(f"stabilisation and tolerance must be ≥ 0: {self}")

    @property
    def longest_period_s(self) -> float:
        """Of its policies, 0 without any."""
        return max((policy.period_s for policy in self.policies), default=0.0)


def _default_up() -> Rules:
    policies = (Policy(kind="Pods", value=4, period_s=15), Policy(kind="Percent", value=100, period_s=15))
    return Rules(policies=policies, stabilization_s=0)


def _default_down() -> Rules:
    return Rules(policies=(Policy(kind="Percent", value=100, period_s=15),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Behavior:
    """``spec.behavior`` with Kubernetes' defaults filled in.

    Attributes:
        scale_up: At once, 4 pods or 100 % per 15 s, whichever is more.
        scale_down: After the controller's stabilisation, as far as it likes.
    """

    scale_up: Rules = field(default_factory=_default_up)
    scale_down: Rules = field(default_factory=_default_down)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleEvent:
    """A change that was made.

    Attributes:
        change: Replicas added or removed, > 0 in both directions.
        at_s: When.
        outdated: Whether its place may be taken by the next one.
    """

    change: int
    at_s: float
    outdated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """Replicas within what is allowed.

    Attributes:
        replicas: Allowed.
        reason: ``DesiredWithinRange``, or what held it back: ``TooFewReplicas``, ``TooManyReplicas``,
            ``ScaleUpLimit`` or ``ScaleDownLimit``.
    """

    replicas: int
    reason: str


def change_in_period(events: Sequence[ScaleEvent], period_s: float, now_s: float) -> int:
    """Replicas changed by events younger than ``period_s``."""
    return sum(event.change for event in events if event.at_s > now_s - period_s)


def record_event(
    events: Sequence[ScaleEvent], change: int, rules: Rules | None, now_s: float
) -> tuple[ScaleEvent, ...]:
    """Note a change, in the place of the last outdated one where there is one; nothing without rules.

    Args:
        events: Before.
        change: Replicas, > 0.
        rules: Of its direction; their longest period says what is outdated.
        now_s: When.
    """
    if rules is None:
        return tuple(events)
    cutoff_s = now_s - rules.longest_period_s
    marked = [replace(event, outdated=event.outdated or event.at_s < cutoff_s) for event in events]
    free = [k for k, event in enumerate(marked) if event.outdated]
    new = ScaleEvent(change=change, at_s=now_s)
    if not free:
        return (*marked, new)
    return (*marked[: free[-1]], new, *marked[free[-1] + 1 :])


def scale_up_limit(
    current_replicas: int, ups: Sequence[ScaleEvent], downs: Sequence[ScaleEvent], rules: Rules, now_s: float
) -> int:
    """Most replicas that ``rules`` allow now; a percentage is rounded up, so that it can always add one.

    Args:
        current_replicas: There are.
        ups: Earlier changes upwards.
        downs: Earlier changes downwards.
        rules: For scaling up.
        now_s: Now.
    """
    if rules.select == "Disabled":
        return current_replicas
    allowed = [
        wrap(start + policy.value, 32) if policy.kind == "Pods" else ceil_int32(start * (1 + policy.value / 100))
        for policy, start in _period_starts(current_replicas, ups, downs, rules, now_s)
    ]
    return min(allowed, default=MAX_INT32) if rules.select == "Min" else max(allowed, default=MIN_INT32)


def scale_down_limit(
    current_replicas: int, ups: Sequence[ScaleEvent], downs: Sequence[ScaleEvent], rules: Rules, now_s: float
) -> int:
    """Fewest replicas that ``rules`` allow now; a percentage of what remains is truncated.

    Args:
        current_replicas: There are.
        ups: Earlier changes upwards.
        downs: Earlier changes downwards.
        rules: For scaling down.
        now_s: Now.
    """
    if rules.select == "Disabled":
        return current_replicas
    allowed = [
        wrap(start - policy.value, 32) if policy.kind == "Pods" else to_int32(start * (1 - policy.value / 100))
        for policy, start in _period_starts(current_replicas, ups, downs, rules, now_s)
    ]
    return max(allowed, default=MIN_INT32) if rules.select == "Min" else min(allowed, default=MAX_INT32)


def _period_starts(
    current: int, ups: Sequence[ScaleEvent], downs: Sequence[ScaleEvent], rules: Rules, now_s: float
) -> Iterator[tuple[Policy, int]]:
    """Each policy with the replicas that there were when its period began."""
    for policy in rules.policies:
        up, down = (change_in_period(events, policy.period_s, now_s) for events in (ups, downs))
        yield policy, wrap(current - up + down, 32)


def limit_rate(
    current_replicas: int,
    desired_replicas: int,
    min_replicas: int,
    max_replicas: int,
    behavior: Behavior,
    ups: Sequence[ScaleEvent] = (),
    downs: Sequence[ScaleEvent] = (),
    *,
    now_s: float,
) -> Limited:
    """Hold a change to the bounds and to the rates of ``behavior``.

    Args:
        current_replicas: There are.
        desired_replicas: After stabilisation.
        min_replicas: Bound.
        max_replicas: Bound.
        behavior: Rules of both directions.
        ups: Earlier changes upwards.
        downs: Earlier changes downwards.
        now_s: Now.
    """
    if desired_replicas > current_replicas:
        rate = max(scale_up_limit(current_replicas, ups, downs, behavior.scale_up, now_s), current_replicas)
        most, reason = (rate, "ScaleUpLimit") if max_replicas > rate else (max_replicas, "TooManyReplicas")
        if desired_replicas > most:
            return Limited(replicas=most, reason=reason)
    elif desired_replicas < current_replicas:
        rate = min(scale_down_limit(current_replicas, ups, downs, behavior.scale_down, now_s), current_replicas)
        fewest, reason = (rate, "ScaleDownLimit") if min_replicas < rate else (min_replicas, "TooFewReplicas")
        if desired_replicas < fewest:
            return Limited(replicas=fewest, reason=reason)
    return Limited(replicas=desired_replicas, reason="DesiredWithinRange")


def limit_without_behavior(
    current_replicas: int,
    desired_replicas: int,
    min_replicas: int,
    max_replicas: int,
    *,
    factor: float = 2.0,
    minimum: float = 4.0,
) -> Limited:
    """Hold a change to the bounds and to the controller's own rate of scaling up.

    Args:
        current_replicas: There are.
        desired_replicas: After stabilisation.
        min_replicas: Bound.
        max_replicas: Bound.
        factor: Of the present replicas in one step.
        minimum: Replicas that one step may reach in any case.
    """
    rate = to_int32(max(factor * current_replicas, minimum))
    most, reason = (rate, "ScaleUpLimit") if max_replicas > rate else (max_replicas, "TooManyReplicas")
    if desired_replicas < min_replicas:
        return Limited(replicas=min_replicas, reason="TooFewReplicas")
    if desired_replicas > most:
        return Limited(replicas=most, reason=reason)
    return Limited(replicas=desired_replicas, reason="DesiredWithinRange")
