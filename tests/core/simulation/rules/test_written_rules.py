"""Rules as they are written down: the same that are compared, decision for decision."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from farthing.core.scaling.scheduled import Action, Schedule
from farthing.core.simulation.rules.families import ReplicaFacts, families
from farthing.core.simulation.rules.live import LivePolicy
from farthing.core.simulation.rules.written import FROM_ZERO, NAMES, SETTINGS, Bounds, WrittenRule, scaler_of
from farthing.nouns import FleetSeen
from farthing.ports import Scaler

FACTS = ReplicaFacts(rate_rps=20.0, in_flight=6.0, cores=1.0, lag_s=30.0, max_replicas=40)
BOUNDS = Bounds(min_replicas=1, max_replicas=40, cores=1.0, lag_s=30.0, rate_rps=20.0, in_flight=6.0)


def decisions(scaler: Scaler, seed: int = 0) -> list[int]:
    """On a fleet whose replicas are ready at once, under a load that comes and goes."""
    rng = np.random.default_rng(seed)
    found, ready, at_s = [], 2, 0.0
    while at_s < 3000:
        at_s += scaler.interval_s
        rate = 200 * (1 + math.sin(at_s / 400)) + 5
        arrived = int(rng.poisson(rate * scaler.interval_s))
        in_flight = rate * 0.2
        seen = FleetSeen(
            at_s=at_s, interval_s=scaler.interval_s, arrived=arrived, answered=arrived, within_promise=arrived, failed=0,
            in_flight=int(in_flight), waiting=0, mean_in_flight=in_flight, busy_frac=min(1.0, rate / 25 / ready),
            ready=ready, starting=0,
        )  # fmt: skip
        ready = max(1, scaler.decide(seen).replicas)
        found.append(ready)
    return found


HELD = {
    "HPA on CPU": {"scale_down_stabilization": 120.0},
    "HPA on requests in flight": {"scale_down_stabilization": 120.0},
    "KEDA on requests/s": {"scale_down_stabilization": 120.0},
    "Knative on concurrency": {"scale_down_delay": 120.0},
    "AWS target tracking": {"scale_in_cooldown": 120.0},
    "Ray Serve": {"downscale_delay": 120.0},
    "cost-aware": {},
}
"""A rule's own word for the time until a replica is given up."""


@pytest.mark.parametrize("name", HELD)
def test_a_written_rule_decides_as_the_one_that_is_compared(name: str) -> None:
    family = next(f for f in families(FACTS) if f.name == name)
    share = 0.6 if name == "HPA on CPU" else 0.7
    said = {"aim" if name == "cost-aware" else "target": share, **HELD[name]}
    values = {"target": share, "aim": share, "held_s": 120.0, "least": 1.0}
    assert decisions(scaler_of(WrittenRule(name=name, said=said), BOUNDS)) == decisions(family.make(values))


@pytest.mark.parametrize(
    ("name", "own", "share"),
    [
        ("HPA on requests in flight", {"average_value": 3.0}, 0.5),
        ("KEDA on requests/s", {"threshold": 10.0}, 0.5),
        ("Knative on concurrency", {"concurrency": 3.0}, 0.5),
        ("AWS target tracking", {"target_value": 10.0}, 0.5),
        ("Ray Serve", {"target_ongoing_requests": 3.0}, 0.5),
    ],
)
def test_a_target_in_the_rules_own_unit_is_the_share_of_what_a_replica_takes(
    name: str, own: Mapping[str, float], share: float
) -> None:
    mine = scaler_of(WrittenRule(name=name, said=own), BOUNDS)
    assert decisions(mine) == decisions(scaler_of(WrittenRule(name=name, said={"target": share}), BOUNDS))
    with pytest.raises(ValueError, match="say the same"):
        WrittenRule(name=name, said={**own, "target": share})


