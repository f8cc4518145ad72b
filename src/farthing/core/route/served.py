"""What a server serves: models that run here, models behind URLs, and routes over both; checked by whoever made them.

Each kind has the fields that it needs and no others. All have what clients see and are bound by (``name version``
``pipeline classes deadline_s max_waiting max_batch``), ``origin``, and ``backend`` for those who are told what answers;
what only one kind has is reached by a ``match`` over all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from farthing.core.route.routes import Route
from farthing.nouns import Backend, Declared, LocalModel, Offer

if TYPE_CHECKING:
    from farthing.core.route.scoring.trained import Predictor

__all__ = ["Place", "RoutedModel", "Served", "UpstreamModel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where requests of a tier are answered.

    Attributes:
        model: Name of the served model that answers there.
        purchase: ``spot`` where it may vanish.
        capacity_rps: Rate that all its declared replicas sustain within the promise, infinite when none are declared.
        count: Replicas that are declared, 0 when none are.
        offer: Price by the hour of one of them, None when unknown.
        usd_per_row: What a row costs there where it is charged by request, None where this machine's workers answer
            at a price by the hour.
        usd_per_token: Of a token in and of one out, where the place charges for those that it says it used;
            ``usd_per_row`` then stands for answers that do not say.
    """

    model: str
    purchase: Literal["on_demand", "spot"] = "on_demand"
    capacity_rps: float = float("inf")
    count: int = 0
    offer: Offer | None = None
    usd_per_row: float | None = None
    usd_per_token: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamModel(Declared):
    """A model behind a URL, beyond what is :class:`~farthing.nouns.Declared` of it.

    Attributes:
        kind: Protocol spoken there.
        url: ``http://host:port`` of an Open Inference Protocol server, or what ends before ``/chat/completions``.
        remote_name: Of the model there.
        timeout_s: Of one request.
        concurrency: Requests sent at the same time.
        cached_token_frac: Price of a token that was in the provider's cache as a share of one that was not, in [0, 1].
        options: As the route says them; of them ``key_env`` and ``prompt`` are read here.
    """

    kind: Literal["open_inference", "openai"]
    url: str
    remote_name: str
    timeout_s: float = 30.0
    concurrency: int = 64
    cached_token_frac: float = 1.0
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def backend(self) -> Backend:
        """What answers, for those who are told."""
        return Backend(engine=self.kind, variant="forwarded", precision="fp32", max_batch=self.max_batch)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedModel(Declared):
    """A route as one model, beyond what is :class:`~farthing.nouns.Declared` of it; its tiers are models of their own.

    Attributes:
        route: What is followed.
        places: By tier, those on demand before those on spot; at least one each.
        predictors: Trained scores by name.
        digests: Of the files of trained scores, so that a change of one is seen.
        offer: What this machine costs, None when unknown.
    """

    route: Route
    places: Mapping[str, tuple[Place, ...]]
    predictors: Mapping[str, Predictor] = field(default_factory=dict, compare=False)
    digests: tuple[str, ...] = ()
    offer: Offer | None = None

    @property
    def backend(self) -> Backend:
        """What answers, for those who are told."""
        tiers = f"{len(self.route.tiers)}-tiers"
        return Backend(engine="route", variant=tiers, precision="fp32", max_batch=self.max_batch)


Served = LocalModel | UpstreamModel | RoutedModel
"""Whatever answers under a name."""
