"""``farthing route evaluate``: what a router is worth on requests that it never saw, beside honest controls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from farthing.core.route.judging.evaluation import DRAWS, evaluate
from farthing.core.route.judging.reports import EvaluationReport
from farthing.core.route.policies import label
from farthing.errors import InputError
from farthing.load.route.settings import read_settings
from farthing.load.tables import TABLE_SUFFIXES
from farthing.measure.route.tier_answers import RunSettings
from farthing.ports import Progress
from farthing.runs.folders import alone_in
from farthing.runs.progress import or_silent
from farthing.runs.route.answers import forget_answers
from farthing.runs.route.evaluating import of_file, of_route, write_pictures

__all__ = ["route_evaluate"]


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
    on_progress: Progress | None = None,
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
        judged = of_file(path, asked, columns)
    else:
        judged = of_route(path, asked, columns, drop_known, run or RunSettings(), or_silent(on_progress), trust, out)
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
