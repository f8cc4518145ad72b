"""ScaledObjects: read as KEDA reads them, refused where its schema or its webhook would, or where it would not tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from autoscalers import container, deployment, hpa, scaled_object, trigger, written

from farthing.core.scaling.hpa.reconcile import Metric
from farthing.core.scaling.keda import activation
from farthing.core.scaling.keda.fallback import Fallback
from farthing.core.simulation.replay.autoscaler import Trigger
from farthing.errors import InputError
from farthing.load.scaling.scaled_object import scaled_object_of


def of_resource(
    kind: str = "cpu", value: str = "70", metric_type: str = "Utilization", **metadata: str
) -> dict[str, Any]:
    return {"type": kind, "metricType": metric_type, "metadata": {"value": value, **metadata}}


def test_keda_s_defaults(tmp_path: Path) -> None:
    read = scaled_object_of(written(tmp_path, scaled_object()))
    assert (read.kind, read.name, read.target) == ("ScaledObject", "web", "Deployment/web")
    assert (read.spec.min_replicas, read.spec.max_replicas, read.floor) == (1, 100, 0)
    assert read.keda is not None
    assert read.keda.activation == activation.Spec(min_replicas=0, cooldown_s=300, initial_cooldown_s=0)
    assert (read.keda.polling_s, read.keda.fallback, read.keda.cooldown_written) == (30, None, False)
    assert read.spec.metrics == (Metric(kind="external", target_type="average_value", target=100_000),)
    assert read.followed[0].trigger == Trigger(query="sum(rate(http_requests_total[1m]))")
    assert read.followed[0].name == "prometheus"


def test_everything_said(tmp_path: Path) -> None:
    named = {**trigger(threshold="0.5", activationThreshold="5.5", ignoreNullValues="false"), "name": "depth"}
    named |= {"metricType": "Value", "useCachedMetrics": True}
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 60}}
    read = scaled_object_of(
        written(
            tmp_path,
            scaled_object(
                [named, trigger(), of_resource(), of_resource("memory", "1Gi", "AverageValue", containerName="server")],
                minReplicaCount=2,
                maxReplicaCount=8,
                idleReplicaCount=0,
                pollingInterval=10,
                cooldownPeriod=60,
                initialCooldownPeriod=20,
                fallback={"failureThreshold": 3, "replicas": 5, "behavior": "currentReplicasIfHigher"},
                advanced={
                    "restoreToOriginalReplicaCount": True,
                    "horizontalPodAutoscalerConfig": {"name": "web", "behavior": behavior},
                },
            ),
            deployment(container(cpu="250m")),
        )
    )
    assert [one.name for one in read.followed] == ["depth", "prometheus", "cpu", "memory"]
    assert read.spec.metrics[0] == Metric(kind="external", target_type="value", target=500)
    assert read.spec.metrics[2:] == (
        Metric(kind="resource", target_type="utilization", target=70),
        Metric(kind="container_resource", target_type="average_value", target=2**30 * 1000, resource="memory"),
    )
    first = read.followed[0].trigger
    assert first is not None
    assert (first.activation_threshold, first.empty_is_zero, first.cached) == (5.5, False, True)
    assert read.followed[2].request_m == 250
    assert read.keda is not None
    assert read.keda.activation.idle_replicas == 0 == read.floor
    assert read.keda.activation.fallback_replicas == 5
    assert read.keda.fallback == Fallback(failure_threshold=3, replicas=5, behavior="currentReplicasIfHigher")
    assert (read.keda.polling_s, read.keda.activation.cooldown_s, read.keda.cooldown_written) == (10, 60, True)
    assert read.spec.behavior is not None
    assert read.spec.behavior.scale_down.stabilization_s == 60


def paused(value: str) -> dict[str, Any]:
    document = scaled_object()
    document["metadata"]["annotations"] = {"autoscaling.keda.sh/paused": value}
    return document


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (scaled_object(minReplicas=1), ("spec.minReplicas is no field", "in a ScaledObject it is minReplicaCount")),
        (scaled_object(minReplicaCount=3, maxReplicaCount=2), ("minReplicaCount is 3, more than maxReplicaCount",)),
        (scaled_object(minReplicaCount=101), ("more than maxReplicaCount, which is 100",)),
        (scaled_object(minReplicaCount=1, idleReplicaCount=1), ("idleReplicaCount is 1", "below minReplicaCount")),
        (scaled_object(pollingInterval=0), ("pollingInterval is 0; it must be ≥ 1",)),
        (scaled_object([]), ("spec.triggers is missing or empty",)),
        (scaled_object([of_resource()]), ("spec.minReplicaCount is 0 with triggers of cpu or memory alone", ": 1")),
        (scaled_object([trigger(threshold=100)]), ("metadata.threshold is 100; KEDA's schema", 'threshold: "100"')),
        (scaled_object([trigger(ignoreNullValues=False)]), ('ignoreNullValues: "false"',)),
        (scaled_object([trigger(ignoreNullValues="maybe")]), ("ignoreNullValues is 'maybe'",)),
        (scaled_object([trigger(threshold="1k")]), ("threshold is '1k', which is no number",)),
        (scaled_object([trigger(threshold="0")]), ("threshold is '0'; it must be > 0",)),
        (scaled_object([trigger(threshold=None)]), ("metadata.threshold is missing",)),
        (scaled_object([trigger(serverAddress=None)]), ("metadata.serverAddress is missing",)),
        (
            scaled_object([trigger(activationTreshold="5")]),
            ("spec.triggers[0].metadata.activationTreshold is no field", "did you mean activationThreshold?"),
        ),
        (scaled_object([{**trigger(), "metricType": "Utilization"}]), ("metricType is 'Utilization'",)),
        (scaled_object([{**trigger(), "useCachedMetrics": "yes"}]), ("useCachedMetrics is 'yes'",)),
        (scaled_object([{"type": "kafka", "metadata": {}}]), ("type is 'kafka'", "as a prometheus trigger")),
        (scaled_object([of_resource(value="70%"), trigger()]), ("value is '70%', which is no quantity",)),
        (scaled_object([of_resource(value="0.7"), trigger()]), ("of Utilization it is whole percent",)),
        (scaled_object([of_resource(type="Utilization"), trigger()]), ("type stands beside metricType",)),
        (scaled_object([{"type": "cpu", "metadata": {"value": "70"}}, trigger()]), ("metricType is missing",)),
        (
            scaled_object(advanced={"scalingModifiers": {"formula": "a + b", "target": "1"}}),
            ("spec.advanced.scalingModifiers joins triggers by a formula", "record the formula's value"),
        ),
        (scaled_object(fallback={"replicas": 3}), ("spec.fallback.failureThreshold is missing",)),
        (
            scaled_object([{**trigger(), "metricType": "Value"}], fallback={"replicas": 3, "failureThreshold": 1}),
            ("spec.fallback needs a trigger", "AverageValue"),
        ),
        (paused("true"), ("autoscaling.keda.sh/paused pauses it",)),
        (paused("maybe"), ("pauses it",)),
        (hpa(), ("has no ScaledObject; it has HorizontalPodAutoscaler", "by --hpa")),
    ],
    ids=lambda value: value[0][:40] if isinstance(value, tuple) else "",
)
def test_refused(tmp_path: Path, document: dict[str, Any], said: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as e:
        scaled_object_of(written(tmp_path, document))
    for part in said:
        assert part in str(e.value)


def test_an_annotation_that_does_not_pause(tmp_path: Path) -> None:
    assert scaled_object_of(written(tmp_path, paused("false"))).keda is not None


@pytest.mark.assets
def test_every_field_of_keda_s_schema_is_known(assets: Path) -> None:
    from farthing.load.scaling import scaled_object as module

    crd = yaml.safe_load((assets / "crds" / "keda.sh_scaledobjects.yaml").read_text())
    (version,) = crd["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    assert set(spec) == set(module._SPEC)
    assert set(spec["triggers"]["items"]["properties"]) == set(module._TRIGGER)
    assert set(spec["fallback"]["properties"]["behavior"]["enum"]) == {*module._FALLBACKS, "scalingModifiers"}
