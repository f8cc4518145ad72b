"""The best number for a rule on one part of a trace, so that it can be judged on another."""

from __future__ import annotations

from dataclasses import dataclass

from farthing.core.simulation.rules.compared import Arrivals, Fleet, RuleRun, run_rule
from farthing.core.simulation.rules.families import Family

__all__ = ["Tuned", "tune"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """A rule with its number.

    Attributes:
        family: The rule.
        value: Chosen.
        keeps: Whether it kept the attainment where it was tuned.
        tried: Runs by number.
    """

    family: Family
    value: float
    keeps: bool
    tried: tuple[tuple[float, RuleRun], ...]


def tune(fleet: Fleet, family: Family, arrivals: Arrivals, *, attainment_frac: float, seed: int) -> Tuned:
    """Take the cheapest number that keeps the attainment; where none does, the one that comes nearest.

    Args:
        fleet: On the part of the trace that rules are tuned on.
        family: The rule.
        arrivals: Of that part, by seed.
        attainment_frac: Share of the requests to be answered as promised.
        seed: Of the run.
    """
    tried = tuple((value, run_rule(fleet, family.make(value), arrivals(seed), seed)) for value in family.values)
    keeping = [(run.usd, value) for value, run in tried if run.attainment_frac >= attainment_frac]
    if keeping:
        return Tuned(family=family, value=min(keeping)[1], keeps=True, tried=tried)
    nearest = max(tried, key=lambda one: (one[1].attainment_frac, -one[1].usd))
    return Tuned(family=family, value=nearest[0], keeps=False, tried=tried)
