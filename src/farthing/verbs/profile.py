"""``farthing profile``: what serves today, measured, priced and taken apart."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from farthing.core.plan.assemble import assemble_baseline
from farthing.measure import campaign
from farthing.measure.workbench import Settings
from farthing.nouns import Baseline, Workload
from farthing.ports import Progress
from farthing.runs.opening import opened, provenance_of
from farthing.runs.outputs import write_baseline

__all__ = ["profile"]


def profile(
    workload: Workload,
    *,
    output_dir: Path | str = "farthing-out",
    settings: Settings | None = None,
    as_of: date | None = None,
    max_price_age_days: int = 180,
    fresh: bool = False,
    command: str = "farthing.profile(…)",
    on_progress: Progress | None = None,
) -> Baseline:
    """Measure the baseline in every scenario, price it at the workload's arrivals, and profile its operators.

    Args:
        workload: What :func:`farthing.load_workload` returns.
        output_dir: Where baseline.yaml, measurements.parquet and trace.json (a Chrome trace) go.
        settings: How much is measured.
        as_of: Price with the prices of that day.
        max_price_age_days: Older prices raise.
        fresh: Measure everything again instead of resuming.
        command: What to print under “how to reproduce”.
        on_progress: Called as ``(stage, done, total, note)``.

    Raises:
        FarthingError: for bad input, before any work starts, and when the baseline cannot be measured.
    """
    with opened(
        workload,
        output_dir,
        settings,
        as_of=as_of,
        max_price_age_days=max_price_age_days,
        fresh=fresh,
        on_progress=on_progress,
    ) as run:
        found = run.known.found = campaign.measure_baseline(run.bench)
        rate = found.sla_rps[found.baseline] or 0.0
        result = assemble_baseline(
            workload,
            found,
            run.market,
            run.arrivals.at(rate),
            provenance_of(run.bench, command),
            score=campaign.baseline_score(run.bench, found.baseline),
            assumptions=(*run.arrivals.assumptions(), *found.notes),
            description=run.bench.description(),
            by_utilisation=run.arrivals.by_utilisation(rate),
        )
        write_baseline(run.out, result)
    return result
