"""Whether a score still falls as it did in calibration: bets on its deciles, valid at any time, for ever.

The n calibration scores cut the line into bins at their quantiles. While live requests are exchangeable with them,
the chance that the next score falls into a set S of bins, given calibration and all live scores before, is exactly
(a_S + c_S) / (n + 1 + t), where a_S is n + 1 times the calibration's share of S and c_S counts the t live ones seen
(ranks are uniform: a Pólya urn), whatever the distribution. So the error of having estimated the quantiles is part of
the test. Ties are broken at random as in calibration. A gambler bets that a share m of the requests is of another kind,
all of them in S: his factor is 1 − m + m / P(S) in S and 1 − m outside (:mod:`farthing.core.stats.onsets`).

Bets on less than :data:`LEAST_SHIFT` are not made: a shift by less than about half of it is never called a drift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from farthing.core.stats.onsets import stakes, wealth_path

__all__ = ["LEAST_SHIFT", "ScoreState", "ScoreTest", "begin_scores", "bins_of", "observe_scores", "score_evidence"]

LEAST_SHIFT = 0.15
"""Smallest share of requests of another kind that is bet on."""
_SHIFTS = (LEAST_SHIFT, 0.3, 0.6)
_MEMORY = 300.0
"""Requests over which the shares that are shown fade."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreTest:
    """One score and how it fell in calibration.

    Attributes:
        name: Of the score.
        quantiles: Its quantiles at equal steps (deciles: nine), never falling; k of them make k + 1 bins.
        below: For each quantile the share of calibration scores equal to it that count as below it, in [0, 1].
        n: Calibration scores behind them, ≥ 1.
    """

    name: str
    quantiles: tuple[float, ...]
    below: tuple[float, ...]
    n: int

    def __post_init__(self) -> None:
        if self.n < 1 or not self.quantiles or len(self.below) != len(self.quantiles):
            raise ValueError(f"ScoreTest: needs n ≥ 1 and one share below for each quantile: {self!r}")
        if any(not a <= b for a, b in zip(self.quantiles, self.quantiles[1:])):
            raise ValueError(f"ScoreTest: quantiles must not fall: {self!r}")

    @property
    def bins(self) -> int:
        """Number of bins."""
        return len(self.quantiles) + 1


@cache
def _sets(bins: int) -> NDArray[np.bool_]:
    """Sets of bins that are bet on, shape ``(n_sets, bins)``: each bin, and runs of bins from either end."""
    low = np.tri(bins, bins, 0, dtype=bool)
    runs = [k - 1 for k in (2, 3, 5) if k < bins]
    return np.concatenate([np.eye(bins, dtype=bool), low[runs], low[runs][:, ::-1]])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreState:
    """Where the watch of one score stands.

    Attributes:
        n: Live scores seen.
        counts: By bin, shape ``(bins,)``.
        wealth: Of the gamblers, shape ``(n_sets · n_shifts,)``.
        recent: Shares of the last few hundred by bin, shape ``(bins,)``.
        most: Greatest evidence so far.
    """

    n: int
    counts: Ints
    wealth: Floats
    recent: Floats
    most: float = 0.0


def begin_scores(test: ScoreTest) -> ScoreState:
    """State before the first score."""
    return ScoreState(
        n=0,
        counts=np.zeros(test.bins, dtype=np.int64),
        wealth=np.zeros(len(_sets(test.bins)) * len(_SHIFTS)),
        recent=np.full(test.bins, 1 / test.bins),
    )


def bins_of(test: ScoreTest, values: ArrayLike, coins: ArrayLike) -> Ints:
    """Bin of each score; NaN is left out.

    Args:
        test: The score.
        values: Shape ``(n,)``.
        coins: Uniform on [0, 1), one a value, for scores that equal a quantile.
    """
    x, u = np.asarray(values, dtype=np.float64), np.asarray(coins, dtype=np.float64)
    known = ~np.isnan(x)
    x, u = x[known], u[known]
    edges, below = np.array(test.quantiles), np.array(test.below)
    found = np.searchsorted(edges, x, side="left")
    last = np.searchsorted(edges, x, side="right")
    for k in np.flatnonzero(last > found):
        found[k] += int((below[found[k] : last[k]] <= u[k]).sum())
    return np.asarray(found, dtype=np.int64)


def observe_scores(test: ScoreTest, state: ScoreState, bins: Ints) -> ScoreState:
    """Take in the next scores in their order.

    Args:
        test: The score.
        state: Before them.
        bins: As :func:`bins_of` gives them, shape ``(n,)``.
    """
    size = len(bins)
    if not size:
        return state
    sets = _sets(test.bins)
    inside = sets[:, bins]
    seen = sets @ state.counts
    before = seen[:, None] + np.cumsum(inside, axis=1) - inside
    share = sets.sum(axis=1, keepdims=True) / test.bins
    chance = ((test.n + 1) * share + before) / (test.n + 1 + state.n + np.arange(size))
    shifts = np.array(_SHIFTS)[:, None, None]
    factors = 1 - shifts + shifts * inside / chance
    path = wealth_path(state.wealth, stakes(state.n, size), factors.reshape(-1, size))
    fade = math.exp(-size / _MEMORY)
    weights = np.exp(-np.arange(size - 1, -1, -1) / _MEMORY) * (1 - math.exp(-1 / _MEMORY))
    return replace(
        state,
        n=state.n + size,
        counts=state.counts + np.bincount(bins, minlength=test.bins),
        wealth=path[:, -1],
        recent=fade * state.recent + np.bincount(bins, weights, minlength=test.bins),
        most=max(state.most, float(path.sum(axis=0).max())),
    )


def score_evidence(state: ScoreState) -> float:
    """Present evidence for a drift: it ever reaches 1/α with probability ≤ α while there is none."""
    return float(state.wealth.sum())


def furthest(test: ScoreTest, state: ScoreState) -> tuple[Sequence[int], float, float]:
    """The set of bins that the richest gambler bets on, with its recent share and that of calibration."""
    sets = _sets(test.bins)
    chosen = sets[int(state.wealth.argmax()) % len(sets)]
    return np.flatnonzero(chosen).tolist(), float(state.recent[chosen].sum()), float(chosen.mean())
