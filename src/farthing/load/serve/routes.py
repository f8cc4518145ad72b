"""A route as the server takes it: its tiers as models of their own, and one model that stands for them all."""

from __future__ import annotations

import hashlib
import math
import urllib.parse
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from farthing.core.route.attaching import of_outcomes
from farthing.core.route.routes import Route, Tier, TierReplicas
from farthing.core.route.served import Place, RoutedModel, Served, UpstreamModel
from farthing.errors import InputError
from farthing.load.route.files import check_tier, read_predictor, read_route
from farthing.load.route.keys import check_allowed, check_encrypted
from farthing.load.route.tier_prices import PRICE_KEYS, missing_token_price
from farthing.load.wishes import Wishes, as_name, check_name, check_tier_name, read_wishes
from farthing.nouns import LocalModel, PipelineSpec

__all__ = ["ROUTE_FILE", "check_address", "route_file", "route_models", "tiers_of_routes"]

ROUTE_FILE = "route.yaml"
FORWARD_OPTIONS = frozenset({"concurrency", "key_env", "prompt"})
"""What ``options`` of a forwarded tier may say; the rest of them is for models that are served here."""
_FORWARDED_BATCH = 64
_MOST_CONCURRENT = 4096
_SCHEMES = ("http", "https")

Read = Callable[[Path, Wishes], Iterable[LocalModel]]
"""Finds and checks the models of one source."""


def route_file(route: Path | str) -> Path:
    """Of the route.yaml that is named, or whose folder is."""
    return Path(route) / ROUTE_FILE if Path(route).is_dir() else Path(route)


def route_models(
    path: Path, wishes: Wishes, read: Read, *, keys: Collection[str] = (), trust: bool = False
) -> tuple[Served, ...]:
    """Tiers of a route first, then the route itself.

    Args:
        path: Of ``route.yaml``; sources and weights are looked for from its folder.
        wishes: From the command line: the name is the route's, the deadline everyone's, the rest its tiers'.
        read: For tiers that are served here.
        keys: Environment variables that the file may have sent to its end points.
        trust: It may have any sent.

    Raises:
        InputError: when a tier cannot be served as the route says, or tiers take different things.
        TrustError: when a tier wants an environment variable sent that was not allowed.
        SchemaError: when the file or its weights cannot be read.
    """
    route = read_route(path)
    _check(route, path)
    _check_keys(route, path, keys, trust=trust)
    given = replace(wishes, name=None, version=None)
    served: list[Served] = []
    places: dict[str, tuple[Place, ...]] = {}
    for tier in route.tiers:
        models, mine = _tier(tier, route, path, given, read)
        served += models
        places[tier.name] = tuple(sorted(mine, key=lambda place: place.purchase == "spot"))
    predictors = {spec.name: read_predictor(spec, path.parent) for spec in route.scores}
    routed = RoutedModel(
        name=wishes.name or check_name(route.name, f"the name of {path}"),
        version=wishes.version or "1",
        origin=path.absolute(),
        max_batch=min(model.max_batch for model in served),
        pipeline=_pipeline(served),
        classes=_classes(route, served),
        deadline_s=max((m.deadline_s for m in served if m.deadline_s is not None), default=None),
        offer=next((m.offer for m in served if isinstance(m, LocalModel) and m.offer is not None), None),
        route=route,
        places=places,
        predictors={name: found for name, found in predictors.items() if found is not None},
        digests=_digests(route, path.parent),
    )
    return (*served, routed)


def tiers_of_routes(models: Sequence[Served]) -> frozenset[str]:
    """Names of models that are there since a route needs them."""
    routes = [model for model in models if isinstance(model, RoutedModel)]
    return frozenset(place.model for route in routes for places in route.places.values() for place in places)


def _check(route: Route, path: Path) -> None:
    given = [spec.name for spec in route.scores if not spec.servable]
    used = {name for rung in route.ladder for name in rung.policy.scores}
    if wrong := [name for name in given if name in used]:
        raise InputError(
            f"{path} routes by {wrong[0]}, a column of the data that it was calibrated on; a server cannot compute it",
            hint="calibrate with the tiers themselves (--tier NAME=PATH), so that scores come from their answers",
        )
    for tier in route.tiers:
        if tier.kind == "openai" and not route.classes and not of_outcomes(route):
            raise InputError(
                f"the tier {tier.name} of {path} answers names of classes, and the route does not name them"
            )
        if tier.kind == "model" and not tier.source and not any(replica.url for replica in tier.replicas):
            raise InputError(
                f"{path} does not say where its tier {tier.name} is: it was calibrated from outcomes alone",
                hint=f"farthing route attach {path} {' '.join(f'{t.name}=PLACE' for t in route.tiers)}",
            )
        check_tier_name(tier.name, f"the name of a tier of {path}")
        if as_name(tier.name) == route.name:
            raise InputError(f"{path}: the route and one of its tiers are both named {tier.name}")


