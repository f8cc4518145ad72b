"""The race: interleaved rounds, and losers dropped by interval, never by point estimate.

A pure step function. The caller measures one block of every candidate still running, in turn, and hands the
round in; :func:`step` says who goes on. A candidate is dropped when the upper end of its ratio to the leader
lies below one; the confidence is split over candidates and looks (Bonferroni), so that the whole race drops the
best candidate with a probability of at most ``1 − confidence``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from farthing.core.stats.intervals import ratio_of_blocks
from farthing.nouns import Candidate, Estimate

__all__ = ["Drop", "Race", "leader", "ratio", "running", "start", "step", "ties"]

LOOKS = (8, 12, 16, 24)
"""Rounds after which candidates may be dropped."""
SAME_FRAC = 0.02
"""Candidates whose whole interval lies within this of the leader are one and the same for a user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Why a candidate left the race.

    Attributes:
        candidate: Who.
        after: Rounds it had run.
        ratio: Its score over the leader's at that time.
        leader: To whom it lost.
    """

    candidate: Candidate
    after: int
    ratio: Estimate
    leader: Candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """State of a race.

    Attributes:
        scores: Score of each round, by candidate: throughput × the share of it usable within the latency bound.
        weights: That share in (0, 1], by candidate.
        running: Candidates still in.
        drops: Those that left, in order.
        confidence: Of the whole race.
        looks: Rounds after which candidates may be dropped; the last one ends the race.
    """

    scores: Mapping[Candidate, tuple[float, ...]]
    weights: Mapping[Candidate, float]
    running: tuple[Candidate, ...]
    drops: tuple[Drop, ...] = ()
    confidence: float = 0.95
    looks: tuple[int, ...] = LOOKS

    @property
    def rounds(self) -> int:
        """Rounds run so far."""
        return max((len(s) for s in self.scores.values()), default=0)


def start(weights: Mapping[Candidate, float], *, confidence: float = 0.95, looks: Sequence[int] = LOOKS) -> Race:
    """A race of the keys of ``weights``.

    Raises:
        ValueError: when nobody runs, a weight is not in (0, 1], or a look comes before eight rounds.
    """
    if not weights or any(not 0 < w <= 1 for w in weights.values()):
        raise ValueError(f"weights must be in (0, 1] and not empty, are {dict(weights)}")
    if min(looks) < 8:
        raise ValueError(f"the first look needs at least 8 rounds, is after {min(looks)}")
    return Race(
        scores=dict.fromkeys(weights, ()),
        weights=dict(weights),
        running=tuple(weights),
        confidence=confidence,
        looks=tuple(looks),
    )


def running(race: Race) -> tuple[Candidate, ...]:
    """Who is to be measured in the next round; empty when the race is over."""
    over = race.rounds >= race.looks[-1] or (race.rounds >= race.looks[0] and _settled(race))
    return () if over else race.running


def step(race: Race, throughput_rps: Mapping[Candidate, float]) -> Race:
    """Take in one round.

    Args:
        race: State before it.
        throughput_rps: One block of each candidate of :func:`running`, measured in turn.

    Raises:
        ValueError: when a running candidate is missing or did nothing.
    """
    missing = [c.label for c in race.running if not throughput_rps.get(c, 0) > 0]
    if missing:
        raise ValueError(f"the round has no throughput of {', '.join(missing)}")
    scores = {c: (*s, throughput_rps[c] * race.weights[c]) if c in race.running else s for c, s in race.scores.items()}
    race = replace(race, scores=scores)
    return _look(race) if race.rounds in race.looks else race


def _look(race: Race) -> Race:
    first = leader(race)
    drops = []
    for c in race.running:
        if c == first:
            continue
        r = ratio(race, c, first)
        if r.hi < 1:
            drops.append(Drop(candidate=c, after=race.rounds, ratio=r, leader=first))
    gone = {d.candidate for d in drops}
    return replace(race, running=tuple(c for c in race.running if c not in gone), drops=(*race.drops, *drops))


def _settled(race: Race) -> bool:
    return len(ties(race)) == len(race.running)


def leader(race: Race) -> Candidate:
    """The running candidate with the best geometric mean score; at equal scores the smaller batch."""
    return max(race.running, key=lambda c: (float(np.mean(np.log(race.scores[c]))), -c.max_batch))


def ratio(race: Race, a: Candidate, b: Candidate) -> Estimate:
    """Score of ``a`` over ``b`` from the rounds both ran, at the confidence of one comparison of the race."""
    n = min(len(race.scores[a]), len(race.scores[b]))
    comparisons = max(1, (len(race.scores) - 1) * len(race.looks))
    confidence = 1 - 2 * (1 - race.confidence) / comparisons
    return ratio_of_blocks(race.scores[a][:n], race.scores[b][:n], confidence=max(0.5, confidence))


def ties(race: Race) -> tuple[Candidate, ...]:
    """The leader and all running candidates whose whole interval lies within 2 % of it."""
    first = leader(race)
    return (
        first,
        *(c for c in race.running if c != first and _same(ratio(race, c, first))),
    )


def _same(r: Estimate) -> bool:
    return r.lo > 1 - SAME_FRAC and r.hi < 1 + SAME_FRAC
