"""Which rule is the cheapest for a trace and a promise: tuned on its first half, judged on the second."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from farthing.core.scaling.scalers.cost_aware import INTERVAL_S
from farthing.core.simulation.replica import MeasuredReplica
from farthing.core.simulation.rules.clairvoyant import ClairvoyantScaler, clairvoyant_rules
from farthing.core.simulation.rules.compared import Fleet, RuleOutcome, judge, run_rule
from farthing.core.simulation.rules.families import Family, Lookback, ReplicaFacts, families, refuse_unknown
from farthing.core.simulation.rules.tuning import Tuned, tune
from farthing.core.traffic.arrivals.replayed import Replayed
from farthing.core.traffic.changed_traces import usual_week
from farthing.ports import Progress, Scaler

__all__ = ["Judged", "Study", "lookback_of", "most_replicas", "study"]

ROOM = 2.0
"""Rules may go so far beyond what the busiest step needs."""
FIXED_STEPS = 10
_DAY_S, _HOUR_S = 86_400.0, 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A rule, its settings, and what it did on the second half.

    Attributes:
        tuned: On the first half.
        outcome: On the second.
        make: It, new, as it was judged.
        on: The fleet on which it was.
        keeps: Whether the attainment, on average over seeds, is what is asked for or more.
    """

    tuned: Tuned
    outcome: RuleOutcome
    make: Callable[[], Scaler]
    on: Fleet
    keeps: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """All rules on one trace.

    Attributes:
        replica: What was simulated.
        judged: Those that keep the attainment first, the cheapest first among them; then the others, the nearest first.
        clairvoyant: Who knows all arrivals, with the same lag, queues and whole replicas; None where even that does not
            keep the attainment.
        attainment_frac: Asked for.
        requests: Of the half that was judged on.
        length_s: Of that half.
    """

    replica: MeasuredReplica
    judged: tuple[Judged, ...]
    clairvoyant: RuleOutcome | None
    attainment_frac: float
    requests: float
    length_s: float

    @property
    def best(self) -> Judged | None:
        """The cheapest that keeps the attainment; None where none does."""
        first = self.judged[0]
        return first if first.keeps else None

    def above_clairvoyant_frac(self, one: Judged) -> float | None:
        """Share by which a rule costs more than knowing all arrivals; None where that is not known."""
        if self.clairvoyant is None:
            return None
        return one.outcome.usd_per_month.value / self.clairvoyant.usd_per_month.value - 1


def most_replicas(arrivals: Replayed, rate_rps: float) -> int:
    """Replicas that the busiest step needs, ≥ 1."""
    trace = arrivals.trace
    return max(1, math.ceil(float(trace.counts.max()) / trace.step_s / rate_rps - 1e-9))


def study(
    fleet: Fleet,
    replica: MeasuredReplica,
    halves: tuple[Replayed, Replayed],
    *,
    attainment_frac: float,
    min_replicas: int = 1,
    seeds: Sequence[int] = (0, 1, 2),
    only: Sequence[str] = (),
    tell: Progress,
) -> Study:
    """Tune each rule on the first half of a trace and judge it on the second.

    A rule that learns has seen the first half when it is judged, and nothing when it is tuned.

    Args:
        fleet: Its length, first replicas and most replicas are those of the halves.
        replica: That it is made of.
        halves: What rules are tuned on, and what they are judged on.
        attainment_frac: Share of the requests to be answered as promised, in (0, 1).
        min_replicas: At any time, ≥ 1.
        seeds: Of arrivals within steps and of service times; the first one tunes.
        only: Names of the rules to take; none for all.
        tell: Progress.

    Raises:
        ValueError: when no rule has one of the names.
    """
    refuse_unknown(only)
    first, second = halves
    facts = _facts(fleet, replica, halves, min_replicas)
    tuned_on, judged_on = (_fleet(fleet, half, facts) for half in halves)
    before, after = (
        [f for f in _families(facts, on, attainment_frac, lookback) if not only or f.name in only]
        for on, lookback in ((tuned_on, lookback_of(first, None)), (judged_on, lookback_of(first, second)))
    )
    found = []
    for k, (family, learned) in enumerate(zip(before, after, strict=True)):
        tell("tuning", k, len(before), family.name)
        tuned = tune(tuned_on, family, first.blocks, attainment_frac=attainment_frac, seed=seeds[0])
        make = partial(learned.make, tuned.values)
        outcome = judge(judged_on, family.name, make, second.blocks, seeds)
        keeps = outcome.attainment_frac.value >= attainment_frac
        found.append(Judged(tuned=tuned, outcome=outcome, make=make, on=judged_on, keeps=keeps))
    tell("tuning", len(before), len(before), "")
    return Study(
        replica=replica,
        judged=tuple(sorted(found, key=lambda j: (not j.keeps, _rank(j)))),
        clairvoyant=_clairvoyant(judged_on, facts, second, attainment_frac, seeds),
        attainment_frac=attainment_frac,
        requests=second.requests,
        length_s=second.length_s,
    )


