"""Made-up requests under a two-tier route: the score is uniform, the least sure tenth goes to the reference.

How other kinds of requests fall among calibration's tenths was measured on CLINC150: questions that no model learned,
and questions with slips of the finger, under the margin of the smallest tier.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from routing.watched import Requests, World

__all__ = ["SURE", "TYPOS", "UNSURE", "tied", "usual"]

PASSED_ON = 0.1
_UNKNOWN = (0.773, 0.16, 0.03, 0.02, 0.002, 0.009, 0.003, 0.001, 0.0, 0.002)
_SLIPPED = (0.43, 0.201, 0.116, 0.081, 0.055, 0.045, 0.029, 0.023, 0.012, 0.008)


def usual(loss_frac: float) -> World:
    """Requests of which a share is lost, most of them little above the threshold."""
    scale = loss_frac / ((1 - PASSED_ON) ** 4 / 4)

    def world(rng: np.random.Generator, n: int) -> Requests:
        score = rng.random(n)
        return _answered(score, lambda below: rng.random(n) < scale * (1 - score) ** 3)

    return world


def tied(loss_frac: float) -> World:
    """The same with a score of eleven values."""
    plain = usual(loss_frac)

    def world(rng: np.random.Generator, n: int) -> Requests:
        found = plain(rng, n)
        return Requests(score=np.round(found.score, 1), below=found.below, loss=found.loss)

    return world


def _kind(shares: tuple[float, ...], lost: float) -> World:
    """Requests that fall so among the tenths; of those answered below the reference so many are lost."""
    p = np.array(shares) / sum(shares)

    def world(rng: np.random.Generator, n: int) -> Requests:
        score = (rng.choice(p.size, size=n, p=p) + rng.random(n)) / p.size
        return _answered(score, lambda below: rng.random(n) < lost)

    return world


def _answered(score: np.ndarray, lost: Callable[[np.ndarray], np.ndarray]) -> Requests:
    below = score >= PASSED_ON
    return Requests(score=score, below=below, loss=(below & lost(below)).astype(float))


UNSURE = _kind(_UNKNOWN, 1.0)
"""A class that the small tier never saw: it is unsure of most, and always wrong."""
SURE = _kind((0.1,) * 10, 1.0)
"""One that it is as sure of as of all others: no score shows it."""
TYPOS = _kind(_SLIPPED, 0.02)
"""Requests with slips of the finger."""
