"""Which splits are worth proving: the best coin between two tiers, and policies dampened by a coin.

A policy that loses ``ℓ ± e`` (its mean loss and the error with which the proving part will know it) and saves ``c`` can
be followed on a share s of the requests with a loss of ``s (ℓ ± e)`` and a saving of ``s c``. Its promise is kept up to
``s = limit / (ℓ + z e)``, so that policies compare by ``c · min(1, limit / (ℓ + z e))``: by what they save on the share
that can be expected to be proven. The coin alone is one of them, with the tier that is cheapest for what it loses.

A score is preferred to the coin only where the choosing part shows its lead by more than its error: among many scores
the best looks better than it is. All of this is chosen on the choosing part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farthing.core.route.outcomes import OutcomeMatrix
from farthing.core.route.policies import FixedTier, Policy, Simple, Split, follow

__all__ = ["LEAST_SHARE", "Damped", "coin_path", "damped_path", "lead_over", "with_share"]

LEAST_SHARE = 0.01
"""Smallest share of a split: a saving below it is not worth a rung."""
SHARES = tuple(sorted({float(f"{1.04**-k:.3g}") for k in range(118)} | {0.01}))
"""All shares there are, 4 % apart, rising to 1: tests of few limits are quick, and people read few digits."""
FROM, TO = 0.5, 1.8
"""A path is fine from so much of the share that is expected to be proven to so much more: proofs vary."""
COARSE = 18
"""Below it every eighteenth share is tried: about twice as much each time."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Damped:
    """A policy and the share of it that can be expected to be proven.

    Attributes:
        policy: Followed on the share.
        share: In (0, 1]; 1 for all.
        saved_usd: Of a request on average, by the share.
    """

    policy: Simple
    share: float
    saved_usd: float


def with_share(policy: Simple, share: float, otherwise: str, seed: int) -> Policy:
    """The policy on a share of the requests; itself where that is all of them or it is what the others get anyway."""
    if share >= 1 or policy == FixedTier(tier=otherwise):
        return policy
    return Split(policy=policy, share=share, otherwise=otherwise, seed=seed)


def damped_path(found: Damped, reference: str, seed: int) -> tuple[Policy, ...]:
    """A policy with rising shares, the most careful first: few small ones, many around the expected one."""
    lo, hi = FROM * found.share, TO * found.share
    shares = [share for k, share in enumerate(SHARES) if share <= hi and (share >= lo or k % COARSE == 0)]
    return tuple(with_share(found.policy, share, reference, seed) for share in shares)


def coin_path(best: Damped, cheaper: Sequence[str], reference: str, seed: int) -> tuple[Policy, ...]:
    """Splits between the reference and the tier that a coin gains most with, then that tier and cheaper ones.

    Args:
        best: The tier with its expected share.
        cheaper: Tiers to split that tier with where it may be proven alone, in the order of falling quality.
        reference: Tier that losses are counted against.
        seed: Of the coin.
    """
    path = damped_path(best, reference, seed)
    assert isinstance(best.policy, FixedTier)
    if best.share < 1 / TO:
        return path
    last = best.policy.tier
    for tier in cheaper:
        path += tuple(with_share(FixedTier(tier=tier), k / 10, last, seed) for k in range(1, 11))
        last = tier
    return path


def lead_over(one: Damped, other: Damped, matrix: OutcomeMatrix, reference: str) -> tuple[float, float]:
    """By how much one saves more than the other per request at an equal loss, and the standard error of that.

    What one loses more is reckoned at the price at which the other saves it: its saving over its loss.

    Args:
        one: A policy with a score.
        other: The coin.
        matrix: The choosing part.
        reference: Tier that losses are counted against.
    """
    best, dear = matrix.quality[:, matrix.tier(reference)], matrix.cost_usd[:, matrix.tier(reference)]
    gains = []
    for each in (one, other):
        routed = follow(each.policy, matrix)
        gains.append((each.share * (dear - routed.cost_usd), each.share * (best - routed.quality)))
    (saved, lost), (coin_saved, coin_lost) = gains
    price = float(coin_saved.mean() / coin_lost.mean()) if coin_lost.mean() > 0 else 0.0
    lead = (saved - coin_saved) - price * (lost - coin_lost)
    return float(lead.mean()), float(lead.std() / math.sqrt(matrix.n))
