"""Test requests as outcomes of a route's tiers, with the scores that its policies name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from farthing.core.route.attaching import of_outcomes
from farthing.core.route.outcomes import Floats, OutcomeMatrix, Score, take
from farthing.core.route.routes import Route, ScoreSpec, Tier
from farthing.core.route.scoring.all_scores import compute
from farthing.core.route.scoring.predictors import Logistic
from farthing.core.route.scoring.ridge import LossRidge
from farthing.core.route.scoring.texts import text_features
from farthing.core.route.scoring.trained import PerUsd
from farthing.errors import DataError, InputError
from farthing.load.route.files import check_tier, read_predictor
from farthing.load.route.outcomes import OutcomeFile, read_outcomes
from farthing.load.route.requests import fingerprint_of_text, known_rows
from farthing.load.route.settings import RouteSettings
from farthing.load.route.tiers import NamedTier
from farthing.ports import Progress
from farthing.runs.options import RunOptions
from farthing.runs.route.material import PARTS, plainly_named
from farthing.runs.route.tiers import Answered, answered, found_models, quality_of, requests_of
from farthing.store.routes import OUTCOMES

__all__ = ["Known", "calibrated_outcomes", "judged_file", "judged_tiers"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """What lies beside a route about its calibration.

    Attributes:
        matrix: The choosing part, scores by their own names.
        ids: Of all its requests; empty where the file gave none.
        fingerprints: Of all its requests, empty when unknown.
    """

    matrix: OutcomeMatrix
    ids: tuple[str, ...]
    fingerprints: tuple[str, ...]


def calibrated_outcomes(folder: Path) -> Known | None:
    """Read outcomes.parquet beside a route, None when it is not there.

    Raises:
        DataError: when it cannot be read.
    """
    path = folder / OUTCOMES
    if not path.is_file():
        return None
    file = read_outcomes(path)
    columns = file.table.columns
    part = np.array([word == PARTS[0] for word in columns.get("part", [PARTS[0]] * file.matrix.n)])
    ids = file.matrix.request_ids
    own = not all(name.startswith(("line ", "sample ")) for name in ids)
    return Known(
        matrix=plainly_named(take(file.matrix, part)),
        ids=ids if own else (),
        fingerprints=tuple(columns.get("fingerprint", ())),
    )


def judged_file(
    route: Route,
    folder: Path,
    asked: RouteSettings,
    columns: Mapping[str, tuple[str, str]] | None,
    known: Known | None,
    drop_known: bool,
) -> tuple[OutcomeMatrix, tuple[str, ...]]:
    """Outcomes of a file, checked against the route.

    Raises:
        DataError: when a tier or a score of the route is missing, or requests were in the calibration data.
    """
    assert asked.data is not None
    file = read_outcomes(
        asked.data,
        columns=columns,
        id_column=asked.id_column,
        text_column=asked.text_column,
        segment_column=asked.segment_column,
        free=(*asked.free, *(value for option, value in route.asked if option == "--free")),
    )
    names = [tier.name for tier in route.tiers]
    missing = [name for name in names if name not in file.matrix.tiers]
    if missing:
        raise DataError(f"{asked.data} has no outcomes of the tier {missing[0]!r}", hint=f"tiers: {', '.join(names)}")
    marks = tuple(map(fingerprint_of_text, file.texts)) if file.texts is not None else ()
    rows, said = _fresh(file.matrix.request_ids, marks, known, drop_known, file.source)
    order = [file.matrix.tier(name) for name in names]
    matrix = OutcomeMatrix(
        request_ids=file.matrix.request_ids,
        tiers=tuple(names),
        quality=file.matrix.quality[:, order],
        cost_usd=file.matrix.cost_usd[:, order],
        segments=file.matrix.segments,
        scores=_scores_of(route, folder, file),
    )
    return take(matrix, rows), said


def _scores_of(route: Route, folder: Path, file: OutcomeFile) -> dict[str, Score]:
    """Scores of the file by the route's names; those of the text alone are computed where the file has texts."""
    given = plainly_named(file.matrix).scores
    found = {}
    for spec in route.scores:
        if spec.name in given:
            values = given[spec.name].values
        elif spec.kind == "given" and spec.per_usd_of and (known := _per_usd(spec, folder, file, given)) is not None:
            values = known
        elif spec.kind != "given" and not spec.needs and file.texts is not None:
            values = compute(spec, (), file.texts, read_predictor(spec, folder))
        elif spec.weights and spec.features and not spec.per_usd_of and set(spec.features) <= set(file.feature_names):
            values = _by_features(spec, folder, file)
        else:
            raise DataError(
                f"{file.source} has no score {spec.name!r}, which the route follows",
                hint=f"a column score:{spec.name}, or requests for the tiers to answer",
            )
        found[spec.name] = Score(values=values, needs=spec.needs, cost_usd=spec.cost_usd)
    return found


