"""The rules that are compared by default, each with the one number that people tune."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from farthing.core.scaling import ray_serve, target_tracking
from farthing.core.scaling.hpa.reconcile import Metric, Spec
from farthing.core.scaling.keda import activation
from farthing.core.scaling.knative import decider
from farthing.core.scaling.scalers.cost_aware import CostAwarePolicy, CostAwareScaler
from farthing.core.scaling.scalers.fixed import FixedScaler
from farthing.core.scaling.scalers.hpa import HpaScaler, PodCpu
from farthing.core.scaling.scalers.keda import KedaScaler, Trigger
from farthing.core.scaling.scalers.knative import KnativeScaler
from farthing.core.scaling.scalers.quantities import Quantity
from farthing.core.scaling.scalers.ray_serve import RayServeScaler
from farthing.core.scaling.scalers.target_tracking import TargetTrackingScaler
from farthing.nouns import Trace
from farthing.ports import Scaler

__all__ = ["RULES", "Family", "ReplicaFacts", "families", "refuse_unknown"]

_SHARE = "share of what a replica takes within the promise"
RULES: Mapping[str, str] = {
    "fixed": "replicas",
    "HPA on CPU": "target utilisation, %",
    "HPA on requests in flight": _SHARE,
    "KEDA on requests/s": _SHARE,
    "Knative on concurrency": _SHARE,
    "AWS target tracking": _SHARE,
    "Ray Serve": _SHARE,
    "cost-aware": "rate covered with probability",
}
"""Names, and the number of each that people tune, in words."""
_UTILISATIONS_PCT = (30, 40, 50, 60, 70, 80, 90)
_LOADS_FRAC = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_PROTECTED_FRAC = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaFacts:
    """What rules are told of a replica.

    Attributes:
        rate_rps: That it takes within the promise, > 0.
        in_flight: Requests that it has in flight at that rate, > 0.
        cores: That it keeps busy when it never rests, > 0.
        lag_s: From asking for one to its first request, ≥ 0.
        min_replicas: At any time, ≥ 1.
        max_replicas: At any time.
    """

    rate_rps: float
    in_flight: float
    cores: float
    lag_s: float
    max_replicas: int
    min_replicas: int = 1

    def __post_init__(self) -> None:
        if not (self.rate_rps > 0 and self.in_flight > 0 and self.cores > 0 and self.lag_s >= 0):
            raise ValueError(f"ReplicaFacts: rate, in_flight and cores must be > 0, lag ≥ 0: {self}")
        if not 1 <= self.min_replicas <= self.max_replicas:
            raise ValueError(f"ReplicaFacts: replicas must be 1 ≤ min ≤ max: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A rule up to one number.

    Attributes:
        name: Of the rule.
        knob: What the number is, in words.
        values: That are tried.
        make: A new rule with one of them.
    """

    name: str
    knob: str
    values: tuple[float, ...]
    make: Callable[[float], Scaler]


def families(replica: ReplicaFacts, *, fixed: Sequence[int] = (), season: Trace | None = None) -> tuple[Family, ...]:
    """All rules of the field that farthing knows, and its own.

    Args:
        replica: What they scale.
        fixed: Sizes of a fleet that does not scale.
        season: Rates of a period that repeats, for the rule that looks ahead; None where none is known.
    """
    r = replica
    pod = PodCpu(cores=r.cores, request_m=round(r.cores * 1000))
    least, most = r.min_replicas, r.max_replicas

    def hpa(quantity: Quantity, metric: Metric) -> Scaler:
        return HpaScaler(Spec(metrics=(metric,), min_replicas=least, max_replicas=most), [quantity], pod)

    def hpa_cpu(pct: float) -> Scaler:
        return hpa("cpu", Metric(kind="resource", target_type="utilization", target=round(pct)))

    def hpa_in_flight(load: float) -> Scaler:
        target_m = max(1, round(load * r.in_flight * 1000))
        return hpa("in_flight", Metric(kind="pods", target_type="average_value", target=target_m))

    def keda(load: float) -> Scaler:
        trigger = Trigger(quantity="requests_per_second", threshold=load * r.rate_rps)
        return KedaScaler([trigger], most, activation.Spec(min_replicas=least), pod)

    def knative(load: float) -> Scaler:
        spec = decider.Spec(target_value=load * r.in_flight, total_value=r.in_flight)
        return KnativeScaler(spec, most, min_replicas=least)

    def tracking(load: float) -> Scaler:
        target = load * r.rate_rps
        return TargetTrackingScaler(target_tracking.Policy(target=target, min_replicas=least, max_replicas=most))

    def ray(load: float) -> Scaler:
        target = load * r.in_flight
        return RayServeScaler(ray_serve.Policy(target_ongoing_requests=target, min_replicas=least, max_replicas=most))

    def cost_aware(protected: float) -> Scaler:
        policy = CostAwarePolicy(
            rate_rps=r.rate_rps, lag_s=r.lag_s, protected_frac=protected, season=season, min_replicas=least,
            max_replicas=most,
        )  # fmt: skip
        return CostAwareScaler(policy)

    made: tuple[Callable[[float], Scaler], ...] = (
        lambda n: FixedScaler(round(n)), hpa_cpu, hpa_in_flight, keda, knative, tracking, ray, cost_aware,
    )  # fmt: skip
    values = {"fixed": tuple(map(float, fixed)), "HPA on CPU": _UTILISATIONS_PCT, "cost-aware": _PROTECTED_FRAC}
    found = (
        Family(name=name, knob=knob, values=values.get(name, _LOADS_FRAC), make=make)
        for (name, knob), make in zip(RULES.items(), made, strict=True)
    )
    return tuple(family for family in found if family.values)


def refuse_unknown(names: Iterable[str]) -> None:
    """Pass when each is the name of a rule.

    Raises:
        ValueError: naming those that are not, and those that there are.
    """
    unknown = [name for name in names if name not in RULES]
    if unknown:
        raise ValueError(f"no such rule: {', '.join(unknown)}; there are {', '.join(RULES)}")
