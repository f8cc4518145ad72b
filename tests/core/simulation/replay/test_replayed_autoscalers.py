"""Replays: the controllers' own vectors through manifest, recording and replay; KEDA's switch; pods that start."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from autoscalers import container, cpu, deployment, hpa, recorded, scaled_object, trigger, written

import vectors.hpa
from farthing.core.scaling.hpa.pods import Readiness
from farthing.core.scaling.hpa.reconcile import Controller
from farthing.core.scaling.hpa.replicas import Tolerance
from farthing.core.simulation.replay.autoscaler import Autoscaler
from farthing.core.simulation.replay.passes import Fleet, Replayed
from farthing.core.simulation.replay.recording import Recorded, Recording
from farthing.core.simulation.replay.replay import replay
from farthing.load.scaling.asked import SeriesAsked
from farthing.load.scaling.hpa_manifest import hpa_of
from farthing.load.scaling.recorded import recording_of
from farthing.load.scaling.scaled_object import scaled_object_of
from vectors.agreement import differences

Case = Mapping[str, Any]
_TARGETS = {"utilization": "averageUtilization", "average_value": "averageValue", "value": "value"}
_TYPES = {"utilization": "Utilization", "average_value": "AverageValue", "value": "Value"}


def metric_of(row: Case, k: int) -> dict[str, Any]:
    """A metric as a manifest has it."""
    kind = row["target_type"]
    value = row["target_pct"] if kind == "utilization" else f"{row['target_m']}m"
    target = {"type": _TYPES[kind], _TARGETS[kind]: value}
    resource = {"name": row.get("resource", "cpu"), "target": target}
    named = {"metric": {"name": f"m{k}"}, "target": target}
    return {
        "resource": {"type": "Resource", "resource": resource},
        "container_resource": {"type": "ContainerResource", "containerResource": {**resource, "container": "c"}},
        "pods": {"type": "Pods", "pods": named},
        "object": {"type": "Object", "object": {**named, "describedObject": {"kind": "Ingress", "name": "a"}}},
        "external": {"type": "External", "external": named},
    }[row["type"]]


def behavior_of(row: Case) -> dict[str, Any] | None:
    """``spec.behavior`` as it would be written."""

    def rules(one: Case) -> dict[str, Any]:
        policies = [{"type": p["type"], "value": p["value"], "periodSeconds": p["period_s"]} for p in one["policies"]]
        found = {"selectPolicy": one["select"], "policies": policies}
        found |= {} if one["stabilization_s"] is None else {"stabilizationWindowSeconds": one["stabilization_s"]}
        return found | ({} if one.get("tolerance") is None else {"tolerance": str(one["tolerance"])})

    found = row["behavior"]
    return None if found is None else {"scaleUp": rules(found["scale_up"]), "scaleDown": rules(found["scale_down"])}


def controller_of(row: Case) -> Controller:
    return Controller(
        tolerance=Tolerance(down=row["tolerance_down"], up=row["tolerance_up"]),
        readiness=Readiness(
            cpu_initialization_period_s=row["cpu_initialization_period_s"],
            initial_readiness_delay_s=row["initial_readiness_delay_s"],
        ),
        downscale_stabilization_s=row["downscale_stabilization_s"],
        scale_up_limit_factor=row["scale_up_limit_factor"],
        scale_up_limit_minimum=row["scale_up_limit_minimum"],
        configurable_tolerance=row["configurable_tolerance_enabled"],
        scale_to_zero=bool(row["scale_to_zero_enabled"]),
    )


def writable(row: Case) -> bool:
    """Whether Kubernetes would take such a manifest: a minimum of zero needs its gate and a metric beyond pods."""
    beyond = any(metric["type"] in ("object", "external") for metric in row["metrics"])
    return row["min_replicas"] != 0 or bool(beyond and row["scale_to_zero_enabled"])


def manifest_of(folder: Path, row: Case) -> Path:
    metrics = [metric_of(metric, k) for k, metric in enumerate(row["metrics"])]
    document = hpa(metrics, minReplicas=row["min_replicas"], maxReplicas=row["max_replicas"], behavior=behavior_of(row))
    return written(folder, document)


def cases(assets: Path) -> list[Case]:
    found = assets / "autoscaling" / "hpa_reconcile.json"
    if not found.exists():
        pytest.skip("shared data has no autoscaling vectors")
    documents = json.loads(found.read_text())["cases"]
    return [case for case in documents if all(m.get("target_type") in _TYPES for m in case["input"]["metrics"])]


@pytest.mark.assets
def test_specs_read_from_manifests_decide_as_the_vectors_expect(
    assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = 0
    for case in cases(assets):
        row = case["input"]
        if not writable(row):
            continue
        spec = hpa_of(manifest_of(tmp_path, row), controller_of(row)).spec
        monkeypatch.setattr(vectors.hpa, "_spec", lambda _, spec=spec: spec)
        assert differences(vectors.hpa.SUITES["hpa_reconcile"], case) == [], case["id"]
        read += 1
    assert read >= 40


def plain(row: Case) -> bool:
    """Whether a recording can show it: all pods there and ready, nothing remembered, every number known."""
    pods = row["pods"]
    there = len(pods) == row["spec_replicas"] == row["status_replicas"] > 0
    ready = all(p["ready"] and p["phase"] == "Running" and not p["deleting"] for p in pods)
    known = all(m.get("values_m") or all(p["usage_m"] is not None for p in pods) for m in row["metrics"])
    fresh = not (row["recommendations"] or row["scale_up_events"] or row["scale_down_events"])
    return there and ready and known and fresh and not any(m.get("failed") for m in row["metrics"])


def series_of(row: Case, k: int) -> list[tuple[dict[str, str], list[float]]]:
    metric = row["metrics"][k]
    if metric.get("values_m") is not None:
        return [({"n": str(j)}, [value / 1000] * 25) for j, value in enumerate(metric["values_m"])]
    key = "custom_m" if metric["type"] == "pods" else "usage_m"
    return [({"pod": pod["name"]}, [pod[key] / 1000] * 25) for pod in row["pods"]]


@pytest.mark.assets
def test_vectors_through_manifest_recording_and_replay(assets: Path, tmp_path: Path) -> None:
    seen = 0
    for case in cases(assets):
        row = case["input"]
        if not plain(row) or not writable(row):
            continue
        scaler = hpa_of(manifest_of(tmp_path, row), controller_of(row))
        files = [f"{k}={recorded(tmp_path, *series_of(row, k), name=f'{k}.json')}" for k in range(len(row["metrics"]))]
        request = sum(p["request_m"] for p in row["pods"]) / len(row["pods"]) / 1000
        shares = [f"{k}={request}" for k, m in enumerate(row["metrics"]) if m["target_type"] == "utilization"]
        found = replay(
            scaler,
            recording_of(scaler, SeriesAsked(files=files, requests=shares)),
            Fleet(initial=row["spec_replicas"]),
        )
        # with recommendations of before a fresh controller waits for its window: what it does then is the decision
        waits = row["recommendations"] is not None and found.changes
        decided = found.changes[0].after if waits else found.passes[0].after
        assert decided == case["expected"]["desired_replicas"], case["id"]
        seen += 1
    assert seen >= 20


def recording(
    *loads: Sequence[float | None], step_s: float = 15.0, loop: Any = "open", replicas: int | None = None
) -> Recording:
    metrics = []
    for load in loads:
        known = [(k * step_s, value) for k, value in enumerate(load) if value is not None]
        at_s, values = (np.array(part, dtype=np.float64) for part in zip(*known))
        metrics.append(Recorded(at_s=at_s, load=values, step_s=step_s, loop=loop, read_as=""))
    return Recording(start_s=0.0, length_s=len(loads[0]) * step_s, metrics=tuple(metrics), replicas=replicas)


def external(folder: Path, **spec: Any) -> Autoscaler:
    return hpa_of(written(folder, hpa(**spec)))


def after(found: Replayed) -> list[int]:
    return [one.after for one in found.passes]


def test_a_total_does_not_follow_the_replicas(tmp_path: Path) -> None:
    found = replay(external(tmp_path), recording([350.0] * 8), Fleet(initial=1))
    assert after(found) == [4] * 8
    assert found.changes[0].reason == "requests 350 in all against 100 a pod: metrics ask for 4"


def test_replicas_share_a_load_that_is_kept(tmp_path: Path) -> None:
    scaler = hpa_of(written(tmp_path, hpa([cpu()]), deployment(container(cpu="1"))))
    found = replay(scaler, recording([280.0] * 40, loop="closed"), Fleet(initial=2, start_s=0, load_s=0))
    assert after(found)[0] == 4  # 140 % a pod of two against 70 %
    assert after(found)[-1] == 4  # 70 % a pod of four
    assert "cpu 140 % against 70 %" in found.changes[0].reason


def test_pods_that_start_do_not_share_the_load_yet(tmp_path: Path) -> None:
    pods = {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": 10}}}
    scaler = hpa_of(written(tmp_path, hpa([pods])))
    found = replay(scaler, recording([40.0] * 12, loop="closed"), Fleet(initial=2, start_s=60, load_s=30))
    assert [one.ready for one in found.passes] == [2] * 6 + [4] * 6
    assert set(after(found)) == {4}


def test_no_number_leaves_it_as_it_is(tmp_path: Path) -> None:
    found = replay(external(tmp_path), recording([350.0, 350.0, *[None] * 40, 350.0]), Fleet(initial=4))
    assert set(after(found)) == {4}
    assert [one.failed for one in found.passes] == [False] * 2 + [True] * 40 + [False]


def test_keda_reads_no_number_as_zero(tmp_path: Path) -> None:
    load = [350.0, 350.0, *[None] * 60, *[350.0] * 4]
    scaler = scaled_object_of(written(tmp_path, scaled_object(minReplicaCount=2)))
    found = replay(scaler, recording(load), Fleet(initial=4))
    assert min(after(found)) == 2
    kept = scaled_object_of(written(tmp_path, scaled_object([trigger(ignoreNullValues="false")], minReplicaCount=2)))
    assert set(after(replay(kept, recording(load), Fleet(initial=4)))) == {4}


def test_keda_s_fallback(tmp_path: Path) -> None:
    fallback = {"failureThreshold": 3, "replicas": 6}
    document = scaled_object([trigger(ignoreNullValues="false")], minReplicaCount=2, fallback=fallback)
    found = replay(
        scaled_object_of(written(tmp_path, document)), recording([350.0, 350.0, *[None] * 20]), Fleet(initial=4)
    )
    assert after(found)[:5] == [4] * 5  # three failures are borne
    assert after(found)[5:] == [6] * 17


def test_from_zero_and_back(tmp_path: Path) -> None:
    load = [0.0] * 8 + [250.0] * 20 + [0.0] * 60
    scaler = scaled_object_of(written(tmp_path, scaled_object(cooldownPeriod=300, pollingInterval=30)))
    found = replay(scaler, recording(load), Fleet(initial=0))
    assert after(found)[:8] == [0] * 8
    changes = [(change.at_s, change.before, change.after, change.by) for change in found.changes]
    assert changes[0] == (120.0, 0, 1, "keda")
    assert changes[1][1:] == (1, 3, "hpa")
    assert changes[-1][2:] == (0, "keda")
    last_active_s = 27 * 15
    assert changes[-1][0] == pytest.approx(last_active_s + 300 + 30, abs=30)
    assert found.ever_active


def test_activation_that_is_never_passed(tmp_path: Path) -> None:
    scaler = scaled_object_of(written(tmp_path, scaled_object([trigger(activationThreshold="500")])))
    found = replay(scaler, recording([250.0] * 20), Fleet(initial=0))
    assert set(after(found)) == {0}
    assert not found.ever_active


def test_idle_replicas(tmp_path: Path) -> None:
    document = scaled_object(minReplicaCount=3, idleReplicaCount=0, cooldownPeriod=60)
    found = replay(
        scaled_object_of(written(tmp_path, document)), recording([0.0] * 20 + [100.0] * 20), Fleet(initial=3)
    )
    assert after(found)[10] == 0
    assert after(found)[-1] == 3


def test_cached_metrics_are_those_of_the_last_poll(tmp_path: Path) -> None:
    load = [100.0, 900.0, 100.0, 100.0, 100.0, 100.0]
    plain_one = scaled_object([trigger()], minReplicaCount=1)
    cached = scaled_object([{**trigger(), "useCachedMetrics": True}], minReplicaCount=1)
    peaks = [
        max(after(replay(scaled_object_of(written(tmp_path, one)), recording(load), Fleet(initial=4))))
        for one in (plain_one, cached)
    ]
    assert peaks == [9, 4]  # twice as many in one step, then the rest: what was recommended is remembered


def test_cpu_beside_a_query_does_not_keep_it_on(tmp_path: Path) -> None:
    of_cpu = {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "70"}}
    scaler = scaled_object_of(written(tmp_path, scaled_object([of_cpu, trigger()], cooldownPeriod=30)))
    found = replay(scaler, recording([50.0] * 20, [0.0] * 20), Fleet(initial=1))
    assert after(found)[-1] == 0
    alone = scaled_object_of(written(tmp_path, scaled_object([of_cpu], minReplicaCount=1)))
    assert set(after(replay(alone, recording([50.0] * 20, loop="closed"), Fleet(initial=1)))) == {1}


def test_lives_add_up_to_replicas_over_time(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    scaler = external(tmp_path, behavior={"scaleDown": {"stabilizationWindowSeconds": 0}})
    found = replay(scaler, recording(list(rng.uniform(50, 950, 200))), Fleet(initial=3))
    lived_s = sum((life.gone_s or found.length_s) - life.requested_s for life in found.lives)
    assert lived_s == pytest.approx(sum(after(found)) * 15)
    assert found.removed_unready == sum(life.reason == "scaled in" and life.ready_s is None for life in found.lives)
    assert found.removed_unready > 0


def test_one_recording_for_each_metric(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="need as many recordings"):
        replay(external(tmp_path), recording([1.0], [1.0]), Fleet(initial=1))
