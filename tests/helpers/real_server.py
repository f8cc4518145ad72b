"""Starts a real server in a process of its own, and small models for it."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

START_S = 60.0
READY = re.compile(
    r"ready: https?://(?P<host>[\d.]+):(?P<port>\d+)(?: · gRPC (?P<grpc>\S+))?(?: · metrics (?P<metrics>\S+))?"
)


def write_tiny(path: Path, scale: float = 1.0) -> Path:
    """y = scale × x @ [[1, 2], [3, 4], [5, 6], [7, 8]]: rows of 4 numbers to rows of 2."""
    weights = scale * np.arange(1, 9, dtype=np.float32).reshape(4, 2)
    return _write(path, [helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": weights}, 4, 2)


def write_slow(path: Path, layers: int = 100, width: int = 1024) -> Path:
    """A row passes through many wide layers that change nothing: some 0.1 ms a layer and row."""
    names = ["x", *(f"h{k}" for k in range(1, layers)), "y"]
    nodes = [helper.make_node("MatMul", [a, "w"], [b]) for a, b in itertools.pairwise(names)]
    return _write(path, nodes, {"w": np.eye(width, dtype=np.float32)}, width, width)


def _write(path: Path, nodes: list[Any], stored: dict[str, np.ndarray], inside: int, outside: int) -> Path:
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", inside])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", outside])],
        [numpy_helper.from_array(a, name) for name, a in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    onnx.save(model, temporary)
    temporary.replace(path)
    return path


@dataclass(eq=False)
class Served:
    """A running server.

    Attributes:
        process: Its process.
        host: Of HTTP.
        port: Of HTTP.
        grpc: ``host:port``, None without gRPC.
        metrics: URL of the second listener, None without one.
        lines: What it said so far.
    """

    process: subprocess.Popen[str]
    host: str = "127.0.0.1"
    port: int = 0
    grpc: str | None = None
    metrics: str | None = None
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """One exchange on a connection of its own; JSON in and out unless the body is bytes."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, raw, headers or {})
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        return response.status, json.loads(content) if content[:1] in (b"{", b"[") else content

    def infer(self, name: str, rows: Sequence[Sequence[float]], version: str = "") -> tuple[int, Any]:
        """Ask with JSON; the first output's data when it went well, else the error."""
        data = np.asarray(rows, dtype=np.float32)
        tensor = {"name": "x", "datatype": "FP32", "shape": list(data.shape), "data": data.ravel().tolist()}
        where = f"/v2/models/{name}" + (f"/versions/{version}" if version else "")
        status, answer = self.request("POST", f"{where}/infer", {"inputs": [tensor]})
        return status, answer["outputs"][0]["data"] if status == 200 else answer

    def ready(self) -> bool:
        """Whether the server says so."""
        try:
            return self.request("GET", "/v2/health/ready")[0] == 200
        except OSError:
            return False

    def said(self, text: str, within_s: float = 20.0) -> str:
        """Wait for a line with some text."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            for line in list(self.lines):
                if text in line:
                    return line
            time.sleep(0.01)
        raise AssertionError(f"{text!r} was not said: {self.lines}")

    def send(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM, within_s: float = 40.0) -> int:
        """Tell it to stop and wait; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait(within_s)

    def wait(self, within_s: float = 40.0) -> int:
        """Wait for its end; its exit status."""
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def command(*arguments: object) -> list[str]:
    """The command line of farthing with this Python."""
    return [sys.executable, "-P", "-c", "from farthing.cli.main import main; main()", *map(str, arguments)]


def start(*arguments: object, ports: Sequence[object] = ("--port", 0, "--grpc-port", 0, "--metrics-port", 0)) -> Served:
    """Start ``farthing serve`` on free loopback ports and wait until it is ready."""
    process = subprocess.Popen(
        command("serve", *arguments, *ports),
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    served = Served(process=process)
    threading.Thread(target=_listen, args=(served,), daemon=True).start()
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        found = next((m for line in list(served.lines) if (m := READY.match(line))), None)
        if found is not None:
            served.host, served.port = found["host"], int(found["port"])
            served.grpc, served.metrics = found["grpc"], found["metrics"]
            return served
        if process.poll() is not None:
            time.sleep(0.1)
            raise AssertionError(f"the server ended with {process.returncode}: {served.lines}")
        time.sleep(0.01)
    process.kill()
    raise AssertionError(f"the server was not ready after {START_S:g} s: {served.lines}")


def _listen(served: Served) -> None:
    assert served.process.stderr is not None
    for line in served.process.stderr:
        served.lines.append(line.rstrip("\n"))
