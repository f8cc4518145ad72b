"""Replicas on spot as it was: floor, overflow, notices; nothing is below strength where the notice is longer than a start."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from farthing.core.scaling.scalers.fixed import FixedScaler
from farthing.core.simulation.outcomes import ReplicaLife
from farthing.core.simulation.rules.compared import Fleet
from farthing.core.simulation.setup import BatchingServer, Promise, Shedding
from farthing.core.simulation.spot.buying import Buying
from farthing.core.simulation.spot.histories import Reclaiming, ZoneHistory
from farthing.core.simulation.spot.study import WAYS, SpotMarket, SpotRun, full_strength_frac, run_bought, ways_of

HOUR = 3_600.0
SERVER = BatchingServer(service_s=(1.0,), sigma=0.1)
PROMISE = Promise(latency_s=5.0, deadline_s=5.0, shedding=Shedding())


def zones(*rows: Sequence[int]) -> tuple[ZoneHistory, ...]:
    return tuple(
        ZoneHistory(zone=f"z{k}", step_s=200.0, available=np.array(row, dtype=np.int64)) for k, row in enumerate(rows)
    )


def run(
    histories: tuple[ZoneHistory, ...], buying: Buying, *, n: int = 4, hours: float = 4.0, notice_s: float = 120.0, lag_s: float = 90.0
) -> SpotRun:  # fmt: skip
    market = SpotMarket(histories=histories, usd_per_hour=0.4, reclaiming=Reclaiming(notice_s=notice_s, drain_s=5.0))
    fleet = Fleet(
        server=SERVER, promise=PROMISE, length_s=hours * HOUR, usd_per_hour=1.0, start_s=lag_s, load_s=0.0, initial=n,
        max_replicas=3 * n,
    )  # fmt: skip
    at_s = np.cumsum(np.random.default_rng(1).exponential(1 / (0.4 * n), int(hours * HOUR * 0.4 * n)))
    at_s = at_s[at_s < hours * HOUR]
    return run_bought(fleet, market, "way", buying, lambda: FixedScaler(n, interval_s=15.0), [at_s], 0)


STEADY = zones([1], [1], [1], [1])
FLAPPING = tuple(
    ZoneHistory(zone=f"f{k}", step_s=200.0, available=np.random.default_rng(k).integers(0, 2, 400)) for k in range(6)
)


def test_all_on_demand_costs_what_it_does() -> None:
    found = run(STEADY, ways_of(0.25)[WAYS[0]])
    assert found.usd == pytest.approx(16.0)
    assert (found.spot_h, found.full_frac, found.lost) == (0.0, 1.0, 0)


def test_the_floor_is_on_demand_and_the_rest_on_spot_once_it_is_ready() -> None:
    found = run(STEADY, ways_of(0.25)[WAYS[1]])
    assert found.spot_h == pytest.approx(3 * 4.0, rel=0.01)
    assert found.on_demand_h == pytest.approx(4.0 + 3 * 105 / HOUR, rel=0.02)  # the first replicas are on demand
    assert found.full_frac == 1.0
    assert found.attainment_frac > 0.999


@pytest.mark.parametrize("floor_frac", [0.0, 0.25, 0.5])
def test_nothing_is_below_strength_where_the_notice_is_longer_than_a_start(floor_frac: float) -> None:
    found = run(FLAPPING, Buying(floor_frac=floor_frac))
    assert found.reclaimed > 20
    assert found.full_frac == 1.0
    assert found.lost == 0
    assert found.usd < 16.0


def test_a_short_notice_costs_strength_and_a_spare_gives_some_back() -> None:
    bare, spare = (run(FLAPPING, Buying(floor_frac=0.25, spare=s), notice_s=30.0) for s in (0, 2))
    assert bare.full_frac < spare.full_frac < 1.0
    assert spare.usd > bare.usd


def test_one_who_knows_never_pays_more_and_is_never_below() -> None:
    rule, known = (run(FLAPPING, ways_of(0.25)[way], notice_s=30.0) for way in (WAYS[1], WAYS[3]))
    assert known.full_frac == 1.0
    assert known.full_frac > rule.full_frac


def test_all_spot_goes_down_with_its_zones() -> None:
    dark = zones([1] * 9 + [0] * 9, [1] * 9 + [0] * 9)
    found = run(dark, ways_of(0.25)[WAYS[2]], n=2, hours=1.0)
    assert found.on_demand_h == pytest.approx(0.0, abs=0.1)
    assert found.full_frac < 0.6
    assert found.attainment_frac < 0.8  # what waits while nothing is there is held, and in time where it is short


def test_spot_that_is_nowhere_is_all_on_demand() -> None:
    found = run(zones([0], [0]), ways_of(0.25)[WAYS[1]])
    assert found.spot_h == 0.0
    assert found.usd == pytest.approx(16.0)
    assert found.full_frac == 1.0


def life(ready_s: float | None, draining_s: float | None = None, gone_s: float | None = None) -> ReplicaLife:
    return ReplicaLife(
        number=0, pool="p", requested_s=0.0, started_s=0.0, ready_s=ready_s, draining_s=draining_s, gone_s=gone_s,
        reason="",
    )  # fmt: skip


def test_full_strength_by_hand() -> None:
    """Two wanted; the second is there from 20 on, the first drains at 70 and is gone at 80, three are wanted from 90 on."""
    lives = [life(0.0, 70.0, 80.0), life(20.0), life(None, None, 50.0), life(75.0)]
    assert full_strength_frac(lives, [(0.0, 2), (90.0, 3)], 100.0) == pytest.approx(0.65)
    assert full_strength_frac([life(0.0)], [(0.0, 1)], 100.0) == 1.0


def test_a_market_needs_zones_and_a_price() -> None:
    with pytest.raises(ValueError, match="at least one zone"):
        SpotMarket(histories=(), usd_per_hour=0.1)
    with pytest.raises(ValueError, match="each name once"):
        SpotMarket(histories=(*STEADY, *STEADY), usd_per_hour=0.1)
    with pytest.raises(ValueError, match="usd_per_hour"):
        SpotMarket(histories=STEADY, usd_per_hour=0.0)
    with pytest.raises(ValueError, match="floor_frac"):
        Buying(floor_frac=1.2)
