"""A simulated fleet as spans: lives add up, batches hold all requests of the window that ran, misses are named."""

from __future__ import annotations

import numpy as np

from farthing.core.simulation.outcomes import OUTCOMES
from farthing.core.simulation.setup import BatchingServer, Disruption, Pool, Promise, Setup, Shedding, Window
from farthing.core.simulation.simulate import simulate
from farthing.core.simulation.steering import Change
from farthing.render.simulation.spans import fleet_spans


def test_lives_batches_and_misses() -> None:
    at_s = np.sort(np.random.default_rng(0).uniform(0, 20, 600))
    setup = Setup(
        server=BatchingServer(service_s=(0.05, 0.06, 0.07), sigma=0.1),
        pools=(Pool(name="p", initial=1, start_s=2.0, load_s=1.0),),
        horizon_s=20.0,
        promise=Promise(latency_s=0.3, deadline_s=0.3, shedding=Shedding()),
        control_s=1.0,
        disruptions=(Disruption(at_s=12.0, pool="p", kind="killed"),),
        record=Window(first=100, count=300),
    )
    found = simulate(setup, [at_s], lambda seen: {"p": 2})
    spans = list(fleet_spans(found, [Change(at_s=1.0, before=1, replicas=2, reason="two")], 20.0))
    batches = [s for s in spans if s.track.endswith("batches")]
    records = found.records
    assert sum(int(s.name.removeprefix("batch of ")) for s in batches) == int((records.batch >= 0).sum())
    assert all(s.seconds > 0 and s.args["longest wait, ms"] >= 0 for s in batches)
    missed = [s for s in spans if s.track == "missed"]
    assert len(missed) == int(
        np.isin(records.outcome, [OUTCOMES.index(o) for o in ("refused", "expired", "lost")]).sum()
    )
    first = [s for s in spans if s.track == "replica 0"]
    assert [(s.name, s.start_s, s.seconds, s.args["gone"]) for s in first] == [("ready", 0.0, 12.0, "killed")]
    second = [s for s in spans if s.track == "replica 1"]
    assert [s.name for s in second] == ["starting", "loading", "ready"]
    assert [s.name for s in spans if s.track == "decisions"] == ["1 → 2"]


def test_a_window_without_requests_has_no_batches() -> None:
    setup = Setup(server=BatchingServer(service_s=(0.05,)), pools=(Pool(name="p", initial=1),), horizon_s=5.0)
    assert [s.name for s in fleet_spans(simulate(setup, []), [], 5.0)] == ["ready"]
