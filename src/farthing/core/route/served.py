"""What a server is told of a route: models among others, checked by whoever made them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from farthing.core.route.routes import Route
from farthing.nouns import LocalModel, Offer

if TYPE_CHECKING:
    from farthing.core.route.scoring.trained import Predictor

__all__ = ["UpstreamModel", "Place", "RoutedModel"]


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
class UpstreamModel(LocalModel):
    """A model behind a URL.

    Attributes:
        kind: Protocol spoken there.
        url: ``http://host:port`` of an Open Inference Protocol server, or what ends before ``/chat/completions``.
        remote_name: Of the model there.
        timeout_s: Of one request.
        concurrency: Requests sent at the same time.
        cached_token_frac: Price of a token that was in the provider's cache as a share of one that was not, in [0, 1].
    """

    kind: Literal["open_inference", "openai"]
    url: str
    remote_name: str
    timeout_s: float = 30.0
    concurrency: int = 64
    cached_token_frac: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedModel(LocalModel):
    """A route as one model; its tiers are models of their own.

    Attributes:
        route: What is followed.
        places: By tier, those on demand before those on spot; at least one each.
        predictors: Trained scores by name.
        digests: Of the files of trained scores, so that a change of one is seen.
    """

    route: Route
    places: Mapping[str, tuple[Place, ...]]
    predictors: Mapping[str, Predictor] = field(default_factory=dict, compare=False)
    digests: tuple[str, ...] = ()
