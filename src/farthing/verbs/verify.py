"""``farthing verify``: does a plan still hold on this machine?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from farthing.core.plan.holding import TOLERANCE_FRAC, held
from farthing.load.plans import load_plan, plan_file
from farthing.load.schema import kind_of
from farthing.load.workload.resolved import load_resolved_workload
from farthing.load.workload.splits import make_splits
from farthing.measure.verification import remeasure
from farthing.nouns import Verification
from farthing.ports import Progress
from farthing.runs.changes import say_changes
from farthing.runs.opening import open_bench, say_machine
from farthing.runs.options import USUAL, RunOptions
from farthing.runs.progress import or_silent
from farthing.runs.route.verification import verify_route
from farthing.store.artefacts import check_artefact
from farthing.store.folder_lock import only_run_in

__all__ = ["verify"]


def verify(
    plan_path: Path | str,
    *,
    tolerance_frac: float = TOLERANCE_FRAC,
    options: RunOptions = USUAL,
    on_progress: Progress | None = None,
) -> Verification:
    """Measure service time, per-replica capacity and the promised latency level at the plan's peak rate again.

    Only what is worse than planned is a failure: a faster machine never is. Of a route the promised level at its
    planned rate is measured.

    Args:
        plan_path: A plan.yaml with its output folder beside it, a route.yaml, or the folder of either.
        tolerance_frac: By how much service time and capacity may be worse than planned, ≥ 0.
        options: How much is measured, seed and trust; all is measured anew, in the folder ``verify`` beside the plan.
        on_progress: Called as ``(stage, done, total, note)``.

    Raises:
        StoreError: when an artefact is missing or was changed.
        InputError: when the plan chose nothing, or its payloads are gone.
    """
    path, tell = plan_file(plan_path), or_silent(on_progress)
    if path.is_file() and kind_of(path) == "route":
        return verify_route(path, options, tell)
    plan = load_plan(path)
    workload = replace(load_resolved_workload(path.with_name("workload.json")), objective=plan.objective)
    for artefact in plan.artefacts:
        check_artefact(artefact, path.parent)
    splits = make_splits(
        workload.holdout, workload.calibration, workload.search_n, workload.confirm_n, seed=plan.provenance.seed
    )
    out = path.parent / "verify"
    with only_run_in(out), open_bench(workload, splits, replace(options, fresh=True), out, tell) as bench:
        say_changes(plan.provenance.content, bench)
        say_machine(bench)
        return held(plan, remeasure(bench, plan, path.parent), bench.fingerprint, tolerance_frac)
