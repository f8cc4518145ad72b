"""A client on uvloop whose answers are checked: for what must be counted, not for speed records."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httptools
import numpy as np
from numpy.typing import NDArray

from serving.models import SUBJECTS, Post, floats_after, oip_binary_post

__all__ = ["Connection", "Lost", "MarkedTraffic", "Reply", "Tally", "http_bytes", "open_loop", "saturate"]


_REFUSED_PAUSE_S = 0.01
"""A closed loop that was refused waits, as clients that respect Retry-After do, if not for as long."""


class Lost(Exception):
    """The connection ended before the answer was complete; ``clean`` when it was an idle one that the server closed."""

    def __init__(self, message: str, *, clean: bool = False) -> None:
        super().__init__(message)
        self.clean = clean


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer; ``json_bytes`` is 0 when it has no binary part."""

    status: int
    body: bytes
    json_bytes: int
    closes: bool


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request in flight."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Reply] | None = None
        self._used = False

    @classmethod
    async def open(cls, port: int) -> Connection:
        """Connect to loopback."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    @property
    def usable(self) -> bool:
        """Whether a request can be sent."""
        return self.transport is not None and not self.transport.is_closing()

    async def ask(self, request: bytes) -> Reply:
        """Send a whole request and wait.

        Raises:
            Lost: when the connection ends first.
        """
        if not self.usable:
            raise Lost("closed while idle", clean=True)
        self._begin()
        waiter: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiter = waiter
        assert self.transport is not None
        self.transport.write(request)
        return await waiter

    def close(self) -> None:
        """Hang up."""
        if self.transport is not None:
            self.transport.close()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._json_bytes, self._closes, self._begun = 0, False, False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport  # type: ignore[assignment]  # uvloop's is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        """A request that waits is lost."""
        waiter, self._waiter, self.transport = self._waiter, None, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(Lost(f"connection ended: {exc}", clean=self._used and not self._begun))

    def data_received(self, data: bytes) -> None:
        """Parse; bytes that nobody asked for end the connection."""
        if self._waiter is None:
            self.close()
            return
        self._begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as e:
            waiter, self._waiter = self._waiter, None
            waiter.set_exception(Lost(f"not HTTP: {e}"))
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the two that matter."""
        lower = name.lower()
        if lower == b"inference-header-content-length":
            self._json_bytes = int(value)
        elif lower == b"connection":
            self._closes = value.lower() == b"close"

    def on_body(self, body: bytes) -> None:
        """Keep."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Give the reply to who asked."""
        status = self._parser.get_status_code()
        if status < 200:  # 100 Continue
            return
        waiter, self._waiter, self._used = self._waiter, None, True
        if waiter is not None and not waiter.done():
            waiter.set_result(
                Reply(status=status, body=b"".join(self._body), json_bytes=self._json_bytes, closes=self._closes)
            )
        if self._closes:
            self.close()


