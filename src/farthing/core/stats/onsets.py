"""Detect a change whose time is unknown, at any time, with one error probability for ever.

One gambler starts at each step t with the stake π_t, Σ π_t ≤ 1, and bets from then on that something has changed.
Each one's wealth is a non-negative supermartingale while nothing has, so that their sum R_t = (R_{t−1} + π_t) · f_t,
f_t the factor of step t, is at most 1 in expectation at every stopping time, and P(ever R_t ≥ 1/α) ≤ α (Ville).
This is the Shiryaev–Roberts recursion with a prior on the onset (Shin, Ramdas, Rinaldo, "E-detectors", NEJSDS 2, 2024,
section 2; there stakes of 1 and a bound on the average run length instead).

Steps are passed in blocks; nothing here is drawn, read or remembered.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["PATIENCE", "stakes", "wealth_path"]

PATIENCE = 1_000
"""Steps until stakes begin to shrink: an onset within the first ones costs about log(PATIENCE) + 2 nats."""

_BLOCK = 64
"""Products of so many factors neither overflow nor vanish."""
_RICHEST = 1e12
"""Wealth beyond is given away: far above every alarm."""

Floats = NDArray[np.float64]


def stakes(start: int, n: int, patience: int = PATIENCE) -> Floats:
    """π_t = log p / ((p + t) log²(p + t)) for t = start + 1 … start + n, p the patience; all of them add up to < 1.

    (∫ dx / (x log² x) from p on is 1 / log p.)

    Args:
        start: Steps before, ≥ 0.
        n: Steps now, ≥ 0.
        patience: p, ≥ 3.

    Returns:
        Shape ``(n,)``.
    """
    x = patience + np.arange(start + 1, start + n + 1, dtype=np.float64)
    return np.asarray(math.log(patience) / (x * np.log(x) ** 2))


def wealth_path(wealth: Floats, staked: Floats, factors: Floats) -> Floats:
    """R after each step of a block.

    Args:
        wealth: R before, one a kind of gambler, shape ``(k,)``.
        staked: π of the steps, shape ``(n,)``; each kind gets 1/k of it.
        factors: f of the steps, in [10⁻⁴, 10⁴], shape ``(k, n)``.

    Returns:
        Shape ``(k, n)``.
    """
    share = staked / max(len(wealth), 1)
    parts: list[Floats] = []
    for first in range(0, factors.shape[1], _BLOCK):
        f = factors[:, first : first + _BLOCK]
        grown = np.cumprod(f, axis=1)
        earned = np.cumsum(share[first : first + _BLOCK] * f / grown, axis=1)
        parts.append(grown * (wealth[:, None] + earned))
        wealth = np.minimum(parts[-1][:, -1], _RICHEST)
    return np.concatenate(parts, axis=1) if parts else np.empty_like(factors)
