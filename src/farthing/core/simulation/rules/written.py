"""A rule as somebody wrote it down: its name and numbers in its own field's words, made into one that works.

A share (``target``) is one of what a replica takes within the promise; the key behind it says
the same in the field's own unit. What is not said has the value that the rule's makers gave it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from farthing.core.scaling import ray_serve, target_tracking
from farthing.core.scaling.hpa.behavior import Behavior
from farthing.core.scaling.hpa.reconcile import Controller, Metric, Spec
from farthing.core.scaling.hpa.replicas import Tolerance
from farthing.core.scaling.keda import activation
from farthing.core.scaling.knative import decider
from farthing.core.scaling.scalers.cost_aware import INTERVAL_S, CostAwarePolicy, CostAwareScaler
from farthing.core.scaling.scalers.fixed import FixedScaler
from farthing.core.scaling.scalers.hpa import HpaScaler, PodCpu
from farthing.core.scaling.scalers.keda import POLLING_S, KedaScaler, Trigger
from farthing.core.scaling.scalers.knative import KnativeScaler
from farthing.core.scaling.scalers.quantities import Quantity
from farthing.core.scaling.scalers.ray_serve import RayServeScaler
from farthing.core.scaling.scalers.scheduled import ScheduledScaler
from farthing.core.scaling.scalers.target_tracking import TargetTrackingScaler
from farthing.core.scaling.scheduled import Schedule
from farthing.ports import Scaler

__all__ = ["FROM_ZERO", "NAMES", "RULES", "SCHEDULED", "SETTINGS", "Bounds", "WrittenRule", "scaler_of"]

RULES = (
    "fixed",
    "HPA on CPU",
    "HPA on requests in flight",
    "KEDA on requests/s",
    "Knative on concurrency",
    "AWS target tracking",
    "AWS predictive",
    "Ray Serve",
    "cost-aware",
)
"""Of all that are compared; the predictive one needs a day of history, and cannot be written down."""
SCHEDULED = "scheduled"
NAMES: tuple[str, ...] = (*(name for name in RULES if name != "AWS predictive"), SCHEDULED)
"""All that are compared but the one that needs a day of history, and the schedule."""
FROM_ZERO = ("KEDA on requests/s", "Knative on concurrency", "Ray Serve", "cost-aware", SCHEDULED)
"""Rules that come back from no replica at all; the others see no metric there."""
Kind = Literal["share", "number", "seconds", "whole", "flag"]
_STABLE: Mapping[str, tuple[Kind, float | None]] = {
    "scale_up_stabilization": ("seconds", 0.0),
    "scale_down_stabilization": ("seconds", 300.0),
}
_SHARE: Mapping[str, tuple[Kind, float | None]] = {"target": ("share", 0.7)}
SETTINGS: Mapping[str, Mapping[str, tuple[Kind, float | None]]] = {
    "fixed": {"replicas": ("whole", None)},
    "HPA on CPU": {**_SHARE, "tolerance": ("share", 0.1), **_STABLE},
    "HPA on requests in flight": {**_SHARE, "average_value": ("number", None), "tolerance": ("share", 0.1), **_STABLE},
    "KEDA on requests/s": {
        **_SHARE, "threshold": ("number", None), "activation_threshold": ("number", 0.0),
        "cooldown": ("seconds", 300.0), "polling": ("seconds", POLLING_S), **_STABLE,
    },
    "Knative on concurrency": {
        **_SHARE, "concurrency": ("number", None), "stable_window": ("seconds", 60.0),
        "panic_threshold": ("number", 2.0), "max_scale_up_rate": ("number", 1000.0),
        "max_scale_down_rate": ("number", 2.0), "scale_down_delay": ("seconds", 0.0),
    },
    "AWS target tracking": {
        **_SHARE, "target_value": ("number", None), "scale_out_cooldown": ("seconds", 300.0),
        "scale_in_cooldown": ("seconds", 300.0), "disable_scale_in": ("flag", 0.0),
    },
    "Ray Serve": {
        **_SHARE, "target_ongoing_requests": ("number", None), "upscale_delay": ("seconds", 30.0),
        "downscale_delay": ("seconds", 600.0), "upscaling_factor": ("number", 1.0),
        "downscaling_factor": ("number", 1.0), "look_back": ("seconds", 30.0),
    },
    "cost-aware": {
        "aim": ("share", 0.7), "usd_per_miss": ("number", None), "interval": ("seconds", INTERVAL_S),
        "lag": ("seconds", None),
    },
    SCHEDULED: {},
}  # fmt: skip
"""What may be said of each rule: how it is read, and its default (None: it has none)."""
_OWN_UNIT: Mapping[str, str] = {
    "HPA on requests in flight": "average_value",
    "KEDA on requests/s": "threshold",
    "Knative on concurrency": "concurrency",
    "AWS target tracking": "target_value",
    "Ray Serve": "target_ongoing_requests",
}
_BY_RATE = ("KEDA on requests/s", "AWS target tracking")


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenRule:
    """A rule by its name.

    Attributes:
        name: One of :data:`NAMES`.
        said: What was said of it, by the keys of :data:`SETTINGS`; seconds and shares as plain numbers.
        schedule: Of ``scheduled``, None for the others.
        start_s: Time of the schedule's period at which the fleet's clock starts.
        within: The rule between the schedule's bounds; None to stay where they allow.
    """

    name: str
    said: Mapping[str, float] = field(default_factory=dict)
    schedule: Schedule | None = None
    start_s: float = 0.0
    within: WrittenRule | None = None

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ValueError(f"no such rule: {self.name}; there are {', '.join(NAMES)}")
        if strange := sorted(set(self.said) - set(SETTINGS[self.name])):
            raise ValueError(f"{self.name} takes no {strange[0]}; it takes {', '.join(SETTINGS[self.name]) or 'none'}")
        if (self.schedule is None) != (self.name != SCHEDULED):
            raise ValueError(f"a schedule belongs to {SCHEDULED}, and it needs one: {self}")
        own = _OWN_UNIT.get(self.name)
        if own in self.said and "target" in self.said:
            raise ValueError(f"{self.name}: target and {own} say the same; one of them is enough")

    def value(self, key: str) -> float | None:
        """What was said, or the default."""
        return self.said.get(key, SETTINGS[self.name][key][1])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bounds:
    """What a rule is told of the fleet and of a replica.

    Attributes:
        min_replicas: At any time, ≥ 0.
        max_replicas: At any time, ≥ 1.
        cores: That a replica keeps busy when it never rests, > 0.
        lag_s: From asking for a replica to its first request, ≥ 0.
        rate_rps: That a replica takes within the promise, > 0; None when unknown.
        in_flight: Requests that it has in flight at that rate, > 0; None when unknown.
        initial: Replicas at the start.
        attainment_frac: Share of the requests to be answered as promised, in (0, 1).
        usd_per_hour: Of a replica, > 0; None when unknown.
        history_rps: Rates of intervals before the start, for the rule that learns; None where none are known.
    """

    min_replicas: int
    max_replicas: int
    cores: float
    lag_s: float
    rate_rps: float | None = None
    in_flight: float | None = None
    initial: int = 1
    attainment_frac: float = 0.99
    usd_per_hour: float | None = None
    history_rps: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        known = [x for x in (self.cores, self.rate_rps, self.in_flight, self.usd_per_hour) if x is not None]
        if not (all(x > 0 and math.isfinite(x) for x in known) and self.lag_s >= 0):
            raise ValueError(f"Bounds: cores, rate, in_flight and price must be > 0, lag ≥ 0: {self}")
        if not (0 <= self.min_replicas <= self.max_replicas and self.max_replicas >= 1):
            raise ValueError(f"Bounds: replicas must be 0 ≤ min ≤ max and max ≥ 1: {self}")


def scaler_of(rule: WrittenRule, bounds: Bounds) -> Scaler:
    """A new rule that works.

    Raises:
        ValueError: when a share is to be taken of a rate that is not known, the lower bound is 0 and the rule would
            not come back from there, or a number is out of its range.
    """
    if bounds.min_replicas == 0 and rule.name not in FROM_ZERO:
        raise ValueError(f"{rule.name} does not come back from 0 replicas: min_replicas must be ≥ 1")
    return _MAKERS[rule.name](rule, bounds)


def _own(rule: WrittenRule, bounds: Bounds) -> float:
    """The target of one replica in the rule's own unit."""
    key = _OWN_UNIT[rule.name]
    said = rule.value(key)
    if said is not None:
        return said
    share = rule.value("target")
    whole, what = (
        (bounds.rate_rps, "rate (requests/s)") if rule.name in _BY_RATE else (bounds.in_flight, "requests in flight")
    )
    if whole is None or share is None:
        raise ValueError(
            f"{rule.name}: target is a share of what a replica takes within the promise, and its {what} is not known"
        )
    return share * whole


