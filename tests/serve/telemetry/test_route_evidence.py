"""What the watch of a route has seen outlives restarts and reloads of the server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import real_server as running
from small_route import OFFSETS, cascade, margin_of, route_of, rung, tier, write_simple, write_tier
from watched_route import ALL, DECILES, SURE, ask, fetch, until

from farthing.core.route.routes import Monitoring
from farthing.core.route.watching.evidence import plain_of_state, state_of_plain
from farthing.core.route.watching.watch import begin, observe_audits, observe_score, watch_of
from farthing.errors import StoreError
from farthing.store.routes import write_route
from farthing.store.watch_evidence import EvidenceFile

WRONG = [0.0, 0.0, 9.0, 0.0]
"""The tiers disagree there."""
TOKEN = "0123456789abcdef0123456789abcdef"


def seen_of(watch, state, rng, n=200, wrong=0.05):
    audited = rng.random(n) < 0.3
    loss = (rng.random(n) < wrong) * audited.astype(float)
    state = observe_audits(watch, state, np.full(n, 0.3), audited, loss)
    return observe_score(watch, state, "margin", rng.integers(0, 10, n))


def test_a_state_that_was_written_goes_on_as_if_it_had_not_been():
    watch = watch_of(Monitoring(audit_frac=0.3, alarm_loss_frac=0.05, score_quantiles={"margin": DECILES}), 3000)
    rng = np.random.default_rng(1)
    state = begin(watch)
    for _ in range(3):
        state = seen_of(watch, state, rng)
    again = state_of_plain(watch, json.loads(json.dumps(plain_of_state(state))))
    one, other = (seen_of(watch, s, np.random.default_rng(2), wrong=0.9) for s in (state, again))
    assert one.alarm is not None
    assert plain_of_state(one) == plain_of_state(other)
    assert plain_of_state(state_of_plain(watch, plain_of_state(one))) == plain_of_state(one)


def test_a_state_of_other_tests_is_none():
    watch = watch_of(Monitoring(audit_frac=0.3, score_quantiles={"margin": DECILES}), 3000)
    plain = plain_of_state(begin(watch))
    wealth = {**plain["loss"], "wealth": [1.0]}
    for wrong in (
        {},
        {**plain, "loss": None},
        {**plain, "scores": {}},
        {**plain, "alarm": {"kind": "x"}},
        {**plain, "loss": wealth},
    ):
        with pytest.raises(ValueError, match=r"state|shape"):
            state_of_plain(watch, wrong)


def test_each_server_has_a_place_and_the_newest_state_stays(tmp_path):
    route = tmp_path / "route.yaml"
    route.write_text("a")
    first, second = EvidenceFile(route), EvidenceFile(route)
    assert first.key == second.key and first.path != second.path
    first.write(2, {"state": 2})
    first.write(1, {"state": 1})
    assert first.read()["state"] == second.read()["state"] == 2  # a new server before the old one has ended
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    first.close()
    third = EvidenceFile(route)
    assert third.path == first.path and third.read()["state"] == 2
    second.write(1, {"state": 3})
    os.utime(second.path, ns=(2**62, 2**62))
    assert third.read()["state"] == second.read()["state"] == 3
    second.path.unlink()
    assert third.read()["state"] == 2
    route.write_text("b")
    assert EvidenceFile(route).read() is None
    third.path.write_text("{")
    with pytest.raises(StoreError, match="begins anew"):
        third.read()


def test_evidence_that_vanishes_while_it_is_looked_for_is_passed_over(tmp_path, monkeypatch):
    route = tmp_path / "route.yaml"
    route.write_text("a")
    one, other, third = (EvidenceFile(route) for _ in range(3))
    for k, file in enumerate((one, other)):
        file.write(1, {"state": k})
        os.utime(file.path, ns=(k + 1, k + 1))
    read_bytes = Path.read_bytes

    def vanishing(path):
        other.path.unlink(missing_ok=True)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", vanishing)
    assert third.read()["state"] == 0
    one.path.unlink()
    assert third.read() is None
    one.path.symlink_to("nowhere")
    assert third.read() is None
    one.path.unlink()


@pytest.fixture
def route(tmp_path):
    """A route whose small tier is wrong where the third number is large, all of it audited."""
    folder = tmp_path / "route"
    path = write_simple(folder, "small", "large")
    made = route_of([tier("small"), tier("large")], [rung(cascade("small", "large"))], margin_of("small"), n=3000)
    write_route(replace(made, monitoring=ALL), path)
    write_tier(folder / "large.onnx", OFFSETS["large"], swapped=True)
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    return path


def serve(path):
    return running.start(path, "--admin-token-file", path.parent.parent / "token")


def counted(n):
    return lambda r: r["counted"]["rows"] == n


def audited(path):
    """Audits that a file knows of; None for the damaged ones of other tests."""
    with contextlib.suppress(ValueError):
        return (json.loads(path.read_bytes())["state"].get("loss") or {}).get("audited")


def test_evidence_and_a_fall_back_survive_a_restart(route):
    served = serve(route)
    ask(served, SURE, 30)
    until(served, counted(30))
    assert served.stop() == 0
    served = serve(route)
    assert until(served, counted(30))["fallen"] is None
    ask(served, WRONG, 40)
    fallen = until(served, lambda r: r["fallen"] is not None)["fallen"]
    assert served.stop() == 0
    served = serve(route)
    again = until(served, lambda r: True)
    assert (again["fallen"], again["alarm"]) == (fallen, "loss")
    proof = {"Authorization": f"Bearer {TOKEN}"}
    assert fetch(served, "/admin/routes/auto/resume", "POST", {}, proof)[0] == 200
    assert served.stop() == 0
    served = serve(route)
    resumed = until(served, counted(0))
    assert (resumed["fallen"], resumed["alarm"]) == (None, None)
    assert served.stop() == 0


@pytest.mark.slow
def test_a_server_that_starts_before_the_old_one_has_ended_goes_on_from_its_evidence(route):
    old = serve(route)
    ask(old, SURE, 31)
    until(old, counted(31))
    folder = Path(os.environ["XDG_STATE_HOME"]) / "farthing" / "watch"
    until(old, lambda r: any(n == 31 for n in map(audited, folder.glob("*.json"))))  # written every five seconds
    new = serve(route)
    until(new, counted(31))
    assert old.stop() == 0
    ask(new, SURE, 5)
    until(new, counted(36))
    assert new.stop() == 0
    again = serve(route)
    until(again, counted(36))
    assert again.stop() == 0


def test_evidence_survives_a_reload_of_an_unchanged_route_and_not_of_a_changed_one(route):
    served = serve(route)
    ask(served, SURE, 30)
    until(served, counted(30))
    served.process.send_signal(signal.SIGHUP)
    served.said("reloaded: nothing has changed")
    until(served, counted(30))
    # the same file, reloaded nevertheless since its tier is another one
    write_tier(route.parent / "small.onnx", OFFSETS["small"] + 0.0)
    proof = {"Authorization": f"Bearer {TOKEN}"}
    assert fetch(served, "/admin/models/auto/load", "POST", {}, proof)[0] == 200
    until(served, counted(30))
    ask(served, SURE, 5)
    until(served, counted(35))
    route.write_text(route.read_text() + "# calibrated anew\n")
    served.process.send_signal(signal.SIGHUP)
    served.said("auto version 1 replaced")
    until(served, counted(0))
    assert served.stop() == 0
