"""Whether new measurements bear a plan out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from farthing.core.search.trials import Curve
from farthing.core.stats.intervals import mean_t
from farthing.nouns import Check, Estimate, Measurement, Outcome, Plan, Verdict, Verification

__all__ = ["TOLERANCE_FRAC", "Remeasured", "held"]

TOLERANCE_FRAC = 0.10
"""Service time and capacity must lie within this of the plan's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remeasured:
    """What was seen when a plan was tried again.

    Attributes:
        curve: Service time at the plan's batch size.
        capacity_rps: Blocks of the plan's candidate.
        baseline_rps: Blocks of the baseline interleaved with them, empty when it could not be run.
        server: Server scenario at the plan's peak rate of one replica.
    """

    curve: Curve
    capacity_rps: tuple[float, ...]
    baseline_rps: tuple[float, ...]
    server: Measurement | None


def held(plan: Plan, seen: Remeasured, hardware: str) -> Verification:
    """Hold new figures against the plan's.

    Service time and capacity are corrected by how fast the machine is now, which the baseline, interleaved, shows.

    Raises:
        ValueError: when the plan chose nothing.
    """
    if plan.chosen is None or plan.chosen.capacity_rps is None:
        raise ValueError(f"the plan of {plan.workload} chose nothing that could be verified")
    speed = _speed(plan, seen)
    planned_capacity = plan.chosen.capacity_rps.scaled(speed.value)
    batch = plan.chosen.candidate.max_batch
    planned_service = dict(plan.chosen.service_ms)[batch].scaled(1 / speed.value)
    checks = [
        _within(f"service time of a batch of {batch}", "ms", planned_service, seen.curve.service_ms[-1]),
        _within("capacity of a replica", "requests/s", planned_capacity, mean_t(seen.capacity_rps)),
    ]
    if seen.server is not None:
        checks.append(_p99(plan, seen.server))
    return Verification(
        workload=plan.workload,
        candidate=plan.chosen.candidate,
        verdict=_verdict(checks),
        checks=tuple(checks),
        machine_speed=speed,
        hardware=hardware,
    )


def _speed(plan: Plan, seen: Remeasured) -> Estimate:
    """Speed now over speed then, by the baseline's capacity; 1 when the baseline could not be run."""
    then = plan.baseline.capacity_rps
    if not seen.baseline_rps or then is None:
        return Estimate(value=1.0, lo=1.0, hi=1.0, n=0, method="baseline not run: no correction")
    now = mean_t(seen.baseline_rps)
    return now.scaled(1 / then.value)


def _within(name: str, unit: Literal["ms", "requests/s"], planned: Estimate, seen: Estimate) -> Check:
    off = seen.value / planned.value - 1
    low, high = (1 - TOLERANCE_FRAC) * planned.value, (1 + TOLERANCE_FRAC) * planned.value
    outcome: Outcome = "met" if abs(off) <= TOLERANCE_FRAC else "not_met"
    if outcome == "not_met" and seen.lo <= high and seen.hi >= low:
        outcome = "unproven"
    return Check(
        name=name,
        unit=unit,
        planned=planned,
        seen=seen,
        limit=f"within {TOLERANCE_FRAC:.0%}, is {off:+.1%}",
        outcome=outcome,
    )


def _p99(plan: Plan, server: Measurement) -> Check:
    seen = server.metrics["latency_p99_ms"]
    bound = plan.objective.latency_ms
    planned = plan.chosen.p99_at_peak_ms if plan.chosen and plan.chosen.p99_at_peak_ms else seen
    if bound is None:
        return Check(
            name="p99 at the peak rate", unit="ms", planned=planned, seen=seen, limit="no bound", outcome="met"
        )
    outcome: Outcome = "met" if seen.hi <= bound else "not_met" if seen.lo > bound else "unproven"
    if seen.value <= bound and outcome == "unproven":
        outcome = "met"
    return Check(
        name="p99 at the peak rate",
        unit="ms",
        planned=planned,
        seen=seen,
        limit=f"at most {bound:g} ms",
        outcome=outcome,
    )


def _verdict(checks: Sequence[Check]) -> Verdict:
    failed = [c for c in checks if c.outcome == "not_met"]
    open_ = [c for c in checks if c.outcome == "unproven"]
    worst: Outcome = "not_met" if failed else "unproven" if open_ else "met"
    reasons = tuple(
        f"{c.name}: {c.seen.value:.4g} {c.unit}, planned {c.planned.value:.4g} ({c.limit})"
        for c in failed + open_
        if c.seen is not None and c.planned is not None
    )
    hint = "run it again on a quiet machine, or `farthing optimize` anew" if worst != "met" else ""
    return Verdict(outcome=worst, reasons=reasons or ("every figure of the plan holds",), hint=hint)
