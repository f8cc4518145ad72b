"""In which zones replicas are bought: a floor on demand, spot above it, and on demand where spot cannot be had.

A spot replica stays in its zone until it is taken back; a new one is asked for where machines have so far stayed
longest. What spot there is not, on demand takes over, until the spot replica that follows it is ready: both take as
long to start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from farthing.core.simulation.outcomes import Observation
from farthing.core.simulation.spot.histories import Reclaiming, ZoneHistory
from farthing.core.simulation.steering import ON_DEMAND

__all__ = ["Buying", "SpotPurchase"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Buying:
    """How replicas are bought.

    Attributes:
        floor_frac: Share that is never spot, in [0, 1], rounded up to whole replicas; 1 buys none on spot.
        overflow: Whether on demand takes over what spot there is not.
        spare: Spot replicas beyond what is wanted, ≥ 0.
        known: Whether histories are known beforehand.
    """

    floor_frac: float
    overflow: bool = True
    spare: int = 0
    known: bool = False

    def __post_init__(self) -> None:
        if not (0 <= self.floor_frac <= 1 and self.spare >= 0):
            raise ValueError(f"Buying: floor_frac must lie in [0, 1], spare be ≥ 0: {self}")


@dataclass(slots=True)
class _Zone:
    """What has been seen of a zone."""

    history: ZoneHistory
    up_s: float = 0.0
    falls: int = 0
    was: int = 0

    def see(self, now_s: float, interval_s: float) -> None:
        available = self.history.at(now_s)
        self.up_s += interval_s if available else 0.0
        self.falls += available < self.was
        self.was = available

    @property
    def lasts_s(self) -> float:
        """Mean time that a machine stayed so far."""
        return self.up_s / (self.falls + 1)


@dataclass(slots=True)
class SpotPurchase:
    """Splits what a rule wants over pools; a pool a zone, and one on demand.

    Whether a zone has a machine is seen at once, as where a request that cannot be met is refused; a machine that is
    taken back is seen at its notice.

    Attributes:
        histories: Of the zones.
        buying: How it is bought.
        lag_s: From asking for a replica to its first request, ≥ 0.
        interval_s: Between two decisions, > 0.
        reclaiming: Notice and drain.
    """

    histories: Sequence[ZoneHistory]
    buying: Buying
    lag_s: float
    interval_s: float
    reclaiming: Reclaiming = field(default_factory=Reclaiming)
    _zones: list[_Zone] = field(init=False)

    def __post_init__(self) -> None:
        self._zones = [_Zone(history) for history in self.histories]

    def split(self, replicas: int, seen: Observation) -> Mapping[str, int]:
        """Replicas by pool."""
        floor = math.ceil(replicas * self.buying.floor_frac - 1e-9)
        target = replicas - floor + (self.buying.spare if floor < replicas else 0)
        wanted = self._spot(target, seen)
        if not self.buying.overflow:
            return {**wanted, ON_DEMAND: floor}
        ready, coming = self._lasting(seen)
        running = _held(seen, ON_DEMAND)
        asked = sum(wanted.values()) - sum(_held(seen, zone.history.zone) for zone in self._zones)
        on_demand = max(floor, replicas - ready - coming - max(0, asked), min(running, replicas - ready))
        return {**wanted, ON_DEMAND: max(0, on_demand)}

    def _spot(self, target: int, seen: Observation) -> dict[str, int]:
        """What is there stays, what is missing is asked for where it lasts longest."""
        wanted, lasting = {}, 0
        for zone in self._zones:
            zone.see(seen.at_s, self.interval_s)
            held = _held(seen, zone.history.zone)
            wanted[zone.history.zone] = held
            lasting += min(held, self._lasts(zone, seen.at_s))
        for zone in sorted(self._zones, key=lambda z: self._left_s(z, seen.at_s), reverse=True):
            name = zone.history.zone
            more = min(target - lasting, self._free(zone, seen.at_s) - wanted[name])
            if more > 0:
                wanted[name], lasting = wanted[name] + more, lasting + more
        return self._without_surplus(wanted, lasting - target, seen)

    def _without_surplus(self, wanted: dict[str, int], surplus: int, seen: Observation) -> dict[str, int]:
        """Give up what is more than is wanted: first what is on its way, ready ones only while enough stay ready."""
        if surplus <= 0:
            return wanted
        ready, coming = self._lasting(seen)
        left = sorted(self._zones, key=lambda z: self._left_s(z, seen.at_s))
        spared = max(0, surplus - coming)
        for zone in left:
            there = seen.replicas[zone.history.zone]
            fewer = min(surplus, there["requested"] + there["loading"])
            wanted[zone.history.zone] -= fewer
            surplus -= fewer
        for zone in left:
            fewer = min(surplus, spared, ready, self._lasts(zone, seen.at_s), seen.replicas[zone.history.zone]["ready"])
            wanted[zone.history.zone] -= fewer
            surplus, spared = surplus - fewer, spared - fewer
        return wanted

    def _lasts(self, zone: _Zone, now_s: float) -> int:
        """Machines of a zone that will still be there when what is asked for now is ready, as far as that is known."""
        if self.buying.known:
            ahead_s = self.lag_s + 2 * self.interval_s
            return zone.history.least(
                max(0.0, now_s - self._serves_on_s), max(0.0, now_s + ahead_s - self._serves_on_s)
            )
        return zone.history.at(now_s)

    def _free(self, zone: _Zone, now_s: float) -> int:
        """Machines that can be had in a zone now, and are worth it as far as that is known."""
        if self.buying.known:
            return zone.history.least(now_s, now_s + 2 * (self.lag_s + self.interval_s))
        return zone.history.at(now_s)

    @property
    def _serves_on_s(self) -> float:
        return self.reclaiming.notice_s - self.reclaiming.drain_s

    def _left_s(self, zone: _Zone, now_s: float) -> float:
        if not self.buying.known:
            return zone.lasts_s
        ahead = (h * 3600.0 for h in (0.25, 0.5, 1, 2, 4, 8, 16, 32))
        return next((s for s in ahead if zone.history.least(now_s, now_s + s) < zone.history.at(now_s)), math.inf)

    def _lasting(self, seen: Observation) -> tuple[int, int]:
        """Spot replicas that are ready and that are on their way, without those that are being taken back."""
        ready = coming = 0
        for zone in self._zones:
            there, lasts = seen.replicas[zone.history.zone], self._lasts(zone, seen.at_s)
            up = min(there["ready"], lasts)
            ready += up
            coming += min(there["requested"] + there["loading"], lasts - up)
        return ready, coming


def _held(seen: Observation, pool: str) -> int:
    """Replicas of a pool that are there or on their way."""
    there = seen.replicas[pool]
    return there["requested"] + there["loading"] + there["ready"]
