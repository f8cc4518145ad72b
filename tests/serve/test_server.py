"""A real server: starts, swaps, reloads, drains and restarts under load."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from constant_clients import Load
from real_server import Served, start, write_slow, write_tiny

FIRST_VALUE = 8.0
"""First output of loading.ROW at scale 1: 1 + 7."""


def test_it_answers(served: Served) -> None:
    assert served.ready()
    assert served.infer("tiny", [[1, 0, 0, 0], [0, 0, 0, 1]]) == (200, [1.0, 2.0, 7.0, 8.0])
    assert served.infer("tiny", [[0, 1, 0, 0]], version="1") == (200, [3.0, 4.0])
    assert served.infer("tiny", [[0, 1, 0, 0]], version="2")[0] == 404
    assert served.infer("other", [[0, 1, 0, 0]])[0] == 404


def test_several_models_and_versions(tmp_path: Path, start_server: Callable[..., Served]) -> None:
    for version, scale in (("1", 1), ("2", 2)):
        write_tiny(tmp_path / "repo" / "a" / version / "model.onnx", scale)
    write_tiny(tmp_path / "b.onnx", 3)
    models = [{"source": f"repo/a/{v}/model.onnx", "name": "a", "version": v, "instances": 1} for v in ("1", "2")]
    (tmp_path / "serve.yaml").write_text(
        json.dumps({"schema": "farthing/serve/1", "models": [*models, {"source": "b.onnx", "instances": 1}]})
    )
    served = start_server(tmp_path / "serve.yaml")
    row = [[1, 0, 0, 0]]
    assert served.infer("a", row) == (200, [2.0, 4.0])
    assert served.infer("a", row, version="1") == (200, [1.0, 2.0])
    assert served.infer("b", row) == (200, [3.0, 6.0])


@pytest.mark.parametrize("inline", ["always", "never"])
def test_version_swaps_under_load(tmp_path: Path, start_server: Callable[..., Served], inline: str) -> None:
    _swaps(tmp_path, start_server, inline, 10)


@pytest.mark.slow
@pytest.mark.parametrize("inline", ["always", "never"])
def test_200_version_swaps_under_load(tmp_path: Path, start_server: Callable[..., Served], inline: str) -> None:
    _swaps(tmp_path, start_server, inline, 200)


def _swaps(tmp_path: Path, start_server: Callable[..., Served], inline: str, n: int) -> None:
    """The file is written anew and the server told; every answer is one version's, and they never go back."""
    model = write_tiny(tmp_path / "tiny.onnx")
    models = [{"source": "tiny.onnx", "instances": 1}]
    (tmp_path / "serve.yaml").write_text(json.dumps({"schema": "farthing/serve/1", "models": models}))
    served = start_server(tmp_path / "serve.yaml", "--inline", inline)
    with Load(lambda: [served]) as seen:
        for k in range(2, n + 2):
            write_tiny(model, k)
            count = len(served.lines)
            served.send(signal.SIGHUP)
            _said_after(served, count, "reloaded: tiny version 1 replaced")
    assert seen.failures == []
    assert seen.retried == 0
    assert set(seen.statuses) == {200}
    for values in seen.values:
        scales = [value / FIRST_VALUE for value in values]
        assert set(scales) <= set(range(1, n + 2))
        assert scales == sorted(scales)
    assert served.infer("tiny", [[1, 0, 0, 0]]) == (200, [n + 1.0, 2.0 * (n + 1)])


def _said_after(served: Served, count: int, text: str) -> None:
    end = time.monotonic() + 30
    while not any(text in line for line in served.lines[count:]):
        assert time.monotonic() < end, served.lines[count:]
        time.sleep(0.002)


def test_a_reload_that_fails_changes_nothing(tmp_path: Path, start_server: Callable[..., Served]) -> None:
    model = write_tiny(tmp_path / "tiny.onnx")
    served = start_server(model)
    model.write_bytes(b"not a model")
    served.send(signal.SIGHUP)
    assert "no complete ONNX model" in served.said("not reloaded, what was served is still served")
    assert served.infer("tiny", [[1, 0, 0, 0]]) == (200, [1.0, 2.0])
    assert served.ready()


