"""``farthing route calibrate``: thresholds whose loss is proven, the cheapest of them, or plainly none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from farthing.core.route.judging.reports import CalibrationReport
from farthing.load.route.command import as_given
from farthing.load.route.settings import read_settings
from farthing.load.route.tiers import NamedTier
from farthing.load.tables import TABLE_SUFFIXES
from farthing.measure.route.tier_answers import RunSettings
from farthing.measure.workbench import Settings
from farthing.ports import Progress
from farthing.runs.folders import alone_in
from farthing.runs.progress import or_silent
from farthing.runs.route.answers import forget_answers
from farthing.runs.route.calibrating import (
    concluded,
    refuse_far,
    refuse_unused,
    tiers_asked,
    with_rate,
    write_calibration,
)
from farthing.runs.route.material import of_outcomes
from farthing.runs.route.tiers import of_tiers

__all__ = ["route_calibrate"]


@alone_in(lambda given: Path(given["output_dir"]))
def route_calibrate(
    source: Path | str | None = None,
    *,
    tiers: Sequence[str | NamedTier] = (),
    prices: Sequence[str] = (),
    columns: Mapping[str, tuple[str, str]] | None = None,
    output_dir: Path | str = "route",
    trust: bool = False,
    as_of: date | None = None,
    run: RunSettings | None = None,
    rate: Settings | None = None,
    on_progress: Progress | None = None,
    **settings: Any,
) -> CalibrationReport:
    """Choose a policy on one part of the requests, prove it on the other, write route.yaml.

    Where a latency is promised (``p99`` …) the route is served then, and the rate that it keeps is planned and proven.

    Args:
        source: A tiers.yaml, or a file of outcomes (then no tier is run); None when ``tiers`` says all.
        tiers: ``name=source`` each; they replace the file's.
        prices: ``name=0.001/request`` each.
        columns: Of a file of outcomes: quality and cost column by tier, None for ``quality:TIER``, ``cost_usd:TIER``.
        output_dir: Gets route.yaml, route.npz, outcomes.parquet and route.html; until then, answers of end points,
            so that an interrupted run does not pay for them again.
        trust: Allows native artefacts of tiers that were not built on this machine.
        as_of: Price with the prices of that day instead of today's.
        run: How much is measured.
        rate: How much is measured of the served route; its seed and trust are those given here.
        on_progress: Called as ``(stage, done, total, note)``.
        settings: Keys of :mod:`farthing.load.route.settings`: ``data max_loss confidence max_loss_of method p99`` …

    Raises:
        InputError: for bad input, before any work starts.
        FarthingError: when a tier fails, or the disk is full.
    """
    out, tell = Path(output_dir), or_silent(on_progress)
    path = None if source is None else Path(source)
    if path is not None and path.suffix.lower() in TABLE_SUFFIXES:
        asked = read_settings(settings)
        refuse_unused(path, tiers, prices, asked)
        material = of_outcomes(path, asked, columns)
    else:
        named, asked = tiers_asked(path, tiers, prices, settings)
        refuse_far(named, asked)
        measured = replace(run or RunSettings(), seed=asked.seed)
        material = of_tiers(named, asked, out, measured, tell, trust=trust, as_of=as_of)
    report = concluded(material, asked)
    given = as_given(path, tiers, prices, columns, settings, as_of=as_of, trust=trust, out=out)
    report = replace(report, route=replace(report.route, asked=given))
    write_calibration(out, material, report)
    forget_answers(out)
    if asked.latency is not None:
        report = with_rate(report, out, asked, replace(rate or Settings(), seed=asked.seed, trust=trust), tell)
    return report