def _rank(judged: Judged) -> float:
    return judged.outcome.usd_per_month.value if judged.keeps else -judged.outcome.attainment_frac.value


def _facts(
    fleet: Fleet, replica: MeasuredReplica, halves: tuple[Replayed, Replayed], min_replicas: int
) -> ReplicaFacts:
    peak = max(most_replicas(half, replica.rate_rps) for half in halves)
    return ReplicaFacts(
        rate_rps=replica.rate_rps,
        in_flight=replica.in_flight,
        cores=float(replica.server.instances),
        lag_s=fleet.lag_s,
        min_replicas=min_replicas,
        max_replicas=max(math.ceil(ROOM * peak), min_replicas + 1),
        busiest_replicas=most_replicas(halves[0], replica.rate_rps),
    )


def _families(facts: ReplicaFacts, on: Fleet, attainment_frac: float, lookback: Lookback) -> tuple[Family, ...]:
    sizes = _sizes(facts.busiest_replicas, facts.min_replicas)
    return families(facts, fixed=sizes, initial=on.initial, attainment_frac=attainment_frac, lookback=lookback)


def _sizes(peak: int, least: int) -> tuple[int, ...]:
    """Sizes of a fixed fleet from the least to what the busiest step needs and a little more."""
    sizes = np.unique(np.round(np.geomspace(max(least, peak * 0.3), peak * 1.3 + 1, FIXED_STEPS)).astype(int))
    return tuple(int(n) for n in sizes)


def _fleet(fleet: Fleet, half: Replayed, replica: ReplicaFacts) -> Fleet:
    """The fleet at one half, beginning with as many replicas as its first step needs."""
    rate_rps = float(half.trace.counts[0]) / half.trace.step_s
    initial = min(replica.max_replicas, max(replica.min_replicas, math.ceil(rate_rps / replica.rate_rps)))
    return replace(fleet, length_s=half.length_s, initial=initial, max_replicas=replica.max_replicas)


def lookback_of(first: Replayed, second: Replayed | None) -> Lookback:
    """What rules know at the start of the first half (its season: what repeats is known for long), or of the second."""
    rates = None if second is None else _rates(first.blocks(0), first.length_s)
    if first.length_s < _DAY_S:
        return Lookback(rates_rps=rates)
    season, start = usual_week(first.trace), (first if second is None else second).trace.start
    if season.start is not None and start is not None:
        at_s = (start - season.start).total_seconds()
    else:
        at_s = 0.0 if second is None else first.length_s
    return Lookback(rates_rps=rates, season=season, season_s=at_s)


def _rates(blocks: Iterable[ArrayLike], length_s: float) -> NDArray[np.float64]:
    """Rates of the intervals at which the rule that learns them is asked."""
    size = int(length_s // INTERVAL_S)
    counts = np.zeros(size + 1)
    for block in blocks:
        at = np.minimum(np.asarray(block) // INTERVAL_S, size).astype(np.int64)
        counts += np.bincount(at, minlength=size + 1)
    return np.asarray(counts[:size] / INTERVAL_S)


def _clairvoyant(
    on: Fleet, facts: ReplicaFacts, half: Replayed, attainment_frac: float, seeds: Sequence[int]
) -> RuleOutcome | None:
    """The cheapest rule of one who knows that keeps the attainment."""
    made: list[Scaler] = list(
        clairvoyant_rules(
            half.trace,
            facts.rate_rps,
            attainment_frac=attainment_frac,
            lag_s=on.lag_s,
            min_replicas=facts.min_replicas,
            max_replicas=facts.max_replicas,
        )
    )
    runs = [(run_rule(on, scaler, half.blocks(seeds[0]), seeds[0]), scaler) for scaler in made]
    keeping = [(run.usd, k) for k, (run, _) in enumerate(runs) if run.attainment_frac >= attainment_frac]
    if not keeping:
        return None
    chosen = runs[min(keeping)[1]][1]
    assert isinstance(chosen, ClairvoyantScaler)
    return judge(on, chosen.name, lambda: chosen, half.blocks, seeds)
