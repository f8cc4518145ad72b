"""A ScaledObject of ``keda.sh/v1alpha1``, as its schema and KEDA's admission webhook validate it.

Source: KEDA, ``apis/keda/v1alpha1/scaledobject_types.go``, ``scaledobject_webhook.go``, ``pkg/scalers``. Fields of a
trigger that KEDA does not know are refused here, where KEDA would not tell: a misspelt threshold is its default.
"""

from __future__ import annotations

import math
from pathlib import Path

from farthing.core.scaling.hpa.reconcile import Controller, Metric, Spec
from farthing.core.scaling.keda import activation
from farthing.core.scaling.keda.fallback import Fallback
from farthing.core.simulation.replay.autoscaler import Autoscaler, Followed, Keda, Trigger
from farthing.load.scaling.behavior import behavior_of
from farthing.load.scaling.documents import manifest_name, the_one
from farthing.load.scaling.fields import Fields
from farthing.load.scaling.hpa_manifest import on_pods, unique_names, workload_of, written_replicas
from farthing.load.scaling.quantities import QUANTITY, quantity_m
from farthing.load.yes_no import yes_or_no

__all__ = ["scaled_object_of"]

_SPEC = (
    "scaleTargetRef",
    "pollingInterval",
    "initialCooldownPeriod",
    "cooldownPeriod",
    "idleReplicaCount",
    "minReplicaCount",
    "maxReplicaCount",
    "advanced",
    "triggers",
    "fallback",
)
_TRIGGER = ("type", "name", "metadata", "metricType", "useCachedMetrics", "authenticationRef")
_PROMETHEUS = (
    "serverAddress",
    "query",
    "threshold",
    "activationThreshold",
    "ignoreNullValues",
    "namespace",
    "queryParameters",
    "customHeaders",
    "unsafeSsl",
    "awsRegion",
    "timeout",
    "identityOwner",
    "authModes",
    "metricName",
    "cortexOrgID",
)
_RESOURCES = ("cpu", "memory")
_DEFAULT_MAX = 100
_FALLBACKS = ("static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower")
_PAUSED = "autoscaling.keda.sh/paused"
_HPA_NAMES = {
    "minReplicas": "in a ScaledObject it is minReplicaCount",
    "maxReplicas": "in a ScaledObject it is maxReplicaCount",
    "metrics": "in a ScaledObject they are triggers",
    "behavior": "in a ScaledObject it stands below advanced.horizontalPodAutoscalerConfig",
}


def scaled_object_of(path: Path, controller: Controller | None = None) -> Autoscaler:
    """Read the ScaledObject of a file.

    Args:
        path: YAML or JSON; the workload's own manifest may stand in it, and tells what pods request.
        controller: Flags of the controller manager; None for Kubernetes' defaults.

    Raises:
        InputError: when there is not one, a field is unknown or one that KEDA refuses, a trigger is of another type
            than ``prometheus``, ``cpu`` and ``memory``, or it has ``scalingModifiers``.
    """
    found, documents = the_one(path, "ScaledObject")
    found.only(("apiVersion", "kind", "metadata", "spec", "status"))
    fields = found.below("spec")
    fields.only(_SPEC, _HPA_NAMES)
    advanced = _advanced(fields)
    target, workload = workload_of(fields, documents, kind="Deployment")
    triggers = fields.each("triggers")
    if not triggers:
        raise fields.refused("triggers", "is missing or empty")
    followed = unique_names([on_pods(_followed(one), one, workload) for one in triggers])
    lowest, highest = _bounds(fields, followed)
    spec = Spec(
        min_replicas=max(1, lowest),
        max_replicas=highest,
        metrics=tuple(one.metric for one in followed),
        behavior=behavior_of(advanced.below("horizontalPodAutoscalerConfig")),
        controller=controller or Controller(),
    )
    return Autoscaler(
        kind="ScaledObject",
        name=manifest_name(found),
        target=target,
        spec=spec,
        followed=followed,
        keda=_keda(found, fields, lowest, followed),
        written_replicas=written_replicas(workload),
    )


