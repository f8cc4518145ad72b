"""Which rung is followed now: measured rate, replicas that are there, and the core's steering, once a second."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol

from farthing.core.money.marginal import FleetState, PaidReplicas, new_replicas
from farthing.core.route.following import shares_of
from farthing.core.route.routes import Route, Tier
from farthing.core.route.served import Place
from farthing.core.route.steering import TierPrice, marginal_prices, steer
from farthing.nouns import Offer

__all__ = ["LoadSteering", "NoScaler", "RateWindow", "Scaler", "price_of"]

WINDOW_S = 5.0
"""Over which the rate is measured: long enough for a few hundred requests, short enough for a peak of a minute."""
EXTRA_FRAC = 0.05
"""A step (a new replica) is spread over so much more of the present rate, and one request/s at least."""


class Scaler(Protocol):
    """Told how many replicas the load wants; starting and stopping them is its affair."""

    def wanted(self, tier: str, on_demand: int, spot: int) -> None:
        """Replicas that a tier needs at the present rate, those that are there included; told when it changes."""
        ...


class NoScaler:
    """Leaves the replicas as they were declared."""

    def wanted(self, tier: str, on_demand: int, spot: int) -> None:
        """Nothing."""


class RateWindow:
    """Rows per second over a sliding window, in buckets of one tick."""

    def __init__(self, now_s: float, window_s: float = WINDOW_S) -> None:
        self.rows = 0
        """Counted since the last tick; whoever sees rows adds to it."""
        self._window_s, self._since_s = window_s, now_s
        self._buckets: deque[tuple[float, int]] = deque()

    def tick(self, now_s: float) -> float:
        """Close a bucket; the rate of the window, in rows per second."""
        self._buckets.append((now_s, self.rows))
        self.rows = 0
        while self._buckets and self._buckets[0][0] <= now_s - self._window_s:
            self._since_s = self._buckets.popleft()[0]
        span_s = now_s - self._since_s
        return sum(rows for _, rows in self._buckets) / span_s if span_s > 0 else 0.0


def price_of(tier: Tier, available: Sequence[Place], unit_usd: float = 1.0) -> TierPrice:
    """How a tier is paid for now.

    Args:
        tier: Of the route.
        available: Its places that answer now; what has vanished is neither paid for nor counted on.
        unit_usd: What one unit of the route's currency costs.

    Returns:
        Its declared replicas where they have prices by the hour, else its price of a request.
    """
    priced = [r for r in tier.replicas if r.offer is not None and r.offer.usd_per_hour is not None]
    on_demand = next((r for r in priced if r.purchase == "on_demand"), None)
    if on_demand is None or on_demand.offer is None or len(priced) != len(tier.replicas):
        return tier.usd_per_request * unit_usd
    spot: Offer | None = next((r.offer for r in priced if r.purchase == "spot"), None)
    return FleetState(
        on_demand=on_demand.offer,
        sla_rps=on_demand.sla_rps,
        paid=tuple(
            PaidReplicas(offer=place.offer, count=place.count, sla_rps=place.capacity_rps / place.count)
            for place in available
            if place.offer is not None and place.count
        ),
        spot=spot,
        max_spot_frac=1.0 if spot is not None else 0.0,
    )


class LoadSteering:
    """Chooses among certified rungs; without replicas that have prices it stays with the route's choice.

    Args:
        route: Whose ladder.
        scaler: Told how many replicas would be wanted.
        now_s: Monotonic time.
        unit_usd: What one unit of the route's currency costs, NaN when unknown: then nothing is steered.

    Attributes:
        window: Of arrivals.
        rung: Followed now, None for the reference alone.
        rate_rps: As last measured.
        marginal_usd: What one more request costs now, by tier; empty before the first tick.
    """

    def __init__(self, route: Route, scaler: Scaler, now_s: float, unit_usd: float = 1.0) -> None:
        self._route, self._scaler, self._unit_usd = route, scaler, unit_usd
        self._tiers = [tier.name for tier in route.tiers]
        self._shares = [shares_of(rung, self._tiers) for rung in route.ladder]
        self._wanted: dict[str, tuple[int, int]] = {}
        self.window = RateWindow(now_s)
        self.rung = route.chosen
        self.rate_rps = 0.0
        self.marginal_usd: Mapping[str, float] = {}

    def tick(self, now_s: float, available: Mapping[str, Sequence[Place]]) -> int | None:
        """Measure, and choose the rung to follow from now on.

        Args:
            now_s: Monotonic time.
            available: Places of each tier that answer now.
        """
        self.rate_rps = self.window.tick(now_s)
        if self.rung is None or math.isnan(self._unit_usd):
            return self.rung
        prices = {tier.name: price_of(tier, available.get(tier.name, ()), self._unit_usd) for tier in self._route.tiers}
        if any(isinstance(price, FleetState) for price in prices.values()):
            self.rung = steer(self._shares, self._tiers, prices, rate_rps=self.rate_rps, current=self.rung)
            self._tell(prices)
        self.marginal_usd = marginal_prices(
            self._shares[self.rung],
            self._tiers,
            prices,
            rate_rps=self.rate_rps,
            extra_rps=max(1.0, EXTRA_FRAC * self.rate_rps),
        )
        return self.rung

    def _tell(self, prices: Mapping[str, TierPrice]) -> None:
        """Tell the scaler what the present rate needs, where that has changed."""
        assert self.rung is not None
        for share, name in zip(self._shares[self.rung].called_frac, self._tiers, strict=True):
            state = prices[name]
            if isinstance(state, FleetState):
                new, spot = new_replicas(state, float(share) * self.rate_rps)
                there = [pool.count for pool in state.paid if pool.offer.term != "spot"]
                there_spot = [pool.count for pool in state.paid if pool.offer.term == "spot"]
                wanted = int(new) + sum(there), int(spot) + sum(there_spot)
                if self._wanted.get(name) != wanted:
                    self._wanted[name] = wanted
                    self._scaler.wanted(name, *wanted)
