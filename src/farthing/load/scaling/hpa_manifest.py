"""A HorizontalPodAutoscaler of ``autoscaling/v2``, as Kubernetes validates it.

Source: Kubernetes, ``pkg/apis/autoscaling/validation/validation.go`` and ``v2/defaults.go``. What Kubernetes would take
and not use (a target of another type than its value) is refused too: it is not what its author meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from farthing.core.scaling.hpa.reconcile import Controller, Metric, Spec
from farthing.core.simulation.replay.autoscaler import Autoscaler, Followed
from farthing.errors import InputError
from farthing.load.scaling.behavior import behavior_of
from farthing.load.scaling.documents import Documents, manifest_name, target_of, the_one
from farthing.load.scaling.fields import Fields
from farthing.load.scaling.pod_requests import request_of

__all__ = ["hpa_of", "on_pods", "unique_names", "workload_of", "written_replicas"]

_SOURCES: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "Resource": ("resource", "resource", ("averageUtilization", "averageValue")),
    "ContainerResource": ("containerResource", "container_resource", ("averageUtilization", "averageValue")),
    "Pods": ("pods", "pods", ("averageValue",)),
    "Object": ("object", "object", ("value", "averageValue")),
    "External": ("external", "external", ("value", "averageValue")),
}
"""By type: its field, the controller's word for it, which targets apply."""
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "Resource": ("name", "target"),
    "ContainerResource": ("name", "container", "target"),
    "Pods": ("metric", "target"),
    "Object": ("describedObject", "metric", "target"),
    "External": ("metric", "target"),
}
_TARGETS = {"averageUtilization": "Utilization", "averageValue": "AverageValue", "value": "Value"}
_TARGET_TYPES = {"averageUtilization": "utilization", "averageValue": "average_value", "value": "value"}
_APPLIES = {
    "Resource": "averageUtilization (percent of what pods request) or averageValue",
    "ContainerResource": "averageUtilization (percent of what the container requests) or averageValue",
    "Pods": "averageValue",
    "Object": "averageValue (shared among the pods) or value (of all)",
    "External": "averageValue (shared among the pods) or value (of all)",
}
_V1 = {
    "targetCPUUtilizationPercentage": "that is a field of autoscaling/v1; in v2 write metrics: [{type: Resource, "
    "resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]"
}
_USUAL: Mapping[str, Any] = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}
"""What Kubernetes follows where ``metrics`` is left out."""


def hpa_of(path: Path, controller: Controller | None = None) -> Autoscaler:
    """Read the HorizontalPodAutoscaler of a file.

    Args:
        path: YAML or JSON; the workload's own manifest may stand in it, and tells what pods request.
        controller: Flags of the controller manager; None for Kubernetes' defaults.

    Raises:
        InputError: when there is not one of ``autoscaling/v2``, a field is unknown, does not apply or is one that
            Kubernetes refuses; the message has its path and what to write instead.
    """
    found, documents = the_one(path, "HorizontalPodAutoscaler")
    found.only(("apiVersion", "kind", "metadata", "spec", "status"))
    fields, flags = found.below("spec"), controller or Controller()
    fields.only(("scaleTargetRef", "minReplicas", "maxReplicas", "metrics", "behavior"), _V1)
    target, workload = workload_of(fields, documents, kind=None)
    metrics = fields.each("metrics") or (
        Fields(file=path, where="spec.metrics[0], which Kubernetes fills in,", data=_USUAL),
    )
    followed = unique_names([on_pods(_followed(one), one, workload) for one in metrics])
    lowest, highest = _bounds(fields, followed, flags)
    spec = Spec(
        min_replicas=lowest,
        max_replicas=highest,
        metrics=tuple(one.metric for one in followed),
        behavior=behavior_of(fields),
        controller=flags,
    )
    return Autoscaler(
        kind="HorizontalPodAutoscaler",
        name=manifest_name(found),
        target=target,
        spec=spec,
        followed=followed,
        written_replicas=written_replicas(workload),
    )


def workload_of(fields: Fields, documents: Documents, kind: str | None) -> tuple[str, Fields | None]:
    """What is scaled, ``Deployment/web``, and its manifest where it stands in the file.

    Args:
        fields: With ``scaleTargetRef``.
        documents: Of the file.
        kind: Where none is written; None when one has to be.
    """
    if "scaleTargetRef" not in fields:
        raise fields.refused("scaleTargetRef", "is missing", "say what is scaled: {kind: Deployment, name: …}")
    reference = fields.below("scaleTargetRef")
    reference.only(("apiVersion", "kind", "name", *(("envSourceContainerName",) if kind else ())))
    named = reference.text("kind") if kind is None or "kind" in reference else kind
    name = reference.text("name")
    return f"{named}/{name}", target_of(documents, named, name)


