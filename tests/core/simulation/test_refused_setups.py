"""What is refused, and what the message says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from simulated_fleets import setup_of

from farthing.core.simulation.arrival_blocks import arrival_blocks, poisson_blocks
from farthing.core.simulation.billing import Billing
from farthing.core.simulation.setup import BatchingServer, Disruption, Pool, Promise, Shedding, Window
from farthing.core.simulation.simulate import simulate


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([[0.0, 2.0, 1.0]], "arrivals must be ascending: arrival 2 at 1.0 s after 2.0 s"),
        ([[0.0, 2.0], [], [1.0]], "arrivals must be ascending: arrival 2 at 1.0 s after 2.0 s"),
        ([[-0.5, 2.0]], "arrivals must be ≥ 0: arrival 0 at -0.5 s"),
        ([[0.0, math.nan, 1.0]], "arrivals must be finite: arrival 1 at nan s"),
        ([[math.nan]], "arrivals must be finite: arrival 0 at nan s"),
        ([[0.0], [1.0, math.inf]], "arrivals must be finite: arrival 2 at inf s"),
        ([[[0.0, 1.0]]], r"blocks of shape \(n,\), not \(1, 2\)"),
    ],
)
@pytest.mark.parametrize("queues", ["compiled", "reference"])
def test_arrivals_that_are_none(blocks: list[Any], message: str, queues: Any) -> None:
    with pytest.raises(ValueError, match=message):
        simulate(setup_of(), blocks, queues=queues)


def test_what_comes_after_the_horizon_is_not_read() -> None:
    found = list(arrival_blocks([[0.0, 1.0], [5.0, 9.0, 10.0, 12.0], [math.nan]], 10.0))
    assert [block.tolist() for block in found] == [[0.0, 1.0], [5.0, 9.0]]


def test_whole_numbers_and_lists_are_instants_too() -> None:
    (block,) = arrival_blocks([np.arange(3)], 10.0)
    assert block.dtype == np.float64


@pytest.mark.parametrize("rate_rps", [0.0, -1.0, math.nan, math.inf])
def test_rates_that_are_none(rate_rps: float) -> None:
    with pytest.raises(ValueError, match="rate_rps must be finite and > 0"):
        next(poisson_blocks(rate_rps, 0))


@pytest.mark.parametrize(
    "make",
    [
        lambda: BatchingServer(service_s=()),
        lambda: BatchingServer(service_s=(1.0, 0.0)),
        lambda: BatchingServer(service_s=(math.inf,)),
        lambda: BatchingServer(service_s=(1.0,), sigma=-0.1),
        lambda: BatchingServer(service_s=(1.0,), sigma=math.nan),
        lambda: BatchingServer(service_s=(1.0,), spread="normal"),  # type: ignore[arg-type]
        lambda: BatchingServer(service_s=(1.0,), instances=0),
        lambda: BatchingServer(service_s=(1.0,), queue_limit=0),
        lambda: Promise(latency_s=0.0),
        lambda: Promise(latency_s=math.nan),
        lambda: Promise(deadline_s=-1.0),
        lambda: Promise(shedding=Shedding()),
        lambda: Shedding(margin=0.9),
        lambda: Shedding(overloaded_frac=0.0),
        lambda: Shedding(overloaded_frac=1.1),
        lambda: Shedding(memory_requests=0.5),
        lambda: Pool(name=""),
        lambda: Pool(name="p", initial=-1),
        lambda: Pool(name="p", start_s=-1.0),
        lambda: Pool(name="p", load_s=math.nan),
        lambda: Disruption(at_s=-1.0, pool="p"),
        lambda: Disruption(at_s=math.inf, pool="p"),
        lambda: Disruption(at_s=0.0, pool="p", count=0),
        lambda: Disruption(at_s=0.0, pool="p", notice_s=math.nan),
        lambda: Disruption(at_s=0.0, pool="p", kind="killed", notice_s=1.0),
        lambda: Disruption(at_s=0.0, pool="p", kind="gone"),  # type: ignore[arg-type]
        lambda: Window(first=-1),
        lambda: Window(count=-1),
        lambda: setup_of(pools=()),
        lambda: setup_of(pools=(Pool(name="p"), Pool(name="p"))),
        lambda: setup_of(horizon_s=0.0),
        lambda: setup_of(horizon_s=math.inf),
        lambda: setup_of(control_s=0.0),
        lambda: setup_of(control_s=math.nan),
        lambda: setup_of(balancing="sticky"),
        lambda: setup_of(held_limit=-1),
        lambda: setup_of(drain_limit_s=-1.0),
        lambda: setup_of(drain_limit_s=math.nan),
        lambda: setup_of(max_replicas=0),
        lambda: setup_of(pools=(Pool(name="p", initial=3),), max_replicas=2),
        lambda: setup_of(max_replicas=65_537),
        lambda: setup_of(disruptions=(Disruption(at_s=0.0, pool="spot"),)),
        lambda: setup_of(seed=-1),
        lambda: setup_of(seed=2**64),
        lambda: Billing(unit_s=0.0),
        lambda: Billing(unit_s=math.inf),
        lambda: Billing(minimum_s=-1.0),
        lambda: Billing(minimum_s=math.nan),
        lambda: Billing(since="ready"),  # type: ignore[arg-type]
    ],
)
def test_settings_outside_their_domain(make: Any) -> None:
    with pytest.raises(ValueError, match=r"(BatchingServer|Promise|Shedding|Pool|Disruption|Window|Setup|Billing): "):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: BatchingServer(service_s=(1.0,), sigma=0.0, instances=1, queue_limit=1),
        lambda: Shedding(margin=1.0, overloaded_frac=1.0, memory_requests=1.0),
        lambda: Pool(name="p", initial=0, start_s=math.inf, load_s=math.inf),
        lambda: Disruption(at_s=0.0, pool="p", count=1, notice_s=math.inf),
        lambda: setup_of(pools=(Pool(name="p", initial=2),), max_replicas=2, held_limit=0, drain_limit_s=0.0),
        lambda: setup_of(max_replicas=65_536, seed=2**64 - 1),
        lambda: Billing(minimum_s=0.0),
    ],
)
def test_settings_at_the_edge_of_their_domain(make: Any) -> None:
    assert make()
