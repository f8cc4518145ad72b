"""The rules that are compared by default, each with the numbers that people tune."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from farthing.core.scaling import ray_serve, target_tracking
from farthing.core.scaling.hpa.behavior import Behavior
from farthing.core.scaling.hpa.reconcile import Metric, Spec
from farthing.core.scaling.keda import activation
from farthing.core.scaling.knative import decider
from farthing.core.scaling.scalers import predictive
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

__all__ = ["RULES", "Family", "Lookback", "ReplicaFacts", "Setting", "families", "refuse_unknown"]

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
_UTILISATIONS_PCT = (30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0)
_LOADS_FRAC = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
_HELD_S = (60.0, 300.0, 900.0, 1_800.0)
_LEAST_FRAC = (0.0, 0.25, 0.5)
_AIM_FRAC = 0.7


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
        busiest_replicas: That the busiest step before needed, ≥ 1.
    """

    rate_rps: float
    in_flight: float
    cores: float
    lag_s: float
    max_replicas: int
    min_replicas: int = 1
    busiest_replicas: int = 1

    def least(self, busiest_frac: float) -> int:
        """A share of what the busiest step needed, within the bounds."""
        return min(self.max_replicas, max(self.min_replicas, round(busiest_frac * self.busiest_replicas)))

    def __post_init__(self) -> None:
        if not (self.rate_rps > 0 and self.in_flight > 0 and self.cores > 0 and self.lag_s >= 0):
            raise ValueError(f"ReplicaFacts: rate, in_flight and cores must be > 0, lag ≥ 0: {self}")
        if not 1 <= self.min_replicas <= self.max_replicas:
            raise ValueError(f"ReplicaFacts: replicas must be 1 ≤ min ≤ max: {self}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lookback:
    """What was before the fleet starts, for rules that learn from it.

    Attributes:
        rates_rps: Of the intervals before, of ``CostAwarePolicy.interval_s`` each, shape ``(n,)``; None for unknown.
        season: Rates of a period that repeats; None where none is known.
        season_s: Time of that period at which the fleet starts, ≥ 0.
    """

    rates_rps: NDArray[np.float64] | None = None
    season: Trace | None = None
    season_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A number of a rule that people tune.

    Attributes:
        name: By which the rule takes it.
        said: What it is, with ``{}`` for its value.
        values: That are tried, ascending.
        first: The one to begin with.
    """

    name: str
    said: str
    values: tuple[float, ...]
    first: float

    def words(self, value: float) -> str:
        """``target 70 %``."""
        return self.said.format(f"{value:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A rule up to its settings.

    Attributes:
        name: Of the rule.
        settings: In the order in which they are tuned.
        make: A new rule with their values.
    """

    name: str
    settings: tuple[Setting, ...]
    make: Callable[[Mapping[str, float]], Scaler]

    def words(self, values: Mapping[str, float]) -> str:
        """Its settings' values in words."""
        return ", ".join(setting.words(values[setting.name]) for setting in self.settings)


def families(
    replica: ReplicaFacts,
    *,
    fixed: Sequence[int] = (),
    initial: int = 1,
    attainment_frac: float = 0.99,
    lookback: Lookback | None = None,
) -> tuple[Family, ...]:
    """All rules of the field that farthing knows, and its own.

    Args:
        replica: What they scale.
        fixed: Sizes of a fleet that does not scale.
        initial: Replicas at the start.
        attainment_frac: Asked for, in (0, 1); told to the rule that steers by it.
        lookback: What was before; the rule that predicts by a season is there where one is known.
    """
    before = lookback or Lookback()
    made = _Made(replica, initial, attainment_frac, before)
    target_pct = Setting(name="target", said="target {} %", values=_UTILISATIONS_PCT, first=60.0)
    load = Setting(name="target", said="target {} of what a replica takes", values=_LOADS_FRAC, first=0.7)
    held = Setting(name="held_s", said="given up after {} s", values=_HELD_S, first=300.0)
    numbers = tuple(sorted({replica.least(frac) for frac in _LEAST_FRAC}))
    least = Setting(name="least", said="at least {}", values=tuple(map(float, numbers)), first=float(numbers[0]))
    usual = (load, held, least)
    found = [
        Family(name="HPA on CPU", settings=(target_pct, held, least), make=made.hpa_cpu),
        Family(name="HPA on requests in flight", settings=usual, make=made.hpa_in_flight),
        Family(name="KEDA on requests/s", settings=usual, make=made.keda),
        Family(name="Knative on concurrency", settings=usual, make=made.knative),
        Family(name="AWS target tracking", settings=usual, make=made.tracking),
        Family(name="Ray Serve", settings=usual, make=made.ray),
    ]
    if before.season is not None:
        found.insert(5, Family(name="AWS predictive", settings=usual, make=made.predictive))
    if fixed:
        sizes = tuple(map(float, fixed))
        size = Setting(name="replicas", said="{} replicas", values=sizes, first=sizes[-1])
        found.insert(0, Family(name="fixed", settings=(size,), make=lambda v: FixedScaler(round(v["replicas"]))))
    aim = Setting(name="aim", said="aims at {} of what may be missed", values=(_AIM_FRAC,), first=_AIM_FRAC)
    return (*found, Family(name="cost-aware", settings=(aim,), make=made.cost_aware))


class _Made:
    """Each rule of its settings' values."""

    def __init__(self, replica: ReplicaFacts, initial: int, attainment_frac: float, before: Lookback) -> None:
        self._r, self._initial, self._attainment_frac, self._before = replica, initial, attainment_frac, before
        self._pod = PodCpu(cores=replica.cores, request_m=round(replica.cores * 1000))

    def _hpa(self, quantity: Quantity, metric: Metric, v: Mapping[str, float]) -> Scaler:
        spec = Spec(
            metrics=(metric,),
            min_replicas=round(v["least"]),
            max_replicas=self._r.max_replicas,
            behavior=_held(v["held_s"]),
        )
        return HpaScaler(spec, [quantity], self._pod)

    def hpa_cpu(self, v: Mapping[str, float]) -> Scaler:
        return self._hpa("cpu", Metric(kind="resource", target_type="utilization", target=round(v["target"])), v)

    def hpa_in_flight(self, v: Mapping[str, float]) -> Scaler:
        target_m = max(1, round(v["target"] * self._r.in_flight * 1000))
        return self._hpa("in_flight", Metric(kind="pods", target_type="average_value", target=target_m), v)

    def keda(self, v: Mapping[str, float]) -> Scaler:
        trigger = Trigger(quantity="requests_per_second", threshold=v["target"] * self._r.rate_rps)
        spec = activation.Spec(min_replicas=round(v["least"]))
        return KedaScaler([trigger], self._r.max_replicas, spec, self._pod, behavior=_held(v["held_s"]))

    def knative(self, v: Mapping[str, float]) -> Scaler:
        spec = decider.Spec(
            target_value=v["target"] * self._r.in_flight,
            total_value=self._r.in_flight,
            scale_down_delay_s=v["held_s"],
        )
        return KnativeScaler(spec, self._r.max_replicas, min_replicas=round(v["least"]))

    def _tracking(self, v: Mapping[str, float]) -> TargetTrackingScaler:
        policy = target_tracking.Policy(
            target=v["target"] * self._r.rate_rps,
            min_replicas=round(v["least"]),
            max_replicas=self._r.max_replicas,
            scale_in_cooldown_s=v["held_s"],
        )
        return TargetTrackingScaler(policy)

    def tracking(self, v: Mapping[str, float]) -> Scaler:
        return self._tracking(v)

    def predictive(self, v: Mapping[str, float]) -> Scaler:
        assert self._before.season is not None
        forecast = predictive.Forecast(
            season=self._before.season, season_s=self._before.season_s, target_rps=v["target"] * self._r.rate_rps
        )
        return predictive.PredictiveScaler(forecast, self._tracking(v), max_replicas=self._r.max_replicas)

    def ray(self, v: Mapping[str, float]) -> Scaler:
        policy = ray_serve.Policy(
            target_ongoing_requests=v["target"] * self._r.in_flight,
            min_replicas=round(v["least"]),
            max_replicas=self._r.max_replicas,
            downscale_delay_s=v["held_s"],
        )
        return RayServeScaler(policy)

    def cost_aware(self, v: Mapping[str, float]) -> Scaler:
        policy = CostAwarePolicy(
            rate_rps=self._r.rate_rps,
            lag_s=self._r.lag_s,
            attainment_frac=self._attainment_frac,
            aim_frac=v["aim"],
            initial=self._initial,
            min_replicas=self._r.min_replicas,
            max_replicas=self._r.max_replicas,
            history_rps=self._before.rates_rps,
        )
        return CostAwareScaler(policy)


def _held(seconds: float) -> Behavior:
    usual = Behavior()
    return replace(usual, scale_down=replace(usual.scale_down, stabilization_s=seconds))


def refuse_unknown(names: Iterable[str]) -> None:
    """Pass when each is the name of a rule.

    Raises:
        ValueError: naming those that are not, and those that there are.
    """
    unknown = [name for name in names if name not in RULES]
    if unknown:
        raise ValueError(f"no such rule: {', '.join(unknown)}; there are {', '.join(RULES)}")