def _of(rule: WrittenRule, key: str) -> float:
    found = rule.value(key)
    if found is None:
        raise ValueError(f"{rule.name} needs {key}")
    return found


def _fixed(rule: WrittenRule, bounds: Bounds) -> Scaler:
    return FixedScaler(round(rule.said.get("replicas", bounds.max_replicas)))


def _pod(bounds: Bounds) -> PodCpu:
    return PodCpu(cores=bounds.cores, request_m=max(1, round(bounds.cores * 1000)))


def _behavior(rule: WrittenRule) -> Behavior | None:
    """As Kubernetes has it when nothing was said, which is not quite ``behavior`` with its own defaults."""
    if not {"scale_up_stabilization", "scale_down_stabilization"} & set(rule.said):
        return None
    usual = Behavior()
    up, down = _of(rule, "scale_up_stabilization"), _of(rule, "scale_down_stabilization")
    return Behavior(
        scale_up=replace(usual.scale_up, stabilization_s=up),
        scale_down=replace(usual.scale_down, stabilization_s=down),
    )


def _hpa(rule: WrittenRule, bounds: Bounds, quantity: Quantity, metric: Metric) -> Scaler:
    tolerance = _of(rule, "tolerance")
    spec = Spec(
        metrics=(metric,),
        min_replicas=bounds.min_replicas,
        max_replicas=bounds.max_replicas,
        behavior=_behavior(rule),
        controller=Controller(tolerance=Tolerance(down=tolerance, up=tolerance)),
    )
    return HpaScaler(spec, [quantity], _pod(bounds))