def test_what_is_said_changes_what_is_decided() -> None:
    for name, changed in (
        ("HPA on CPU", {"scale_down_stabilization": 0.0}),
        ("HPA on CPU", {"tolerance": 0.5}),
        ("KEDA on requests/s", {"scale_down_stabilization": 0.0}),
        ("Knative on concurrency", {"scale_down_delay": 300.0}),
        ("AWS target tracking", {"scale_out_cooldown": 0.0}),
        ("Ray Serve", {"downscale_delay": 0.0}),
        ("cost-aware", {"lag": 600.0}),
    ):
        plain = decisions(scaler_of(WrittenRule(name=name), BOUNDS))
        assert decisions(scaler_of(WrittenRule(name=name, said=changed), BOUNDS)) != plain, name


def test_a_schedule_bounds_the_rule_within_it() -> None:
    schedule = Schedule(actions=(Action(at_s=0, min_replicas=1, max_replicas=3),))
    within = WrittenRule(name="Ray Serve", said={"upscale_delay": 0.0})
    scaler = scaler_of(WrittenRule(name="scheduled", schedule=schedule, within=within), BOUNDS)
    assert scaler.interval_s == 1.0
    assert max(decisions(scaler)) == 3


def test_every_rule_has_settings_and_only_some_come_back_from_zero() -> None:
    assert set(SETTINGS) == set(NAMES)
    none = Bounds(min_replicas=0, max_replicas=4, cores=1.0, lag_s=0.0, rate_rps=20.0, in_flight=6.0)
    for name in ("fixed", "HPA on CPU", "HPA on requests in flight", "AWS target tracking"):
        assert name not in FROM_ZERO
        with pytest.raises(ValueError, match="does not come back from 0 replicas"):
            scaler_of(WrittenRule(name=name), none)


@pytest.mark.parametrize("name", [name for name in FROM_ZERO if name != "scheduled"])
def test_from_zero_a_request_brings_a_replica(name: str) -> None:
    bounds = Bounds(min_replicas=0, max_replicas=4, cores=1.0, lag_s=0.0, rate_rps=20.0, in_flight=6.0)
    scaler = scaler_of(WrittenRule(name=name), bounds)
    wanted = 0
    for k in range(1, 200):
        seen = FleetSeen(
            at_s=k * scaler.interval_s, interval_s=scaler.interval_s, arrived=5, answered=0, within_promise=0, failed=0,
            in_flight=5 * k, waiting=5 * k, mean_in_flight=5.0 * k, busy_frac=0.0, ready=0, starting=0,
        )  # fmt: skip
        wanted = scaler.decide(seen).replicas
        if wanted:
            break
    assert wanted >= 1


def test_what_is_not_known_of_a_replica_is_asked_for() -> None:
    unknown = Bounds(min_replicas=1, max_replicas=4, cores=1.0, lag_s=0.0)
    scaler_of(WrittenRule(name="HPA on CPU"), unknown)
    scaler_of(WrittenRule(name="Ray Serve", said={"target_ongoing_requests": 2.0}), unknown)
    with pytest.raises(ValueError, match="its requests in flight is not known"):
        scaler_of(WrittenRule(name="Ray Serve"), unknown)
    with pytest.raises(ValueError, match=r"its rate \(requests/s\) is not known"):
        scaler_of(WrittenRule(name="KEDA on requests/s"), unknown)
    with pytest.raises(ValueError, match="it is not known"):
        scaler_of(WrittenRule(name="cost-aware"), unknown)


def test_policies_that_cannot_be_are_refused() -> None:
    rule = WrittenRule(name="Ray Serve")
    with pytest.raises(ValueError, match="no such rule"):
        WrittenRule(name="Ray")
    with pytest.raises(ValueError, match="takes no tolerance"):
        WrittenRule(name="Ray Serve", said={"tolerance": 0.1})
    with pytest.raises(ValueError, match="a schedule belongs to scheduled"):
        WrittenRule(name="scheduled")
    with pytest.raises(ValueError, match="initial"):
        LivePolicy(rule=rule, max_replicas=2, initial=3)
    with pytest.raises(ValueError, match="initial must be ≥ min_replicas"):
        LivePolicy(rule=rule, max_replicas=3, min_replicas=2, initial=1)
    with pytest.raises(ValueError, match="amounts must be finite"):
        LivePolicy(rule=rule, max_replicas=3, time_lapse=0.0)
    with pytest.raises(ValueError, match="attainment"):
        LivePolicy(rule=rule, max_replicas=3, attainment_frac=1.0)
