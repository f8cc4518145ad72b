"""Routes as files. A received route is data: nothing in it is imported or run."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farthing.codec import to_plain
from farthing.core.route.routes import Route, RoutedPolicy, ScoreSpec, Tier, policy_of
from farthing.core.route.scoring.predictors import Logistic, Neighbours
from farthing.core.route.scoring.ridge import LossRidge
from farthing.core.route.scoring.texts import TEXT_FEATURES
from farthing.core.route.scoring.trained import Embedded, PerUsd, PlainPredictor, Predictor
from farthing.core.route.scoring.words import BUCKETS
from farthing.errors import InputError, SchemaError
from farthing.load.schema import read_noun
from farthing.models.digests import digest
from farthing.models.embedders import open_embedder
from farthing.models.onnx_files import check_external_data
from farthing.nouns import LocalModel

__all__ = ["Predictor", "check_tier", "read_predictor", "read_route", "tier_digest"]

_RIDGES = ("text_ridge", "word_ridge", "embedding_ridge")
_NEIGHBOURS = ("neighbours", "embedding_neighbours")
_IS_RIDGE = "_ridge"
_MAX_MIB = 1024


def read_route(path: Path | str) -> Route:
    """Read a route as ``farthing route calibrate`` wrote it, and check that it hangs together.

    Raises:
        InputError: when the file is missing or unreadable.
        SchemaError: when it is no route, has a newer version, keys are missing, unknown or of the wrong type, or a
            policy names a tier or a score that the route does not have.
    """
    route = read_noun(Path(path), "route", Route, written_by="farthing route calibrate")
    problem = _problem(route)
    if problem:
        raise SchemaError(f"{path}: {problem}", hint="it is written by `farthing route calibrate`")
    return route


def _problem(route: Route) -> str:
    """What does not hang together, in words; empty when all does."""
    tiers, scores = [t.name for t in route.tiers], {s.name: s for s in route.scores}
    if not tiers or len(set(tiers)) != len(tiers):
        return f"tiers must be there and differ, are {', '.join(tiers) or 'none'}"
    if route.reference not in tiers:
        return f"the reference {route.reference!r} is no tier; there are {', '.join(tiers)}"
    if route.chosen is not None and not 0 <= route.chosen < len(route.ladder):
        return f"chosen is {route.chosen}; the ladder has {len(route.ladder)} rungs"
    wrong = next(
        (f"score {s.name!r} needs the unknown tier {t!r}" for s in route.scores for t in s.needs if t not in tiers), ""
    )
    if wrong:
        return wrong
    for k, rung in enumerate(route.ladder):
        wrong = _wrong_policy(rung.policy, tiers, list(scores))
        if wrong:
            return f"rung {k}: {wrong}"
    return ""


def _wrong_policy(policy: RoutedPolicy, tiers: list[str], scores: list[str]) -> str:
    try:
        policy_of(policy)
    except ValueError as e:
        return str(e)
    named = (*policy.tiers, *([policy.otherwise] if policy.otherwise else []))
    tier = next((t for t in named if t not in tiers), None)
    score = next((s for s in policy.scores if s not in scores), None)
    return f"unknown tier {tier!r}" if tier else f"unknown score {score!r}" if score else ""


def tier_digest(model: LocalModel) -> str:
    """SHA-256 of what decides a tier's answers, with the number of this formula before it.

    Its file or folder, weights that lie beside it, its tokenizer, how requests become tensors, the classes' names.
    """
    pipeline = {k: v for k, v in to_plain(model.pipeline).items() if k != "tokenizer"}
    said = json.dumps([pipeline, list(model.classes)], sort_keys=True)
    return f"2:{hashlib.sha256(f'{_files_digest(model)} {said}'.encode()).hexdigest()}"


def _files_digest(model: LocalModel) -> str:
    """Of the files alone: what routes had before."""
    parts = [digest(model.path)]
    if model.path.suffix == ".onnx" and model.path.is_file():
        parts += [digest(path) for path in check_external_data(model.path)]
    if model.pipeline.tokenizer is not None:
        parts.append(digest(Path(model.pipeline.tokenizer)))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def check_tier(tier: Tier, model: LocalModel) -> None:
    """Refuse a tier that was changed since the route was calibrated: nothing that was proven holds for it.

    Raises:
        InputError: naming the tier.
    """
    now = tier_digest(model) if tier.sha256.startswith("2:") else _files_digest(model)
    if tier.sha256 and now != tier.sha256:
        raise InputError(
            f"the tier {tier.name!r} ({model.path}) was changed since the route was calibrated: what was proven does "
            "not hold for it",
            hint="calibrate again, or bring the model and its tokenizer back",
        )


def read_predictor(spec: ScoreSpec, folder: Path) -> Predictor | None:
    """The trained part of a score, None for a score that has none.

    Args:
        spec: Its ``weights`` name a file in the route's folder; arrays are called after the score:
            ``NAME/weights`` and ``NAME/intercept`` of a logistic predictor, ``NAME/floor`` and ``NAME/idf`` besides
            of a ridge, ``NAME/directions``, ``NAME/sufficient`` and ``NAME/k`` of neighbours; of a form per dollar
            saved ``NAME/per_usd_scores``, ``…_losses``, ``…_weights``, ``…_intercept`` and ``…_floor`` and, where its
            plain score is learned, that one's under the same name.
        folder: Of the route.

    Raises:
        SchemaError: when the file is missing, unreadable, outside the folder, or lacks an array.
    """
    if not spec.weights:
        return None
    path = (folder / spec.weights).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise SchemaError(f"score {spec.name!r}: weights {spec.weights} lie outside the route's folder {folder}")
    return _per_usd(spec, path) if spec.per_usd_of else _plain(spec, path)


def _per_usd(spec: ScoreSpec, path: Path) -> PerUsd:
    names = [f"{spec.name}/per_usd_{part}" for part in ("scores", "losses", "weights", "intercept", "floor")]
    scores, losses, weights, intercept, floor = _arrays(path, names)
    wide = len(spec.features) if spec.kind == "given" and spec.features else len(TEXT_FEATURES)
    shapes = (losses.shape, weights.shape, intercept.shape, floor.shape)
    if scores.ndim != 1 or not scores.size or shapes != (scores.shape, (wide,), (), ()) or not floor > 0:
        raise SchemaError(
            f"score {spec.name!r}: its arrays have the shapes {(scores.shape, *shapes)}, not those of {wide} features",
            hint="calibrate again",
        )
    if (np.diff(scores) <= 0).any():
        raise SchemaError(f"score {spec.name!r}: the corners of its expected loss do not rise", hint="calibrate again")
    learned = spec.kind in ("logistic", *_NEIGHBOURS) or (spec.kind == "given" and bool(spec.features))
    base = _plain(spec, path) if learned else None
    return PerUsd(
        base=base, scores=scores, losses=losses, weights=weights, intercept=float(intercept), floor=float(floor)
    )


def _plain(spec: ScoreSpec, path: Path) -> PlainPredictor:
    ridge = spec.kind in _RIDGES or (spec.kind == "given" and _IS_RIDGE in spec.name)
    wanted: tuple[str, ...] = ("weights", "intercept", "floor", "idf") if ridge else ("weights", "intercept")
    if spec.kind in _NEIGHBOURS:
        wanted = ("directions", "sufficient", "k")
    found = dict(zip(wanted, _arrays(path, [f"{spec.name}/{name}" for name in wanted]), strict=True))
    if spec.kind in _NEIGHBOURS:
        near = Neighbours(directions=found["directions"], sufficient=found["sufficient"], k=int(found["k"]))
        return _embedded(spec, near) if spec.embedder else near
    if ridge:
        return _embedded(spec, _ridge(spec, found)) if spec.embedder else _ridge(spec, found)
    return Logistic(weights=found["weights"], intercept=float(found["intercept"]))


def _embedded(spec: ScoreSpec, predictor: LossRidge | Neighbours) -> Embedded:
    """With the embedder that it was fitted with.

    Raises:
        InputError: when the embedder is missing, or was changed.
    """
    found = open_embedder(spec.embedder)
    if found.sha256 != spec.embedder_sha256:
        raise InputError(
            f"the embedder {spec.embedder} of the score {spec.name!r} was changed since the route was calibrated",
            hint="calibrate again, or bring its model and its tokenizer back",
        )
    return Embedded(predictor=predictor, embed=found.embed)


def _ridge(spec: ScoreSpec, found: Mapping[str, NDArray[np.float64]]) -> LossRidge:
    weights, intercept, idf, floor = found["weights"], found["intercept"], found["idf"], found["floor"]
    wide = BUCKETS if spec.kind == "word_ridge" else len(spec.features)
    if spec.kind == "embedding_ridge":
        wide = weights.shape[-1] if weights.ndim else 0
    words = BUCKETS if spec.kind == "word_ridge" else 0
    shapes = (weights.shape, intercept.shape, idf.shape, floor.shape)
    if shapes != ((2, wide), (2,), (words,), ()) or floor < 0:
        raise SchemaError(
            f"score {spec.name!r}: its arrays have the shapes {shapes}, not those of {wide} features",
            hint="calibrate again",
        )
    return LossRidge(weights=weights, intercept=intercept, floor=float(floor), idf=idf)


def _arrays(path: Path, names: list[str]) -> list[NDArray[np.float64]]:
    hint = "copy the whole folder, not route.yaml alone"
    try:
        if path.stat().st_size > _MAX_MIB * 2**20:
            raise SchemaError(f"{path} is larger than {_MAX_MIB:,} MiB")
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in names if name not in file]
            if missing:
                raise SchemaError(f"{path} has no array {missing[0]!r}", hint=hint)
            arrays = [np.asarray(file[name], dtype=np.float64) for name in names]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as e:
        raise SchemaError(f"cannot read the weights {path}: {e}", hint=hint) from e
    bad = next((name for name, array in zip(names, arrays, strict=True) if not np.isfinite(array).all()), None)
    if bad:
        raise SchemaError(f"{path}: {bad} holds numbers that are not finite", hint="calibrate again")
    return arrays