def _advanced(fields: Fields) -> Fields:
    advanced = fields.below("advanced")
    advanced.only(("horizontalPodAutoscalerConfig", "restoreToOriginalReplicaCount", "scalingModifiers"))
    if advanced.data.get("scalingModifiers"):
        raise advanced.refused(
            "scalingModifiers",
            "joins triggers by a formula, which is not replayed",
            "take it out to replay each trigger by itself, or record the formula's value and write it as one "
            "prometheus trigger with the formula's target",
        )
    advanced.below("horizontalPodAutoscalerConfig").only(("name", "behavior"))
    return advanced


def _bounds(fields: Fields, followed: tuple[Followed, ...]) -> tuple[int, int]:
    lowest = fields.whole("minReplicaCount", least=0) if "minReplicaCount" in fields else 0
    highest = fields.whole("maxReplicaCount", least=1) if "maxReplicaCount" in fields else _DEFAULT_MAX
    if lowest > highest:
        raise fields.refused("minReplicaCount", f"is {lowest}, more than maxReplicaCount, which is {highest}")
    if "idleReplicaCount" in fields:
        idle = fields.whole("idleReplicaCount", least=0)
        if idle >= lowest:
            raise fields.refused(
                "idleReplicaCount",
                f"is {idle}; KEDA takes it only below minReplicaCount, which is {lowest}",
                "to go to zero while nothing is active: minReplicaCount: 0 without idleReplicaCount",
            )
    if lowest == 0 and all(one.trigger is None for one in followed):
        raise fields.refused(
            "minReplicaCount",
            "is 0 with triggers of cpu or memory alone: KEDA refuses it, since pods that do not run use nothing",
            "write minReplicaCount: 1, or add a prometheus trigger that tells when to start",
        )
    return lowest, highest


def _keda(document: Fields, fields: Fields, lowest: int, followed: tuple[Followed, ...]) -> Keda:
    fallback = _fallback(fields, followed)
    seconds = {
        key: float(fields.whole(key, least=least)) if key in fields else usual
        for key, least, usual in (
            ("pollingInterval", 1, 30.0),
            ("cooldownPeriod", 0, 300.0),
            ("initialCooldownPeriod", 0, 0.0),
        )
    }
    _refuse_paused(document)
    return Keda(
        activation=activation.Spec(
            min_replicas=lowest,
            idle_replicas=fields.whole("idleReplicaCount", least=0) if "idleReplicaCount" in fields else None,
            fallback_replicas=None if fallback is None else fallback.replicas,
            cooldown_s=seconds["cooldownPeriod"],
            initial_cooldown_s=seconds["initialCooldownPeriod"],
        ),
        polling_s=seconds["pollingInterval"],
        fallback=fallback,
        cooldown_written="cooldownPeriod" in fields,
    )


def _refuse_paused(document: Fields) -> None:
    annotations = document.below("metadata").below("annotations")
    paused = [key for key in annotations.data if str(key).startswith(_PAUSED)]
    if paused and yes_or_no(annotations.data[paused[0]]) is not False:
        raise annotations.refused(paused[0], "pauses it: it would do nothing", "take the annotation out to replay it")


def _fallback(fields: Fields, followed: tuple[Followed, ...]) -> Fallback | None:
    if "fallback" not in fields:
        return None
    found = fields.below("fallback")
    found.only(("failureThreshold", "replicas", "behavior"))
    if not any(one.trigger is not None and one.metric.target_type == "average_value" for one in followed):
        raise fields.refused("fallback", "needs a trigger other than cpu and memory with metricType AverageValue")
    return Fallback(
        failure_threshold=found.whole("failureThreshold", least=0),
        replicas=found.whole("replicas", least=0),
        behavior=found.text("behavior", among=_FALLBACKS) if "behavior" in found else "static",
    )


