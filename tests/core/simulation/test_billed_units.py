"""Whole units of replicas' lives."""

from __future__ import annotations

import pytest
from simulated_fleets import run

from farthing.core.simulation.billing import Billing, billed_units
from farthing.core.simulation.outcomes import ReplicaLife
from farthing.core.simulation.setup import Pool


def life(requested_s: float, started_s: float | None, gone_s: float | None, pool: str = "spot") -> ReplicaLife:
    return ReplicaLife(
        number=0,
        pool=pool,
        requested_s=requested_s,
        started_s=started_s,
        ready_s=None,
        draining_s=None,
        gone_s=gone_s,
        reason="",
    )


@pytest.mark.parametrize(
    ("seconds", "billing", "units"),
    [
        (30.0, Billing(), 60),
        (60.0, Billing(), 60),
        (60.2, Billing(), 61),
        (0.0, Billing(minimum_s=0.0), 0),
        (100.0000000001, Billing(), 100),
        (1.0, Billing(unit_s=3600.0, minimum_s=0.0), 1),
        (3600.0, Billing(unit_s=3600.0, minimum_s=0.0), 1),
        (3601.0, Billing(unit_s=3600.0, minimum_s=0.0), 2),
        (10.0, Billing(unit_s=0.1, minimum_s=0.0), 100),
    ],
)
def test_units_of_one_machine(seconds: float, billing: Billing, units: int) -> None:
    assert billing.units(seconds) == units


def test_a_life_is_paid_from_its_start_or_its_request_to_its_end_or_the_horizon() -> None:
    lives = [life(0, 20, 120), life(0, 900, None), life(0, None, 30), life(0, 0, 10, "on_demand")]
    assert billed_units(lives, 1000, Billing()) == {"spot": 100 + 100, "on_demand": 60}
    assert billed_units(lives, 1000, Billing(since="requested")) == {"spot": 120 + 1000 + 60, "on_demand": 60}
    assert billed_units([], 1000, Billing()) == {}


def test_a_whole_run_is_billed_per_replica() -> None:
    pool = Pool(name="on_demand", initial=1, start_s=10, load_s=5)
    wanted = iter([2, 1, 1, 1])
    found = run([], lambda _: {"on_demand": next(wanted)}, pools=(pool,), control_s=20)
    # the second machine runs from 30 on and is not wanted at 40: 10 s, paid as 60
    assert billed_units(found.lives, found.horizon_s, Billing()) == {"on_demand": 100 + 60}
