"""Pods that a revision needs, by the stable window in calm and by the panic window in panic.

Source: Knative Serving, ``pkg/autoscaler/scaling/autoscaler.go``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from farthing.core.scaling.fixed_width import to_int32
from farthing.core.scaling.knative.max_window import MaxWindow, max_window, record

__all__ = ["Observation", "Scale", "Spec", "State", "start", "step"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What the decider was told, with Knative's defaults.

    Attributes:
        target_value: Of the metric (requests in flight, or per second) on one pod; 70 % of 100 by default.
        total_value: The metric at which a pod is full.
        target_burst_capacity: Of the metric, that is to be served without the activator; 0 never has it in the way
            but from zero, −1 always.
        panic_threshold: Panic begins at so many times the pods that are ready.
        max_scale_up_rate: Pods wanted over pods ready, at most.
        max_scale_down_rate: Pods ready over pods wanted, at most.
        stable_window_s: Of the stable average; a panic lasts longer than it.
        reachable: Whether requests can reach the revision; else it may go down at any rate and without delay.
        activation_scale: Pods that one wanted pod becomes, where above 1.
        scale_down_delay_s: For which a lower number must have held.
        tick_interval_s: Between steps; the delay is counted in them.
    """

    target_value: float = 70.0
    total_value: float = 100.0
    target_burst_capacity: float = 211.0
    panic_threshold: float = 2.0
    max_scale_up_rate: float = 1000.0
    max_scale_down_rate: float = 2.0
    stable_window_s: float = 60.0
    reachable: bool = True
    activation_scale: int = 0
    scale_down_delay_s: float = 0.0
    tick_interval_s: int = 2

    def __post_init__(self) -> None:
        if not (self.target_value > 0 and self.max_scale_up_rate > 0 and self.max_scale_down_rate > 0):
            raise ValueError(f"target and rates must be > 0: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the decider remembers.

    Attributes:
        panic_since_s: When the panic threshold was last crossed in the present panic; None in calm.
        max_panic_pods: Most pods wanted in it.
        delay: Recent wants; None without a delay. Made when the decider is, whatever the specification says later.
    """

    panic_since_s: float | None = None
    max_panic_pods: int = 0
    delay: MaxWindow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a step sees.

    Attributes:
        ready_pods: None when they cannot be counted.
        stable_value: The metric, summed over pods and averaged over the stable window; None without data.
        panic_value: The same over the panic window.
    """

    ready_pods: int | None
    stable_value: float | None
    panic_value: float | None

    def __post_init__(self) -> None:
        values = [value for value in (self.stable_value, self.panic_value) if value is not None]
        if not all(math.isfinite(value) and value >= 0 for value in values) or (self.ready_pods or 0) < 0:
            raise ValueError(f"pods and values must be ≥ 0: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What a step decides.

    Attributes:
        valid: Whether there was something to decide by; else the rest is 0.
        replicas: Pods wanted.
        excess_burst_capacity: Of the metric, that could still come; −1 at most where it never suffices.
        reason: Why, in a sentence without a full stop.
    """

    valid: bool
    replicas: int
    excess_burst_capacity: int
    reason: str


def start(spec: Spec, ready_pods: int | None, now_s: float) -> State:
    """A new decider: in panic where more than one pod is ready, so that they stay until there is data.

    Args:
        spec: What it is told.
        ready_pods: None when they cannot be counted.
        now_s: Now.
    """
    pods = ready_pods or 0
    delayed = spec.scale_down_delay_s > 0
    return State(
        panic_since_s=now_s if pods > 1 else None,
        max_panic_pods=pods,
        delay=max_window(spec.scale_down_delay_s, spec.tick_interval_s) if delayed else None,
    )


def step(spec: Spec, state: State, seen: Observation, now_s: float) -> tuple[State, Scale]:
    """Decide.

    Args:
        spec: What the decider is told now.
        state: After the step before.
        seen: Now.
        now_s: Now.
    """
    if seen.ready_pods is None:
        return state, Scale(valid=False, replicas=0, excess_burst_capacity=0, reason="pods cannot be counted")
    if seen.stable_value is None or seen.panic_value is None:
        return state, Scale(valid=False, replicas=0, excess_burst_capacity=0, reason="no data yet")
    ready = max(1.0, float(seen.ready_pods))
    stable, _ = _wanted(spec, seen.stable_value, ready)
    panic, panic_ratio = _wanted(spec, seen.panic_value, ready)
    state = _panicked(spec, state, panic_ratio >= spec.panic_threshold, now_s)
    replicas, reason = stable, f"the stable window asks for {stable}"
    if state.panic_since_s is not None:
        replicas = max(stable, panic, state.max_panic_pods)
        reason = f"in panic: windows ask for {stable} and {panic}, never below the panic's highest"
        state = replace(state, max_panic_pods=replicas)
    if spec.reachable and state.delay is not None:
        delay = record(state.delay, now_s, replicas)
        state, held = replace(state, delay=delay), int(delay.highest)
        reason += f", {held} held until the delay has passed" if held != replicas else ""
        replicas = held
    excess = _excess_burst_capacity(spec, seen.ready_pods, seen.panic_value)
    return state, Scale(valid=True, replicas=replicas, excess_burst_capacity=excess, reason=reason)


def _wanted(spec: Spec, value: float, ready: float) -> tuple[int, float]:
    """Pods within the rates, and what was wanted before them over what is ready."""
    pods = math.ceil(value / spec.target_value)
    most = math.ceil(spec.max_scale_up_rate * ready)
    least = math.floor(ready / spec.max_scale_down_rate) if spec.reachable else 0
    within = to_int32(min(max(pods, least), most))
    if spec.activation_scale > 1 and pods > 0:
        within = max(within, spec.activation_scale)
    return within, pods / ready


def _panicked(spec: Spec, state: State, over: bool, now_s: float) -> State:
    if over:
        return replace(state, panic_since_s=now_s)
    if state.panic_since_s is not None and state.panic_since_s + spec.stable_window_s < now_s:
        return replace(state, panic_since_s=None, max_panic_pods=0)
    return state


def _excess_burst_capacity(spec: Spec, ready_pods: int, panic_value: float) -> int:
    if spec.target_burst_capacity == 0:
        return 0
    if spec.target_burst_capacity < 0:
        return -1
    return to_int32(math.floor(ready_pods * spec.total_value - spec.target_burst_capacity - panic_value))
