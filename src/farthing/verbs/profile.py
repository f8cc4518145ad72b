"""``farthing profile``: what serves today, measured, priced and taken apart."""

from __future__ import annotations

from farthing.core.plan.assemble import assemble_baseline
from farthing.measure import campaign
from farthing.measure.baseline_score import baseline_score
from farthing.nouns import Baseline, Workload
from farthing.ports import Progress
from farthing.runs.opening import opened, provenance_of
from farthing.runs.options import USUAL, RunOptions
from farthing.runs.outputs import write_baseline

__all__ = ["profile"]


def profile(workload: Workload, *, options: RunOptions = USUAL, on_progress: Progress | None = None) -> Baseline:
    """Measure the baseline in every scenario, price it at the workload's arrivals, and profile its operators.

    Args:
        workload: What :func:`farthing.load_workload` returns.
        options: Its folder, ``farthing-out`` where none is named, gets baseline.yaml, measurements.parquet and
            trace.json (a Chrome trace).
        on_progress: Called as ``(stage, done, total, note)``.

    Raises:
        FarthingError: for bad input, before any work starts, and when the baseline cannot be measured.
    """
    with opened(workload, options, on_progress) as run:
        found = run.known.found = campaign.measure_baseline(run.bench)
        rate = found.sla_rps[found.baseline] or 0.0
        result = assemble_baseline(
            run.workload,
            found,
            run.market,
            run.arrivals.at(rate),
            provenance_of(run.bench, options.command or "farthing.profile(…)"),
            score=baseline_score(run.bench, found.baseline),
            assumptions=(*run.arrivals.assumptions(), *found.notes),
            description=run.bench.description(),
            by_utilisation=run.arrivals.by_utilisation(rate),
        )
        write_baseline(run.out, result)
    return result
