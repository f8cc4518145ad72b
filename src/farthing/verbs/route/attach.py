"""``farthing route attach``: places for a route's tiers, so that one that rests on a table of outcomes is served."""

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
from farthing.load.route.files import check_tier, read_predictor, read_route, tier_digest
from farthing.load.route.keys import check_encrypted
from farthing.load.route.places import Wanted, read_places
from farthing.load.route.tiers import NamedTier
from farthing.load.serve.routes import ROUTE_FILE, check_address
from farthing.nouns import ServedModel
from farthing.runs.route.tiers import found_models
from farthing.store.documents import write_bytes
from farthing.store.routes import OUTCOMES, write_route

__all__ = ["route_attach"]

_SHOWN = 8
_KINDS = {"model": "a model here", "open_inference": "an Open Inference end point", "openai": "a chat end point"}


def route_attach(
    route: Path | str,
    places: Sequence[str] | Mapping[str, str] = (),
    *,
    tiers: Path | str | None = None,
    chat: Mapping[str, str] | None = None,
    key_env: Mapping[str, str] | None = None,
    timeout: Mapping[str, str] | None = None,
    output_dir: Path | str | None = None,
    trust: bool = False,
) -> Attached:
    """Say where the tiers of a route are, and write it again.

    Nothing is run or asked: models here are looked up, checked and their digests stored; URLs are taken as they are.

    Args:
        route: A route.yaml or its folder.
        places: Plan, ONNX file, model folder or URL by tier, or ``name=place`` each. A tier that has a place keeps it
            where none is named.
        tiers: A ``tiers.yaml`` that says the same and more (prompt, replicas, batches …); ``places`` win over it.
        chat: Name of the chat model by tier whose place is a URL that ends before ``/chat/completions``.
        key_env: Environment variable with the key of such a tier.
        timeout: After which the next tier is asked, by tier, for example ``5s``.
        output_dir: Gets the route and the files that it needs; None for the route's own folder.
        trust: Allows native artefacts that were not built on this machine.

    Raises:
        InputError: when a tier is unknown, has no place, or was calibrated as another model; when the policy that is
            followed needs what no server can compute.
        FarthingError: when a model is missing or of an unknown kind, or the disk is full.
    """
    path = Path(route) / ROUTE_FILE if Path(route).is_dir() else Path(route)
    found = read_route(path)
    words = [f"{name}={place}" for name, place in places.items()] if isinstance(places, Mapping) else list(places)
    wanted = Wanted(chat=chat or {}, key_env=key_env or {}, timeout=timeout or {})
    named = read_places(words, Path(tiers) if tiers else None, wanted, [tier.name for tier in found.tiers])
    for tier in named:
        if tier.kind != "model":
            check_address(tier.source, f"the tier {tier.name!r}")
            check_encrypted(tier.options.get("key_env", ""), tier.source, f"the tier {tier.name!r}")
    _refuse_unserved(found, path)
    out = path.parent if output_dir is None else Path(output_dir)
    done = _attached(found, named, path.parent, out, trust)
    _check_scores(done.route, path)
    _write(done.route, path.parent, out)
    return done


def _attached(route: Route, named: Sequence[NamedTier], folder: Path, out: Path, trust: bool) -> Attached:
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


def _check_same(tier: Tier, named: Mapping[str, NamedTier], models: Mapping[str, ServedModel], *, strict: bool) -> None:
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


def _placed(tier: Tier, place: NamedTier, models: Mapping[str, ServedModel], out: Path) -> Tier:
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


# — scores —————————————————————————————————————————————————————————————————————————————————————————————————————————


def _refuse_unserved(route: Route, path: Path) -> None:
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


def _check_scores(route: Route, path: Path) -> None:
    """Have every policy made ready as a server does, before anything is written."""
    predictors = {spec.name: read_predictor(spec, path.parent) for spec in route.scores}
    try:
        ladder_of(route, {name: found for name, found in predictors.items() if found is not None})
    except ValueError as e:
        raise InputError(f"{path} cannot be served: {e}", hint="calibrate again") from e


# — files ——————————————————————————————————————————————————————————————————————————————————————————————————————————


def _write(route: Route, folder: Path, out: Path) -> None:
    if out.absolute() != folder.absolute():
        for name in dict.fromkeys([*(spec.weights for spec in route.scores if spec.weights), OUTCOMES]):
            if (folder / name).is_file():
                write_bytes(out / name, (folder / name).read_bytes())
    write_route(route, out / ROUTE_FILE)
