"""``farthing profile``: what serves today, measured, priced and taken apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

from farthing.core.search.assemble import assemble_baseline
from farthing.load.splits import make_splits
from farthing.measure import campaign
from farthing.measure.workbench import Settings
from farthing.nouns import Baseline, Workload
from farthing.verbs._market import market_of, trace_of
from farthing.verbs._outputs import write_baseline
from farthing.verbs._run import open_bench, provenance_of

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
    on_progress: Callable[[str, int, int, str], object] | None = None,
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
    settings = replace(settings or Settings(), trust=True)  # loading the workload was the gate
    out = Path(output_dir)
    market = market_of(workload, as_of, max_price_age_days)
    splits = make_splits(
        workload.holdout, workload.calibration, workload.search_n, workload.confirm_n, seed=settings.seed
    )
    with open_bench(workload, splits, settings, out, fresh, on_progress) as bench:
        found = campaign.measure_baseline(bench)
        arrivals = trace_of(workload, market)
        result = assemble_baseline(
            workload,
            found,
            market,
            arrivals.at(found.sla_rps[found.baseline] or 0.0),
            provenance_of(bench, command),
            score=campaign.baseline_score(bench, found.baseline),
            assumptions=(*arrivals.assumptions(market), *found.notes),
            description=bench.description(),
        )
    write_baseline(out, result)
    return result
