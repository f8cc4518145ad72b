"""Whether new measurements bear a plan out, corrected by how fast the machine is now."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from farthing.core.numerals import change
from farthing.core.stats.intervals import mean_t, ratio_of_blocks
from farthing.nouns import (
    BUSY_FRAC,
    NEVER_MS,
    Candidate,
    Check,
    Contention,
    Estimate,
    Evaluation,
    Measurement,
    Outcome,
    Plan,
    Verdict,
    Verification,
    percentile_name,
)

__all__ = ["TOLERANCE_FRAC", "Remeasured", "held", "late_notes", "yardsticks"]

TOLERANCE_FRAC = 0.10
"""Service time and capacity may be so much worse than the plan's; better they may be by any amount."""

FLAT_OUT = "throughput of a replica, flat out"
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remeasured:
    """What was seen when a plan was tried again, round by round.

    Attributes:
        service_ms: Mean time of the choice's batches in each block, at least eight blocks.
        capacity_rps: Throughput of the same blocks.
        beside_rps: Blocks of yardsticks interleaved with them, by candidate; those that could not be run are not
            in it.
        canary_ms: The canary kernel beside each block of the choice.
        contended: Rounds in which cores were busy in spite of three retries.
        server: Server scenario at the plan's peak rate of one replica, None when nothing is served.
    """

    service_ms: tuple[float, ...]
    capacity_rps: tuple[float, ...]
    beside_rps: Mapping[Candidate, tuple[float, ...]]
    canary_ms: tuple[float, ...]
    contended: tuple[bool, ...]
    server: Measurement | None


def yardsticks(plan: Plan) -> tuple[Candidate, ...]:
    """Candidates that tell how fast the machine is: the baseline, and the best FP32 one of the proof rounds.

    One is not enough. A process that is started again may run at another speed than the machine (PyTorch's eager
    EfficientNet-Lite0 took 20 % longer one hour later, while everything else ran as before).
    """
    fp32 = _best_fp32(plan)
    return (plan.baseline.candidate, *([fp32.candidate] if fp32 else []))


def _best_fp32(plan: Plan) -> Evaluation | None:
    taken = [plan.baseline.candidate, *([plan.chosen.candidate] if plan.chosen else [])]
    builds = [(c.engine, c.variant, c.precision) for c in taken]
    proven = [
        e
        for e in plan.evaluations
        if e.candidate.precision == "fp32"
        and e.ratio is not None
        and e.capacity_rps is not None
        and (e.candidate.engine, e.candidate.variant, e.candidate.precision) not in builds
    ]
    return max(proven, key=lambda e: e.capacity_rps.value if e.capacity_rps else 0.0, default=None)


@dataclass(frozen=True, slots=True)
class _Speed:
    """Logarithm of the speed now over the speed then.

    Attributes:
        logs: In each round, the median of the yardsticks.
        spread: Half the distance between two yardsticks that contradict each other, 0 otherwise.
        estimate: The speed, for people.
    """

    logs: Floats
    spread: float
    estimate: Estimate


def held(plan: Plan, seen: Remeasured, hardware: str, tolerance_frac: float = TOLERANCE_FRAC) -> Verification:
    """Hold new figures against the plan's: is anything worse than planned?

    Service time and capacity are corrected, round by round, by how fast the machine is now. What is better than planned
    is no failure.

    Args:
        plan: With a choice.
        seen: What was measured again.
        hardware: Fingerprint of this machine.
        tolerance_frac: By how much service time and capacity may be worse, ≥ 0.

    Raises:
        ValueError: when the plan chose nothing, or there are fewer than eight rounds.
    """
    if plan.chosen is None or plan.chosen.capacity_rps is None:
        raise ValueError(f"the plan of {plan.workload} chose nothing that could be verified")
    speed = _speed(plan, seen)
    batch = plan.chosen.candidate.max_batch
    planned_ms = dict(plan.chosen.service_ms)[batch]
    name, busy = f"service time of a batch of {batch}", seen.contended
    checks = [
        _no_worse(name, "ms", planned_ms, seen.service_ms, busy, speed, tolerance_frac),
        _no_worse(FLAT_OUT, "requests/s", plan.chosen.capacity_rps, seen.capacity_rps, busy, speed, tolerance_frac),
    ]
    if seen.server is not None:
        checks.append(_tail(plan, seen.server))
    return Verification(
        workload=plan.workload,
        candidate=plan.chosen.candidate,
        verdict=_verdict(checks, seen.contended),
        checks=tuple(checks),
        machine_speed=speed.estimate,
        hardware=hardware,
    )