def _check_keys(route: Route, path: Path, keys: Collection[str], *, trust: bool) -> None:
    """A file that came from elsewhere names variables of this environment: not without the user's word."""
    for tier in route.tiers:
        key_env, who = tier.options.get("key_env", ""), f"the tier {tier.name} of {path}"
        for url in (tier.source, *(replica.url for replica in tier.replicas if replica.url)):
            if tier.kind != "model" or url != tier.source:
                check_allowed(key_env, url, who, keys, trust=trust)
                check_encrypted(key_env, url, who)


# — tiers ——————————————————————————————————————————————————————————————————————————————————————————————————————————


def _tier(tier: Tier, route: Route, path: Path, wishes: Wishes, read: Read) -> tuple[Sequence[Served], list[Place]]:
    """Models that answer for a tier, and where."""
    if tier.kind == "model":
        return _local(tier, route, path, wishes, read)
    unknown = sorted(set(tier.options) - FORWARD_OPTIONS)
    if unknown:
        raise InputError(
            f"{path}: the tier {tier.name} is forwarded and has the option {unknown[0]!r}",
            hint=f"it takes {', '.join(sorted(FORWARD_OPTIONS))}",
        )
    urls = [(tier.source, [r for r in tier.replicas if r.url in ("", tier.source)])]
    urls += [(r.url, [r]) for r in tier.replicas if r.url not in ("", tier.source)]
    models, places, name = [], [], as_name(tier.name)
    for k, (url, replicas) in enumerate(urls):
        model = _forwarded(tier, path, url, f"{name}.{k}" if k else name, route.classes)
        models.append(model)
        place = _place(model.name, replicas, usd_per_row=tier.usd_per_request)
        places.append(replace(place, usd_per_token=_usd_per_token(tier, path)))
    return models, places


def _local(tier: Tier, route: Route, path: Path, wishes: Wishes, read: Read) -> tuple[Sequence[Served], list[Place]]:
    options = wishes.over(read_wishes(tier.options, f"options of the tier {tier.name}."))
    here = [r for r in tier.replicas if not r.url]
    spot = [r for r in here if r.purchase == "spot"]
    remote = [r for r in tier.replicas if r.url]
    models: list[Served] = []
    places: list[Place] = []
    own = as_name(tier.name)
    if here or not remote:
        found = tuple(read(path.parent / tier.source, replace(options, name=own)))
        if len(found) != 1:
            raise InputError(f"{path}: the source {tier.source} of the tier {tier.name} holds {len(found)} models")
        check_tier(tier, found[0])
        stays = [r for r in here if r.purchase != "spot"]
        if stays or not spot:
            models.append(_offered(found[0], stays))
            places.append(_place(own, stays))
        if spot:
            count = sum(r.count for r in spot)
            name = f"{own}.spot" if models else own
            candidate = replace(found[0].candidate, instances=max(1, count))
            models.append(_offered(replace(found[0], name=name, candidate=candidate), spot))
            places.append(_place(name, spot, purchase="spot"))
    for k, replica in enumerate(remote):
        model = _forwarded(tier, path, replica.url, f"{own}.{k + 1}" if models else own, route.classes)
        models.append(model)
        places.append(_place(model.name, [replica], purchase=replica.purchase, usd_per_row=_usd(tier, replica, route)))
    return models, places


def _usd(tier: Tier, replica: TierReplicas, route: Route) -> float:
    """What a row costs on a replica elsewhere: its price by the hour over the rate that it sustains; NaN if unknown."""
    if replica.offer is None or replica.offer.usd_per_hour is None:
        return tier.usd_per_request if route.currency == "usd" else math.nan
    return replica.offer.usd_per_hour / 3600 / replica.sla_rps


def _usd_per_token(tier: Tier, path: Path) -> tuple[float, float] | None:
    """Price of a token in and out, None where tokens are not paid for.

    Raises:
        InputError: when one of them is missing beside others.
    """
    if missing := missing_token_price([key for key in PRICE_KEYS if getattr(tier, key, None) is not None]):
        raise InputError(
            f"{path}: the tier {tier.name!r} {missing}; a missing price is never taken as 0",
            hint="calibrate or attach it again with both prices of its tokens",
        )
    both = tier.usd_per_input_token, tier.usd_per_output_token
    return None if both[0] is None or both[1] is None else (both[0], both[1])


