"""The rules that are compared by default, each with the numbers that people tune."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from farthing.core.scaling.scalers import predictive
from farthing.core.scaling.scalers.fixed import FixedScaler
from farthing.core.scaling.scalers.target_tracking import TargetTrackingScaler
from farthing.core.simulation.rules.written import RULES, Bounds, WrittenRule, scaler_of
from farthing.nouns import Trace
from farthing.ports import Scaler

__all__ = ["Family", "Lookback", "ReplicaFacts", "Setting", "families", "refuse_unknown"]

_UTILISATIONS_FRAC = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
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
    bounds = Bounds(
        min_replicas=replica.min_replicas,
        max_replicas=replica.max_replicas,
        cores=replica.cores,
        lag_s=replica.lag_s,
        rate_rps=replica.rate_rps,
        in_flight=replica.in_flight,
        initial=initial,
        attainment_frac=attainment_frac,
    )
    busy = Setting(name="target", said="target {} of its CPU", values=_UTILISATIONS_FRAC, first=0.6)
    load = Setting(name="target", said="target {} of what a replica takes", values=_LOADS_FRAC, first=0.7)
    held = Setting(name="held_s", said="given up after {} s", values=_HELD_S, first=300.0)
    numbers = tuple(sorted({replica.least(frac) for frac in _LEAST_FRAC}))
    least = Setting(name="least", said="at least {}", values=tuple(map(float, numbers)), first=float(numbers[0]))
    found = [
        Family(name=name, settings=(busy if name == "HPA on CPU" else load, held, least), make=_maker(name, bounds))
        for name in _HELD
    ]
    if before.season is not None:
        found.insert(5, Family(name="AWS predictive", settings=(load, held, least), make=_predictive(before, bounds)))
    if fixed:
        sizes = tuple(map(float, fixed))
        size = Setting(name="replicas", said="{} replicas", values=sizes, first=sizes[-1])
        found.insert(0, Family(name="fixed", settings=(size,), make=lambda v: FixedScaler(round(v["replicas"]))))
    aim = Setting(name="aim", said="aims at {} of what may be missed", values=(_AIM_FRAC,), first=_AIM_FRAC)
    return (*found, Family(name="cost-aware", settings=(aim,), make=_cost_aware(before, bounds)))


_HELD: Mapping[str, str] = {
    "HPA on CPU": "scale_down_stabilization",
    "HPA on requests in flight": "scale_down_stabilization",
    "KEDA on requests/s": "scale_down_stabilization",
    "Knative on concurrency": "scale_down_delay",
    "AWS target tracking": "scale_in_cooldown",
    "Ray Serve": "downscale_delay",
}
"""Each rule's own word for the time until a replica is given up."""


def _maker(name: str, bounds: Bounds) -> Callable[[Mapping[str, float]], Scaler]:
    """Makes a rule of its settings' values, as a file that says them would."""

    def made(v: Mapping[str, float]) -> Scaler:
        said = {"target": v["target"], _HELD[name]: v["held_s"]}
        return scaler_of(WrittenRule(name=name, said=said), replace(bounds, min_replicas=round(v["least"])))

    return made


def _predictive(before: Lookback, bounds: Bounds) -> Callable[[Mapping[str, float]], Scaler]:
    tracking = _maker("AWS target tracking", bounds)

    def made(v: Mapping[str, float]) -> Scaler:
        assert before.season is not None
        assert bounds.rate_rps is not None
        within = tracking(v)
        assert isinstance(within, TargetTrackingScaler)
        target_rps = v["target"] * bounds.rate_rps
        forecast = predictive.Forecast(season=before.season, season_s=before.season_s, target_rps=target_rps)
        return predictive.PredictiveScaler(forecast, within, max_replicas=bounds.max_replicas)

    return made


def _cost_aware(before: Lookback, bounds: Bounds) -> Callable[[Mapping[str, float]], Scaler]:
    told = replace(bounds, history_rps=before.rates_rps)
    return lambda v: scaler_of(WrittenRule(name="cost-aware", said={"aim": v["aim"]}), told)


def refuse_unknown(names: Iterable[str]) -> None:
    """Pass when each is the name of a rule.

    Raises:
        ValueError: naming those that are not, and those that there are.
    """
    unknown = [name for name in names if name not in RULES]
    if unknown:
        raise ValueError(f"no such rule: {', '.join(unknown)}; there are {', '.join(RULES)}")
