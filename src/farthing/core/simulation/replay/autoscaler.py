"""An autoscaler as its manifest says it: what is followed, within which bounds, switched on and off by what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from farthing.core.scaling.hpa.reconcile import Metric, Spec
from farthing.core.scaling.keda import activation
from farthing.core.scaling.keda.fallback import Fallback

__all__ = ["Autoscaler", "Followed", "Keda", "Trigger"]

PERCENT_REQUEST_M = 100_000
"""Request of a pod whose usage is recorded in percent of it: a hundred units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """What KEDA does with a trigger's query.

    Attributes:
        activation_threshold: Above it the trigger is active.
        empty_is_zero: Whether an answer without a number reads as 0 (``ignoreNullValues``), else it is an error.
        cached: Whether the autoscaler is told what was read when the trigger was last polled.
        query: PromQL.
    """

    activation_threshold: float = 0.0
    empty_is_zero: bool = True
    cached: bool = False
    query: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """A metric of the manifest.

    Attributes:
        name: By which its recorded series is given: the metric's, the resource's or the trigger's.
        path: Where it stands, ``spec.metrics[0]``.
        metric: For the controller; a target in percent, else in thousandths.
        target_text: As written, ``100`` or ``70 %``.
        trigger: Of a ScaledObject's query; None for resources and for what a HorizontalPodAutoscaler follows.
        request_m: Of a pod, in thousandths, where a utilisation is the target; None where a container requests nothing.
        lacking: Containers that request nothing, where that is known.
    """

    name: str
    path: str
    metric: Metric
    target_text: str
    trigger: Trigger | None = None
    request_m: int | None = None
    lacking: tuple[str, ...] = ()

    @property
    def of_pods(self) -> bool:
        """Whether each pod has its own value of it."""
        return self.metric.kind in ("resource", "container_resource", "pods")

    @property
    def utilization(self) -> bool:
        """Whether its target is a share of what pods request."""
        return self.metric.target_type == "utilization"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keda:
    """What KEDA adds to the autoscaler that it makes.

    Attributes:
        activation: From zero to one and back, or to idle.
        polling_s: Between looks at the triggers, > 0.
        fallback: ``spec.fallback``; None without it.
        cooldown_written: Whether ``cooldownPeriod`` stands in the manifest.
    """

    activation: activation.Spec
    polling_s: float = 30.0
    fallback: Fallback | None = None
    cooldown_written: bool = False

    @property
    def switches_off(self) -> bool:
        """Whether it may go to zero or idle at all."""
        return not self.activation.min_replicas or self.activation.idle_replicas is not None

    @property
    def floor(self) -> int:
        """Fewest replicas that it leaves."""
        return activation.idle_or_min(self.activation)[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscaler:
    """A HorizontalPodAutoscaler, or a ScaledObject with the one that KEDA makes of it.

    Attributes:
        kind: Of its manifest.
        name: ``namespace/name``.
        target: What it scales, ``Deployment/web``.
        spec: For the controller; of a ScaledObject what KEDA makes of it, so that its minimum is ≥ 1.
        followed: Its metrics, in the order of ``spec.metrics``.
        keda: None for a HorizontalPodAutoscaler.
        written_replicas: ``spec.replicas`` of the workload's manifest in the same file; None where none stands there.
    """

    kind: Literal["HorizontalPodAutoscaler", "ScaledObject"]
    name: str
    target: str
    spec: Spec
    followed: tuple[Followed, ...]
    keda: Keda | None = None
    written_replicas: int | None = None

    def __post_init__(self) -> None:
        if tuple(one.metric for one in self.followed) != self.spec.metrics:
            raise ValueError(f"Autoscaler: what is followed must be the metrics of its spec: {self}")

    @property
    def floor(self) -> int:
        """Fewest replicas that it leaves: the minimum, of KEDA zero or idle."""
        return self.spec.min_replicas if self.keda is None else self.keda.floor
