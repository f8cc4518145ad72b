"""Manifests and recordings of autoscalers for tests, written as users have them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

START_S = 1_764_054_000
"""2025-11-25 07:00 UTC."""


def hpa(metrics: Sequence[Mapping[str, Any]] | None = None, **spec: Any) -> dict[str, Any]:
    """A HorizontalPodAutoscaler of web, 1 to 10 replicas, on an external metric shared among pods."""
    usual = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 10}
    body = {"metrics": list(metrics) if metrics is not None else [external()], **usual, **spec}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {key: value for key, value in body.items() if value is not None},
    }


def external(name: str = "requests", **target: Any) -> dict[str, Any]:
    target = target or {"type": "AverageValue", "averageValue": "100"}
    return {"type": "External", "external": {"metric": {"name": name}, "target": target}}


def cpu(**target: Any) -> dict[str, Any]:
    target = target or {"type": "Utilization", "averageUtilization": 70}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def trigger(query: str = "sum(rate(http_requests_total[1m]))", **metadata: Any) -> dict[str, Any]:
    told = {"serverAddress": "http://prometheus:9090", "query": query, "threshold": "100", **metadata}
    return {"type": "prometheus", "metadata": {k: v for k, v in told.items() if v is not None}}


def scaled_object(triggers: Sequence[Mapping[str, Any]] | None = None, **spec: Any) -> dict[str, Any]:
    """A ScaledObject of web on one Prometheus query."""
    body = {"scaleTargetRef": {"name": "web"}, "triggers": list(triggers) if triggers is not None else [trigger()]}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "web"},
        "spec": {key: value for key, value in {**body, **spec}.items() if value is not None},
    }


def deployment(*containers: Mapping[str, Any], **spec: Any) -> dict[str, Any]:
    body = {"template": {"spec": {"containers": list(containers)}}, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": body}


def container(name: str = "server", **requests: str) -> dict[str, Any]:
    return {"name": name, "resources": {"requests": requests}} if requests else {"name": name}


def written(folder: Path, *documents: Mapping[str, Any], name: str = "manifest.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump_all([dict(document) for document in documents], sort_keys=False))
    return path


def recorded(
    folder: Path,
    *series: tuple[Mapping[str, str], Sequence[float | None]],
    name: str = "range.json",
    step_s: float = 15,
) -> Path:
    """A range query's answer; None is a step without a sample."""
    result = [
        {
            "metric": dict(labels),
            "values": [[START_S + k * step_s, str(v)] for k, v in enumerate(values) if v is not None],
        }
        for labels, values in series
    ]
    path = folder / name
    path.write_text(json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}))
    return path