def http_bytes(post: Post) -> bytes:
    """The request as it goes over the wire."""
    lines = [f"POST {post.path} HTTP/1.1", "Host: benchmark", f"Content-Length: {len(post.body)}"]
    lines += [f"{k}: {v}" for k, v in post.headers().items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + post.body


@dataclass(slots=True)
class Tally:
    """What became of requests.

    Attributes:
        right: Answered, each row with its own mark.
        wrong: Answered with something else.
        statuses: Other statuses and how often.
        lost: Connection ended before the answer.
        raced: The server closed an idle connection while the request was on its way; sent again.
        latencies_s: Of the right ones.
        refused_s: Until a refusal came.
    """

    right: int = 0
    wrong: int = 0
    lost: int = 0
    raced: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """Lost, or answered with anything but 200 and 503 (not taken)."""
        return self.lost + sum(n for status, n in self.statuses.items() if status != 503)

    def note(self, example: str) -> None:
        """Keep the first few for the reader."""
        if len(self.examples) < 3:
            self.examples.append(example[:200])


class MarkedTraffic:
    """Requests of 1 … ``most_rows`` rows for the model ``marked``; every row has its own mark, and answers are checked.

    Marks count upwards and are exact in float32 below 2^23.
    """

    def __init__(self, tally: Tally, *, most_rows: int = 4, model: str = "marked", seed: int = 0) -> None:
        self.tally = tally
        self._rng = np.random.default_rng(seed)
        self._next = 1
        self._rows = [SUBJECTS["marked"].sample(n) for n in range(1, most_rows + 1)]
        self._posts = [oip_binary_post(model, x) for x in self._rows]
        self._heads = [http_bytes(p)[: -len(p.body)] + p.body[: p.json_bytes] for p in self._posts]

    def request(self) -> tuple[bytes, NDArray[np.float32]]:
        """The bytes to send and the marks in it."""
        kind = int(self._rng.integers(len(self._rows)))
        marks = np.arange(self._next, self._next + kind + 1, dtype=np.float32)
        self._next += kind + 1
        if self._next >= 2**23:
            self._next = 1
        x = self._rows[kind]
        x[:, 0] = marks
        return self._heads[kind] + x.tobytes(), marks

    def check(self, marks: NDArray[np.float32], reply: Reply) -> bool:
        """Count one answer; whether it was answered right."""
        if reply.status != 200:
            self.tally.statuses[reply.status] += 1
            self.tally.note(f"{reply.status} {reply.body[:150]!r}")
            return False
        found = _marks_in(reply)
        if found.shape == marks.shape and (found == 2 * marks).all():
            self.tally.right += 1
            return True
        self.tally.wrong += 1
        self.tally.note(f"marks {marks} got {found}")
        return False

    async def one(self, connection: Connection, port: Callable[[], int]) -> Connection:
        """Send one request, again when the server closed the idle connection; the connection to go on with.

        New connections are opened to ``port()``.
        """
        request, marks = self.request()
        for _ in range(3):
            if not connection.usable:
                connection = await Connection.open(port())
            start_s = time.monotonic()
            try:
                reply = await connection.ask(request)
            except Lost as e:
                if e.clean:
                    self.tally.raced += 1
                    continue
                self.tally.lost += 1
                self.tally.note(str(e))
                return connection
            took_s = time.monotonic() - start_s
            (self.tally.latencies_s if self.check(marks, reply) else self.tally.refused_s).append(took_s)
            return connection
        self.tally.lost += 1
        self.tally.note("closed three times while idle")
        return connection


def _marks_in(reply: Reply) -> NDArray[np.float32]:
    """The output ``mark`` of a binary reply, by the sizes that its JSON part tells."""
    offset = reply.json_bytes
    for output in json.loads(reply.body[: reply.json_bytes])["outputs"]:
        size = int(output["parameters"]["binary_data_size"])
        if output["name"] == "mark":
            return floats_after(reply.body[: offset + size], offset)
        offset += size
    return np.empty(0, dtype=np.float32)


async def saturate(
    traffic: MarkedTraffic,
    port: Callable[[], int],
    *,
    connections: int,
    go_on: Callable[[], bool],
    loyal: int = 0,
) -> None:
    """Closed loop: every connection sends its next request when the last is answered, while ``go_on()``.

    Args:
        traffic: What is sent and checked.
        port: Where to; may change.
        connections: Number of them.
        go_on: Asked before each request.
        loyal: So many of them stay with a server until it hangs up, however the port changes.
    """

    async def walk(stays: bool) -> None:
        at = port()
        connection = await Connection.open(at)
        while go_on():
            if port() != at:
                at = port()
                if not stays:
                    connection.close()
            refused = traffic.tally.statuses[503]
            connection = await traffic.one(connection, port)
            if traffic.tally.statuses[503] > refused:
                await asyncio.sleep(_REFUSED_PAUSE_S)
        connection.close()

    async with asyncio.TaskGroup() as group:
        for i in range(connections):
            group.create_task(walk(i < loyal))


async def open_loop(
    ask: Callable[[Connection, float], Awaitable[Connection]],
    port: int,
    *,
    rps: float,
    seconds: float,
    connections: int = 512,
    seed: int = 0,
) -> None:
    """Poisson arrivals: ``ask(connection, scheduled)`` for each, on an idle connection or a new one.

    Args:
        ask: Sends one request; ``scheduled`` is the monotonic time at which it was due. Returns the connection.
        port: Where to.
        rps: Mean rate.
        seconds: For how long requests come; then all are waited for.
        connections: Most that are open; an arrival beyond waits for one, and its latency counts from its due time.
        seed: Of the arrivals.
    """
    gate = asyncio.Semaphore(connections)
    idle: list[Connection] = []
    rng = np.random.default_rng(seed)
    due_s = time.monotonic() + np.cumsum(rng.exponential(1 / rps, max(1, round(rps * seconds))))

    async def one(scheduled_s: float) -> None:
        async with gate:
            connection = idle.pop() if idle else await Connection.open(port)
            connection = await ask(connection, scheduled_s)
            if connection.usable:
                idle.append(connection)

    async with asyncio.TaskGroup() as group:
        for scheduled_s in due_s:
            wait_s = scheduled_s - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            group.create_task(one(float(scheduled_s)))
    for connection in idle:
        connection.close()
