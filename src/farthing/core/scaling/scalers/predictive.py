"""AWS predictive scaling at work: capacity ahead of a forecast, beside target tracking.

Published (EC2 Auto Scaling User Guide, "Predictive scaling for EC2 Auto Scaling", "How predictive scaling works"): a
forecast of each hour from up to 14 days, at least one; capacity for an hour's forecast load at the target is there when
the hour begins, earlier by a buffer (``SchedulingBufferTime``); it never scales in by itself and is used beside a
dynamic policy, of which the higher capacity holds. Not published is the model.

Assumed: the forecast of an hour is the highest rate that the usual day or week has in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from farthing.core.scaling.scalers.target_tracking import TargetTrackingScaler
from farthing.nouns import FleetSeen, ScalingDecision, Trace

__all__ = ["ASSUMED", "Forecast", "PredictiveScaler"]

ASSUMED = (
    "AWS predictive: an hour's forecast is the highest rate of the usual day or week in it (AWS publishes no model)"
)
BUFFER_S = 300.0
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What is expected, and how much of it a replica is to take.

    Attributes:
        season: Rates of a period that repeats.
        season_s: Time of that period at which the fleet starts, ≥ 0.
        target_rps: Of one replica, > 0.
        buffer_s: How long before an hour its capacity is there, ≥ 0.
    """

    season: Trace
    season_s: float
    target_rps: float
    buffer_s: float = BUFFER_S

    def __post_init__(self) -> None:
        if not (self.target_rps > 0 and self.season_s >= 0 and self.buffer_s >= 0):
            raise ValueError(f"a forecast needs target_rps > 0, season_s and buffer_s ≥ 0: {self}")

    def replicas(self, at_s: float) -> int:
        """For the hours of now and of ``buffer_s`` ahead."""
        step_s, size = self.season.step_s, self.season.counts.size
        hours = {(self.season_s + at_s + ahead) // _HOUR_S for ahead in (0.0, self.buffer_s)}
        steps = (k for hour in hours for k in range(int(hour * _HOUR_S // step_s), int((hour + 1) * _HOUR_S // step_s)))
        highest = max(float(self.season.counts[k % size]) for k in steps) / step_s
        return math.ceil(highest / self.target_rps - 1e-9)


class PredictiveScaler:
    """See :class:`farthing.ports.Scaler`.

    Args:
        forecast: What is expected.
        within: The dynamic policy beside it.
        max_replicas: Upper bound, ≥ 1.
    """

    name = "predictive"

    def __init__(self, forecast: Forecast, within: TargetTrackingScaler, *, max_replicas: int) -> None:
        self._forecast, self._within, self._max_replicas = forecast, within, max_replicas
        self.interval_s = within.interval_s
        self.assumed = (ASSUMED, *within.assumed)

    def decide(self, seen: FleetSeen) -> ScalingDecision:
        """The higher of both."""
        dynamic = self._within.decide(seen)
        expected = min(self._max_replicas, self._forecast.replicas(seen.at_s))
        if expected <= dynamic.replicas:
            return dynamic
        return ScalingDecision(replicas=expected, reason="forecast of the hour")