def test_accepted_requests_are_answered_on_sigterm(tmp_path: Path, start_server: Callable[..., Served]) -> None:
    """More requests than workers are on their way when the signal comes; all are answered, then it ends with 0."""
    served = start_server(write_slow(tmp_path / "slow.onnx"), "--notice", "0", "--deadline", "none")
    row = [0.0] * 1024
    body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1024], "data": row}]}).encode()
    connections = [http.client.HTTPConnection(served.host, served.port, timeout=60) for _ in range(24)]
    for connection in connections:
        connection.request("POST", "/v2/models/slow/infer", body)
    idle = socket.create_connection((served.host, served.port))
    time.sleep(0.1)
    served.send(signal.SIGTERM)
    statuses = []
    for connection in connections:
        response = connection.getresponse()
        response.read()
        statuses.append((response.status, response.getheader("connection")))
    assert {status for status, _ in statuses} == {200}
    assert {how for _, how in statuses} <= {"close", None}
    assert idle.recv(1) == b""
    assert served.wait() == 0
    assert not any("cut off" in line for line in served.lines), served.lines


def test_not_ready_at_once_but_still_answering(tmp_path: Path, start_server: Callable[..., Served]) -> None:
    served = start_server(write_tiny(tmp_path / "tiny.onnx"), "--notice", "2s")
    with socket.create_connection((served.host, served.port)):
        served.send(signal.SIGTERM)
        served.said("stopping")
        assert served.request("GET", "/v2/health/ready")[0] == 503
        assert served.request("GET", "/v2/health/live")[0] == 200
        assert served.infer("tiny", [[1, 0, 0, 0]]) == (200, [1.0, 2.0])
        assert served.wait() == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((served.host, served.port))


def test_the_grace_ends(tmp_path: Path, start_server: Callable[..., Served]) -> None:
    """A client that never finishes its body holds the server up for the grace and no longer."""
    served = start_server(write_tiny(tmp_path / "tiny.onnx"), "--notice", "0", "--grace", "500ms")
    with socket.create_connection((served.host, served.port)) as slow:
        slow.sendall(b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        time.sleep(0.1)
        began = time.monotonic()
        assert served.stop() == 0
        assert time.monotonic() - began < 15
    assert any("cut off" in line for line in served.lines)


def test_a_second_signal_ends_the_grace(tmp_path: Path, start_server: Callable[..., Served]) -> None:
    served = start_server(write_tiny(tmp_path / "tiny.onnx"), "--notice", "100s", "--grace", "100s")
    with socket.create_connection((served.host, served.port)) as slow:
        slow.sendall(b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        time.sleep(0.1)
        served.send(signal.SIGTERM)
        served.said("stopping")
        assert served.stop(within_s=15) == 0


def test_interrupted_while_loading(tmp_path: Path) -> None:
    """A server that is told to stop before it is ready ends too, and leaves no process behind."""
    import subprocess

    from real_server import command

    process = subprocess.Popen(
        [
            *command("serve", write_slow(tmp_path / "slow.onnx", layers=200)),
            "--port",
            "0",
            "--grpc-port",
            "none",
            "--metrics-port",
            "none",
        ],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode in (0, 130), said
    assert "Traceback" not in said
    end = time.monotonic() + 10
    while _alive(process.pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _alive(process.pid)


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_rolling_restarts_under_load(tmp_path: Path) -> None:
    _restarts(tmp_path, 3)


@pytest.mark.slow
def test_20_rolling_restarts_under_load(tmp_path: Path) -> None:
    _restarts(tmp_path, 20)


def _restarts(tmp_path: Path, n: int) -> None:
    """Two replicas behind clients; one at a time is replaced by a new process, which is used once it is ready."""
    model = write_tiny(tmp_path / "tiny.onnx")
    replicas = [start(model, "--notice", "300ms") for _ in range(2)]
    up = list(replicas)
    try:
        with Load(lambda: list(up)) as seen:
            for k in range(n):
                old = replicas[k % 2]
                old.send(signal.SIGTERM)
                old.said("stopping")
                up.remove(old)
                assert old.wait() == 0
                replicas[k % 2] = start(model, "--notice", "300ms")
                up.append(replicas[k % 2])
    finally:
        for replica in replicas:
            replica.stop()
    assert seen.failures == []
    assert sum(seen.statuses.values()) > 100
