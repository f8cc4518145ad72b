"""What is proven beside a path of policies: the best coin, and a share of the policy that leads it when choosing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from farthing.core.route.calibrating.layouts import Laid
from farthing.core.route.calibrating.splits import LEAST_SHARE, Damped, coin_path, damped_path, lead_over
from farthing.core.route.controls import hull_of
from farthing.core.route.outcomes import OutcomeMatrix
from farthing.core.route.policies import FixedTier, Policy, simple

__all__ = ["sequences_with_coins"]

COIN_WEIGHT = 0.25
"""Share of the level that the coin is proven at: its proof asks for little, since its loss is a share of a tier's."""
LEAST_LEAD = 0.05
"""A score must promise to save so much more of what the coin saves: else the coin is simpler."""
LEAD_ERRORS = 1.5
"""So many standard errors of that must speak for it: among many scores the best looks better than it is."""
LEADING = 40
"""Families whose lead over the coin is looked at, those that promise most."""


def sequences_with_coins(
    path: Sequence[Policy], laid: Sequence[Laid], choose: OutcomeMatrix, reference: str, seed: int, longest: int
) -> list[tuple[float, Sequence[Policy]]]:
    """Sequences to certify with their weights: the path, or a share of a policy that leads the coin; and the best coin.

    Args:
        path: Policies without a coin, most careful first.
        laid: All families on the choosing part.
        choose: The choosing part.
        reference: Tier that losses are counted against.
        seed: Of the coin.
        longest: Policies of the coin's sequence, at most.
    """
    dear_usd = float(choose.cost_usd[:, choose.tier(reference)].mean())
    best = [found for each in laid if (found := _best_share(each, dear_usd)) is not None]
    coins = [found for found in best if isinstance(found.policy, FixedTier)]
    if not coins:
        return [(1.0, path)]
    coin = max(coins, key=lambda c: c.saved_usd)
    tosses = coin_path(coin, _cheaper(choose, coin.policy), reference, seed)
    routed = sorted((f for f in best if not isinstance(f.policy, FixedTier)), key=lambda f: -f.saved_usd)[:LEADING]
    least = LEAST_LEAD * coin.saved_usd
    leads = [
        (lead - error, found)
        for found in routed
        for lead, error in [lead_over(found, coin, choose, reference)]
        if lead >= max(least, LEAD_ERRORS * error)
    ]
    lead, leader = max(leads, key=lambda pair: pair[0], default=(-math.inf, coin))
    if lead > 0 and leader.share < 1:
        path = damped_path(leader, reference, seed)
    elif lead <= 0 and coin.share < 1:
        path = ()
    return (
        [(1 - COIN_WEIGHT, path), (COIN_WEIGHT, _evenly(tosses, longest))]
        if path
        else [(1.0, _evenly(tosses, longest))]
    )


def _best_share(laid: Laid, dear_usd: float) -> Damped | None:
    """The member of a family that saves most on the share that is expected to be proven."""
    saved = dear_usd - laid.means.cost_usd
    share = np.minimum(1.0, 1 / np.maximum(laid.ratio, 1e-9))
    fine = (saved > 0) & (share >= LEAST_SHARE)
    if not fine.any():
        return None
    i = int(np.where(fine, saved * share, -np.inf).argmax())
    policy = laid.family.policy([float(x) for x in laid.means.thresholds[i]])
    return Damped(policy=simple(policy), share=float(share[i]), saved_usd=float(saved[i] * share[i]))


def _cheaper(matrix: OutcomeMatrix, policy: Policy) -> list[str]:
    """Tiers cheaper than one, corners of the best fixed split, the best one first."""
    assert isinstance(policy, FixedTier)
    cost, quality = matrix.cost_usd.mean(axis=0), matrix.quality.mean(axis=0)
    hull = hull_of(cost, quality)
    below = [k for k in range(cost.size) if cost[k] < cost[matrix.tier(policy.tier)] and cost[k] in hull.cost_usd]
    return [matrix.tiers[k] for k in sorted(below, key=lambda k: -quality[k])]


def _evenly(path: Sequence[Policy], longest: int) -> tuple[Policy, ...]:
    places = np.unique(np.linspace(0, len(path) - 1, min(longest, len(path))).round().astype(int))
    return tuple(path[k] for k in places)