def _speed(plan: Plan, seen: Remeasured) -> _Speed:
    logs = _logs_by_yardstick(plan, seen)
    n = len(seen.capacity_rps)
    if not logs:
        unknown = Estimate(value=1.0, lo=1.0, hi=1.0, n=0, method="no yardstick could be run: no correction")
        return _Speed(np.zeros(n), 0.0, unknown)
    middle: Floats = np.median(np.array(list(logs.values())), axis=0)
    means = [float(x.mean()) for x in logs.values()]
    apart = max(means) - min(means)
    spread = apart / 2 if len(means) == 2 and apart > math.log1p(TOLERANCE_FRAC) else 0.0
    t = ratio_of_blocks(np.exp(middle), np.ones(n), confidence=0.95)
    each = ", ".join(f"{name} {math.exp(m):.2f} ×" for name, m in zip(logs, means))
    return _Speed(
        middle,
        spread,
        replace(t, lo=t.lo * math.exp(-spread), hi=t.hi * math.exp(spread), method=f"median of {each}; {t.method}"),
    )


def _logs_by_yardstick(plan: Plan, seen: Remeasured) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    for name, then in (("baseline", plan.baseline), ("best FP32", _best_fp32(plan))):
        blocks = seen.beside_rps.get(then.candidate) if then else None
        if then is not None and then.capacity_rps is not None and blocks:
            found[name] = np.log(np.asarray(blocks) / then.capacity_rps.value)
    if plan.canary_ms is not None and seen.canary_ms and min(seen.canary_ms) > 0:
        found["canary kernel"] = np.log(plan.canary_ms.value / np.asarray(seen.canary_ms))
    return found


def _no_worse(
    name: str,
    unit: Literal["ms", "requests/s"],
    planned: Estimate,
    seen: Sequence[float],
    contended: Sequence[bool],
    speed: _Speed,
    tolerance_frac: float,
) -> Check:
    """One figure that may be better by any amount: what it would be on the machine as it was then, over the plan's."""
    way = 1.0 if unit == "ms" else -1.0
    as_then = np.asarray(seen) * np.exp(way * speed.logs)
    ratio = ratio_of_blocks(as_then, np.full(len(seen), planned.value), confidence=0.95)
    lo, hi = _with_plan(ratio, planned, speed.spread)
    busy = sum(contended)
    if busy:
        lo, hi = min(lo, as_then.min() / planned.value), max(hi, as_then.max() / planned.value)
    worse = replace(ratio, lo=lo, hi=hi).scaled(way)
    worse = replace(worse, value=worse.value - way, lo=worse.lo - way, hi=worse.hi - way)
    off, more = ratio.value - 1, "more" if unit == "ms" else "less"
    raw = float(np.exp(np.log(np.asarray(seen)).mean())) / planned.value - 1
    said = f"raw {change(100 * raw, 1)} %, corrected for the machine's speed {change(100 * off, 1)} %"
    notes = [said] if speed.estimate.n else []
    notes += [f"cores busy in {busy} of {len(seen)} rounds"] if busy else []
    notes += ["better than planned"] if worse.value < -tolerance_frac else []
    return Check(
        name=name,
        unit=unit,
        planned=planned.scaled(speed.estimate.value**-way),
        seen=mean_t(seen),
        limit=f"at most {100 * tolerance_frac:g} % {more}, is {change(100 * off, 1)} %",
        outcome=_outcome(worse, tolerance_frac, busy / len(seen), torn=speed.spread > 0),
        note="; ".join(notes),
        worse_frac=worse,
        limit_frac=tolerance_frac,
    )


