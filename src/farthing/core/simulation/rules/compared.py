"""Rules on one fleet and one trace under common random numbers: dollars and attainment of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from farthing.core.simulation.billing import Billing, billed_units
from farthing.core.simulation.outcomes import SimulationResult
from farthing.core.simulation.setup import BatchingServer, Pool, Promise, Setup, Window
from farthing.core.simulation.simulate import simulate
from farthing.core.simulation.steering import ON_DEMAND, Change, OnePool, Steering, turns
from farthing.core.stats.intervals import mean_t
from farthing.nouns import HOURS_PER_MONTH, Estimate
from farthing.ports import Scaler

__all__ = ["Fleet", "RuleOutcome", "RuleRun", "judge", "paired", "run_rule", "simulate_rule"]

Arrivals = Callable[[int], Iterable[ArrayLike]]
"""Blocks of instants of one seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What rules are compared on.

    Attributes:
        server: Of every replica.
        promise: When an answer is in time.
        length_s: Of the trace, finite and > 0.
        usd_per_hour: Of a replica, > 0.
        start_s: From asking for a machine to its running, ≥ 0.
        load_s: From there to the first request, ≥ 0.
        initial: Replicas at the start, ≥ 0.
        max_replicas: That there can be.
        billing: How time becomes billed units.
        held_limit: Requests that wait at the balancer while no replica is ready, ≥ 0.
    """

    server: BatchingServer
    promise: Promise
    length_s: float
    usd_per_hour: float
    start_s: float = 60.0
    load_s: float = 30.0
    initial: int = 1
    max_replicas: int = 256
    billing: Billing = field(default_factory=Billing)
    held_limit: int = 1024

    def __post_init__(self) -> None:
        if not (math.isfinite(self.length_s) and self.length_s > 0 and self.usd_per_hour > 0):
            raise ValueError(f"Fleet: length_s and usd_per_hour must be > 0: {self}")

    @property
    def lag_s(self) -> float:
        """From asking for a replica to its first request."""
        return self.start_s + self.load_s

    def setup(self, control_s: float, seed: int) -> Setup:
        """Of one simulation in which a rule is asked so often."""
        pool = Pool(name=ON_DEMAND, initial=self.initial, start_s=self.start_s, load_s=self.load_s)
        return Setup(
            server=self.server,
            pools=(pool,),
            horizon_s=self.length_s,
            promise=self.promise,
            control_s=control_s,
            held_limit=self.held_limit,
            max_replicas=max(self.max_replicas, self.initial),
            seed=seed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRun:
    """One simulation of one rule.

    Attributes:
        usd: What its replicas cost over the trace, in whole billed units.
        attainment_frac: Requests answered as promised among those that came and ended.
        p99_ms: Of the answered.
        replica_h: Replica-hours paid.
        busy_frac: Share of the ready replicas' time spent on batches.
        fewest: Replicas that were wanted at least.
        most: And at most.
        requests: That came.
        changes: Decisions that changed the number.
        turns_per_hour: How often they went from more to fewer or back.
        missed_unbusy_frac: Requests missed while replicas were busy for less than ``BUSY_FRAC`` of an interval, of all.
    """

    usd: float
    attainment_frac: float
    p99_ms: float
    replica_h: float
    busy_frac: float
    fewest: int
    most: int
    requests: int
    changes: tuple[Change, ...]
    turns_per_hour: float = 0.0
    missed_unbusy_frac: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleOutcome:
    """What a rule costs and keeps, over seeds.

    Attributes:
        name: Of the rule.
        usd_per_month: For 730 hours like those of the trace.
        attainment_frac: Requests answered as promised.
        runs: One a seed.
        assumed: What is assumed of the rule.
    """

    name: str
    usd_per_month: Estimate
    attainment_frac: Estimate
    runs: tuple[RuleRun, ...]
    assumed: tuple[str, ...] = ()


def simulate_rule(
    fleet: Fleet, scaler: Scaler, arrivals: Iterable[ArrayLike], seed: int, record: Window | None = None
) -> tuple[SimulationResult, Steering]:
    """Simulate one rule once; what it saw and decided stands beside the result.

    Args:
        fleet: What it scales.
        scaler: The rule, new.
        arrivals: Blocks of ascending instants in seconds.
        seed: Of service times.
        record: Requests of which is kept what became of them.
    """
    steering = Steering(scaler, OnePool(ON_DEMAND), workers=fleet.server.instances, initial=fleet.initial)
    setup = replace(fleet.setup(scaler.interval_s, seed), record=record or Window())
    return simulate(setup, arrivals, steering), steering


def run_rule(fleet: Fleet, scaler: Scaler, arrivals: Iterable[ArrayLike], seed: int) -> RuleRun:
    """Simulate one rule once.

    Args:
        fleet: What it scales.
        scaler: The rule, new.
        arrivals: Blocks of ascending instants in seconds.
        seed: Of service times.
    """
    result, steering = simulate_rule(fleet, scaler, arrivals, seed)
    units = billed_units(result.lives, fleet.length_s, fleet.billing).get(ON_DEMAND, 0)
    paid_h = units * fleet.billing.unit_s / 3600
    wanted = [fleet.initial, *(change.replicas for change in steering.changes)]
    return RuleRun(
        usd=paid_h * fleet.usd_per_hour,
        attainment_frac=result.attainment_frac,
        p99_ms=result.percentile_s(0.99) * 1000 if result.totals.answered else math.nan,
        replica_h=paid_h,
        busy_frac=_busy_frac(result, fleet.server.instances),
        fewest=min(wanted),
        most=max(wanted),
        requests=result.totals.arrived,
        changes=tuple(steering.changes),
        turns_per_hour=turns(steering.changes) / fleet.length_s * 3600,
        missed_unbusy_frac=steering.missed_unbusy / max(1, result.totals.arrived),
    )


def _busy_frac(result: SimulationResult, workers: int) -> float:
    ready_s = sum(seconds["ready"] + seconds["draining"] for seconds in result.replica_s().values())
    return result.totals.busy_s / (ready_s * workers) if ready_s else 0.0


def judge(fleet: Fleet, name: str, make: Callable[[], Scaler], arrivals: Arrivals, seeds: Sequence[int]) -> RuleOutcome:
    """Simulate one rule with each seed; those of two rules see the same requests and the same draws.

    Args:
        fleet: What it scales.
        name: Of the rule.
        make: A new rule.
        arrivals: By seed.
        seeds: At least one.
    """
    scalers = [make() for _ in seeds]
    runs = tuple(run_rule(fleet, scaler, arrivals(seed), seed) for scaler, seed in zip(scalers, seeds))
    month = HOURS_PER_MONTH * 3600 / fleet.length_s
    return RuleOutcome(
        name=name,
        usd_per_month=_over_seeds([r.usd * month for r in runs]),
        attainment_frac=_over_seeds([r.attainment_frac for r in runs]),
        runs=runs,
        assumed=scalers[0].assumed,
    )


def _over_seeds(values: Sequence[float]) -> Estimate:
    if len(values) > 1:
        return mean_t(list(values))
    only = float(np.asarray(values)[0])
    return Estimate(value=only, lo=only, hi=only, n=1, method="one seed")


def paired(one: RuleOutcome, other: RuleOutcome) -> Estimate:
    """Monthly dollars of one rule over another's, seed by seed, with Student's t over seeds.

    Raises:
        ValueError: when they were not simulated with as many seeds.
    """
    if len(one.runs) != len(other.runs):
        raise ValueError(f"{one.name} has {len(one.runs)} runs, {other.name} {len(other.runs)}")
    ratios = [a.usd / b.usd for a, b in zip(one.runs, other.runs)]
    found = _over_seeds(ratios)
    return replace(found, method=f"{found.method}, paired by seed")
