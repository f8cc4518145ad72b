"""The mean loss of quality over all requests, tested on those of which the reference was asked too.

Request t is audited with a probability q_t that is fixed before its answer is compared; L_t in [0, 1] is how far the
answer differs from the reference's (0 where the reference answered itself). X_t = A_t L_t / q_t has the conditional
mean of L_t, audits being the only randomness added (Horvitz & Thompson, 1952). A gambler who holds that the mean is ρ
times the alarm's level m multiplies his wealth by 1 + λ_t (X_t − m), λ_t = (ρ − 1) / (1/q_t − m): for losses of 0 and 1
the likelihood ratio of ρ m against m. While the conditional mean stays ≤ m every factor is at most 1 in expectation,
however requests, losses and audit probabilities depend on the past (:mod:`farthing.core.stats.onsets`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from farthing.core.stats.onsets import stakes, wealth_path
from farthing.nouns import Estimate

__all__ = ["LossState", "LossTest", "begin_loss", "loss_estimate", "loss_evidence", "observe_loss"]

_RATIOS = (1.5, 2.0, 3.0, 5.0, 10.0, 25.0)
_MOST_RISK = 0.9
"""Largest share of the wealth that one request without a loss can take."""
_GRID = np.geomspace(1e-5, 0.5, 64)
_LIMIT_RATIOS = (1.25, 2.0, 4.0, 10.0)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LossTest:
    """What counts as too great a loss.

    Attributes:
        alarm_loss_frac: Greatest mean loss that is none, in (0, 1).
        confidence: Of the limits that are shown.
    """

    alarm_loss_frac: float
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if not 0 < self.alarm_loss_frac < 1 or not 0 < self.confidence < 1:
            raise ValueError(f"LossTest: both must lie in (0, 1): {self!r}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LossState:
    """Where the watch of the loss stands.

    Attributes:
        n: Requests seen, those that the reference answered included.
        audited: Of them compared.
        lost: Losses of these, summed.
        weighted: Each over the probability with which it was audited, summed: estimates all losses.
        wealth: Of the gamblers, shape ``(n_ratios,)``.
        most: Greatest evidence so far.
        logs: Log wealth against each mean of a grid, bets on more and on less, shape ``(2, grid, bets)``.
    """

    n: int
    audited: int
    lost: float
    weighted: float
    wealth: Floats
    most: float
    logs: Floats

    @property
    def audited_frac(self) -> float | None:
        """Share of the requests seen that were compared, None before the first."""
        return self.audited / self.n if self.n else None


def begin_loss(test: LossTest) -> LossState:
    """State before the first request."""
    return LossState(
        n=0,
        audited=0,
        lost=0.0,
        weighted=0.0,
        wealth=np.zeros(len(_RATIOS)),
        most=0.0,
        logs=np.zeros((2, _GRID.size, len(_LIMIT_RATIOS))),
    )


def observe_loss(
    test: LossTest, state: LossState, audit_frac: Floats, audited: NDArray[np.bool_], loss: Floats
) -> LossState:
    """Take in the next requests in their order.

    Args:
        test: What is tested.
        state: Before them.
        audit_frac: q of each, in [0, 1], shape ``(n,)``; of those that the reference answered the q of that moment.
        audited: Which were compared, shape ``(n,)``; only where q > 0.
        loss: L of those, in [0, 1]; ignored elsewhere, shape ``(n,)``.

    Raises:
        ValueError: when one is out of its domain.
    """
    n = len(audit_frac)
    if not n:
        return state
    x = np.where(audited, loss, 0.0)
    if not ((audit_frac >= 0) & (audit_frac <= 1) & (x >= 0) & (x <= 1)).all() or (audited & (audit_frac == 0)).any():
        raise ValueError("audit_frac and loss must lie in [0, 1], and only requests with audit_frac > 0 are audited")
    weighted = np.divide(x, audit_frac, out=np.zeros(n), where=audit_frac > 0)
    slopes = _slopes(np.array(_RATIOS)[:, None], audit_frac, test.alarm_loss_frac)
    path = wealth_path(state.wealth, stakes(state.n, n), 1 + slopes * (weighted - test.alarm_loss_frac))
    return replace(
        state,
        n=state.n + n,
        audited=state.audited + int(audited.sum()),
        lost=state.lost + float(x.sum()),
        weighted=state.weighted + float(weighted.sum()),
        wealth=path[:, -1],
        most=max(state.most, float(path.sum(axis=0).max())),
        logs=state.logs + _gains(audit_frac, weighted),
    )


def _slopes(ratio: Floats, audit_frac: Floats, mean: Floats | float) -> Floats:
    """λ for a bet on ``ratio`` times ``mean``; 0 where nothing is audited."""
    q = np.maximum(audit_frac, 1e-12)
    bet = (ratio - 1) / (1 / q - mean)
    return np.asarray(np.where(audit_frac > 0, np.minimum(bet, _MOST_RISK / mean), 0.0))


def _gains(audit_frac: Floats, weighted: Floats) -> Floats:
    """Log factors of all requests, summed, for each mean of the grid and each bet."""
    more = np.array(_LIMIT_RATIOS)
    ratios = np.stack([more, 1 / more])[:, None, :, None]
    pairs, counts = np.unique(np.stack([audit_frac, weighted]), axis=1, return_counts=True)
    mean = _GRID[None, :, None, None]
    slopes = _slopes(ratios, pairs[0], mean)
    return np.asarray((np.log1p(slopes * (pairs[1] - mean)) * counts).sum(axis=-1))


def loss_evidence(state: LossState) -> float:
    """Present evidence for too great a loss: it ever reaches 1/α with probability ≤ α while there is none."""
    return float(state.wealth.sum())


def loss_estimate(test: LossTest, state: LossState) -> Estimate | None:
    """Mean loss since the watch began, with limits that hold at all times at once while the mean stays as it is.

    Returns:
        None before the first audit. The ends are those of a grid, rounded outwards.
    """
    if not state.audited:
        return None
    most = np.logaddexp.reduce(state.logs, axis=2) - math.log(len(_LIMIT_RATIOS))
    out = most >= math.log(2 / (1 - test.confidence))
    low = int(np.logical_and.accumulate(out[0]).sum())  # means from the least on that are too small
    high = int(np.logical_and.accumulate(out[1][::-1]).sum())
    lo = float(_GRID[low - 1]) if low else 0.0
    hi = float(_GRID[-high]) if high else 1.0
    value = state.weighted / state.n
    return Estimate(
        value=value,
        lo=min(lo, value),
        hi=max(hi, value),
        n=state.audited,
        method=f"{state.audited} of {state.n} requests audited, weighted; limits valid at any time",
        confidence=test.confidence,
    )
