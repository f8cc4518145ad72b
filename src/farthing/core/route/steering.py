"""Which certified policy to follow now: the one that costs least with the replicas and the load of this moment.

All policies of a calibration's ladder hold the loss bound at once, so that any of them may be followed at any time,
whatever the load does, as long as the load does not itself make requests harder. The price of a policy at a rate is the
cost of the hour that all its calls cause (:func:`farthing.core.money.marginal.usd_per_hour_at`, tier by tier): paid-for
idle replicas of the large tier cost nothing more, so that they are used; at a peak a new replica is a step, so that
requests fall to smaller tiers first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from farthing.core.money.marginal import FleetState, marginal_usd_per_request, usd_per_hour_at

__all__ = ["Shares", "TierPrice", "marginal_prices", "steer", "usd_per_hour_of"]

TierPrice = FleetState | float
"""Declared replicas of a tier, or its price of a request in USD where another end point bills by request."""

Floats = NDArray[np.float64]


class Shares(Protocol):
    """What steering looks at in a certified policy (``Tested`` of the certification has it)."""

    @property
    def called_frac(self) -> Floats:
        """Share of requests on which each tier runs, shape ``(k,)``."""
        ...

    @property
    def score_cost_usd(self) -> float:
        """Of its scores, per request, beyond the tiers they need."""
        ...


def usd_per_hour_of(
    ladder: Sequence[Shares], tiers: Sequence[str], prices: Mapping[str, TierPrice], *, rate_rps: float
) -> Floats:
    """Cost of an hour under each policy at a rate, all tiers' paid replicas included, shape ``(len(ladder),)``.

    Args:
        ladder: Certified policies.
        tiers: Names in the order of their ``called_frac``.
        prices: How each tier is paid for.
        rate_rps: Requests/s in all, ≥ 0.

    Raises:
        PriceError: when an offer has no price by the hour.
        ValueError: when a tier has no price, a price is negative, or the rate is out of its domain.
    """
    if not 0 <= rate_rps < np.inf:
        raise ValueError(f"rate_rps must be finite and ≥ 0, is {rate_rps}")
    if not ladder:
        raise ValueError("no certified policy to choose from")
    calls_rps = np.stack([t.called_frac for t in ladder]) * rate_rps
    total = np.array([t.score_cost_usd for t in ladder]) * rate_rps * 3600
    for column, name in enumerate(tiers):
        price = _price(prices, name)
        rates = calls_rps[:, column]
        total = total + (usd_per_hour_at(price, rates) if isinstance(price, FleetState) else price * rates * 3600)
    return np.asarray(total, dtype=np.float64)


def steer(
    ladder: Sequence[Shares],
    tiers: Sequence[str],
    prices: Mapping[str, TierPrice],
    *,
    rate_rps: float,
    current: int | None = None,
    least_gain_frac: float = 0.02,
) -> int:
    """Index of the policy to follow now.

    The cheapest at this rate; of equally cheap ones the most careful, so that idle large replicas are used. The
    current one stays unless another saves at least ``least_gain_frac`` of its cost, or costs no more and is more
    careful.

    Args:
        ladder: Certified policies, most careful first.
        tiers: Names in the order of their ``called_frac``.
        prices: How each tier is paid for.
        rate_rps: Requests/s in all, ≥ 0.
        current: Index followed so far, None at the start.
        least_gain_frac: Against switching to and fro, in [0, 1).

    Raises:
        PriceError: when an offer has no price by the hour.
        ValueError: when an argument is out of its domain.
    """
    if not 0 <= least_gain_frac < 1:
        raise ValueError(f"least_gain_frac must lie in [0, 1), is {least_gain_frac}")
    usd = usd_per_hour_of(ladder, tiers, prices, rate_rps=rate_rps)
    best = int(np.flatnonzero(usd <= usd.min() * (1 + 1e-12))[0])
    if current is None:
        return best
    if not 0 <= current < len(ladder):
        raise ValueError(f"current must lie in 0 … {len(ladder) - 1}, is {current}")
    gains = usd[current] - usd[best] > least_gain_frac * usd[current]
    return best if gains or (best < current and usd[best] <= usd[current]) else current


def marginal_prices(
    policy: Shares, tiers: Sequence[str], prices: Mapping[str, TierPrice], *, rate_rps: float, extra_rps: float
) -> dict[str, float]:
    """What one more request sent to each tier costs now, in USD, while a policy is followed.

    Args:
        policy: Followed now; its calls are the rate that each tier serves already.
        tiers: Names in the order of ``called_frac``.
        prices: How each tier is paid for.
        rate_rps: Requests/s in all, ≥ 0.
        extra_rps: Over how many more requests/s a step is spread, > 0.

    Raises:
        PriceError: when an offer has no price by the hour.
        ValueError: when a tier has no price or a rate is out of its domain.
    """
    found = {}
    for share, name in zip(policy.called_frac, tiers, strict=True):
        price = _price(prices, name)
        found[name] = (
            marginal_usd_per_request(price, float(share) * rate_rps, extra_rps)
            if isinstance(price, FleetState)
            else price
        )
    return found


def _price(prices: Mapping[str, TierPrice], name: str) -> TierPrice:
    if name not in prices:
        raise ValueError(f"the tier {name!r} has no price; there are prices of {', '.join(prices) or 'none'}")
    price = prices[name]
    if not isinstance(price, FleetState) and not 0 <= price < np.inf:
        raise ValueError(f"the price of {name!r} must be finite and ≥ 0, is {price}")
    return price