def _followed(fields: Fields) -> Followed:
    fields.only(_TRIGGER)
    kind = fields.text("type")
    if kind not in ("prometheus", *_RESOURCES):
        raise fields.refused(
            "type",
            f"is {kind!r}; replayed are prometheus, cpu and memory",
            f"record what the {kind} trigger reads, and write it as a prometheus trigger with the same threshold",
        )
    metadata = fields.below("metadata")
    for key, value in metadata.data.items():
        if not isinstance(value, str):
            raise metadata.refused(
                str(key), f"is {value!r}; KEDA's schema takes text alone here", f'write {key}: "{_yaml(value)}"'
            )
    return _prometheus(fields, metadata) if kind == "prometheus" else _resource(fields, metadata, kind)


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _prometheus(fields: Fields, metadata: Fields) -> Followed:
    metadata.only(_PROMETHEUS)
    metadata.text("serverAddress")
    query, threshold = metadata.text("query"), _float(metadata, "threshold", None)
    if not threshold > 0:
        raise metadata.refused("threshold", f"is {metadata.data['threshold']!r}; it must be > 0")
    kind = fields.text("metricType") if "metricType" in fields else "AverageValue"
    if kind not in ("AverageValue", "Value"):
        raise fields.refused("metricType", f"is {kind!r}, which a prometheus trigger has not", "AverageValue or Value")
    written = metadata.data.get("ignoreNullValues", "true")
    ignores = yes_or_no(written)
    if ignores is None:
        raise metadata.refused("ignoreNullValues", f"is {written!r}", '"true" or "false"')
    cached = fields.data.get("useCachedMetrics", False)
    if not isinstance(cached, bool):
        raise fields.refused("useCachedMetrics", f"is {cached!r}", "true or false")
    return Followed(
        name=_name(fields, "prometheus"),
        path=fields.where,
        metric=Metric(
            kind="external",
            target_type="average_value" if kind == "AverageValue" else "value",
            target=max(1, int(threshold * 1000)),
        ),
        target_text=str(metadata.data["threshold"]),
        trigger=Trigger(
            activation_threshold=_float(metadata, "activationThreshold", 0.0),
            empty_is_zero=ignores,
            cached=cached,
            query=query,
        ),
    )


def _resource(fields: Fields, metadata: Fields, kind: str) -> Followed:
    metadata.only(("value", "containerName", "type"))
    if "type" in metadata and "metricType" in fields:
        raise metadata.refused("type", "stands beside metricType", "keep metricType")
    place = metadata if "type" in metadata else fields
    target = place.text("type" if place is metadata else "metricType", among=("Utilization", "AverageValue"))
    written = metadata.text("value")
    read = quantity_m(written)
    if read is None or read <= 0:
        raise metadata.refused("value", f"is {written!r}, which is no quantity > 0", f"write {QUANTITY}")
    if target == "Utilization" and not (written.isdigit() and written.isascii()):
        raise metadata.refused("value", f"is {written!r}; of Utilization it is whole percent", 'write value: "70"')
    utilization = target == "Utilization"
    return Followed(
        name=_name(fields, kind),
        path=fields.where,
        metric=Metric(
            kind="container_resource" if "containerName" in metadata else "resource",
            target_type="utilization" if utilization else "average_value",
            target=int(written) if utilization else read,
            resource=kind,
        ),
        target_text=f"{written} %" if utilization else written,
    )


def _name(fields: Fields, usual: str) -> str:
    return fields.text("name") if "name" in fields else usual


def _float(fields: Fields, key: str, usual: float | None) -> float:
    if key not in fields:
        if usual is None:
            raise fields.refused(key, "is missing")
        return usual
    text = fields.text(key)
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise fields.refused(key, f"is {text!r}, which is no number", 'KEDA takes "100" or "0.5" here, no quantities')
    return value
