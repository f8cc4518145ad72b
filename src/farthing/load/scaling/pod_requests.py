"""What each pod of a workload requests of a resource, from the workload's manifest."""

from __future__ import annotations

from dataclasses import dataclass

from farthing.core.scaling.hpa.pods import Container, Failure, pod_request_m
from farthing.load.scaling.fields import Fields

__all__ = ["PodRequest", "request_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRequest:
    """Of one resource.

    Attributes:
        request_m: Of a pod, in thousandths; None where a container in scope requests nothing.
        lacking: Names of containers in scope without a request.
    """

    request_m: int | None
    lacking: tuple[str, ...] = ()


def request_of(workload: Fields, resource: str, container: str | None) -> PodRequest:
    """What a pod requests; a limit without a request is the request, as Kubernetes has it.

    Args:
        workload: Deployment, StatefulSet or another kind with ``spec.template.spec.containers``.
        resource: ``cpu`` or ``memory``.
        container: Count this one alone; None for all.

    Raises:
        InputError: when there is no such container, or a quantity cannot be read.
    """
    pod = workload.below("spec").below("template").below("spec")
    containers = [_container(one, resource) for one in pod.each("containers")]
    sidecars = [
        _container(one, resource) for one in pod.each("initContainers") if one.data.get("restartPolicy") == "Always"
    ]
    found = pod_request_m([*containers, *sidecars], container=container)
    if isinstance(found, Failure) and found.code == "container_not_found":
        names = ", ".join(one.name for one in containers)
        raise pod.refused("containers", f"have no {container!r}", f"they are {names}")
    in_scope = [one for one in (*containers, *sidecars) if container in (None, one.name)]
    lacking = tuple(one.name for one in in_scope if not one.request_m)
    return PodRequest(request_m=None if isinstance(found, Failure) or lacking else found, lacking=lacking)


def _container(one: Fields, resource: str) -> Container:
    resources = one.below("resources")
    asked = next((part for key in ("requests", "limits") if resource in (part := resources.below(key))), None)
    return Container(name=one.text("name"), request_m=None if asked is None else asked.quantity_m(resource, zero=True))
