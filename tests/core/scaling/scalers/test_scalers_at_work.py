"""The published rules shown a fleet instead of their controllers' own inputs."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from farthing.core.scaling import ray_serve, scheduled, target_tracking
from farthing.core.scaling.hpa.reconcile import Metric, Spec
from farthing.core.scaling.keda import activation
from farthing.core.scaling.knative import decider
from farthing.core.scaling.scalers.fixed import FixedScaler
from farthing.core.scaling.scalers.hpa import HpaScaler, PodCpu
from farthing.core.scaling.scalers.keda import KedaScaler, Trigger
from farthing.core.scaling.scalers.knative import KnativeScaler
from farthing.core.scaling.scalers.quantities import QUANTITIES, total
from farthing.core.scaling.scalers.ray_serve import RayServeScaler
from farthing.core.scaling.scalers.scheduled import ScheduledScaler
from farthing.core.scaling.scalers.target_tracking import TargetTrackingScaler
from farthing.nouns import FleetSeen, ScalingDecision
from farthing.ports import Scaler

POD = PodCpu(cores=2.0, request_m=2000)


def seen(at_s: float, interval_s: float, *, ready: int, starting: int = 0, **more: float) -> FleetSeen:
    usual: dict[str, float] = {
        "arrived": 0, "answered": 0, "within_promise": 0, "failed": 0, "in_flight": 0, "waiting": 0,
        "mean_in_flight": 0.0, "busy_frac": 0.0,
    }  # fmt: skip
    facts = usual | more
    return FleetSeen(at_s=at_s, interval_s=interval_s, ready=ready, starting=starting, **facts)  # type: ignore[arg-type]


def driven(scaler: Scaler, seconds: float, start: int, show: Callable[[float], dict[str, float]]) -> list[int]:
    """Replicas after each decision; what is wanted is ready at once."""
    ready, found = start, []
    for k in range(1, int(seconds / scaler.interval_s) + 1):
        at_s = k * scaler.interval_s
        ready = scaler.decide(seen(at_s, scaler.interval_s, ready=ready, **show(at_s))).replicas
        found.append(ready)
    return found


def cpu(pct: int, **bounds: int) -> HpaScaler:
    metric = Metric(kind="resource", target_type="utilization", target=pct)
    return HpaScaler(Spec(metrics=(metric,), **({"max_replicas": 20} | bounds)), ["cpu"], POD)


def test_each_quantity_is_of_the_whole_fleet() -> None:
    fleet = seen(30, 15, ready=4, busy_frac=0.5, arrived=300, mean_in_flight=7.5, waiting=3, in_flight=9)
    assert [total(q, fleet, 2.0) for q in QUANTITIES] == [4.0, 20.0, 7.5, 3.0]


def test_hpa_scales_in_proportion_to_cpu() -> None:
    scaler = cpu(50)
    assert scaler.decide(seen(15, 15, ready=4, busy_frac=0.8)).replicas == 7  # 4 · 80 / 50, rounded up


def test_hpa_stays_within_its_tolerance_even_at_ten_replicas() -> None:
    assert cpu(50).decide(seen(15, 15, ready=10, busy_frac=0.54)).replicas == 10


def test_hpa_does_not_count_cpu_of_pods_that_have_just_become_ready() -> None:
    """A sample whose window began before the pod was ready stands for its start."""
    scaler = cpu(50)
    assert scaler.decide(seen(15, 15, ready=2, busy_frac=1.0)).replicas == 4
    waiting = scaler.decide(seen(30, 15, ready=2, starting=2, busy_frac=1.0))
    assert waiting.replicas == 4  # two pending ones count as nothing: (2 · 100 % + 2 · 0) / 50 % = 4
    assert scaler.decide(seen(45, 15, ready=4, busy_frac=1.0)).replicas == 4  # new ones are set aside
    assert scaler.decide(seen(60, 15, ready=4, busy_frac=1.0)).replicas == 8


def test_hpa_goes_down_only_after_the_stabilisation() -> None:
    scaler = cpu(50)
    after = driven(scaler, 600, 4, lambda at_s: {"busy_frac": 0.5 if at_s < 60 else 0.1})
    assert after[18] == 4  # 285 s: what was recommended before still counts
    assert after[-1] == 1


def test_hpa_on_requests_in_flight_and_on_an_external_total() -> None:
    average = Metric(kind="pods", target_type="average_value", target=2000)
    scaler = HpaScaler(Spec(metrics=(average,), max_replicas=20), ["in_flight"], POD)
    assert scaler.decide(seen(15, 15, ready=3, mean_in_flight=12.0)).replicas == 6
    queue = Metric(kind="external", target_type="average_value", target=5000)
    scaler = HpaScaler(Spec(metrics=(queue,), max_replicas=20), ["waiting"], POD)
    assert scaler.decide(seen(15, 15, ready=3, waiting=26)).replicas == 6
    with pytest.raises(ValueError, match="2 metrics need as many"):
        HpaScaler(Spec(metrics=(average, queue), max_replicas=20), ["waiting"], POD)


def test_keda_switches_on_and_off_and_leaves_the_rest_to_the_autoscaler() -> None:
    trigger = Trigger(quantity="requests_per_second", threshold=10.0, activation_threshold=1.0)
    scaler = KedaScaler([trigger], 20, activation.Spec(cooldown_s=60.0), POD)
    assert scaler.decide(seen(15, 15, ready=0)).replicas == 0
    assert scaler.decide(seen(30, 15, ready=0, arrived=300)).replicas == 0  # polled every 30 s
    assert scaler.decide(seen(45, 15, ready=0, arrived=300)).replicas == 1
    assert scaler.decide(seen(60, 15, ready=1, arrived=600)).replicas == 4  # 40/s over 10/s each
    quiet = driven(scaler, 600, 4, lambda at_s: {"arrived": 0})
    assert quiet[-1] == 0
    with pytest.raises(ValueError, match="needs a trigger"):
        KedaScaler([], 20, activation.Spec(), POD)


def test_knative_goes_up_in_panic_and_down_by_the_stable_window() -> None:
    spec = decider.Spec(target_value=2.0, total_value=3.0)
    scaler = KnativeScaler(spec, 30, min_replicas=1)
    calm = driven(scaler, 60, 1, lambda _: {"mean_in_flight": 2.0})
    assert calm[-1] == 1
    burst = []
    ready = 1
    for k in range(31, 36):
        ready = scaler.decide(seen(2.0 * k, 2.0, ready=ready, mean_in_flight=24.0)).replicas
        burst.append(ready)
    assert burst[-1] >= 12  # 6 s of 24 in flight, 2 on each
    quiet = []
    for k in range(36, 120):
        ready = scaler.decide(seen(2.0 * k, 2.0, ready=ready, mean_in_flight=2.0)).replicas
        quiet.append(ready)
    assert quiet[20] >= 12  # never less within a panic
    assert quiet[-1] == 1
    with pytest.raises(ValueError, match="not by waiting"):
        KnativeScaler(spec, 30, quantity="waiting")


def test_target_tracking_waits_three_minutes_up_and_fifteen_down() -> None:
    scaler = TargetTrackingScaler(target_tracking.Policy(target=10.0, max_replicas=20))
    up = driven(scaler, 240, 2, lambda _: {"arrived": 2400})
    assert up == [2, 2, 4, 4]
    down = []
    ready = 4
    for k in range(5, 25):
        ready = scaler.decide(seen(60.0 * k, 60, ready=ready, arrived=600)).replicas
        down.append(ready)
    assert down[13] == 4
    assert down[-1] == 1
    assert "does not publish" in scaler.assumed[0]


def test_ray_averages_over_its_look_back() -> None:
    scaler = RayServeScaler(ray_serve.Policy(max_replicas=20, upscale_delay_s=0.0), look_back_s=10.0)
    assert scaler.decide(seen(1, 1, ready=2, mean_in_flight=4.0)).replicas == 2
    assert scaler.decide(seen(2, 1, ready=2, mean_in_flight=16.0)).replicas == 5  # mean 10, 2 on each


def test_a_schedule_bounds_another_rule() -> None:
    actions = (
        scheduled.Action(at_s=0, min_replicas=1, max_replicas=3),
        scheduled.Action(at_s=3600, min_replicas=5, max_replicas=9),
    )
    alone = ScheduledScaler(scheduled.Schedule(actions=actions))
    assert [alone.decide(seen(at_s, 60, ready=4)).replicas for at_s in (60, 3660)] == [3, 5]
    around = ScheduledScaler(scheduled.Schedule(actions=actions), start_s=3600.0, within=FixedScaler(7))
    assert around.decide(seen(60, 60, ready=1)) == ScalingDecision(replicas=7, reason="a fixed fleet")


@pytest.mark.parametrize(
    "wrong", [{"interval_s": 0.0}, {"busy_frac": 1.5}, {"ready": -1}, {"mean_in_flight": -1.0}, {"at_s": math.inf}]
)
def test_a_fleet_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    facts = {"at_s": 15.0, "interval_s": 15.0, "ready": 1} | wrong
    with pytest.raises(ValueError, match="FleetSeen"):
        seen(facts.pop("at_s"), facts.pop("interval_s"), ready=int(facts.pop("ready")), **facts)
