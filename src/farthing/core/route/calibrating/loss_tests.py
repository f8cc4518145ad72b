"""Tests and estimates of one policy's losses, given as unit losses in [−1, 1] of each request.

The three methods are those of :mod:`farthing.core.route.calibrating.certification`; *exact* stands for losses of −1, 0
and 1 alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from farthing.core.stats.intervals import mean_t
from farthing.core.stats.noninferiority import drop_upper, paired_gate
from farthing.core.stats.paired_limits import tango_upper
from farthing.core.stats.paired_tests import bets_reject, counts_reject, n_rejecting
from farthing.core.stats.risk import conformal_risk_control, learn_then_test
from farthing.core.stats.sequences import betting_limits
from farthing.nouns import Estimate

__all__ = ["Flags", "Method", "above", "loss_estimate", "needed", "passes"]

Method = Literal["paired", "lost_answers", "conformal"]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def passes(unit: Floats, most: float, alpha: float, method: Method, exact: bool) -> bool:
    """Whether the mean of unit losses is proven to be at most ``most`` at level alpha; above 1 it always is."""
    if most >= 1:
        return True
    if method == "conformal":
        return bool(conformal_risk_control(np.maximum(unit, 0.0)[:, None], max_risk=most).valid[0])
    if method == "lost_answers":
        return bool(learn_then_test(np.maximum(unit, 0.0)[:, None], max_risk=most, confidence=1 - alpha).valid[0])
    if exact:
        worse, better = int((unit > 0).sum()), int((unit < 0).sum())
        return bool(counts_reject(worse, better, len(unit), allowed=most, alpha=alpha))
    return bets_reject(unit, allowed=most, alpha=alpha)


def needed(
    losses: Floats,
    groups: Sequence[tuple[str, Flags, float]],
    failed: Sequence[str],
    alpha: float,
    method: Method,
    binary: bool,
) -> int | None:
    """Requests at which the failed groups would pass if the rates stay as seen, None where no number was found."""
    needed = []
    for name, rows, most in groups:
        if name in failed:
            more = _group_needs(losses[rows], most, alpha, method, binary)
            if more is None:
                return None
            needed.append(math.ceil(more * len(losses) / int(rows.sum())))
    return max(needed, default=None)


def _group_needs(losses: Floats, most: float, alpha: float, method: Method, binary: bool) -> int | None:
    positive = np.maximum(losses, 0.0)[:, None]
    if method == "conformal":
        return conformal_risk_control(positive, max_risk=most).n_needed
    if method == "lost_answers":
        return learn_then_test(positive, max_risk=most, confidence=1 - alpha).n_needed
    if binary:
        worse, better = float((losses > 0).mean()), float((losses < 0).mean())
        return n_rejecting(worse, better, len(losses), allowed=most, alpha=alpha)
    gate = paired_gate(np.maximum(losses, 0.0), np.maximum(-losses, 0.0), allowed_drop_frac=most, confidence=1 - alpha)
    return gate.n_needed if gate.drop_frac.value < most else None


def above(losses: Floats, groups: Sequence[tuple[str, Flags, float]], confidence: float, binary: bool) -> bool:
    """Whether some group's loss is shown to be above its limit."""
    return any(
        losses[rows].mean() > most and _lower(losses[rows], confidence, binary) > most for _, rows, most in groups
    )


def _lower(losses: Floats, confidence: float, binary: bool) -> float:
    if binary:
        worse, better = int((losses > 0).sum()), int((losses < 0).sum())
        return -drop_upper(better, worse, losses.size, confidence=confidence)
    return 2 * betting_limits((losses + 1) / 2, confidence=confidence)[0] - 1


def loss_estimate(losses: Floats, confidence: float, binary: bool) -> Estimate:
    """The mean loss with a two-sided interval of its own."""
    if not binary:
        return mean_t(losses, confidence=confidence) if losses.size > 1 else _single(losses, confidence)
    worse, better, n = int((losses > 0).sum()), int((losses < 0).sum()), losses.size
    value, side = float(losses.mean()), (1 + confidence) / 2
    return Estimate(
        value=value,
        lo=min(value, -tango_upper(better, worse, n, confidence=side)),
        hi=max(value, tango_upper(worse, better, n, confidence=side)),
        n=n,
        method=f"Tango's score limits, {worse} worse and {better} better",
        confidence=confidence,
    )


def _single(losses: Floats, confidence: float) -> Estimate:
    return Estimate(value=float(losses[0]), lo=-1.0, hi=1.0, n=1, method="one request", confidence=confidence)
