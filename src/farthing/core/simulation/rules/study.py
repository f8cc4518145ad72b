"""Which rule is the cheapest for a trace and a promise: tuned on its first half, judged on the second."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from farthing.core.simulation.replica import MeasuredReplica
from farthing.core.simulation.rules.clairvoyant import clairvoyant_replicas, clairvoyant_usd
from farthing.core.simulation.rules.compared import Fleet, RuleOutcome, judge
from farthing.core.simulation.rules.families import ReplicaFacts, families, refuse_unknown
from farthing.core.simulation.rules.tuning import Tuned, tune
from farthing.core.traffic.arrivals.replayed import Replayed
from farthing.nouns import HOURS_PER_MONTH
from farthing.ports import Progress

__all__ = ["Judged", "Study", "most_replicas", "study"]

STEP_S = 60.0
"""Steps of the one who knows the arrivals."""
ROOM = 2.0
"""Rules may go so far beyond what the busiest minute needs."""
FIXED_STEPS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A rule, its number, and what it did on the second half.

    Attributes:
        tuned: On the first half.
        outcome: On the second.
        keeps: Whether the attainment, on average over seeds, is what is asked for or more.
    """

    tuned: Tuned
    outcome: RuleOutcome
    keeps: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """All rules on one trace.

    Attributes:
        replica: What was simulated.
        judged: Those that keep the attainment first, the cheapest first among them; then the others, the nearest first.
        clairvoyant_usd_per_month: What one pays who knows the arrivals.
        attainment_frac: Asked for.
        requests: Of the half that was judged on.
        length_s: Of that half.
    """

    replica: MeasuredReplica
    judged: tuple[Judged, ...]
    clairvoyant_usd_per_month: float
    attainment_frac: float
    requests: float
    length_s: float

    @property
    def best(self) -> Judged | None:
        """The cheapest that keeps the attainment; None where none does."""
        first = self.judged[0]
        return first if first.keeps else None


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
    first, second = halves
    peak = max(most_replicas(half, replica.rate_rps) for half in halves)
    most = max(math.ceil(ROOM * peak), min_replicas + 1)
    facts = ReplicaFacts(
        rate_rps=replica.rate_rps,
        in_flight=replica.in_flight,
        cores=float(replica.server.instances),
        lag_s=fleet.lag_s,
        min_replicas=min_replicas,
        max_replicas=most,
    )
    rules = families(facts, fixed=_sizes(peak, min_replicas))
    refuse_unknown(only)
    chosen = [family for family in rules if not only or family.name in only]
    tuned_on, judged_on = (_fleet(fleet, half, facts) for half in halves)
    found = []
    for k, family in enumerate(chosen):
        tell("tuning", k, len(chosen), family.name)
        tuned = tune(tuned_on, family, first.blocks, attainment_frac=attainment_frac, seed=seeds[0])
        outcome = judge(judged_on, family.name, partial(family.make, tuned.value), second.blocks, seeds)
        keeps = outcome.attainment_frac.value >= attainment_frac
        found.append(Judged(tuned=tuned, outcome=outcome, keeps=keeps))
    tell("tuning", len(chosen), len(chosen), "")
    ranked = sorted(found, key=lambda j: (not j.keeps, _rank(j)))
    return Study(
        replica=replica,
        judged=tuple(ranked),
        clairvoyant_usd_per_month=_clairvoyant(fleet, replica, second, attainment_frac, min_replicas),
        attainment_frac=attainment_frac,
        requests=second.requests,
        length_s=second.length_s,
    )


def _rank(judged: Judged) -> float:
    return judged.outcome.usd_per_month.value if judged.keeps else -judged.outcome.attainment_frac.value


def _sizes(peak: int, least: int) -> tuple[int, ...]:
    """Sizes of a fixed fleet from the least to what the busiest step needs and a little more."""
    sizes = np.unique(np.round(np.geomspace(max(least, peak * 0.3), peak * 1.3 + 1, FIXED_STEPS)).astype(int))
    return tuple(int(n) for n in sizes)


def _fleet(fleet: Fleet, half: Replayed, replica: ReplicaFacts) -> Fleet:
    """The fleet at one half, beginning with as many replicas as its first step needs."""
    rate_rps = float(half.trace.counts[0]) / half.trace.step_s
    initial = min(replica.max_replicas, max(replica.min_replicas, math.ceil(rate_rps / replica.rate_rps)))
    return replace(fleet, length_s=half.length_s, initial=initial, max_replicas=replica.max_replicas)


def _clairvoyant(fleet: Fleet, replica: MeasuredReplica, half: Replayed, attainment_frac: float, least: int) -> float:
    """Monthly dollars of one who knows the arrivals of each minute."""
    counts, step_s = half.trace.counts, half.trace.step_s
    group = max(1, round(STEP_S / step_s))
    whole = counts[: counts.size // group * group]
    summed = whole.reshape(-1, group).sum(axis=1) if group > 1 else counts
    replicas = clairvoyant_replicas(
        summed, step_s * group, replica.rate_rps, missed_frac=1 - attainment_frac, min_replicas=least
    )
    seconds = replicas.size * step_s * group
    return clairvoyant_usd(replicas, step_s * group, fleet.usd_per_hour) * HOURS_PER_MONTH * 3600 / seconds
