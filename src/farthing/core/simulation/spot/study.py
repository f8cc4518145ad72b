"""What spot saves and risks: one fleet bought all on demand, all on spot, with a floor, and by one who knows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from farthing.core.simulation.billing import billed_units
from farthing.core.simulation.outcomes import ReplicaLife
from farthing.core.simulation.rules.compared import Fleet
from farthing.core.simulation.rules.study import Study
from farthing.core.simulation.setup import Pool, Setup
from farthing.core.simulation.simulate import simulate
from farthing.core.simulation.spot.buying import Buying, SpotPurchase
from farthing.core.simulation.spot.histories import Reclaiming, ZoneHistory, reclaimed
from farthing.core.simulation.steering import ON_DEMAND, Steering
from farthing.core.traffic.arrivals.replayed import Replayed
from farthing.ports import Progress, Scaler

__all__ = ["WAYS", "SpotMarket", "SpotRun", "SpotStudy", "full_strength_frac", "run_bought", "study_spot", "ways_of"]

WAYS = ("all on demand", "floor and overflow", "all spot", "known beforehand")
"""Of buying, in the order in which they are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotMarket:
    """What can be bought.

    Attributes:
        histories: Of the zones, each name once.
        usd_per_hour: Of a spot replica, > 0.
        reclaiming: How a machine is taken back.
    """

    histories: tuple[ZoneHistory, ...]
    usd_per_hour: float
    reclaiming: Reclaiming = field(default_factory=Reclaiming)

    def __post_init__(self) -> None:
        names = [history.zone for history in self.histories]
        if not names or len(set(names)) != len(names) or ON_DEMAND in names:
            raise ValueError(f"SpotMarket: at least one zone, each name once, none {ON_DEMAND!r}: {names}")
        if not (math.isfinite(self.usd_per_hour) and self.usd_per_hour > 0):
            raise ValueError(f"SpotMarket: usd_per_hour must be finite and > 0, is {self.usd_per_hour}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotRun:
    """One simulation.

    Attributes:
        way: How replicas were bought.
        usd: What they cost.
        attainment_frac: Requests answered as promised among those that came and ended.
        full_frac: Share of the time with at least as many replicas ready as were wanted.
        spot_h: Replica-hours on spot.
        on_demand_h: Replica-hours on demand.
        reclaimed: Replicas that were taken back.
        requeued: Requests that went on to another replica.
        lost: Requests that were lost with theirs.
    """

    way: str
    usd: float
    attainment_frac: float
    full_frac: float
    spot_h: float
    on_demand_h: float
    reclaimed: int
    requeued: int
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotStudy:
    """One rule, bought in several ways.

    Attributes:
        rule: Its name.
        runs: A run a way, in the order of ``WAYS``.
        market: What could be bought.
        length_s: Of what was simulated.
        floor_frac: Share that is never spot.
        spare: Spot replicas beyond what is wanted.
        said: What is to be known of it.
    """

    rule: str
    runs: tuple[SpotRun, ...]
    market: SpotMarket
    length_s: float
    floor_frac: float
    spare: int
    said: tuple[str, ...] = ()

    def saving_frac(self, run: SpotRun) -> float:
        """Of what all on demand costs."""
        return 1 - run.usd / self.runs[0].usd


def ways_of(floor_frac: float, spare: int = 0) -> Mapping[str, Buying]:
    """The ways that are compared, with this floor and so many spot replicas to spare."""
    found = (
        Buying(floor_frac=1.0),
        Buying(floor_frac=floor_frac, spare=spare),
        Buying(floor_frac=0.0, overflow=False),
        Buying(floor_frac=floor_frac, known=True),
    )
    return dict(zip(WAYS, found, strict=True))


def run_bought(
    fleet: Fleet,
    market: SpotMarket,
    way: str,
    buying: Buying,
    make: Callable[[], Scaler],
    arrivals: Iterable[ArrayLike],
    seed: int,
) -> SpotRun:
    """Simulate one way of buying what a rule wants.

    Args:
        fleet: What is scaled; its price is that of a replica on demand, its first replicas are on demand.
        market: Spot.
        way: Its name.
        buying: How it is bought.
        make: A new rule; replicas are bought and notices seen whenever it is asked.
        arrivals: Blocks of ascending instants in seconds.
        seed: Of service times.
    """
    scaler = make()
    zones = market.histories if buying.floor_frac < 1 else ()
    purchase = SpotPurchase(
        histories=zones,
        buying=buying,
        lag_s=fleet.lag_s,
        interval_s=scaler.interval_s,
        reclaiming=market.reclaiming,
    )
    steering = Steering(scaler, purchase, workers=fleet.server.instances, initial=fleet.initial)
    result = simulate(_setup(fleet, market, zones, purchase.interval_s, seed), arrivals, steering)
    units = billed_units(result.lives, fleet.length_s, fleet.billing)
    hours = {pool: count * fleet.billing.unit_s / 3600 for pool, count in units.items()}
    on_demand_h = hours.pop(ON_DEMAND, 0.0)
    spot_h = math.fsum(hours.values())
    wanted = [(0.0, fleet.initial), *((change.at_s, change.replicas) for change in steering.changes)]
    return SpotRun(
        way=way,
        usd=on_demand_h * fleet.usd_per_hour + spot_h * market.usd_per_hour,
        attainment_frac=result.attainment_frac,
        full_frac=full_strength_frac(result.lives, wanted, fleet.length_s),
        spot_h=spot_h,
        on_demand_h=on_demand_h,
        reclaimed=sum(life.reason == "preempted" for life in result.lives),
        requeued=result.totals.requeued,
        lost=result.totals.lost,
    )


def _setup(fleet: Fleet, market: SpotMarket, zones: Sequence[ZoneHistory], control_s: float, seed: int) -> Setup:
    most = 2 * fleet.max_replicas + sum(int(zone.available.max()) for zone in zones)
    whole = replace(fleet, max_replicas=most).setup(control_s, seed)
    spot = (Pool(name=zone.zone, start_s=fleet.start_s, load_s=fleet.load_s) for zone in zones)
    return replace(
        whole,
        pools=(*whole.pools, *spot),
        disruptions=reclaimed(zones, fleet.length_s, market.reclaiming),
    )


def full_strength_frac(lives: Iterable[ReplicaLife], wanted: Sequence[tuple[float, int]], horizon_s: float) -> float:
    """Share of the time in which at least as many replicas take requests as are wanted.

    A rise of what is wanted counts from the moment it is wanted: the lag of a start is time below full strength.

    Args:
        lives: Of one simulation.
        wanted: Since when how many, times ascending from 0 on.
        horizon_s: Its end, > 0.
    """
    steps: list[tuple[float, int]] = []
    for life in lives:
        if life.ready_s is not None:
            ends = [end for end in (life.draining_s, life.gone_s) if end is not None]
            steps += [(life.ready_s, 1), (min(ends, default=horizon_s), -1)]
    before = 0
    for at_s, count in wanted:
        steps.append((at_s, before - count))
        before = count
    ordered = sorted(step for step in steps if step[0] < horizon_s)
    at = np.array([at_s for at_s, _ in ordered] + [horizon_s])
    surplus = np.cumsum([change for _, change in ordered])
    return float(np.diff(at)[surplus >= 0].sum()) / horizon_s


def study_spot(
    market: SpotMarket,
    found: Study,
    halves: tuple[Replayed, Replayed],
    *,
    floor_frac: float,
    spare: int,
    tell: Progress,
    seed: int = 0,
) -> SpotStudy:
    """Buy what the first rule of a study wants in every way, on the half that it was judged on.

    Args:
        market: What can be bought.
        found: The study.
        halves: Its arrivals.
        floor_frac: Share that is never spot, in [0, 1].
        spare: Spot replicas beyond what is wanted, ≥ 0.
        tell: Progress.
        seed: Of arrivals within steps and of service times.
    """
    first = found.judged[0]
    runs = []
    ways = ways_of(floor_frac, spare)
    for k, (way, buying) in enumerate(ways.items()):
        tell("spot", k, len(ways), way)
        runs.append(run_bought(first.on, market, way, buying, first.make, halves[1].blocks(seed), seed))
    tell("spot", len(ways), len(ways), "")
    return SpotStudy(
        rule=first.outcome.name,
        runs=tuple(runs),
        market=market,
        length_s=first.on.length_s,
        floor_frac=floor_frac,
        spare=spare,
    )
