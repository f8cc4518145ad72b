"""Places for tiers: what stays the same, what can be served, what is written."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from farthing.core.route.answers import require_alike_names
from farthing.core.route.attaching import Attached, attached, of_outcomes, unservable
from farthing.core.route.following import ladder_of
from farthing.core.route.policies import label
from farthing.core.route.routes import Route, ScoreSpec, Tier, policy_of
from farthing.errors import InputError
from farthing.load.route.files import check_tier, read_predictor, tier_digest
from farthing.load.route.tiers import NamedTier
from farthing.load.serve.routes import ROUTE_FILE
from farthing.nouns import LocalModel
from farthing.runs.route.tiers import found_models
from farthing.store.documents import write_bytes
from farthing.store.routes import OUTCOMES, write_route

__all__ = ["check_scores", "placed", "refuse_unserved", "write_attached"]


_SHOWN = 8
_KINDS = {"model": "a model here", "open_inference": "an Open Inference end point", "openai": "a chat end point"}


def placed(route: Route, named: Sequence[NamedTier], folder: Path, out: Path, trust: bool) -> Attached:
    """The route with the places of its tiers, as they will be found from its new folder.

    Args:
        route: As it was read.
        named: Places.
        folder: Of the route.
        out: Where it is going to be written.
        trust: Allows native artefacts that were not built on this machine.

    Raises:
        InputError: when a tier lacks a place, or holds another model there.
    """
    by_name = {tier.name: tier for tier in named}
    _refuse_missing(route, by_name)
    placed = [by_name.get(tier.name) or _there_already(tier, folder) for tier in route.tiers]
    models = found_models(placed, trust)
    local = [(name, model.classes) for name, model in models.items()]
    require_alike_names(local)
    for tier in route.tiers:
        _check_same(tier, by_name, models, strict=not of_outcomes(route))
    known = next((classes for _, classes in local if classes), ())
    classes = known if of_outcomes(route) else route.classes
    _refuse_prompts(placed, classes)
    tiers = [_placed(tier, place, models, out) for tier, place in zip(route.tiers, placed, strict=True)]
    if of_outcomes(route):
        tiers = [_priced(tier, by_name[tier.name]) if tier.name in by_name else tier for tier in tiers]
    return attached(route, tiers, list(by_name), classes)


def _refuse_missing(route: Route, named: Mapping[str, NamedTier]) -> None:
    bare = [tier.name for tier in route.tiers if tier.name not in named and not tier.source]
    if bare:
        known = ", ".join(tier.name for tier in route.tiers)
        which = f"{'the tier' if len(bare) == 1 else 'the tiers'} {', '.join(map(repr, bare[:_SHOWN]))}"
        raise InputError(
            f"no place of {which} is named",
            hint=f"every tier needs one, {' '.join(f'{name}=PLACE' for name in bare[:_SHOWN])}; the tiers are {known}",
        )
    if not named:
        raise InputError("no place is named", hint="TIER=PLACE: a plan.yaml, a model, its folder, or a URL")


def _there_already(tier: Tier, folder: Path) -> NamedTier:
    """A tier whose place stays what it was."""
    return NamedTier(
        name=tier.name,
        kind=tier.kind,
        source=str(folder / tier.source) if tier.kind == "model" else tier.source,
        model=tier.model,
        timeout_s=tier.timeout_s,
        replicas=tier.replicas,
        options=tier.options,
    )


def _check_same(tier: Tier, named: Mapping[str, NamedTier], models: Mapping[str, LocalModel], *, strict: bool) -> None:
    """A tier that stays is as it was; of one that was run in calibrating another place must hold the same model."""
    if tier.name not in named:
        if tier.name in models:
            check_tier(tier, models[tier.name])
        return
    if not strict:
        return
    place = named[tier.name]
    if place.kind != tier.kind:
        raise InputError(
            f"the tier {tier.name!r} was calibrated as {_KINDS[tier.kind]}; that the same answers at {place.source}, "
            f"{_KINDS[place.kind]}, cannot be known",
            hint=f"calibrate with it as the tier: farthing route calibrate --tier {tier.name}={place.source} …",
        )
    if tier.name in models:
        check_tier(tier, models[tier.name])


def _refuse_prompts(placed: Sequence[NamedTier], classes: Sequence[str]) -> None:
    for tier in placed:
        if "{classes}" in tier.options.get("prompt", "") and not classes:
            raise InputError(
                f"the prompt of the tier {tier.name!r} names {{classes}}, and no tier of the route names its classes",
                hint="write their names out in the prompt",
            )


def _placed(tier: Tier, place: NamedTier, models: Mapping[str, LocalModel], out: Path) -> Tier:
    here = place.kind == "model"
    return replace(
        tier,
        kind=place.kind,
        source=os.path.relpath(Path(place.source).absolute(), out.absolute()) if here else place.source,
        model=place.model,
        replicas=place.replicas,
        timeout_s=place.timeout_s,
        options=place.options,
        sha256=tier_digest(models[tier.name]) if here else "",
    )


def _priced(tier: Tier, place: NamedTier) -> Tier:
    """With the prices of tokens that were said of its place."""
    price = place.price
    return replace(
        tier,
        usd_per_input_token=price.usd_per_input_token,
        usd_per_output_token=price.usd_per_output_token,
        usd_per_cached_input_token=price.usd_per_cached_input_token,
    )


def refuse_unserved(route: Route, path: Path) -> None:
    """Refuse a route whose followed policy needs a column of its table, and say which scores could be served."""
    if route.chosen is None:
        return
    rung = route.ladder[route.chosen]
    lacking = unservable(route, rung)
    if lacking:
        raise InputError(
            f"{path} follows {label(policy_of(rung.policy))}, and {' and '.join(map(_why, lacking))}",
            hint=_could_be(route, path),
        )


def _why(spec: ScoreSpec) -> str:
    if spec.needs:
        return f"{spec.name} was a column of the table, of the answers of {' and '.join(spec.needs)}: a server lacks it"
    if spec.features:
        return f"{spec.name} reads columns of the table ({', '.join(spec.features[:_SHOWN])}): a server lacks them"
    return f"{spec.name} was a column of the table: a server cannot compute it"


def _could_be(route: Route, path: Path) -> str:
    """What to do: proven policies by scores of the request, else what the table would have to hold."""
    ready = [spec.name for spec in route.scores if spec.from_request]
    own = "columns score:… and feature:…"
    if ready:
        return f"{', '.join(ready)} could be served: calibrate again from the table without its {own}"
    return (
        f"scores of the request's own text could be served: calibrate again from a table with the column text and "
        f"without {own}; or with the tiers themselves (farthing route calibrate --tier NAME=PLACE)"
    )


def check_scores(route: Route, path: Path) -> None:
    """Have every policy made ready as a server does, before anything is written."""
    predictors = {spec.name: read_predictor(spec, path.parent) for spec in route.scores}
    try:
        ladder_of(route, {name: found for name, found in predictors.items() if found is not None})
    except ValueError as e:
        raise InputError(f"{path} cannot be served: {e}", hint="calibrate again") from e


def write_attached(route: Route, folder: Path, out: Path) -> None:
    """Write the route, and beside it the files that it needs.

    Raises:
        StoreError: when the disk is full or the folder cannot be written.
    """
    if out.absolute() != folder.absolute():
        for name in dict.fromkeys([*(spec.weights for spec in route.scores if spec.weights), OUTCOMES]):
            if (folder / name).is_file():
                write_bytes(out / name, (folder / name).read_bytes())
    write_route(route, out / ROUTE_FILE)
