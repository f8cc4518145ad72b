"""``farthing optimize``: the cheapest proven way to serve one model."""

from __future__ import annotations

from collections.abc import Callable

from farthing.core.plan.assemble import assemble
from farthing.core.plan.first_look import FirstLook
from farthing.measure import campaign
from farthing.nouns import Plan, Workload
from farthing.ports import Progress
from farthing.runs.first_look import say_first_look
from farthing.runs.opening import opened, provenance_of
from farthing.runs.options import USUAL, RunOptions
from farthing.runs.outputs import write_run

__all__ = ["optimize"]


def optimize(
    workload: Workload,
    *,
    options: RunOptions = USUAL,
    on_progress: Progress | None = None,
    on_first_look: Callable[[FirstLook], object] | None = None,
) -> Plan:
    """Measure the baseline, search, prove on untouched data, price at the workload's arrivals, write the plan.

    Args:
        workload: What :func:`farthing.load_workload` returns.
        options: The plan, the artefacts and the journal go to its folder, ``farthing-out`` where none is named; a run
            that was interrupted there resumes. What is measured by default fits a few minutes.
        on_progress: Called as ``(stage, done, total, note)``.
        on_first_look: Told the first, wide answer before the long search goes on; None to leave it out. A run that
            resumes in its later stages leaves it out too, and so does one in which something unforeseen happens there.

    Raises:
        FarthingError: for bad input, before any work starts, when another run is at work in the folder, and when the
            baseline cannot be measured.
    """
    with opened(workload, options, on_progress) as run:
        if on_first_look is not None and not run.bench.journal.holds("round/race/"):
            say_first_look(run, on_first_look)
        factor = run.market.capacity_factor  # what one replica of the offer takes this machine takes 1 / factor times
        found = run.known.found = campaign.run(run.bench, lambda rps: run.arrivals.at(rps).scaled(1 / factor))
        rate = found.sla_rps[found.baseline] or 0.0
        sizes = {"calibrate": run.splits.calibrate, "search": run.splits.search, "confirm": run.splits.confirm}
        plan = run.known.plan = assemble(
            run.workload,
            found,
            run.market,
            run.arrivals.at(rate),
            provenance_of(run.bench, options.command or "farthing.optimize(…)"),
            splits={name: len(rows) for name, rows in sizes.items()},
            assumptions=(*run.arrivals.assumptions(), *found.notes),
            description=run.bench.description(),
            by_utilisation=run.arrivals.by_utilisation(rate),
        )
        return write_run(run.out, plan, found.measurements, run.workload)
