"""Measures a plan's choice again, interleaved with the baseline."""

from __future__ import annotations

from pathlib import Path

from farthing.core.search.holding import Remeasured
from farthing.errors import FarthingError
from farthing.measure.campaign import MOST_SERVED
from farthing.measure.workbench import Workbench
from farthing.nouns import Candidate, Plan

__all__ = ["remeasure"]

ROUNDS = 10


def remeasure(bench: Workbench, plan: Plan, folder: Path) -> Remeasured:
    """Blocks of the plan's candidate and of the baseline in turn, then the Server scenario at the peak.

    Args:
        bench: An open workbench.
        plan: With a chosen candidate.
        folder: Where the plan's artefacts lie.

    Raises:
        ValueError: when the plan chose nothing.
    """
    if plan.chosen is None:
        raise ValueError(f"the plan of {plan.workload} chose nothing")
    bench.adopt(plan.artefacts, folder)
    chosen, base = plan.chosen.candidate, plan.baseline.candidate
    lineup = [chosen, base] if _runs(bench, base) else [chosen]
    bench.tell("verifying", 0, ROUNDS + 1, "service time")
    curve = bench.curve(chosen, [chosen.max_batch])
    blocks: dict[Candidate, list[float]] = {c: [] for c in lineup}
    for k in range(ROUNDS):
        bench.tell("verifying", k, ROUNDS + 1, "capacity")
        for c, rps in bench.throughput(f"verify/{k}", lineup if k % 2 else lineup[::-1]).items():
            blocks[c].append(rps)
    bench.tell("verifying", ROUNDS, ROUNDS + 1, "p99 at the peak rate")
    bench.retire([chosen])
    rate = _peak_of_one(plan)
    server = bench.server(chosen, rate, min(MOST_SERVED, max(bench.settings.server_n, int(rate * 3)))) if rate else None
    bench.tell("verifying", ROUNDS + 1, ROUNDS + 1, "")
    return Remeasured(
        curve=curve,
        capacity_rps=tuple(blocks[chosen]),
        baseline_rps=tuple(blocks.get(base, ())),
        server=server,
    )


def _runs(bench: Workbench, base: Candidate) -> bool:
    try:
        bench.replica(base)
    except FarthingError as e:
        bench.tell("verifying", 0, 1, f"the baseline cannot be run here: {e.message}")
        return False
    return True


def _peak_of_one(plan: Plan) -> float:
    """Highest rate that one replica must take in any hour of the plan."""
    pairs = zip(plan.hourly.peak_rps, plan.hourly.planned_replicas, strict=False)
    return max((peak / n for peak, n in pairs if n), default=0.0)
