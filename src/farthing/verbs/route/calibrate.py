"""``farthing route calibrate``: thresholds whose loss is proven, the cheapest of them, or plainly none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from farthing.core.route.judging.reports import CalibrationReport
from farthing.load.route.command import as_given
from farthing.load.route.settings import read_settings
from farthing.load.route.task import RouteTask, task_of
from farthing.load.tables import TABLE_SUFFIXES
from farthing.ports import Progress
from farthing.runs.folders import alone_in
from farthing.runs.options import USUAL, RunOptions
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

FOLDER = "route"
"""Where a route is written when no folder is named."""


@alone_in(lambda given: given["options"].folder(FOLDER))
def route_calibrate(
    task: RouteTask | Path | str, *, options: RunOptions = USUAL, on_progress: Progress | None = None
) -> CalibrationReport:
    """Choose a policy on one part of the requests, prove it on the other, write route.yaml.

    Where a latency is promised (``p99`` …) the route is served then, and the rate that it keeps is planned and proven.

    Args:
        task: What is calibrated, or its tiers.yaml or file of outcomes alone.
        options: Its folder, ``route`` where none is named, gets route.yaml, route.npz, outcomes.parquet and route.html;
            until then answers of end points, so that an interrupted run does not pay for them again. Seed, trust, day
            of the prices; how much is measured of the tiers, and of the served route.
        on_progress: Called as ``(stage, done, total, note)``.

    Raises:
        InputError: for bad input, before any work starts.
        FarthingError: when a tier fails, or the disk is full.
    """
    out, tell, task = options.folder(FOLDER), or_silent(on_progress), task_of(task).seeded(options.seed)
    if task.path is not None and task.path.suffix.lower() in TABLE_SUFFIXES:
        asked = read_settings(task.settings)
        refuse_unused(task, asked)
        options = replace(options, seed=asked.seed)
        material = of_outcomes(task.path, asked, task.columns)
    else:
        named, asked = tiers_asked(task)
        refuse_far(named, asked)
        options = replace(options, seed=asked.seed)
        material = of_tiers(named, asked, out, options, tell)
    report = concluded(material, asked)
    given = as_given(task, as_of=options.as_of, trust=options.trust, out=out)
    report = replace(report, route=replace(report.route, asked=given))
    write_calibration(out, material, report)
    forget_answers(out)
    if asked.latency is not None:
        report = with_rate(report, out, asked, options, tell)
    return report