def _offered(model: LocalModel, replicas: Sequence[TierReplicas]) -> LocalModel:
    """The model at its replicas' price where it has none of its own."""
    offer = next((r.offer for r in replicas if r.offer is not None), None)
    return model if model.offer is not None or offer is None else replace(model, offer=offer)


def _place(
    model: str, replicas: Sequence[TierReplicas], *, purchase: Any = "on_demand", usd_per_row: float | None = None
) -> Place:
    return Place(
        model=model,
        purchase=purchase,
        capacity_rps=sum(r.count * r.sla_rps for r in replicas) if replicas else float("inf"),
        count=sum(r.count for r in replicas),
        offer=next((r.offer for r in replicas if r.offer is not None), None),
        usd_per_row=usd_per_row,
    )


def check_address(url: str, who: str) -> None:
    """Refuse a URL that nothing can be forwarded to.

    Raises:
        InputError: for another scheme than http(s), no host, a port that is none, a user name or a query.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        wrong = parts.scheme not in _SCHEMES or not parts.hostname or parts.username is not None or bool(parts.query)
        wrong = wrong or parts.port == 0
    except ValueError:
        wrong = True
    if wrong:
        raise InputError(
            f"{who} is forwarded to {url!r}", hint="an address as http://host:port, without user names or queries"
        )


def _forwarded(tier: Tier, path: Path, url: str, name: str, classes: tuple[str, ...]) -> UpstreamModel:
    check_address(url, f"{path}: the tier {tier.name}")
    concurrency = tier.options.get("concurrency", "64") if tier.kind != "model" else "64"
    if not concurrency.isdecimal() or not 1 <= int(concurrency) <= _MOST_CONCURRENT:
        raise InputError(f"{path}: concurrency of the tier {tier.name} is {concurrency!r}, not 1 to {_MOST_CONCURRENT}")
    kind: Literal["open_inference", "openai"] = "openai" if tier.kind == "openai" else "open_inference"
    return UpstreamModel(
        name=name,
        origin=path.absolute(),
        max_batch=_FORWARDED_BATCH,
        kind=kind,
        url=url.rstrip("/"),
        remote_name=tier.model or tier.name,
        timeout_s=tier.timeout_s,
        concurrency=int(concurrency),
        options=dict(tier.options) if tier.kind != "model" else {},
        classes=classes,
        cached_token_frac=_cached_frac(tier),
    )


def _cached_frac(tier: Tier) -> float:
    """Price of a cached token as a share of the usual one; 1 where none was said."""
    usual, cached = tier.usd_per_input_token, tier.usd_per_cached_input_token
    return 1.0 if not usual or cached is None else min(1.0, cached / usual)


# — the route ——————————————————————————————————————————————————————————————————————————————————————————————————————


def _pipeline(served: Sequence[Served]) -> PipelineSpec:
    """What clients may send: images or texts where a tier takes them, with the largest of the tiers' bounds."""
    found = [model.pipeline for model in served if model.pipeline.kind != "tensor"]
    if not found:
        return PipelineSpec(kind="tensor")
    kinds = sorted({spec.kind for spec in found})
    if len(kinds) > 1:
        raise InputError(f"tiers of one route take the same; these take {' and '.join(kinds)}s")
    return replace(
        found[-1],
        max_length=max(spec.max_length for spec in found),
        max_pixels=max(spec.max_pixels for spec in found),
        max_payload_bytes=max(spec.max_payload_bytes for spec in found),
    )


def _classes(route: Route, served: Sequence[Served]) -> tuple[str, ...]:
    """Names of the classes: of the route, else of its tiers; those of tiers must not differ."""
    known = {model.name: model.classes for model in served if model.classes}
    for name, classes in known.items():
        wanted = route.classes or next(iter(known.values()))
        if classes != wanted:
            raise InputError(
                f"the tier {name} answers other classes than the route, or in another order",
                hint="calibrate again with the tiers as they are now",
            )
    return route.classes or next(iter(known.values()), ())


def _digests(route: Route, folder: Path) -> tuple[str, ...]:
    """Of the files that trained scores lie in: a file that was written again is another route."""
    files: Mapping[str, None] = dict.fromkeys(spec.weights for spec in route.scores if spec.weights)
    return tuple(hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files)