def _outcome(worse: Estimate, tolerance_frac: float, busy_frac: float, *, torn: bool) -> Outcome:
    """Where yardsticks contradict each other the figure must hold by both."""
    if (worse.hi if torn else worse.value) <= tolerance_frac:
        return "met"
    return "unproven" if worse.lo <= tolerance_frac or busy_frac >= BUSY_FRAC else "not_met"


def _with_plan(ratio: Estimate, planned: Estimate, spread: float) -> tuple[float, float]:
    """Ends of the ratio with the plan's own interval in it (root of the sum of squares), then the spread."""
    down = math.hypot(math.log(ratio.value / ratio.lo), math.log(planned.hi / planned.value)) + spread
    up = math.hypot(math.log(ratio.hi / ratio.value), _log_down(planned)) + spread
    return ratio.value * math.exp(-down), ratio.value * math.exp(up)


def _log_down(planned: Estimate) -> float:
    """How far the lower end lies below; an interval that reaches zero says nothing and counts as half."""
    return math.log(planned.value / planned.lo) if planned.lo > 0 else math.log(2)


def late_notes(metrics: Mapping[str, Estimate]) -> list[str]:
    """What to say of requests that were not answered in time; empty when all were.

    Args:
        metrics: Of the Server scenario, by name.
    """
    answered = metrics.get("answered_frac")
    if answered is None or answered.value >= 1:
        return []
    return [f"{100 * (1 - answered.value):.1f} % of the requests were not answered in time"]


def _tail(plan: Plan, server: Measurement) -> Check:
    """Latency at the promised level under load; the plan's own figure is of that level or stays empty."""
    bound, level = plan.objective.latency, plan.objective.level
    seen = server.latency(level)
    at_peak = plan.chosen.at_peak if plan.chosen else None
    planned = at_peak.ms if at_peak and math.isclose(at_peak.percentile, level) else None
    outcome: Outcome = "met"
    if bound is not None and seen.value > bound.ms:
        outcome = "unproven" if server.contended or seen.lo <= bound.ms else "not_met"
    notes = ["cores busy during the run"] if server.contended else []
    notes += late_notes(server.metrics)
    return Check(
        name=f"{percentile_name(level)} at the peak rate",
        unit="ms",
        planned=planned,
        seen=seen,
        limit="no bound" if bound is None else f"at most {bound.ms:g} ms",
        outcome=outcome,
        note="; ".join(notes),
    )


def _seen(found: Estimate, unit: str) -> str:
    return "unbounded" if found.value >= NEVER_MS else f"{found.value:.4g} {unit}"


def _planned(c: Check) -> str:
    return "" if c.planned is None else f", planned {c.planned.value:.4g}"


def _verdict(checks: Sequence[Check], contended: Sequence[bool]) -> Verdict:
    failed = [c for c in checks if c.outcome == "not_met"]
    open_ = [c for c in checks if c.outcome == "unproven"]
    worst: Outcome = "not_met" if failed else "unproven" if open_ else "met"
    reasons = tuple(
        f"{c.name}: {_seen(c.seen, c.unit)}{_planned(c)} ({c.limit})" for c in failed + open_ if c.seen is not None
    )
    if worst == "unproven" and Contention(contended=sum(contended), of=len(contended)).busy:
        reasons = (f"the machine was busy: its cores in {sum(contended)} of {len(contended)} rounds", *reasons)
    hint = "run it again on a quiet machine, or `farthing optimize` anew" if worst != "met" else ""
    return Verdict(outcome=worst, reasons=reasons or ("no figure of the plan is worse than planned",), hint=hint)
