"""The best settings of a rule on one part of a trace, so that it can be judged on another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from farthing.core.simulation.rules.compared import Arrivals, Fleet, RuleRun, run_rule
from farthing.core.simulation.rules.families import Family

__all__ = ["AIM_FRAC", "Tuned", "rank", "tune"]

AIM_FRAC = 0.8
"""Of what may be missed, that settings are to miss where they are tuned: no other stretch is quite like this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """A rule with its settings.

    Attributes:
        family: The rule.
        values: Chosen, by setting.
        keeps: Whether they kept the attainment where they were tuned.
        tried: Runs by values, in the order in which they were tried.
    """

    family: Family
    values: Mapping[str, float]
    keeps: bool
    tried: tuple[tuple[Mapping[str, float], RuleRun], ...]

    @property
    def said(self) -> str:
        """Its settings in words."""
        return self.family.words(self.values)


def tune(fleet: Fleet, family: Family, arrivals: Arrivals, *, attainment_frac: float, seed: int) -> Tuned:
    """Search setting after setting, the first one again at the end, for the cheapest that keeps the attainment.

    With room for what is to come: settings that miss at most ``AIM_FRAC`` of what may be missed go before those that
    only just keep the attainment; where none keeps it, those that come nearest are taken.

    Args:
        fleet: On the part of the trace that rules are tuned on.
        family: The rule.
        arrivals: Of that part, by seed.
        attainment_frac: Share of the requests to be answered as promised.
        seed: Of the run.
    """
    found: dict[tuple[float, ...], RuleRun] = {}
    names = [setting.name for setting in family.settings]

    def run(values: Mapping[str, float]) -> RuleRun:
        key = tuple(values[name] for name in names)
        if key not in found:
            found[key] = run_rule(fleet, family.make(values), arrivals(seed), seed)
        return found[key]

    best = {setting.name: setting.first for setting in family.settings}
    several = len(family.settings) > 1
    for setting in (*family.settings, *(family.settings[:1] if several else ())):
        values = sorted(
            setting.values, key=lambda value: value != setting.first
        )  # the usual one where all cost the same
        tries = [best | {setting.name: value} for value in values]
        best = min(tries, key=lambda values: rank(run(values), attainment_frac))
    tried = tuple((dict(zip(names, key)), one) for key, one in found.items())
    return Tuned(family=family, values=best, keeps=run(best).attainment_frac >= attainment_frac, tried=tried)


def rank(run: RuleRun, attainment_frac: float) -> tuple[int, float, float]:
    """The lower, the better: with room before just so before not, by dollars, where none keeps by what is missed."""
    missed, allowed = 1 - run.attainment_frac, 1 - attainment_frac
    if missed <= allowed:
        return int(missed > AIM_FRAC * allowed), run.usd, missed
    return 2, missed, run.usd
