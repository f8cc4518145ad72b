"""Which contender to serve next, and at which rate: the highest rate that keeps the promise under real arrivals.

A pure step function. The queue model's rate of a candidate is taken as the most it can do (batches under Poisson
arrivals are never better filled or better grouped than the model assumes), so one whose modelled rate does not exceed
the best rate already kept cannot win and is not served. A challenger is first tried just above the best rate: when it
fails there it is out after one trial, when it holds it climbs from its own modelled rate downwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from farthing.nouns import Candidate

__all__ = ["HEADROOM", "Trials", "best", "start", "step", "turn"]

CUT = 0.88
"""Factor between two rates tried one after the other."""
CUTS = 6
"""How often a rate is cut before a candidate is given up."""
HEADROOM = 1.1
"""A replica is planned at the rate that kept the promise divided by this: close to its limit p99 doubles when the
machine gets a few per cent slower, and machines are not alike. It is what ``verify`` allows service times to differ."""
CLEAR = 1.02
"""A challenger must keep a rate that is higher by this factor, else it is no better for a user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """State of the trials.

    Attributes:
        modelled_rps: The queue model's rate by candidate, in the order in which they are tried.
        must: So many of the first are tried though others may be better already (the leader and those tied with it).
        kept_rps: Highest rate seen to keep the promise, by candidate.
        missed_rps: Lowest rate seen to miss it.
        runs: Trials so far, by candidate.
        done: Candidates that are not tried again.
    """

    modelled_rps: Mapping[Candidate, float]
    must: int
    kept_rps: Mapping[Candidate, float]
    missed_rps: Mapping[Candidate, float]
    runs: Mapping[Candidate, int]
    done: frozenset[Candidate]


def start(modelled_rps: Mapping[Candidate, float], first: Sequence[Candidate]) -> Trials:
    """Trials of the keys of ``modelled_rps``: ``first`` in its order, then the rest, highest rate first.

    Args:
        modelled_rps: Rates in requests/s, > 0.
        first: Candidates that are tried in any case; all of them keys.

    Raises:
        ValueError: when nobody is there, a rate is not > 0, or one of ``first`` has none.
    """
    if not modelled_rps or any(not r > 0 for r in modelled_rps.values()) or not set(first) <= set(modelled_rps):
        raise ValueError(f"rates must be > 0 and there for all of {[c.label for c in first]}: {dict(modelled_rps)}")
    rest = sorted((c for c in modelled_rps if c not in first), key=lambda c: -modelled_rps[c])
    return Trials(
        modelled_rps={c: modelled_rps[c] for c in (*first, *rest)},
        must=len(first),
        kept_rps={},
        missed_rps={},
        runs={},
        done=frozenset(),
    )


def best(trials: Trials) -> Candidate | None:
    """Who keeps the highest rate so far; of equals the one tried first; None when nobody kept any."""
    kept = trials.kept_rps
    return max(kept, key=lambda c: kept[c]) if kept else None


def turn(trials: Trials) -> tuple[Candidate, float] | None:
    """Who is to be served next and at which rate in requests/s; None when it is settled."""
    top = max(trials.kept_rps.values(), default=0.0)
    for k, (c, modelled) in enumerate(trials.modelled_rps.items()):
        if c in trials.done:
            continue
        others = max((r for o, r in trials.kept_rps.items() if o != c), default=0.0)
        if k >= trials.must and not trials.runs.get(c) and modelled <= top * CLEAR:
            continue
        rate = _rate(trials, c, modelled, others)
        if rate is not None:
            return c, rate
    return None


def _rate(trials: Trials, c: Candidate, modelled: float, others: float) -> float | None:
    """The candidate's next rate: the entry trial, then from the model downwards; None when it has nothing to win."""
    missed, kept = trials.missed_rps.get(c), trials.kept_rps.get(c)
    entry = others * CLEAR
    if kept is None and missed is None:
        return entry if 0 < entry < modelled else modelled
    if missed is None:
        assert kept is not None
        return None if kept >= modelled else modelled
    rate = missed * CUT
    return None if rate <= (kept if kept is not None else others) else rate


def step(trials: Trials, c: Candidate, rate_rps: float, held: bool) -> Trials:
    """Take in one trial.

    Args:
        trials: State before it.
        c: Who was served.
        rate_rps: At which rate.
        held: Whether the promise was kept.
    """
    runs = {**trials.runs, c: trials.runs.get(c, 0) + 1}
    if held:
        kept = {**trials.kept_rps, c: max(rate_rps, trials.kept_rps.get(c, 0.0))}
        after = replace(trials, runs=runs, kept_rps=kept)
    else:
        missed = {**trials.missed_rps, c: min(rate_rps, trials.missed_rps.get(c, float("inf")))}
        after = replace(trials, runs=runs, missed_rps=missed)
    others = max((r for o, r in after.kept_rps.items() if o != c), default=0.0)
    over = runs[c] >= CUTS or _rate(after, c, after.modelled_rps[c], others) is None
    return replace(after, done=after.done | {c}) if over else after
