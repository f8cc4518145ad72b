"""Measures a plan's choice again, interleaved with what tells the machine's speed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from farthing.core.plan.holding import Remeasured, yardsticks
from farthing.errors import FarthingError, StoreError
from farthing.load.wishes import as_name
from farthing.measure.scenarios import Reading
from farthing.measure.served.live_server import missing
from farthing.measure.served.path import ServedPath
from farthing.measure.served.proof import proof_requests, provable_rps, through
from farthing.measure.served.rate import aside_of, slower_by
from farthing.measure.under_load import poisson_runs, rates_of
from farthing.measure.workbench import Workbench
from farthing.nouns import Candidate, Measurement, Plan, percentile_name

__all__ = ["remeasure"]

ROUNDS = 12


def remeasure(bench: Workbench, plan: Plan, folder: Path) -> Remeasured:
    """Blocks of the plan's candidate and of its yardsticks in turn, then the Server scenario at the peak.

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
    chosen = plan.chosen.candidate
    bench.tell("verifying", 0, ROUNDS + 1, "starting")
    bench.replica(chosen)
    beside = [c for c in yardsticks(plan) if c != chosen and _runs(bench, c)]
    blocks = _rounds(bench, [chosen, *beside])
    bench.tell("verifying", ROUNDS, ROUNDS + 1, f"{percentile_name(bench.level)} at the peak rate")
    bench.retire([chosen])
    server = _server(bench, plan, folder)
    bench.tell("verifying", ROUNDS + 1, ROUNDS + 1, "")
    mine = blocks[chosen]
    return Remeasured(
        service_ms=tuple(r.service_ms for r in mine),
        capacity_rps=tuple(r.rps for r in mine),
        beside_rps={c: tuple(r.rps for r in blocks[c]) for c in beside},
        canary_ms=tuple(r.canary_ms for r in mine),
        contended=tuple(any(r.contended for r in row) for row in zip(*blocks.values(), strict=True)),
        server=server,
    )


def _server(bench: Workbench, plan: Plan, folder: Path) -> Measurement | None:
    """The plan through ``farthing serve``, at the peak rate of one replica; None when nothing is planned."""
    peak = _peak_of_one(plan)
    chosen = plan.chosen
    if chosen is None or not peak:
        return None
    c, sizes = chosen.candidate, [size for size, _ in chosen.service_ms if size <= chosen.candidate.max_batch]
    known = bench.curve(c, sizes)
    bench.retire([])
    rate = provable_rps(peak, chosen.sla_rps.value if chosen.sla_rps else peak, plan.objective.level)
    if (why := missing()) is not None:
        bench.tell("verifying", ROUNDS, ROUNDS + 1, f"beside the server, not through it: {why}")
        return poisson_runs(bench, c, known, rate, bench.settings.proof_runs, "verify")
    deadline = plan.objective.deadline_s
    with ServedPath(
        bench=bench,
        candidate=c,
        source=folder / "plan.yaml",
        name=as_name(plan.workload),
        key="verify",
        deadline_ms=None if deadline is None else 1000 * deadline,
        batch_s=known.service_ms[-1].value / 1000,
    ) as path:
        slower, full_rps = slower_by(path, known)
        curves = rates_of(bench, known, c, proof_requests(bench, rate), slower)
        return through(path, curves, rate, "verify", aside_of(path, curves, full_rps))


def _rounds(bench: Workbench, lineup: Sequence[Candidate]) -> dict[Candidate, list[Reading]]:
    blocks: dict[Candidate, list[Reading]] = {c: [] for c in lineup}
    for k in range(ROUNDS):
        bench.tell("verifying", k, ROUNDS + 1, "service time and capacity")
        for c, reading in bench.round(f"verify/{k}", lineup if k % 2 else lineup[::-1]).items():
            blocks[c].append(reading)
    return blocks


def _runs(bench: Workbench, c: Candidate) -> bool:
    """Whether a yardstick runs here as it did for the plan: the user's own module, and no program made of it."""
    if c.variant == "torch-module" and not bench.trust:
        bench.tell("verifying", 0, ROUNDS + 1, f"{c.label} is the user's own code, which runs with --trust only")
        return False
    try:
        bench.replica(c)
    except StoreError:  # a full disk is no fault of the candidate
        raise
    except FarthingError as e:
        bench.tell("verifying", 0, ROUNDS + 1, f"{c.label} cannot be run here: {e.message}")
        return False
    return True


def _peak_of_one(plan: Plan) -> float:
    """Highest rate that one replica must take in any hour of the plan, on this machine if it is as the plan's was."""
    factor = 1.0 if plan.stand_in is None else plan.stand_in.capacity_factor
    pairs = zip(plan.hourly.peak_rps, plan.hourly.planned_replicas, strict=False)
    return max((peak / n for peak, n in pairs if n), default=0.0) / factor