def written_replicas(workload: Fields | None) -> int | None:
    """``spec.replicas`` of the workload's manifest; None where none is written."""
    found = None if workload is None else workload.below("spec")
    return None if found is None or "replicas" not in found else found.whole("replicas", least=0)


def _bounds(fields: Fields, followed: tuple[Followed, ...], flags: Controller) -> tuple[int, int]:
    lowest = fields.whole("minReplicas", least=0) if "minReplicas" in fields else 1
    highest = fields.whole("maxReplicas", least=1)
    if lowest == 0 and not flags.scale_to_zero:
        raise fields.refused(
            "minReplicas",
            "is 0, which Kubernetes refuses without the feature gate HPAScaleToZero",
            "write minReplicas: 1, let KEDA scale to zero, or say --scale-to-zero where the gate is on",
        )
    if lowest == 0 and not any(one.metric.kind in ("object", "external") for one in followed):
        raise fields.refused("minReplicas", "is 0, and no Object or External metric could tell when to start again")
    if lowest > highest:
        raise fields.refused("minReplicas", f"is {lowest}, more than maxReplicas, which is {highest}")
    return lowest, highest


def _followed(fields: Fields) -> Followed:
    kind = fields.text("type", among=tuple(_SOURCES))
    key, word, targets = _SOURCES[kind]
    fields.only(("type", key), {other: f"of type {kind} only {key} applies" for other, _, _ in _SOURCES.values()})
    if key not in fields:
        raise fields.refused(key, "is missing", f"type: {kind} needs {key}: with {', '.join(_FIELDS[kind])}")
    source = fields.below(key)
    source.only(_FIELDS[kind])
    if kind == "Object" and "describedObject" not in source:
        raise source.refused("describedObject", "is missing", "say which object: {apiVersion, kind, name}")
    if kind == "ContainerResource":
        source.text("container")
    named = source if "name" in _FIELDS[kind] else source.below("metric")
    if named is not source:
        named.only(("name", "selector"))
    name = named.text("name")
    target_type, target, text = _target(source, kind, targets)
    resource = name if word in ("resource", "container_resource") else ""
    metric = Metric(kind=word, target_type=target_type, target=target, resource=resource or "cpu")
    return Followed(name=name, path=fields.where, metric=metric, target_text=text)


def _target(source: Fields, kind: str, applying: tuple[str, ...]) -> tuple[str, int, str]:
    """Its type, the number for the controller, and as written."""
    if "target" not in source:
        raise source.refused("target", "is missing", f"of type {kind} write {_APPLIES[kind]}")
    target = source.below("target")
    target.only(("type", *_TARGETS))
    given = [key for key in _TARGETS if key in target]
    for key in given:
        if key not in applying:
            raise target.refused(key, f"does not apply to {kind}", f"write {_APPLIES[kind]}")
    if len(given) != 1:
        many = f"has both {' and '.join(given)}" if given else "has no value"
        raise source.refused("target", many, f"write {_APPLIES[kind]}")
    (key,) = given
    written = target.text("type", among=tuple(_TARGETS.values()))
    if written != _TARGETS[key]:
        raise target.refused(
            "type",
            f"is {written}, while {key} is what is written; Kubernetes goes by {key}",
            f"write type: {_TARGETS[key]}",
        )
    if key == "averageUtilization":
        percent = target.whole(key, least=1)
        return _TARGET_TYPES[key], percent, f"{percent} %"
    return _TARGET_TYPES[key], target.quantity_m(key), str(target.data[key])


def on_pods(followed: Followed, fields: Fields, workload: Fields | None) -> Followed:
    """The same with what pods request, where a utilisation is followed and the workload's manifest is there.

    Args:
        followed: A metric.
        fields: Of the metric; ``container`` or ``containerName`` below it narrows to one container.
        workload: Manifest of what is scaled.
    """
    if workload is None or not followed.utilization:
        return followed
    below = fields.below("containerResource")
    container = below.data.get("container") or fields.below("metadata").data.get("containerName")
    found = request_of(workload, followed.metric.resource, container)
    return replace(followed, request_m=found.request_m, lacking=found.lacking)


def unique_names(followed: list[Followed]) -> tuple[Followed, ...]:
    """Metrics with names of their own: ``cpu``, ``cpu#2``.

    Raises:
        InputError: when there is none.
    """
    if not followed:
        raise InputError("an autoscaler needs a metric")
    seen: dict[str, int] = {}
    named = []
    for one in followed:
        seen[one.name] = seen.get(one.name, 0) + 1
        named.append(one if seen[one.name] == 1 else replace(one, name=f"{one.name}#{seen[one.name]}"))
    return tuple(named)