def _per_usd(spec: ScoreSpec, folder: Path, file: OutcomeFile, given: Mapping[str, Score]) -> Floats | None:
    """The form per dollar saved of a score that came with the data; None where the file lacks what it reads."""
    fitted = read_predictor(spec, folder)
    assert isinstance(fitted, PerUsd)
    if spec.features:
        if not set(spec.features) <= set(file.feature_names):
            return None
        assert isinstance(fitted.base, Logistic)
        table = file.features[:, [file.feature_names.index(name) for name in spec.features]]
        return fitted.score(fitted.base.score(table), table)
    if spec.per_usd_of not in given or file.texts is None:
        return None
    return fitted.score(given[spec.per_usd_of].values, text_features(file.texts))


def _by_features(spec: ScoreSpec, folder: Path, file: OutcomeFile) -> Floats:
    """A predictor of the features that outcome files bring along."""
    predictor = read_predictor(spec, folder)
    assert isinstance(predictor, Logistic | LossRidge)
    return predictor.score(file.features[:, [file.feature_names.index(name) for name in spec.features]])


def judged_tiers(
    route: Route,
    folder: Path,
    asked: RouteSettings,
    known: Known | None,
    drop_known: bool,
    options: RunOptions,
    tell: Progress,
    out: Path,
) -> tuple[OutcomeMatrix, tuple[str, ...]]:
    """Let the route's tiers answer test requests; costs are those of the calibration, answers of URLs kept in ``out``.

    Raises:
        DataError: when requests were in the calibration data, or labels are missing where the route has them.
        FarthingError: when a tier fails.
    """
    if of_outcomes(route):
        given = next((spec.name for spec in route.scores if not spec.servable), None)
        by = "" if given is None else f" and its score {given!r}"
        cannot = (
            "what its tiers answer has no such quality"
            if all(t.source for t in route.tiers)
            else "its tiers cannot be run"
        )
        raise InputError(
            f"the route rests on a file of outcomes{by}: {cannot}",
            hint="--data names a file of outcomes with the same tiers and scores",
        )
    named = [_named(tier, folder, route) for tier in route.tiers]
    models = found_models(named, options.trust)
    for tier in route.tiers:
        if tier.name in models:
            check_tier(tier, models[tier.name])
    requests = requests_of(asked, models)
    if route.quality == "accuracy" and requests.dataset.labels is None:
        raise DataError(
            f"the route promises accuracy, and {asked.data} has no labels", hint="--label-column NAME, or --labels FILE"
        )
    ids = requests.ids if requests.own_ids else ()
    rows, said = _fresh(ids, requests.fingerprints, known, drop_known, requests.dataset.source)
    once = replace(options, tiers=replace(options.tiers, rounds=1))
    got = answered(named, models, requests, once, tell, out)
    n = requests.dataset.n
    matrix = OutcomeMatrix(
        request_ids=requests.ids,
        tiers=tuple(tier.name for tier in route.tiers),
        quality=quality_of(got, route.reference),
        cost_usd=np.tile([tier.usd_per_request for tier in route.tiers], (n, 1)),
        segments=requests.segments,
        scores=_computed(route, folder, got),
    )
    notes = (*requests.notes, *said, "what a request costs at a tier is as measured when the route was calibrated")
    return take(matrix, rows), notes


def _named(tier: Tier, folder: Path, route: Route) -> NamedTier:
    read = (s.output for s in route.scores if s.kind == "neighbours" and s.needs == (tier.name,))
    return NamedTier(
        name=tier.name,
        kind=tier.kind,
        source=str(folder / tier.source) if tier.kind == "model" else tier.source,
        model=tier.model,
        timeout_s=tier.timeout_s,
        embedding=next(read, ""),
        replicas=tier.replicas,
        options=tier.options,
    )


def _computed(route: Route, folder: Path, got: Answered) -> dict[str, Score]:
    found = {}
    for spec in route.scores:
        predictor = read_predictor(spec, folder)
        values = compute(spec, [got.answers[t] for t in spec.needs], got.requests.texts, predictor)
        found[spec.name] = Score(values=values, needs=spec.needs, cost_usd=spec.cost_usd)
    return found


def _fresh(
    ids: Sequence[str], marks: Sequence[str], known: Known | None, drop_known: bool, source: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Mask of requests that the route was not calibrated on.

    Raises:
        DataError: when there are others and they are not to be dropped, or nothing is left.
    """
    n = max(len(ids), len(marks))
    if known is None:
        return np.ones(n, dtype=bool), (
            f"there is no {OUTCOMES} beside the route: it was not checked that these requests are new to it",
        )
    seen = known_rows(ids, marks, known.ids, known.fingerprints)
    if not seen.any():
        return np.ones(n, dtype=bool), ()
    first = int(np.argmax(seen))
    shown = ids[first] if ids else f"request {first + 1}"
    if not drop_known:
        raise DataError(
            f"{int(seen.sum()):,} of {n:,} requests in {source} were in the calibration data (same id or content), the "
            f"first is {shown}",
            hint="a route is judged on requests that it never saw; --drop-known leaves them out",
        )
    if seen.all():
        raise DataError(f"all {n:,} requests in {source} were in the calibration data", hint="give other requests")
    return ~seen, (f"{int(seen.sum()):,} of {n:,} requests were in the calibration data and are left out",)
