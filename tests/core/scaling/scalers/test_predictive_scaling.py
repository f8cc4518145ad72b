"""AWS predictive scaling: an hour's capacity is there before the hour, and the dynamic policy may only add."""

from __future__ import annotations

import numpy as np
import pytest

from farthing.core.scaling import target_tracking
from farthing.core.scaling.scalers.predictive import Forecast, PredictiveScaler
from farthing.core.scaling.scalers.target_tracking import TargetTrackingScaler
from farthing.nouns import FleetSeen, Trace

DAY = np.full(1_440, 600.0)  # 10 requests/s
DAY[540:600] = np.linspace(600.0, 6_000.0, 60)  # 9:00 to 10:00, up to 100
SEASON = Trace(name="usual day", step_s=60.0, counts=DAY)


def forecast(**more: float) -> Forecast:
    return Forecast(season=SEASON, target_rps=10.0, **({"season_s": 0.0} | more))  # type: ignore[arg-type]


def test_the_hour_and_what_comes_within_the_buffer() -> None:
    assert [forecast().replicas(h * 3600.0) for h in (8.0, 8.9, 8.92, 9.5, 10.0, 32.95)] == [1, 1, 10, 10, 1, 10]
    assert forecast(season_s=8 * 3600.0).replicas(3_600.0) == 10
    assert forecast(buffer_s=1_800.0).replicas(8.6 * 3600.0) == 10


def decided(scaler: PredictiveScaler, hour: float, rate: float, ready: int) -> tuple[int, str]:
    arrived = round(rate * 60)
    shown = FleetSeen(
        at_s=hour * 3600.0, interval_s=60.0, arrived=arrived, answered=arrived, within_promise=arrived, failed=0,
        in_flight=0, waiting=0, mean_in_flight=0.0, busy_frac=0.5, ready=ready, starting=0,
    )  # fmt: skip
    found = scaler.decide(shown)
    return found.replicas, found.reason


def test_the_higher_of_forecast_and_dynamic_policy() -> None:
    policy = target_tracking.Policy(target=10.0, max_replicas=30)
    scaler = PredictiveScaler(forecast(), TargetTrackingScaler(policy), max_replicas=30)
    assert decided(scaler, 8.95, 10.0, 1) == (10, "forecast of the hour")
    for k in range(3):
        found = decided(scaler, 10.1 + k / 60, 200.0, 10)
    assert found[0] == 20
    assert "target" in found[1]
    assert len(scaler.assumed) == 2


def test_a_forecast_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="target_rps > 0"):
        Forecast(season=SEASON, season_s=0.0, target_rps=0.0)
