"""A calibration: what was asked, what is concluded, what is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from farthing.core.route.calibrating.assembling import assembled
from farthing.core.route.calibrating.calibration import Calibration, calibrate
from farthing.core.route.calibrating.certification import LossLimit
from farthing.core.route.calibrating.families import Family
from farthing.core.route.judging.curve import curve_policies, sensible_families
from farthing.core.route.judging.evaluation import RouterEvaluation, evaluate
from farthing.core.route.judging.reports import CalibrationReport, EvaluationReport
from farthing.core.route.outcomes import OutcomeMatrix, take
from farthing.core.route.policies import label
from farthing.core.route.rate_planning import answered_elsewhere
from farthing.errors import DataError, InputError
from farthing.load.route.settings import RouteSettings, read_settings
from farthing.load.route.task import RouteTask
from farthing.load.route.tiers import NamedTier, check_tiers, priced, read_tiers_file, tier_of_flag
from farthing.load.schema import kind_of
from farthing.load.tables import TABLE_SUFFIXES
from farthing.ports import Progress
from farthing.render.route.page import calibration_html
from farthing.runs.options import RunOptions
from farthing.runs.route.material import WEIGHTS, Material
from farthing.runs.route.rate import planned, refuse_unserved, sent
from farthing.store.documents import write_text
from farthing.store.routes import OUTCOMES, write_outcomes, write_route, write_weights

__all__ = ["concluded", "refuse_far", "refuse_unused", "tiers_asked", "with_rate", "write_calibration"]


def with_rate(
    report: CalibrationReport, out: Path, asked: RouteSettings, options: RunOptions, tell: Progress
) -> CalibrationReport:
    """The last step: the written route is served, its rate planned, proven and written."""
    assert asked.latency is not None
    route, path = report.route, out / "route.yaml"
    requests = replace(sent(route, out, asked), calibrated=True)
    found = planned(path, route, asked.latency, requests, options, tell)
    report = replace(report, route=replace(route, planned_rate=found))
    write_text(out / "route.html", calibration_html(report))
    write_route(report.route, path)
    return report


def concluded(material: Material, asked: RouteSettings) -> CalibrationReport:
    """Choose, prove, and say what was found."""
    choose, prove = take(material.matrix, material.choose), take(material.matrix, ~material.choose)
    _refuse_one_sided(choose, material.reference)
    families, left_out = sensible_families(choose, reference=material.reference)
    found = _calibrated(choose, prove, material, families, asked)
    assumptions = tuple(filter(None, (*material.assumptions, left_out)))
    route = assembled(
        found,
        prove,
        name=asked.name,
        tiers=material.tiers,
        scores=material.specs,
        quality=material.quality,
        audit_frac=asked.audit_frac,
        disagreed=None if material.disagreed is None else material.disagreed[~material.choose],
        classes=material.classes,
        assumptions=assumptions,
        currency=material.currency,
    )
    judged = EvaluationReport(
        name=route.name,
        evaluation=_judged(found, choose, prove, families, asked),
        followed=label(found.chosen),
        max_loss_frac=route.max_loss_frac,
        reference=route.reference,
        quality=route.quality,
        currency=material.currency,
        notes=assumptions,
    )
    return CalibrationReport(route=route, compared=found.compared, judged=judged, n_choose=choose.n)


def refuse_far(named: Sequence[NamedTier], asked: RouteSettings) -> None:
    """Refuse a promise of latency that cannot be proven here, before any tier is asked."""
    if asked.latency is None:
        return
    why = answered_elsewhere([t.name for t in named if t.kind != "model" or any(r.url for r in t.replicas)])
    if why:
        raise InputError(
            f"{asked.latency.name} ≤ {asked.latency.ms:g} ms is promised, and {why}",
            hint=f"leave {asked.latency.flag} out: the route is calibrated all the same, without a planned rate",
        )
    refuse_unserved()


def refuse_unused(task: RouteTask, asked: RouteSettings) -> None:
    """Refuse what a file of outcomes has no use for.

    Raises:
        InputError: in words.
    """
    path = task.path
    if task.tiers or task.prices:
        raise InputError(f"{path} holds outcomes: tiers and prices are those of the file", hint="leave --tier out")
    if asked.data is not None:
        raise InputError(f"{path} holds outcomes: no tier is run, and --data has no use", hint="leave --data out")
    if asked.latency is not None:
        raise InputError(
            f"{path} holds outcomes: there is nothing to serve, so that no rate can be planned",
            hint=f"leave {asked.latency.flag} out; name places with `farthing route attach`, then "
            f"`farthing route plan-rate {asked.latency.flag} {asked.latency.ms:g}ms`",
        )


def tiers_asked(task: RouteTask) -> tuple[tuple[NamedTier, ...], RouteSettings]:
    """Tiers and settings of a tiers.yaml and of the task, which win."""
    path = task.path
    named: tuple[NamedTier, ...] = ()
    in_file: Mapping[str, Any] = {}
    if path is not None:
        _refuse_other(path)
        file = read_tiers_file(path)
        named, in_file = file.tiers, file.settings
    asked = read_settings(task.settings, in_file, path.parent if path else None)
    if task.tiers:
        named = tuple(t if isinstance(t, NamedTier) else tier_of_flag(t) for t in task.tiers)
    if asked.free:
        raise InputError("free names tiers of a file of outcomes; tiers that are run have a price", hint="leave it out")
    named = priced(named, task.prices)
    check_tiers(named)
    return named, asked


def _refuse_other(path: Path) -> None:
    if path.suffix.lower() not in (".yaml", ".yml", ".json") or (path.is_file() and kind_of(path) not in ("tiers", "")):
        raise InputError(
            f"{path} is neither a tiers.yaml nor a file of outcomes",
            hint=f"a tiers.yaml names tiers; outcomes are a table ({', '.join(TABLE_SUFFIXES)})",
        )


def _refuse_one_sided(choose: OutcomeMatrix, reference: str) -> None:
    """Refuse requests on which every tier does alike: nothing could be learned or lost."""
    quality = choose.quality[:, choose.tier(reference)]
    if (choose.quality == choose.quality[0, 0]).all():
        raise DataError(
            f"every tier has the quality {quality[0]:g} on all {choose.n:,} choosing requests",
            hint="labels and tiers may not belong together; look at a few answers",
        )


def _calibrated(
    choose: OutcomeMatrix, prove: OutcomeMatrix, material: Material, families: Sequence[Family], asked: RouteSettings
) -> Calibration:
    limit = LossLimit(max_loss_frac=asked.max_loss_frac, confidence=asked.confidence, by_segment=asked.by_segment)
    return calibrate(
        choose,
        prove,
        limit=limit,
        reference=material.reference,
        families=families,
        method=asked.method,
        procedure=asked.procedure,
        least_saving_frac=asked.min_saving_frac,
        seed=asked.seed,
    )


def _judged(
    found: Calibration, choose: OutcomeMatrix, prove: OutcomeMatrix, families: Sequence[Family], asked: RouteSettings
) -> RouterEvaluation:
    """The followed policy and the curve on the proving part: the curve was chosen on the other."""
    curve = curve_policies(choose, families, reference=found.reference)
    policies = [found.chosen, *(p for p in curve if p != found.chosen)]
    return evaluate(policies, prove, np.random.default_rng([asked.seed, 2]), confidence=asked.confidence)


def write_calibration(out: Path, material: Material, report: CalibrationReport) -> None:
    """Write the route, its weights, the outcomes that it rests on and its page.

    Raises:
        StoreError: when the disk is full or the folder cannot be written.
    """
    route = report.route
    used = {spec.name for spec in route.scores}
    kept = {name: predictor for name, predictor in material.predictors.items() if name in used}
    if kept:
        write_weights(out / WEIGHTS, kept)
    write_outcomes(out / OUTCOMES, material.matrix, texts=material.texts, marks=material.marks)
    write_text(out / "route.html", calibration_html(report))
    write_route(route, out / "route.yaml")
