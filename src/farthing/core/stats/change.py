"""Sequential change detection for a bounded stream, with a stated false-alarm probability over a stated horizon.

A Shiryaev–Roberts sum of betting e-processes (Shin, Ramdas, Rinaldo, "E-detectors", NEJSDS 2, 2024): one gambler
starts at each observation and bets that the mean has left [null_lo, null_hi]. While it has not, R_t − t is a
supermartingale, so P(max over t ≤ H of R_t ≥ H/α) ≤ α for any horizon H (Doob). Observations may depend on the
past in any way that leaves their conditional mean within [null_lo, null_hi]; autocorrelated means do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from farthing.core.stats.compiled import compiled

__all__ = ["ChangeState", "ChangeTest", "alarm_after", "begin", "observe"]

_SHARES = (0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125)
"""Bets as shares of the largest one that cannot go broke; small ones find small changes."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeTest:
    """What counts as a change, and how often a false alarm is allowed.

    Attributes:
        null_lo: Least mean that is no change, in [0, 1].
        null_hi: Greatest one, in [null_lo, 1]. Where the mean was itself estimated these are the ends of its interval.
        horizon: Observations over which the promise holds, ≥ 1.
        false_alarm: Probability of any alarm within the horizon while nothing changed, in (0, 1).
        side: Watch for a ``rise``, a ``fall``, or ``both`` (each half of the sum).
    """

    null_lo: float
    null_hi: float
    horizon: int
    false_alarm: float
    side: Literal["both", "rise", "fall"] = "both"

    def __post_init__(self) -> None:
        if not 0 <= self.null_lo <= self.null_hi <= 1:
            raise ValueError(f"ChangeTest: 0 ≤ null_lo ≤ null_hi ≤ 1 does not hold: {self!r}")
        if self.horizon < 1 or not 0 < self.false_alarm < 1:
            raise ValueError(f"ChangeTest: needs horizon ≥ 1 and false_alarm in (0, 1): {self!r}")

    @property
    def threshold(self) -> float:
        """The sum at which the alarm goes off."""
        return self.horizon / self.false_alarm

    def bets(self) -> tuple[Floats, Floats, Floats]:
        """Slopes, null means and weights of the gamblers, each of shape ``(n_bets,)``; the factor is 1 + λ(x − m)."""
        shares = np.array(_SHARES)
        rise = shares / self.null_hi if self.null_hi > 0 else shares * 0
        fall = -shares / (1 - self.null_lo) if self.null_lo < 1 else shares * 0
        parts = {"rise": [(rise, self.null_hi)], "fall": [(fall, self.null_lo)]}
        parts["both"] = parts["rise"] + parts["fall"]
        chosen = parts[self.side]
        slopes = np.concatenate([slope for slope, _ in chosen])
        means = np.concatenate([np.full(len(slope), m) for slope, m in chosen])
        return slopes, means, np.full(slopes.size, 1 / slopes.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeState:
    """Where a watch stands after n observations.

    Attributes:
        n: Observations seen.
        sums: Shiryaev–Roberts sum of each gambler.
        alarm_at: Count of observations at the alarm, None while there is none; it stays.
        began: Count of observations before the likely start of the change, by the gambler that won most; None
            without an alarm.
        log_wealth: Log wealth of each gambler since it last started anew, for ``began``.
        starts: When that was, in observations.
    """

    n: int
    sums: tuple[float, ...]
    log_wealth: tuple[float, ...]
    starts: tuple[int, ...]
    alarm_at: int | None = None
    began: int | None = None


def begin(test: ChangeTest) -> ChangeState:
    """Give the state before the first observation."""
    count = test.bets()[0].size
    return ChangeState(n=0, sums=(0.0,) * count, log_wealth=(0.0,) * count, starts=(0,) * count)


def observe(test: ChangeTest, state: ChangeState, x: ArrayLike) -> ChangeState:
    """Take in the next observation, or several in order; after an alarm nothing changes any more.

    Args:
        test: What is watched for.
        state: State before them.
        x: In [0, 1], a number or shape ``(n,)``.

    Raises:
        ValueError: when an observation lies outside [0, 1], or the horizon is passed.
    """
    values = np.atleast_1d(np.asarray(x, dtype=np.float64))
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"observations must be one-dimensional and lie in [0, 1]: {values!r}")
    if state.alarm_at is not None:
        return state
    if state.n + values.size > test.horizon:
        raise ValueError(
            f"{state.n + values.size} observations, the promise holds for {test.horizon}: begin a new watch"
        )
    sums, wealth, starts = np.array(state.sums), np.array(state.log_wealth), np.array(state.starts, dtype=np.int64)
    seen, alarm = _watch(values, *test.bets(), test.threshold, state.n, sums, wealth, starts)
    state = replace(
        state, n=seen, sums=tuple(sums.tolist()), log_wealth=tuple(wealth.tolist()), starts=tuple(starts.tolist())
    )
    return replace(state, alarm_at=seen, began=int(starts[wealth.argmax()])) if alarm else state


def alarm_after(test: ChangeTest, x: ArrayLike) -> int | None:
    """Observations until the alarm on a whole stream, None when it stays quiet.

    Raises:
        ValueError: as :func:`observe`.
    """
    return observe(test, begin(test), x).alarm_at


@compiled
def _watch(
    x: Floats,
    slopes: Floats,
    means: Floats,
    weights: Floats,
    threshold: float,
    n: int,
    sums: Floats,
    wealth: Floats,
    starts: NDArray[np.int64],
) -> tuple[int, bool]:
    """Update the sums in place; returns the count of observations and whether the alarm went off."""
    for value in x:
        n += 1
        total = 0.0
        for k in range(slopes.size):
            factor = 1 + slopes[k] * (value - means[k])
            sums[k] = (sums[k] + 1) * factor
            wealth[k] += math.log(factor)
            if wealth[k] <= 0:
                wealth[k], starts[k] = 0.0, n
            total += weights[k] * sums[k]
        if total >= threshold:
            return n, True
    return n, False
