"""``farthing verify``: does a plan still hold on this machine?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from farthing.core.search.holding import held
from farthing.load.plans import load_plan
from farthing.load.resolved import load_resolved_workload
from farthing.load.splits import make_splits
from farthing.measure.verification import remeasure
from farthing.measure.workbench import Settings
from farthing.nouns import Verification
from farthing.store.artefacts import check_artefact
from farthing.verbs._run import OnProgress, open_bench

__all__ = ["verify"]


def verify(
    plan_path: Path | str,
    *,
    settings: Settings | None = None,
    on_progress: OnProgress = None,
) -> Verification:
    """Measure service time, per-replica capacity and the promised latency level at the plan's peak rate again.

    Args:
        plan_path: A plan.yaml with its output folder beside it.
        settings: How much is measured.
        on_progress: Called as ``(stage, done, total, note)``.

    Raises:
        StoreError: when an artefact is missing or was changed.
        InputError: when the plan chose nothing, or its payloads are gone.
    """
    path = Path(plan_path)
    plan = load_plan(path)
    workload = replace(load_resolved_workload(path.with_name("workload.json")), objective=plan.objective)
    settings = settings or Settings()
    for artefact in plan.artefacts:
        check_artefact(artefact, path.parent)
    splits = make_splits(
        workload.holdout, workload.calibration, workload.search_n, workload.confirm_n, seed=plan.provenance.seed
    )
    with open_bench(workload, splits, settings, path.parent / "verify", True, on_progress) as bench:
        return held(plan, remeasure(bench, plan, path.parent), bench.fingerprint)
