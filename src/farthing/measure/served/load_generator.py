"""The load generator, a child process of its own: Poisson arrivals in an open loop over HTTP, and a closed loop.

``python -m farthing.measure.served.load_generator``. Plain sockets and epoll, since every microsecond
that it takes is taken from a server on the same machine. Its own processor time is part of each answer.
"""

from __future__ import annotations

import json
import math
import re
import resource
import select
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farthing.codec import from_plain
from farthing.errors import MeasureError
from farthing.nouns import Dataset
from farthing.workers.replicas.answering import Line, answer_commands

__all__ = ["POOL", "Generator", "main", "patient_bytes", "request_bytes"]

POOL = 256
"""Different requests, sent in turn, unless told otherwise."""
MOST_CONNECTIONS = 512
"""Open at a time; an arrival beyond waits for one, and its latency counts from its scheduled time."""
_LENGTH = re.compile(rb"\r\nContent-Length: *(\d+)", re.IGNORECASE)
_RECEIVE_BYTES = 1 << 18
_NAP_S = 0.002
_PATIENCE_US = 60_000_000
_NUMPY_OF: Mapping[str, str] = {
    "BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64", "INT8": "int8",
    "INT16": "int16", "INT32": "int32", "INT64": "int64", "FP16": "float16", "FP32": "float32", "FP64": "float64",
}  # fmt: skip


def request_bytes(model: Mapping[str, Any], payload: Any) -> bytes:
    """One request as it goes over the wire, as a client with this payload would send it.

    Args:
        model: What ``GET /v2/models/NAME`` said.
        payload: An image's bytes or a text (to SageMaker's address), or tensors by name (Open Inference Protocol, in
            binary). A single array goes to a single input, whatever its name, as in the tensor pipeline.

    Raises:
        MeasureError: when the model's inputs have other names or types than the payload.
    """
    named = f"X-Amzn-SageMaker-Target-Model: {model['name']}\r\n"
    if isinstance(payload, str):
        return _post("/invocations", payload.encode(), "text/plain", named)
    if isinstance(payload, bytes):
        return _post("/invocations", payload, "application/octet-stream", named)
    return _infer(model, *_tensors(model, payload))


def patient_bytes(model: Mapping[str, Any], payload: Any) -> bytes:
    """The same request with a timeout of its own, so that a server with a deadline neither refuses it nor gives it up.

    Args:
        model: What ``GET /v2/models/NAME`` said.
        payload: As for :func:`request_bytes`.

    Raises:
        MeasureError: as :func:`request_bytes`.
    """
    if isinstance(payload, (str, bytes)):
        raw = payload.encode() if isinstance(payload, str) else payload
        data = len(raw).to_bytes(4, "little") + raw
        size = {"binary_data_size": len(data)}
        inputs = [{"name": model["inputs"][0]["name"], "shape": [1], "datatype": "BYTES", "parameters": size}]
        return _infer(model, inputs, data, timeout=_PATIENCE_US)
    return _infer(model, *_tensors(model, payload), timeout=_PATIENCE_US)


def _infer(model: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]], data: bytes, **more: int) -> bytes:
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True, **more}}).encode()
    length = f"Inference-Header-Content-Length: {len(head)}\r\n"
    return _post(f"/v2/models/{model['name']}/infer", head + data, "application/octet-stream", length)


def _tensors(model: Mapping[str, Any], payload: Mapping[str, Any]) -> tuple[list[dict[str, Any]], bytes]:
    """The inputs' heads and their bytes."""
    inputs, parts = [], []
    for spec in model["inputs"]:
        name, kind = spec["name"], spec["datatype"]
        source = next(iter(payload)) if len(payload) == len(model["inputs"]) == 1 else name
        if source not in payload or kind not in _NUMPY_OF:
            raise MeasureError(f"the served model wants the input {name} ({kind}); the data has {', '.join(payload)}")
        array = np.ascontiguousarray(payload[source], dtype=_NUMPY_OF[kind])
        data = array.tobytes()
        size = {"binary_data_size": len(data)}
        inputs.append({"name": name, "shape": [1, *array.shape], "datatype": kind, "parameters": size})
        parts.append(data)
    return inputs, b"".join(parts)


