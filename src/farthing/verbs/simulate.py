"""``farthing simulate``: which autoscaling rule serves a plan's traffic for the least, before anyone pays for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from farthing.core.money.price import usd_per_hour
from farthing.core.simulation.outcomes import SimulationResult
from farthing.core.simulation.replica import promise_of, replica_of
from farthing.core.simulation.rules.compared import Fleet, simulate_rule
from farthing.core.simulation.rules.families import refuse_unknown
from farthing.core.simulation.rules.study import Study, study
from farthing.core.simulation.setup import BatchingServer, Window
from farthing.core.simulation.spot.study import SpotStudy, study_spot
from farthing.core.simulation.steering import Change
from farthing.core.traffic.arrivals.replayed import Replayed
from farthing.errors import InputError
from farthing.load.plans import load_plan, plan_file
from farthing.load.spot import SpotAsked, spot_market
from farthing.load.traffic import TraceAsked
from farthing.nouns import Plan
from farthing.ports import Progress
from farthing.runs.progress import or_silent
from farthing.runs.replaying import halves_of

__all__ = ["Closely", "Simulated", "simulate"]

ATTAINMENT_FRAC = 0.99
CLOSELY_S = 60.0
MOST_CLOSELY = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Closely:
    """One simulation of the best rule.

    Attributes:
        result: With the requests of its busiest minute.
        changes: What the rule decided.
    """

    result: SimulationResult
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """A plan, the fleet that was made of it, what rules cost and keep on it, and what the best of them does on spot."""

    plan: Plan
    fleet: Fleet
    study: Study
    spot: SpotStudy | None = None
    seen: Closely | None = None


def simulate(
    plan_path: Path | str,
    trace: Path | str,
    *,
    asked: TraceAsked | None = None,
    per_month: float | None = None,
    attainment_frac: float = ATTAINMENT_FRAC,
    start_s: float = 60.0,
    load_s: float | None = None,
    rules: Sequence[str] = (),
    seeds: Sequence[int] = (0, 1, 2),
    spot: SpotAsked | None = None,
    closely: bool = False,
    on_progress: Progress | None = None,
) -> Simulated:
    """Simulate a plan's replicas request by request under each rule, tuned on the trace's first half.

    Args:
        plan_path: A plan.yaml, or its folder.
        trace: Arrivals.
        asked: What the trace holds.
        per_month: Scale it to so many requests a month.
        attainment_frac: Share of the requests to be answered within the promise, in (0, 1).
        start_s: From asking for a machine to its running, ≥ 0.
        load_s: From there to the first request, ≥ 0; None for what the plan measured.
        rules: Names of the rules to take; none for all.
        seeds: Of what is drawn.
        spot: Buy the replicas of the best rule on spot as well.
        closely: Keep each request of the best rule's busiest minute, and all its decisions and replicas.
        on_progress: Called as ``(stage, done, total, note)``.

    Raises:
        InputError: when the plan chose nothing, a rule is not known, or spot cannot be read.
        TraceError: when the trace cannot be read.
    """
    path = plan_file(plan_path)
    plan = load_plan(path)
    if plan.chosen is None or plan.chosen.sla_rps is None or not plan.chosen.service_ms:
        raise InputError(f"{path} chose nothing that could be simulated", hint="`farthing optimize` makes such a plan")
    try:
        refuse_unknown(rules)
    except ValueError as e:
        raise InputError(str(e)) from e
    halves = halves_of(Path(trace), asked or TraceAsked(), per_month=per_month)
    replica = replica_of(plan.chosen, plan.objective, 1.0 if plan.stand_in is None else plan.stand_in.capacity_factor)
    load_s = (plan.chosen.load_s or 0.0) if load_s is None else load_s
    fleet = _fleet(plan, replica.server, halves[0].length_s, start_s, load_s)
    market = None if spot is None else spot_market(spot, fleet.usd_per_hour, halves[1].length_s)
    floor_frac = 1.0 if spot is None else spot.floor_frac
    tell = or_silent(on_progress)
    found = study(
        fleet,
        replica,
        halves,
        attainment_frac=attainment_frac,
        min_replicas=plan.objective.min_replicas,
        seeds=seeds,
        only=rules,
        tell=tell,
    )
    seen = _closely(found, halves[1], seeds[0]) if closely else None
    if market is None or spot is None:
        return Simulated(plan=plan, fleet=fleet, study=found, seen=seen)
    bought = study_spot(market[0], found, halves, floor_frac=floor_frac, spare=spot.spare, tell=tell)
    return Simulated(plan=plan, fleet=fleet, study=found, spot=replace(bought, said=tuple(market[1])), seen=seen)


def _fleet(plan: Plan, server: BatchingServer, length_s: float, start_s: float, load_s: float) -> Fleet:
    return Fleet(
        server=server,
        promise=promise_of(plan.objective),
        length_s=length_s,
        usd_per_hour=usd_per_hour(plan.offers[0]),
        start_s=start_s,
        load_s=load_s,
    )


def _closely(found: Study, half: Replayed, seed: int) -> Closely:
    """The first rule again, with each request of the busiest minute."""
    first = found.judged[0]
    minutes = np.zeros(int(half.length_s // CLOSELY_S) + 1, dtype=np.int64)
    for block in half.blocks(seed):
        minutes += np.bincount((block // CLOSELY_S).astype(np.int64), minlength=minutes.size)
    busiest = int(minutes.argmax())
    window = Window(first=int(minutes[:busiest].sum()), count=min(MOST_CLOSELY, int(minutes[busiest])))
    result, steering = simulate_rule(first.on, first.make(), half.blocks(seed), seed, window)
    return Closely(result=result, changes=tuple(steering.changes))
