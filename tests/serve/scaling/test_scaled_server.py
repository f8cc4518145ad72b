"""Real servers that scale: under load and back, through deaths, failed starts and new versions, emulated and in lapse."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from constant_clients import Load
from real_server import Served, command, write_slow, write_tiny

from farthing.core.scaling.scheduled import Action, Schedule
from farthing.core.simulation.rules.live import LivePolicy
from farthing.core.simulation.rules.written import WrittenRule
from farthing.load.serve.models import served_models
from farthing.machine.clock import MonotonicClock
from farthing.machine.hardware import usable_cpus
from farthing.serve.server import Server
from farthing.serve.settings import ServerSettings
from farthing.store.artefacts import check_artefact
from farthing.store.ledger import query_ledger

pytestmark = pytest.mark.skipif(len(usable_cpus()) < 2, reason="two replicas need two cores")
WIDTH = 512
BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, WIDTH], "data": [5.0] * WIDTH}]}).encode()
Start = Callable[..., Served]


def policy(folder: Path, text: str) -> Path:
    path = folder / "scale.yaml"
    path.write_text(f"schema: farthing/scaling/1\n{text}\n")
    return path


def document(served: Served, name: str = "scaling") -> dict[str, Any]:
    with urllib.request.urlopen(f"{served.metrics}/{name}.json", timeout=10) as reply:
        found: dict[str, Any] = json.loads(reply.read())
    return found


def until(served: Served, true: Callable[[dict[str, Any]], bool], within_s: float = 30.0) -> dict[str, Any]:
    end = time.monotonic() + within_s
    while not true(found := document(served)):
        assert time.monotonic() < end, (found, served.lines)
        time.sleep(0.02)
    return found


def decisions(folder: Path, what: str) -> list[dict[str, Any]]:
    rows = query_ledger(folder, 'SELECT evidence FROM decisions WHERE what = $1 ORDER BY "when"', [what])
    return [json.loads(row["evidence"]) for row in rows.to_pylist()]


@pytest.mark.slow
def test_up_under_load_and_down_when_idle_without_a_lost_request(tmp_path: Path, start_server: Start) -> None:
    rule = (
        "rule: Ray Serve\ntarget_ongoing_requests: 1\nlook_back: 3s\nupscale_delay: 2s\ndownscale_delay: 4s\n"
        "max_replicas: 2\nusd_per_hour: 3.6\nminimum_bill: 0s\npromise: 5s\ntime_lapse: 10"
    )
    model = write_slow(tmp_path / "slow.onnx", layers=60, width=WIDTH)
    served = start_server(model, "--scale", policy(tmp_path, rule), "--ledger", tmp_path / "ledger")
    served.said("scaling slow by Ray Serve · 1 to 2 worker processes (none in the server's thread), 1 now")
    with Load(lambda: [served], name="slow", body=BODY, threads=6) as seen:
        until(served, lambda d: d["ready"] == 2)
        time.sleep(0.3)
    found = until(served, lambda d: (d["ready"], d["leaving"], d["wanted"]) == (1, 0, 1) and len(d["lives"]) >= 2)
    assert seen.failures == []
    assert set(seen.statuses) == {200}
    assert {value for values in seen.values for value in values} == {5.0}
    assert found["arrived"] == found["answered"] == found["within_promise"] == seen.statuses[200]
    assert (found["failed"], found["attainment"], found["in_flight"]) == (0, 1.0, 0)
    assert [(c["before"], c["replicas"]) for c in found["decided"]][:2] == [(1, 2), (2, 1)]
    gone = next(life for life in found["lives"] if life["gone_s"] is not None)
    assert gone["requested_s"] <= gone["started_s"] <= gone["ready_s"] <= gone["draining_s"] <= gone["gone_s"]
    assert gone["reason"] == "scaled in"
    assert len(found["seen"]["at_s"]) == found["decisions"]
    assert found["usd"] == pytest.approx(found["replica_seconds"] / 1000)
    with urllib.request.urlopen(f"{served.metrics}/metrics", timeout=10) as reply:
        text = reply.read().decode()
    named = 'model="slow",rule="Ray Serve",emulated="false",time_lapse="10"'
    assert f"farthing_scaling_replicas_ready{{{named}}} 1" in text
    assert f"farthing_scaling_replicas_wanted{{{named}}} 1" in text
    for name in ("replica_seconds", "cost_usd", "decisions", "changes"):
        assert f"# TYPE farthing_scaling_{name}_total counter" in text
    assert served.stop() == 0
    rows = decisions(tmp_path / "ledger", "scaled")
    assert [(row["from"], row["to"]) for row in rows][:2] == [(1, 2), (2, 1)]
    assert all(row["rule"] == "Ray Serve" and row["reason"] and row["time_lapse"] == 10 for row in rows)
    held = decisions(tmp_path / "ledger", "scaling_held")
    assert sum(row["decisions"] for row in held) + len(rows) >= found["decisions"]
    assert {row["number"] for row in decisions(tmp_path / "ledger", "replica_gone")} >= {0, 1}


def test_a_killed_replica_comes_back_to_what_is_wanted(tmp_path: Path, start_server: Start) -> None:
    served = start_server(
        write_tiny(tmp_path / "tiny.onnx"), "--scale", policy(tmp_path, "rule: fixed\nreplicas: 2\nminimum_bill: 0s")
    )
    before = document(served, "live")["models"][0]["workers"]
    assert (before["ready"], before["wanted"]) == (2, 2)
    with Load(lambda: [served]) as seen:
        for k, pid in enumerate(before["pids"], 1):
            os.kill(pid, signal.SIGKILL)
            until(served, lambda d, k=k: sum(life["deaths"] for life in d["lives"]) == k and d["ready"] == 2)
    served.said("replica 0 of tiny died: SIGKILL")
    served.said("replica 1 of tiny died: SIGKILL")
    assert seen.failures == []
    assert set(seen.statuses) == {200}
    found = document(served)
    assert [life["deaths"] for life in found["lives"]] == [1, 1]
    assert (found["wanted"], found["changes"], found["usd"]) == (2, 0, None)


@pytest.mark.slow
def test_a_replica_that_never_becomes_ready_is_said_and_the_ready_one_stays(
    tmp_path: Path, start_server: Start
) -> None:
    later = "schedule: [{at: 0s, min: 1, max: 1}, {at: 90s, min: 2, max: 2}, {at: 600s, min: 1, max: 1}]"
    rule = f"rule: scheduled\n{later}\nstart_at: 0s\nmax_replicas: 2\nready_within: 5s\ntime_lapse: 60"
    model = write_tiny(tmp_path / "tiny.onnx")
    served = start_server(model, "--scale", policy(tmp_path, rule), "--ledger", tmp_path / "ledger")
    model.rename(tmp_path / "away.onnx")
    served.said("replica 1 of tiny did not become ready")
    found = until(served, lambda d: d["lives"][-1]["failed_starts"] >= 3)
    assert (found["ready"], found["starting"], found["wanted"]) == (1, 1, 2)
    assert served.ready()
    assert served.infer("tiny", [[1, 0, 0, 0]]) == (200, [1.0, 2.0])
    found = until(served, lambda d: d["wanted"] == 1)
    assert (found["ready"], found["starting"]) == (1, 0)
    assert served.infer("tiny", [[1, 0, 0, 0]]) == (200, [1.0, 2.0])
    assert served.stop() == 0
    rows = decisions(tmp_path / "ledger", "replica_not_ready")
    assert {row["number"] for row in rows} == {1}
    assert "next start in" in rows[-1]["reason"]


@pytest.mark.slow
def test_emulated_beyond_the_cores_is_marked_everywhere(tmp_path: Path, start_server: Start) -> None:
    replicas = 2 * len(usable_cpus())
    rule = f"rule: fixed\nreplicas: {replicas}\nemulated: true\nservice: {{1: 40ms}}\npromise: 1s"
    served = start_server(
        write_tiny(tmp_path / "tiny.onnx"), "--max-batch", "1", "--scale", policy(tmp_path, rule),
        "--ledger", tmp_path / "ledger",
    )  # fmt: skip
    assert "emulated" in served.said("tiny 1 ·")
    assert "emulated: workers wait out profiled times, answers are zeros" in served.said("scaling tiny by fixed")
    metadata = served.request("GET", "/v2/models/tiny")[1]
    assert metadata["platform"] == "emulated"
    assert "zeros" in metadata["properties"]["emulated"]
    assert served.request("GET", "/v2/models/tiny/config")[1]["parameters"]["emulated"] == {"string_value": "true"}
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
    answer = served.request("POST", "/v2/models/tiny/infer", {"inputs": [tensor]})[1]
    assert answer["parameters"] == {"emulated": "true"}
    assert answer["outputs"][0]["data"] == [0.0, 0.0]
    live = document(served, "live")
    assert live["scaling"]["emulated"] is True
    assert live["models"][0]["emulated"] is True
    assert live["models"][0]["workers"]["ready"] == replicas
    with urllib.request.urlopen(f"{served.metrics}/metrics", timeout=10) as reply:
        assert 'farthing_scaling_replicas_ready{model="tiny",rule="fixed",emulated="true"}' in reply.read().decode()
    assert served.stop() == 0
    requests = query_ledger(tmp_path / "ledger", "SELECT deployment, service_s FROM requests").to_pylist()
    assert {row["deployment"] for row in requests} == {"tiny (emulated)"}
    assert all(row["service_s"] >= 0.04 for row in requests)


@pytest.mark.slow
def test_a_new_version_takes_over_with_as_many_replicas(tmp_path: Path, start_server: Start) -> None:
    later = "schedule: [{at: 0s, min: 2, max: 2}]"
    rule = f"rule: scheduled\n{later}\nstart_at: 0s\nmax_replicas: 2\ntime_lapse: 200"
    model = write_tiny(tmp_path / "tiny.onnx")
    served = start_server(model, "--scale", policy(tmp_path, rule))
    until(served, lambda d: d["ready"] == 2)
    with Load(lambda: [served]) as seen:
        write_tiny(model, 2)
        served.send(signal.SIGHUP)
        served.said("reloaded: tiny version 1 replaced")
        until(served, lambda d: d["ready"] == 2 and len([x for x in d["lives"] if x["gone_s"] is None]) == 2)
    assert seen.failures == []
    assert set(seen.statuses) == {200}
    assert served.infer("tiny", [[1, 0, 0, 0]]) == (200, [2.0, 4.0])


def test_to_zero_and_back_by_the_first_request(tmp_path: Path, start_server: Start) -> None:
    rule = (
        "rule: Knative on concurrency\nconcurrency: 1\nstable_window: 6s\nmin_replicas: 0\nmax_replicas: 2\n"
        "time_lapse: 10\nstart: 1s"
    )
    served = start_server(write_tiny(tmp_path / "tiny.onnx"), "--scale", policy(tmp_path, rule))
    until(served, lambda d: (d["ready"], d["starting"], d["leaving"]) == (0, 0, 0))
    assert served.ready()
    assert served.infer("tiny", [[1, 0, 0, 0]]) == (200, [1.0, 2.0])
    found = document(served)
    assert [(c["before"], c["replicas"]) for c in found["decided"]][:2] == [(1, 0), (0, 1)]


def test_a_program_opens_a_server_that_scales_and_reads_back_what_it_did(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.onnx")

    def read() -> Any:
        return served_models([path], cores=2, check=check_artefact)

    async def main() -> None:
        schedule = Schedule(
            actions=(Action(at_s=0, min_replicas=1, max_replicas=1), Action(at_s=60, min_replicas=2, max_replicas=2))
        )
        scaling = LivePolicy(
            rule=WrittenRule(name="scheduled", schedule=schedule), max_replicas=2, time_lapse=200.0, usd_per_hour=3.6
        )
        settings = ServerSettings(port=0, grpc_port=None, metrics_port=None, scaling=scaling)
        clock, lines = MonotonicClock(), list[str]()
        server = Server(read(), settings, clock, memory_budget_mib=4096, read=read, say=lines.append)
        assert server.scaling is not None
        assert server.scaling.document() is None
        async with server:
            await until_ready(server, 2)
            found = server.scaling.document()
        assert found is not None
        assert [(c["before"], c["replicas"]) for c in found["decided"]] == [(1, 2)]
        assert [life["requested_s"] > 0 for life in found["lives"]] == [False, True]
        assert "time lapse: 200 s of the policy's clock in a second" in next(x for x in lines if "scaling tiny" in x)

    uvloop.run(asyncio.wait_for(main(), 60))


async def until_ready(server: Server, replicas: int) -> None:
    while server.scaling is not None and server.scaling.loop.headcount()[0] < replicas:
        await asyncio.sleep(0.01)


def test_a_policy_that_does_not_fit_ends_it_before_anything_is_loaded(tmp_path: Path) -> None:
    model = write_tiny(tmp_path / "tiny.onnx")
    scale = policy(tmp_path, "rule: Ray Serve\nmax_replicas: 2")
    arguments = command("serve", model, "--scale", scale, "--port", 0, "--grpc-port", "none", "--metrics-port", "none")
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    said = " ".join(done.stderr.split())
    assert done.returncode == 2
    assert "its requests in flight is not known hint: rate: 40 and in_flight: 8 say" in said
    assert "ready:" not in said
