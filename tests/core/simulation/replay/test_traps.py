"""Traps: each is named where it applies, with its value and what to write instead, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from autoscalers import container, cpu, deployment, external, hpa, scaled_object, trigger, written

from farthing.core.simulation.replay.accounts import steadiness_of
from farthing.core.simulation.replay.passes import Fleet
from farthing.core.simulation.replay.recording import Loop, Recorded, Recording
from farthing.core.simulation.replay.replay import replay
from farthing.core.simulation.replay.traps.found import traps_of
from farthing.core.simulation.replay.traps.trap import Seen, Trap
from farthing.load.scaling.hpa_manifest import hpa_of
from farthing.load.scaling.promql import outer_aggregation, window_s
from farthing.load.scaling.scaled_object import scaled_object_of

QUIET = {"scaleDown": {"stabilizationWindowSeconds": 600}}


def traps(
    folder: Path,
    document: Mapping[str, Any],
    load: Sequence[float | None],
    *beside: Mapping[str, Any],
    loop: Loop = "open",
    step_s: float = 15.0,
    **fleet: Any,
) -> dict[str, Trap]:
    read = hpa_of if document["kind"] == "HorizontalPodAutoscaler" else scaled_object_of
    scaler = read(written(folder, document, *beside))
    known = [(k * step_s, value) for k, value in enumerate(load) if value is not None]
    at_s, values = (np.array(part, dtype=np.float64) for part in zip(*known))
    one = Recorded(at_s=at_s, load=values, step_s=step_s, loop=loop, read_as="")
    recording = Recording(
        start_s=0.0, length_s=len(load) * step_s, metrics=tuple(one for _ in scaler.followed), replicas=None
    )
    replayed = replay(scaler, recording, Fleet(**{"initial": 1, "start_s": 0, "load_s": 0, **fleet}))
    queries = ["" if one.trigger is None else one.trigger.query for one in scaler.followed]
    found = traps_of(
        Seen(
            autoscaler=scaler,
            recording=recording,
            replayed=replayed,
            steadiness=steadiness_of(scaler, replayed),
            window_s=tuple(map(window_s, queries)),
            outer=tuple(map(outer_aggregation, queries)),
        )
    )
    assert [trap.weight for trap in found] == sorted((trap.weight for trap in found), reverse=True)
    return {trap.name: trap for trap in found}


def test_nothing_is_said_where_nothing_is_wrong(tmp_path: Path) -> None:
    assert traps(tmp_path, hpa(), [350.0] * 40, initial=4) == {}
    assert traps(tmp_path, scaled_object(minReplicaCount=1), [350.0] * 40, initial=4) == {}


def test_tolerance(tmp_path: Path) -> None:
    found = traps(tmp_path, hpa(maxReplicas=30), [1400.0] * 10 + [1450.0] * 30, initial=14)
    (trap,) = found.values()
    assert trap.name == "tolerance-band"
    assert "a tolerance of 10 % changes nothing" in trap.said
    assert "from 10 replicas on it never adds one alone" in trap.said
    assert "75 % of the time up to 1 fewer ran" in trap.said
    assert "behavior.scaleUp.tolerance: 0.06" in trap.instead
    assert trap.weight == pytest.approx(0.75)
    finer = hpa(maxReplicas=30, behavior={"scaleUp": {"tolerance": "0.03"}})
    assert "tolerance-band" not in traps(tmp_path, finer, [1450.0] * 30, initial=14)
    few = traps(tmp_path, hpa(maxReplicas=30), [310.0] * 20, initial=3)
    assert "at 3 it adds none" in few["tolerance-band"].said


def test_maximum(tmp_path: Path) -> None:
    found = traps(tmp_path, hpa(), [500.0] * 30 + [1600.0] * 10, initial=5)["maximum-reached"]
    assert "the maximum of 10 held it down" in found.said
    assert "up to 16" in found.said
    assert found.instead.startswith("maxReplicas: 16")
    of_keda = traps(tmp_path, scaled_object(minReplicaCount=1, maxReplicaCount=3), [500.0] * 20)["maximum-reached"]
    assert of_keda.instead.startswith("maxReplicaCount: 5")


def test_minimum(tmp_path: Path) -> None:
    found = traps(tmp_path, hpa(minReplicas=5), [150.0] * 40, initial=5)["minimum-decides"]
    assert "the minimum of 5 decided 100 % of the time" in found.said
    assert found.instead.startswith("minReplicas: 2")
    assert "minimum-decides" not in traps(tmp_path, hpa(minReplicas=5), [650.0] * 40, initial=5)


def test_rates(tmp_path: Path) -> None:
    slow = {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 300}]}}
    found = traps(tmp_path, hpa(behavior=slow), [900.0] * 60)
    assert "behavior.scaleUp (1 pods in 300 s) held it back" in found["rate-limited"].said
    off = {"scaleDown": {"selectPolicy": "Disabled"}}
    found = traps(tmp_path, hpa(behavior=off), [900.0] * 4 + [100.0] * 60)
    assert "behavior.scaleDown.selectPolicy: Disabled" in found["direction-disabled"].said
    assert "fewer replicas were wanted" in found["direction-disabled"].said


def test_start_up(tmp_path: Path) -> None:
    short = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    swing = ([900.0] * 3 + [100.0] * 3) * 8
    found = traps(tmp_path, hpa(behavior=short), swing, start_s=60, load_s=30)
    assert "takes 90 s to be ready, and is given up after 0 s" in found["start-longer-than-window"].said
    assert "removed before they were ready" in found["start-longer-than-window"].said
    assert found["start-longer-than-window"].instead.endswith("stabilizationWindowSeconds: 180")
    late = traps(tmp_path, hpa(), [100.0] * 20 + [700.0] * 20, start_s=60, load_s=30)["start-up-late"]
    assert "15 % of the time" in late.said
    assert "start-up-late" not in traps(tmp_path, hpa(), [100.0] * 20 + [700.0] * 20)


def test_oscillation(tmp_path: Path) -> None:
    short = {"scaleDown": {"stabilizationWindowSeconds": 60}}
    swing = ([900.0] * 20 + [100.0] * 20) * 6
    found = traps(tmp_path, hpa(behavior=short), swing)["oscillates"]
    assert "11 turns in the busiest hour" in found.said
    assert found.instead.endswith("stabilizationWindowSeconds: 600 (it is 60)")
    assert "oscillates" not in traps(tmp_path, hpa(behavior=QUIET), swing)


def test_replicas_in_the_workload_s_manifest(tmp_path: Path) -> None:
    found = traps(tmp_path, hpa(), [350.0] * 20, deployment(container(), replicas=3), initial=4)
    assert "says replicas: 3" in found["replicas-written-too"].said


def test_missing_requests(tmp_path: Path) -> None:
    beside = deployment(container(cpu="1"), container("proxy"))
    (trap,) = traps(tmp_path, hpa([cpu()]), [70.0] * 20, beside, loop="closed").values()
    assert (trap.name, trap.weight) == ("no-requests", 1.0)
    assert "proxy requests none" in trap.said
    assert trap.instead.startswith("resources.requests.cpu in proxy")


def test_value_of_a_total(tmp_path: Path) -> None:
    (trap,) = traps(tmp_path, hpa([external(type="Value", value="100")]), [350.0] * 40).values()
    assert trap.name == "value-on-total"
    assert "multiplied again at each pass, up to the maximum" in trap.said
    assert "AverageValue" in trap.instead
    assert trap.weight > 0.9
    keda = traps(tmp_path, scaled_object([{**trigger(), "metricType": "Value"}], minReplicaCount=1), [350.0] * 40)
    assert keda["value-on-total"].instead.startswith("metricType: AverageValue")


@pytest.mark.parametrize("query", ["avg(x)", "max by (a) (x)"])
def test_an_average_that_is_shared_again(tmp_path: Path, query: str) -> None:
    document = scaled_object([trigger(query)], minReplicaCount=1, maxReplicaCount=10)
    found = traps(tmp_path, document, [150.0 * 6] * 40, loop="closed", initial=6)["average-shared-again"]
    assert f"{query.partition(' ')[0].partition('(')[0]}(…) is one replica's already" in found.said
    assert "sum(…) in the query, or metricType: Value" in found.instead
    assert "average-shared-again" in traps(tmp_path, hpa(), [300.0] * 10, loop="closed", initial=3)
    assert "average-shared-again" not in traps(tmp_path, scaled_object(minReplicaCount=1), [300.0] * 10, initial=3)


def test_gaps(tmp_path: Path) -> None:
    load = [800.0] * 20 + [None] * 40 + [800.0] * 20
    found = traps(tmp_path, scaled_object(minReplicaCount=2), load, initial=8)["empty-reads-as-zero"]
    assert "no number for 10 min, which KEDA reads as 0" in found.said
    assert "8 replicas fell to 2" in found.said
    assert "replicas: 8" in found.instead
    assert found.weight == pytest.approx(0.75)
    strict = scaled_object([trigger(ignoreNullValues="false")], minReplicaCount=2)
    assert "left the replicas as they were" in traps(tmp_path, strict, load, initial=8)["no-number"].said
    kept = scaled_object(
        [trigger(ignoreNullValues="false")], minReplicaCount=2, fallback={"failureThreshold": 3, "replicas": 8}
    )
    assert traps(tmp_path, kept, load, initial=8) == {}
    assert "no-number" in traps(tmp_path, hpa(), load, initial=8)


def test_metrics_that_have_it_alike_are_named_together(tmp_path: Path) -> None:
    document = scaled_object([trigger(), trigger("avg(y)"), trigger("sum(z)")], minReplicaCount=1)
    found = traps(tmp_path, document, [350.0] * 20, step_s=60.0, initial=4)
    assert found["coarse-recording"].where == "spec.triggers[0], spec.triggers[1], spec.triggers[2]"
    assert found["average-shared-again"].where == "spec.triggers[1]"


def test_coarse_series_and_long_windows(tmp_path: Path) -> None:
    found = traps(tmp_path, hpa(), [350.0] * 20, step_s=60.0, initial=4)
    assert "a value each 60 s, the controller looks each 15 s" in found["coarse-recording"].said
    slow = scaled_object([trigger("sum(rate(x[10m]))")], minReplicaCount=1)
    found = traps(tmp_path, slow, [350.0] * 20, initial=4, start_s=60, load_s=30)
    assert "a window of 600 s shows a rise about 300 s late, on top of the 90 s" in found["window-lags"].said


def test_memory(tmp_path: Path) -> None:
    memory = {
        "type": "Resource",
        "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}},
    }
    found = traps(tmp_path, hpa([memory]), [2.0**31] * 10, loop="closed", initial=2)
    assert "memory seldom falls when replicas are added" in found["memory-followed"].said


def test_activation(tmp_path: Path) -> None:
    never = traps(tmp_path, scaled_object([trigger(activationThreshold="900")]), [350.0] * 20, initial=0)
    assert (
        "activationThreshold 900 was never passed (at most 350): the workload stays at 0"
        in never["never-activated"].said
    )
    assert never["never-activated"].weight == 1.0
    assert "never-activated" not in traps(tmp_path, scaled_object(), [350.0] * 20, initial=0)
    above = traps(tmp_path, scaled_object([trigger(activationThreshold="300")]), [250.0] * 20 + [400.0] * 20)
    assert (
        "activationThreshold 300 lies above threshold 100: 45 % of the time" in above["activation-above-threshold"].said
    )


def test_cooldown(tmp_path: Path) -> None:
    quick = traps(tmp_path, scaled_object(cooldownPeriod=10), ([50.0] * 8 + [0.0] * 8) * 4)
    assert "cooldownPeriod 10 is shorter than pollingInterval 30" in quick["cooldown-below-polling"].said
    unused = traps(tmp_path, scaled_object(minReplicaCount=2, cooldownPeriod=120), [350.0] * 20, initial=4)
    assert "cooldownPeriod 120 has no effect" in unused["cooldown-unused"].said
    assert unused["cooldown-unused"].instead.endswith("stabilizationWindowSeconds: 120")


def test_idle_above_zero(tmp_path: Path) -> None:
    document = scaled_object(minReplicaCount=3, idleReplicaCount=1, cooldownPeriod=30)
    found = traps(tmp_path, document, [0.0] * 40, initial=3)["idle-above-zero"]
    assert "idleReplicaCount 1 is taken back" in found.said
    assert found.weight > 0.3


def test_a_weight_is_a_share() -> None:
    with pytest.raises(ValueError, match="weight must lie in"):
        Trap(name="a", said="b", instead="c", weight=1.1)
