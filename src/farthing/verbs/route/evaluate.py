"""``farthing route evaluate``: what a router is worth on requests that it never saw, beside honest controls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from farthing.core.route.judging.curve import curve_policies, sensible_families
from farthing.core.route.judging.evaluation import DRAWS, evaluate
from farthing.core.route.judging.reports import EvaluationReport
from farthing.core.route.outcomes import OutcomeMatrix, take
from farthing.core.route.policies import FixedTier, Policy, follow, label
from farthing.core.route.routes import Route, policy_of
from farthing.core.route.watching.watch import would_count
from farthing.errors import InputError
from farthing.load.route.files import read_route
from farthing.load.route.settings import RouteSettings, read_settings
from farthing.load.tables import TABLE_SUFFIXES, read_table
from farthing.measure.route.tier_answers import RunSettings
from farthing.render.route.page import evaluation_html, picture_png, picture_svg
from farthing.runs.folders import alone_in
from farthing.runs.opening import OnProgress
from farthing.runs.route.answers import forget_answers
from farthing.runs.route.judging import calibrated_outcomes, judged_file, judged_tiers
from farthing.runs.route.material import of_outcomes
from farthing.store.documents import write_bytes, write_text

__all__ = ["route_evaluate"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Judged:
    """Policies and the requests that judge them."""

    name: str
    policies: tuple[Policy, ...]
    matrix: OutcomeMatrix
    reference: str
    quality: str
    notes: tuple[str, ...]
    route: Route | None = None


@alone_in(lambda given: Path(given["output_dir"] or Path(given["source"]).parent))
def route_evaluate(
    source: Path | str,
    *,
    columns: Mapping[str, tuple[str, str]] | None = None,
    output_dir: Path | str | None = None,
    drop_known: bool = False,
    draws: int = DRAWS,
    trust: bool = False,
    run: RunSettings | None = None,
    on_progress: OnProgress = None,
    **settings: Any,
) -> EvaluationReport:
    """Judge a route on test data, or what a file of outcomes suggests on a part of it that nothing was chosen on.

    Args:
        source: A route.yaml (then ``data`` is needed: requests, or a file of outcomes), or a file of outcomes alone.
        columns: Of a file of outcomes: quality and cost column by tier, None for ``quality:TIER``, ``cost_usd:TIER``.
        output_dir: Gets evaluation.html, curve.svg and curve.png; None for the folder of ``source``.
        drop_known: Leave out requests that the route was calibrated on, instead of refusing them.
        draws: Of the bootstrap, ≥ 100.
        trust: Allows native artefacts of tiers that were not built on this machine.
        run: How tiers are run.
        on_progress: Called as ``(stage, done, total, note)``.
        settings: ``data labels text_column label_column id_column segment_column reference confidence seed``.

    Raises:
        InputError: for bad input, before any work starts.
        FarthingError: when a tier fails, or the disk is full.
    """
    path, asked = Path(source), read_settings(settings)
    out = Path(output_dir) if output_dir is not None else path.parent
    if path.suffix.lower() in TABLE_SUFFIXES:
        if asked.data is not None:
            raise InputError(f"{path} holds outcomes; --data belongs to a route.yaml")
        judged = _of_file(path, asked, columns)
    else:
        judged = _of_route(path, asked, columns, drop_known, run or RunSettings(), on_progress, trust, out)
    evaluation = evaluate(
        judged.policies,
        judged.matrix,
        np.random.default_rng([asked.seed, 2]),
        draws=draws,
        confidence=asked.confidence,
    )
    route = judged.route
    report = EvaluationReport(
        name=judged.name,
        evaluation=evaluation,
        followed=label(judged.policies[0]) if route else "",
        max_loss_frac=route.max_loss_frac if route else None,
        reference=judged.reference,
        quality=judged.quality,
        currency=route.currency if route else "usd",
        notes=judged.notes,
    )
    write_pictures(report, out)
    forget_answers(out)
    return report


def write_pictures(report: EvaluationReport, out: Path) -> None:
    """evaluation.html, curve.svg and curve.png.

    Raises:
        StoreError: when the disk is full or the folder cannot be written.
    """
    write_text(out / "evaluation.html", evaluation_html(report))
    write_text(out / "curve.svg", picture_svg(report))
    write_bytes(out / "curve.png", picture_png(report))


def _of_file(path: Path, asked: RouteSettings, columns: Mapping[str, tuple[str, str]] | None) -> _Judged:
    """Policies chosen on one part of the file, judged on the other."""
    material = of_outcomes(path, asked, columns)
    choose, judge = take(material.matrix, material.choose), take(material.matrix, ~material.choose)
    families, left_out = sensible_families(choose, reference=material.reference)
    policies = curve_policies(choose, families, reference=material.reference)
    notes = (*material.assumptions, *([left_out] if left_out else []))
    if not policies:
        policies = tuple(FixedTier(tier=tier) for tier in choose.tiers)
    return _Judged(
        name=path.name,
        policies=policies,
        matrix=judge,
        reference=material.reference,
        quality=material.quality,
        notes=notes,
    )


def _of_route(
    path: Path,
    asked: RouteSettings,
    columns: Mapping[str, tuple[str, str]] | None,
    drop_known: bool,
    run: RunSettings,
    on_progress: OnProgress,
    trust: bool,
    out: Path,
) -> _Judged:
    route = read_route(path)
    if asked.data is None:
        raise InputError(
            f"{path} is judged on requests, and none were named", hint="--data FILE: requests, or a file of outcomes"
        )
    known = calibrated_outcomes(path.parent)
    if columns or _is_outcomes(asked.data):
        matrix, notes = judged_file(route, path.parent, asked, columns, known, drop_known)
    else:
        run = replace(run, seed=asked.seed)
        matrix, notes = judged_tiers(route, path.parent, asked, known, drop_known, run, on_progress, trust, out)
    followed = FixedTier(tier=route.reference) if route.chosen is None else policy_of(route.ladder[route.chosen].policy)
    below = int((follow(followed, matrix).tier != matrix.tier(route.reference)).sum())
    watched = () if route.chosen is None else (would_count(route.monitoring, below, matrix.n, route.reference),)
    ladder = [policy_of(rung.policy) for rung in route.ladder]
    curve = _curve(known.matrix, matrix, route) if known else ()
    policies = dict.fromkeys((followed, *ladder, *curve))
    return _Judged(
        name=route.name,
        policies=tuple(policies),
        matrix=matrix,
        reference=route.reference,
        quality=route.quality,
        notes=(*notes, *watched),
        route=route,
    )


def _is_outcomes(path: Path) -> bool:
    return path.suffix.lower() in TABLE_SUFFIXES and any(n.startswith("quality:") for n in read_table(path).columns)


def _curve(choose: OutcomeMatrix, test: OutcomeMatrix, route: Route) -> tuple[Policy, ...]:
    """The curve that the calibration data suggest, by the scores that the test data have."""
    if set(choose.tiers) != set(test.tiers):
        return ()
    plain = replace(choose, scores={name: s for name, s in choose.scores.items() if name in test.scores})
    families, _ = sensible_families(plain, reference=route.reference)
    return curve_policies(plain, families, reference=route.reference)
