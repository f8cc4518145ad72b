"""What a router is judged by, and the pictures of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from farthing.core.route.judging.curve import curve_policies, sensible_families
from farthing.core.route.judging.reports import EvaluationReport
from farthing.core.route.outcomes import OutcomeMatrix, take
from farthing.core.route.policies import FixedTier, Policy, follow
from farthing.core.route.routes import Route, policy_of
from farthing.core.route.watching.watch import would_count
from farthing.errors import InputError
from farthing.load.route.files import read_route
from farthing.load.route.settings import RouteSettings
from farthing.load.tables import TABLE_SUFFIXES, read_table
from farthing.ports import Progress
from farthing.render.route.page import evaluation_html, picture_png, picture_svg
from farthing.runs.options import RunOptions
from farthing.runs.route.judging import calibrated_outcomes, judged_file, judged_tiers
from farthing.runs.route.material import of_outcomes
from farthing.store.documents import write_bytes, write_text

__all__ = ["of_file", "of_route", "write_pictures"]


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


def write_pictures(report: EvaluationReport, out: Path) -> None:
    """evaluation.html, curve.svg and curve.png.

    Raises:
        StoreError: when the disk is full or the folder cannot be written.
    """
    write_text(out / "evaluation.html", evaluation_html(report))
    write_text(out / "curve.svg", picture_svg(report))
    write_bytes(out / "curve.png", picture_png(report))


def of_file(path: Path, asked: RouteSettings, columns: Mapping[str, tuple[str, str]] | None) -> _Judged:
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


def of_route(
    path: Path,
    asked: RouteSettings,
    columns: Mapping[str, tuple[str, str]] | None,
    drop_known: bool,
    options: RunOptions,
    tell: Progress,
    out: Path,
) -> _Judged:
    """Policies of a route and what they would follow, on requests that it never saw.

    Raises:
        InputError: when no requests were named.
        FarthingError: when they were in the calibration data, or a tier fails.
    """
    route = read_route(path)
    if asked.data is None:
        raise InputError(
            f"{path} is judged on requests, and none were named", hint="--data FILE: requests, or a file of outcomes"
        )
    known = calibrated_outcomes(path.parent)
    if columns or _is_outcomes(asked.data):
        matrix, notes = judged_file(route, path.parent, asked, columns, known, drop_known)
    else:
        matrix, notes = judged_tiers(route, path.parent, asked, known, drop_known, options, tell, out)
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