def _hpa_cpu(rule: WrittenRule, bounds: Bounds) -> Scaler:
    target = max(1, round(_of(rule, "target") * 100))
    return _hpa(rule, bounds, "cpu", Metric(kind="resource", target_type="utilization", target=target))


def _hpa_in_flight(rule: WrittenRule, bounds: Bounds) -> Scaler:
    target = max(1, round(_own(rule, bounds) * 1000))
    return _hpa(rule, bounds, "in_flight", Metric(kind="pods", target_type="average_value", target=target))


def _keda(rule: WrittenRule, bounds: Bounds) -> Scaler:
    trigger = Trigger(
        quantity="requests_per_second",
        threshold=_own(rule, bounds),
        activation_threshold=_of(rule, "activation_threshold"),
    )
    spec = activation.Spec(min_replicas=bounds.min_replicas, cooldown_s=_of(rule, "cooldown"))
    return KedaScaler(
        [trigger],
        bounds.max_replicas,
        spec,
        _pod(bounds),
        polling_s=_of(rule, "polling"),
        behavior=_behavior(rule),
    )


def _knative(rule: WrittenRule, bounds: Bounds) -> Scaler:
    target = _own(rule, bounds)
    spec = decider.Spec(
        target_value=target,
        total_value=bounds.in_flight or target,
        stable_window_s=_of(rule, "stable_window"),
        panic_threshold=_of(rule, "panic_threshold"),
        max_scale_up_rate=_of(rule, "max_scale_up_rate"),
        max_scale_down_rate=_of(rule, "max_scale_down_rate"),
        scale_down_delay_s=_of(rule, "scale_down_delay"),
    )
    return KnativeScaler(spec, bounds.max_replicas, min_replicas=bounds.min_replicas)


def _tracking(rule: WrittenRule, bounds: Bounds) -> Scaler:
    policy = target_tracking.Policy(
        target=_own(rule, bounds),
        min_replicas=bounds.min_replicas,
        max_replicas=bounds.max_replicas,
        scale_out_cooldown_s=_of(rule, "scale_out_cooldown"),
        scale_in_cooldown_s=_of(rule, "scale_in_cooldown"),
        disable_scale_in=bool(_of(rule, "disable_scale_in")),
    )
    return TargetTrackingScaler(policy)


def _ray(rule: WrittenRule, bounds: Bounds) -> Scaler:
    policy = ray_serve.Policy(
        target_ongoing_requests=_own(rule, bounds),
        min_replicas=bounds.min_replicas,
        max_replicas=bounds.max_replicas,
        upscale_delay_s=_of(rule, "upscale_delay"),
        downscale_delay_s=_of(rule, "downscale_delay"),
        upscaling_factor=_of(rule, "upscaling_factor"),
        downscaling_factor=_of(rule, "downscaling_factor"),
    )
    return RayServeScaler(policy, look_back_s=_of(rule, "look_back"))


def _cost_aware(rule: WrittenRule, bounds: Bounds) -> Scaler:
    if bounds.rate_rps is None:
        raise ValueError("cost-aware buys by the rate (requests/s) that a replica takes, and it is not known")
    if bounds.usd_per_hour is None and "usd_per_miss" in rule.said:
        raise ValueError("cost-aware weighs usd_per_miss against a replica's usd_per_hour, and it is not known")
    lag_s = rule.value("lag")
    policy = CostAwarePolicy(
        rate_rps=bounds.rate_rps,
        lag_s=bounds.lag_s if lag_s is None else lag_s,
        attainment_frac=bounds.attainment_frac,
        aim_frac=_of(rule, "aim"),
        usd_per_miss=rule.value("usd_per_miss"),
        usd_per_hour=1.0 if bounds.usd_per_hour is None else bounds.usd_per_hour,
        initial=bounds.initial,
        min_replicas=bounds.min_replicas,
        max_replicas=bounds.max_replicas,
        interval_s=_of(rule, "interval"),
        history_rps=bounds.history_rps,
    )
    return CostAwareScaler(policy)


def _scheduled(rule: WrittenRule, bounds: Bounds) -> Scaler:
    assert rule.schedule is not None
    within = None if rule.within is None else scaler_of(rule.within, bounds)
    return ScheduledScaler(rule.schedule, start_s=rule.start_s, within=within)


_MAKERS: Mapping[str, Callable[[WrittenRule, Bounds], Scaler]] = {
    "fixed": _fixed,
    "HPA on CPU": _hpa_cpu,
    "HPA on requests in flight": _hpa_in_flight,
    "KEDA on requests/s": _keda,
    "Knative on concurrency": _knative,
    "AWS target tracking": _tracking,
    "Ray Serve": _ray,
    "cost-aware": _cost_aware,
    SCHEDULED: _scheduled,
}