def _post(path: str, body: bytes, media_type: str, more: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: load\r\nContent-Type: {media_type}\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class _Wire:
    """One connection with at most one request on its way."""

    __slots__ = ("buffer", "request", "socket", "wanted")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request, self.buffer, self.wanted = -1, b"", -1

    def send(self, request: int, data: bytes) -> None:
        self.request, self.buffer, self.wanted = request, b"", -1
        self.socket.sendall(data)

    def receive(self) -> int | None:
        """Status once the answer is whole, 0 when the connection ended instead, None while more must come."""
        try:
            piece = self.socket.recv(_RECEIVE_BYTES)
        except OSError:
            return 0
        if not piece:
            return 0
        self.buffer = self.buffer + piece if self.buffer else piece
        if self.wanted < 0:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return None
            found = _LENGTH.search(self.buffer, 0, end + 2)
            self.wanted = end + 4 + (int(found[1]) if found else 0)
        return int(self.buffer[9:12]) if len(self.buffer) >= self.wanted else None


class Generator:
    """Clients of one model on a server on this machine.

    Args:
        line: To show signs of life on.
        port: Of its HTTP.
        model: Name of the model there.
        dataset: What is sent.
        seed: Of the choice of payloads.
        pool: Different payloads, sent in turn.
    """

    def __init__(
        self, line: Line, port: int, model: str, dataset: Mapping[str, Any], seed: int, pool: int = POOL
    ) -> None:
        from farthing.pipelines.payloads import read

        self._line, self._port = line, port
        data = from_plain(Dataset, dataset)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/{model}", timeout=10) as reply:
            facts = json.loads(reply.read())
        rows = np.random.default_rng(seed).permutation(data.n)[:pool].tolist()
        self._facts, self._payloads = facts, read(data, rows)
        self._requests = [request_bytes(facts, payload) for payload in self._payloads]
        self._patient: list[bytes] = []
        self._poll = select.epoll()
        self._wires: dict[int, _Wire] = {}
        self._idle: list[_Wire] = []

    def open_loop(self, rate_rps: float, n: int, seed: int, limit_s: float) -> dict[str, Any]:
        """Poisson arrivals; latency of each from its scheduled time, −1 where no good answer came."""
        due_s = np.cumsum(np.random.default_rng(seed).exponential(1 / rate_rps, n))
        latency_s = np.full(n, -1.0)
        statuses: dict[int, int] = {}
        with _processor_time() as used:
            last_s = self._open_loop(due_s, latency_s, statuses, limit_s)
        return {
            "latency_s": latency_s.tolist(),
            "statuses": {str(k): v for k, v in statuses.items()},
            "took_s": last_s,
            "cpu_s": used["s"],
        }

    def _open_loop(
        self, due_s: NDArray[np.float64], latency_s: NDArray[np.float64], statuses: dict[int, int], limit_s: float
    ) -> float:
        n, sent, done = due_s.size, 0, 0
        due = due_s.tolist()
        clock = time.monotonic
        start = clock() + 0.02
        last_s = 0.0
        while done < n:
            now = clock() - start
            if now > limit_s:
                self._hang_up()
                break
            while sent < n and due[sent] <= now and (wire := self._wire()) is not None:
                wire.send(sent, self._requests[sent % len(self._requests)])
                sent += 1
            blocked = sent < n and due[sent] <= now
            wait_s = _NAP_S if sent == n or blocked else max(0.0, min(_NAP_S, due[sent] - (clock() - start)))
            for wire, status in self._answers(wait_s):
                done += 1
                if status == 200:
                    last_s = clock() - start
                    latency_s[wire.request] = last_s - due[wire.request]
                else:
                    statuses[status] = statuses.get(status, 0) + 1
            self._line.beat()
        return max(last_s, float(due_s[-1]) if done == n else limit_s)

    def closed_loop(self, connections: int, seconds: float, patient: bool = False) -> dict[str, Any]:
        """Every connection sends its next request when the last one is answered; good answers, and the time.

        The first answers, before which nothing can come, begin the time and do not count.

        Args:
            connections: Clients.
            seconds: How long they ask.
            patient: Whether their requests have a long timeout of their own.
        """
        requests = self._patiently() if patient else self._requests
        good, first, sent = 0, 0, 0
        clock = time.monotonic
        with _processor_time() as used:
            start = clock()
            first_s, last_s = math.inf, start
            for _ in range(min(connections, MOST_CONNECTIONS)):
                if (wire := self._wire()) is not None:
                    wire.send(sent, requests[sent % len(requests)])
                    sent += 1
            busy = sent
            while busy and clock() - start < seconds + 10:
                going = clock() - start < seconds
                begun = good
                for wire, status in self._answers(_NAP_S):
                    good += going and status == 200
                    if going and status:
                        self._idle.pop()
                        wire.send(sent, requests[sent % len(requests)])
                        sent += 1
                    else:
                        busy -= 1
                if good > begun:
                    last_s = clock()
                    if first_s == math.inf:
                        first_s, first = last_s, good
                self._line.beat()
            self._hang_up()
        if good > first:
            return {"n": good - first, "took_s": last_s - first_s, "cpu_s": used["s"]}
        return {"n": good, "took_s": max(seconds, last_s - start), "cpu_s": used["s"]}

    def _patiently(self) -> list[bytes]:
        if not self._patient:
            self._patient = [patient_bytes(self._facts, payload) for payload in self._payloads]
        return self._patient

    def _wire(self) -> _Wire | None:
        """An idle connection, a new one, or None when there are too many."""
        if self._idle:
            return self._idle.pop()
        if len(self._wires) >= MOST_CONNECTIONS:
            return None
        wire = _Wire(self._port)
        self._wires[wire.socket.fileno()] = wire
        self._poll.register(wire.socket, select.EPOLLIN)
        return wire

    def _answers(self, wait_s: float) -> Iterator[tuple[_Wire, int]]:
        """Connections whose answer is whole (status) or that ended under a request (0)."""
        if wait_s > 0:
            select.select([self._poll.fileno()], [], [], wait_s)
        for fd, _ in self._poll.poll(0):
            wire = self._wires[fd]
            status = wire.receive()
            if status is None:
                continue
            waited, ended = wire.request >= 0, status == 0
            if ended:
                self._drop(wire)
            else:
                self._idle.append(wire)
            if waited:
                yield wire, status
                if not ended and self._idle and self._idle[-1] is wire:
                    wire.request = -1

    def _drop(self, wire: _Wire) -> None:
        fd = wire.socket.fileno()
        self._poll.unregister(wire.socket)
        wire.socket.close()
        del self._wires[fd]
        if wire in self._idle:
            self._idle.remove(wire)

    def _hang_up(self) -> None:
        for wire in list(self._wires.values()):
            self._drop(wire)


class _processor_time:  # noqa: N801 - reads as what it is
    """Processor time of this process within a block, in ``["s"]`` afterwards."""

    def __enter__(self) -> dict[str, float]:
        self._before, self.used = _used_s(), {"s": 0.0}
        return self.used

    def __exit__(self, *_: object) -> None:
        self.used["s"] = _used_s() - self._before


def _used_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _commands(line: Line) -> Mapping[str, Callable[..., Mapping[str, Any]]]:
    known: dict[str, Callable[..., Mapping[str, Any]]] = {}

    def load(**spec: Any) -> dict[str, Any]:
        generator = Generator(line, **spec)
        known.update(open_loop=generator.open_loop, closed_loop=generator.closed_loop)
        return {}

    known["load"] = load
    return known


def main(argv: Sequence[str]) -> int:
    """Answer commands until the pipe closes."""
    return answer_commands(argv, _commands)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
