"""``farthing route evaluate``: what a router is worth on requests that it never saw, beside honest controls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from farthing.core.route.judging.evaluation import DRAWS, evaluate
from farthing.core.route.judging.reports import EvaluationReport
from farthing.core.route.policies import label
from farthing.errors import InputError
from farthing.load.route.settings import read_settings
from farthing.load.route.task import RouteTask, source_alone, task_of
from farthing.load.tables import TABLE_SUFFIXES
from farthing.ports import Progress
from farthing.runs.folders import alone_in
from farthing.runs.options import USUAL, RunOptions
from farthing.runs.progress import or_silent
from farthing.runs.route.answers import forget_answers
from farthing.runs.route.evaluating import of_file, of_route, write_pictures

__all__ = ["route_evaluate"]


@alone_in(lambda given: given["options"].folder(source_alone(given["task"]).parent))
def route_evaluate(
    task: RouteTask | Path | str,
    *,
    drop_known: bool = False,
    draws: int = DRAWS,
    options: RunOptions = USUAL,
    on_progress: Progress | None = None,
) -> EvaluationReport:
    """Judge a route on test data, or what a file of outcomes suggests on a part of it that nothing was chosen on.

    Args:
        task: A route.yaml and, as its ``data``, requests or a file of outcomes; or a file of outcomes alone. Of the
            settings ``data labels text_column label_column id_column segment_column reference confidence seed free``
            count.
        drop_known: Leave out requests that the route was calibrated on, instead of refusing them.
        draws: Of the bootstrap, ≥ 100.
        options: Its folder, that of the source where none is named, gets evaluation.html, curve.svg and curve.png.
            Seed, trust, how tiers are run.
        on_progress: Called as ``(stage, done, total, note)``.

    Raises:
        InputError: for bad input, before any work starts.
        FarthingError: when a tier fails, or the disk is full.
    """
    path, task = source_alone(task), task_of(task).seeded(options.seed)
    asked, out = read_settings(task.settings), options.folder(path.parent)
    if path.suffix.lower() in TABLE_SUFFIXES:
        if asked.data is not None:
            raise InputError(f"{path} holds outcomes; --data belongs to a route.yaml")
        judged = of_file(path, asked, task.columns)
    else:
        options, tell = replace(options, seed=asked.seed), or_silent(on_progress)
        judged = of_route(path, asked, task.columns, drop_known, options, tell, out)
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
