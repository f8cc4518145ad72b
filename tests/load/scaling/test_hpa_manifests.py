"""HorizontalPodAutoscalers: read as Kubernetes reads them, refused with the field's path and what to write instead."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from autoscalers import container, cpu, deployment, external, hpa, written

from farthing.core.scaling.hpa.behavior import Behavior, Policy, Rules
from farthing.core.scaling.hpa.reconcile import Controller, Metric
from farthing.errors import InputError
from farthing.load.scaling.hpa_manifest import hpa_of


def refused(folder: Path, *documents: Any) -> str:
    with pytest.raises(InputError) as e:
        hpa_of(written(folder, *documents))
    return str(e.value)


def test_every_kind_of_metric(tmp_path: Path) -> None:
    metric = {"name": "depth", "selector": {"matchLabels": {"queue": "a"}}}
    read = hpa_of(
        written(
            tmp_path,
            hpa(
                [
                    cpu(),
                    cpu(type="AverageValue", averageValue="500m"),
                    {
                        "type": "ContainerResource",
                        "containerResource": {
                            "name": "memory",
                            "container": "server",
                            "target": {"type": "AverageValue", "averageValue": "1Gi"},
                        },
                    },
                    {
                        "type": "Pods",
                        "pods": {"metric": metric, "target": {"type": "AverageValue", "averageValue": 30}},
                    },
                    {
                        "type": "Object",
                        "object": {
                            "describedObject": {"kind": "Ingress", "name": "main"},
                            "metric": metric,
                            "target": {"type": "Value", "value": "2k"},
                        },
                    },
                    external(),
                ],
                minReplicas=2,
            ),
        )
    )
    assert read.spec.metrics == (
        Metric(kind="resource", target_type="utilization", target=70),
        Metric(kind="resource", target_type="average_value", target=500),
        Metric(kind="container_resource", target_type="average_value", target=2**30 * 1000, resource="memory"),
        Metric(kind="pods", target_type="average_value", target=30_000),
        Metric(kind="object", target_type="value", target=2_000_000),
        Metric(kind="external", target_type="average_value", target=100_000),
    )
    assert [one.name for one in read.followed] == ["cpu", "cpu#2", "memory", "depth", "depth#2", "requests"]
    assert [one.path for one in read.followed][:2] == ["spec.metrics[0]", "spec.metrics[1]"]
    assert (read.spec.min_replicas, read.spec.max_replicas, read.floor) == (2, 10, 2)
    assert (read.name, read.target, read.spec.behavior) == ("shop/web", "Deployment/web", None)


def test_what_kubernetes_fills_in(tmp_path: Path) -> None:
    document = hpa()
    del document["spec"]["metrics"]
    read = hpa_of(written(tmp_path, document))
    assert read.spec.metrics == (Metric(kind="resource", target_type="utilization", target=80),)
    assert read.spec.min_replicas == 1
    behavior = hpa_of(written(tmp_path, hpa(behavior={"scaleDown": {"selectPolicy": "Disabled"}}))).spec.behavior
    assert behavior == Behavior(
        scale_down=Rules(policies=(Policy(kind="Percent", value=100, period_s=15),), select="Disabled")
    )


def test_behaviour(tmp_path: Path) -> None:
    up = {
        "stabilizationWindowSeconds": 30,
        "selectPolicy": "Min",
        "tolerance": "50m",
        "policies": [
            {"type": "Pods", "value": 2, "periodSeconds": 60},
            {"type": "Percent", "value": 10, "periodSeconds": 30},
        ],
    }
    read = hpa_of(written(tmp_path, hpa(behavior={"scaleUp": up, "scaleDown": {"tolerance": 0}})))
    assert read.spec.behavior is not None
    assert read.spec.behavior.scale_up == Rules(
        policies=(Policy(kind="Pods", value=2, period_s=60), Policy(kind="Percent", value=10, period_s=30)),
        select="Min",
        stabilization_s=30,
        tolerance=0.05,
    )
    assert (read.spec.tolerance.up, read.spec.tolerance.down) == (0.05, 0.0)


def test_the_workload_beside_it_tells_requests(tmp_path: Path) -> None:
    sidecar = {"name": "log", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}}
    once = {"name": "migrate", "resources": {"requests": {"cpu": "4"}}}
    limited = {"name": "proxy", "resources": {"limits": {"cpu": "200m"}}}
    document = deployment(container(cpu="500m"), limited, replicas=3)
    document["spec"]["template"]["spec"]["initContainers"] = [sidecar, once]
    read = hpa_of(written(tmp_path, document, hpa([cpu()])))
    assert (read.followed[0].request_m, read.followed[0].lacking, read.written_replicas) == (800, (), 3)
    lacking = hpa_of(written(tmp_path, hpa([cpu()]), deployment(container(cpu="500m"), container("proxy"))))
    assert (lacking.followed[0].request_m, lacking.followed[0].lacking) == (None, ("proxy",))
    one = {"name": "cpu", "container": "server", "target": {"type": "Utilization", "averageUtilization": 70}}
    metrics = [{"type": "ContainerResource", "containerResource": one}]
    both = deployment(container(cpu="500m"), container("proxy"))
    assert hpa_of(written(tmp_path, hpa(metrics), both)).followed[0].request_m == 500
    assert "have no 'server'" in refused(tmp_path, hpa(metrics), deployment(container("other", cpu="1")))
    other = deployment(container())
    other["metadata"]["name"] = "api"
    assert hpa_of(written(tmp_path, hpa([cpu()]), other)).followed[0].lacking == ()


def test_as_kubectl_gives_it(tmp_path: Path) -> None:
    document = hpa() | {"status": {"currentReplicas": 3}}
    (tmp_path / "list.yaml").write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [document]}))
    assert hpa_of(tmp_path / "list.yaml").name == "shop/web"
    (tmp_path / "spaced.yaml").write_text("---\n---\n" + yaml.safe_dump(document))
    assert hpa_of(tmp_path / "spaced.yaml").name == "shop/web"


def changed(change: Any, **spec: Any) -> dict[str, Any]:
    document = deepcopy(hpa(**spec))
    change(document)
    return document


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (hpa(minReplica=2), ("spec.minReplica is no field", "did you mean minReplicas?")),
        (hpa(targetCPUUtilizationPercentage=80), ("spec.targetCPUUtilizationPercentage", "averageUtilization: 80")),
        (hpa(maxReplicas=None), ("spec.maxReplicas is missing",)),
        (hpa(maxReplicas="10"), ("spec.maxReplicas is '10', which is no whole number", "without quotes")),
        (hpa(maxReplicas=True), ("spec.maxReplicas is True",)),
        (hpa(maxReplicas=0), ("spec.maxReplicas is 0; it must be ≥ 1",)),
        (hpa(minReplicas=11), ("spec.minReplicas is 11, more than maxReplicas, which is 10",)),
        (hpa(minReplicas=0), ("spec.minReplicas is 0", "HPAScaleToZero", "--scale-to-zero")),
        (hpa(scaleTargetRef=None), ("spec.scaleTargetRef is missing",)),
        (
            hpa([external(type="Utilization", averageUtilization=50)]),
            ("spec.metrics[0].external.target.averageUtilization does not apply to External", "averageValue"),
        ),
        (hpa([cpu(type="Value", value=5)]), ("resource.target.value does not apply to Resource",)),
        (hpa([external(type="Value", averageValue=5)]), ("target.type is Value, while averageValue", "type: AverageValue")),
        (hpa([external(type="Value", value=5, averageValue=5)]), ("target has both averageValue and value",)),
        (hpa([external(type="AverageValue")]), ("target has no value",)),
        (hpa([external(type="AverageValue", averageValue="1GB")]), ("averageValue is '1GB', which is no quantity",)),
        (hpa([external(type="AverageValue", averageValue=0)]), ("averageValue is 0; it must be > 0",)),
        (hpa([{"type": "external"}]), ("spec.metrics[0].type is 'external'", "External")),
        (hpa([{"type": "Pods", "external": {}}]), ("spec.metrics[0].external is no field", "only pods applies")),
        (hpa([{"type": "Pods"}]), ("spec.metrics[0].pods is missing",)),
        (hpa([{"type": "Object", "object": {"metric": {"name": "a"}}}]), ("describedObject is missing",)),
        (hpa(behavior={"scaleup": {}}), ("spec.behavior.scaleup is no field", "scaleUp")),
        (hpa(behavior={"scaleUp": {"policies": []}}), ("policies is empty", "selectPolicy: Disabled")),
        (
            hpa(behavior={"scaleUp": {"policies": [{"type": "Pods", "value": 0, "periodSeconds": 15}]}}),
            ("spec.behavior.scaleUp.policies[0].value is 0", "Disabled"),
        ),
        (
            hpa(behavior={"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 1801}]}}),
            ("periodSeconds is 1801; it must be within 1 and 1800",),
        ),
        (hpa(behavior={"scaleDown": {"stabilizationWindowSeconds": 3601}}), ("within 0 and 3600",)),
        (hpa(behavior={"scaleDown": {"selectPolicy": "max"}}), ("selectPolicy is 'max'", "Max, Min, Disabled")),
        (hpa(behavior={"scaleDown": {"tolerance": "-0.1"}}), ("tolerance is '-0.1'; it must be ≥ 0",)),
        (changed(lambda d: d.update(apiVersion="autoscaling/v1")), ("'autoscaling/v1'", "averageUtilization: 80")),
        (changed(lambda d: d.update(apiVersion="autoscaling/v2beta2")), ("v2beta2", "the fields are the same")),
        (changed(lambda d: d.update(apiVersion="autoscaling/v2beta1")), ("targetAverageUtilization",)),
        (changed(lambda d: d.update(spcc=1)), ("spcc is no field",)),
        (deployment(container()), ("has no HorizontalPodAutoscaler; it has Deployment",)),
    ],
    ids=lambda value: value[0][:40] if isinstance(value, tuple) else "",
)  # fmt: skip
def test_refused(tmp_path: Path, document: dict[str, Any], said: tuple[str, ...]) -> None:
    text = refused(tmp_path, document)
    assert text.startswith(str(tmp_path / "manifest.yaml"))
    for part in said:
        assert part in text


def test_two_in_a_file(tmp_path: Path) -> None:
    assert "has 2 of kind HorizontalPodAutoscaler" in refused(tmp_path, hpa(), hpa())


def test_minimum_zero_behind_its_gate(tmp_path: Path) -> None:
    gate = Controller(scale_to_zero=True)
    assert hpa_of(written(tmp_path, hpa(minReplicas=0)), gate).floor == 0
    with pytest.raises(InputError, match="no Object or External metric"):
        hpa_of(written(tmp_path, hpa([cpu()], minReplicas=0)), gate)


@pytest.mark.parametrize("text", ["a: [", "- 1\n", "a: 1\na: 2\n", "{{ .Values.x }}: 1\n---\n"])
def test_no_manifest(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.yaml").write_text(text)
    with pytest.raises(InputError, match=r"manifest\.yaml"):
        hpa_of(tmp_path / "manifest.yaml")
