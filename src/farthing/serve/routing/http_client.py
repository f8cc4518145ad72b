"""A small HTTP/1.1 client on the server's own loop: kept connections, time limits, bounded answers.

A request is sent once. It is sent a second time, on a new connection, only where the first one had been kept and was
closed without a byte of an answer (RFC 9112, 9.3.1): the server had closed it before the request came.
"""

from __future__ import annotations

import asyncio
import ssl
import urllib.parse
from collections.abc import Mapping
from typing import Any, NamedTuple

import httptools

__all__ = ["HttpClient", "Reply", "Unreachable"]

MOST_ANSWER_BYTES = 64 * 2**20
MOST_KEPT = 64
CONNECT_S = 5.0
_PORTS = {"http": 80, "https": 443}


class Unreachable(Exception):
    """No answer came: the connection was refused or closed, or what came was no HTTP."""


class Reply(NamedTuple):
    """An answer.

    Attributes:
        status: Of HTTP.
        headers: By lower-case name.
        body: All of it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpClient:
    """Asks one server.

    Args:
        url: ``http://host:port/prefix``; paths are put after the prefix.
    """

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._prefix = parts.path.rstrip("/")
        self._host_line = f"Host: {parts.netloc}\r\n".encode("ascii")
        self._kept: list[_Wire] = []

    async def ask(
        self, method: str, path: str, body: bytes = b"", headers: bytes = b"", *, limit_s: float | None = None
    ) -> Reply:
        """Send a request and wait for the whole answer; what is cancelled closes its connection.

        Args:
            method: ``GET`` or ``POST``.
            path: With its slash.
            body: Of the request.
            headers: More header lines, each with its end.
            limit_s: For everything together, None for no limit.

        Raises:
            Unreachable: when there is no answer.
            TimeoutError: when there is none in time.
        """
        head = b"%b %b HTTP/1.1\r\n%b%bContent-Length: %d\r\n\r\n" % (
            method.encode(),
            (self._prefix + path).encode("ascii"),
            self._host_line,
            headers,
            len(body),
        )
        async with asyncio.timeout(limit_s):
            while True:
                wire, kept = await self._wire()
                try:
                    reply = await wire.exchange(head + body)
                except Unreachable:
                    if kept and not wire.heard:
                        continue
                    raise
                finally:
                    if wire.free and len(self._kept) < MOST_KEPT:
                        self._kept.append(wire)
                    else:
                        wire.close()
                return reply

    async def _wire(self) -> tuple[_Wire, bool]:
        """A connection that is open, and whether it was used before."""
        while self._kept:
            wire = self._kept.pop()
            if wire.free:
                return wire, True
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_S):
                _, made = await loop.create_connection(_Wire, self._host, self._port, ssl=self._tls)
        except (OSError, TimeoutError) as e:
            raise Unreachable(f"no connection to {self._host}:{self._port}: {e or 'timed out'}") from e
        return made, False

    def close(self) -> None:
        """Close what is kept."""
        while self._kept:
            self._kept.pop().close()


class _Wire(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self.heard = False
        self._transport: Any = None
        self._parser: Any = None
        self._reply: asyncio.Future[Reply] | None = None
        self._headers: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self._size = 0
        self._open = False

    @property
    def free(self) -> bool:
        """Whether another request may be sent."""
        return self._open and self._reply is None and not self._transport.is_closing()

    async def exchange(self, request: bytes) -> Reply:
        """Send a request and wait for its answer."""
        self._parser = httptools.HttpResponseParser(self)
        self._reply = asyncio.get_running_loop().create_future()
        self._headers, self._chunks, self._size, self.heard = {}, [], 0, False
        self._transport.write(request)
        try:
            return await self._reply
        except asyncio.CancelledError:
            self.close()
            raise

    def close(self) -> None:
        """End it."""
        self._open = False
        if self._transport is not None:
            self._transport.abort()

    # — asyncio.Protocol ———————————————————————————————————————————————————————————————————————————

    def connection_made(self, transport: Any) -> None:
        """It is there."""
        self._transport, self._open = transport, True

    def data_received(self, data: bytes) -> None:
        """A part of an answer."""
        self.heard = True
        if self._reply is None:
            self.close()
            return
        self._size += len(data)
        if self._size > MOST_ANSWER_BYTES:
            self._fail(f"an answer of more than {MOST_ANSWER_BYTES:,} bytes")
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as e:
            self._fail(f"no HTTP: {e}")

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._open = False
        self._fail(f"the connection was closed ({exc or 'by the other side'})")

    def _fail(self, why: str) -> None:
        reply, self._reply = self._reply, None
        self.close()
        if reply is not None and not reply.done():
            reply.set_exception(Unreachable(why))

    # — httptools ——————————————————————————————————————————————————————————————————————————————————

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, chunk: bytes) -> None:
        """A part of the body."""
        self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        status = self._parser.get_status_code()
        if status < 200:  # 100 Continue
            self._headers, self._chunks = {}, []
            return
        if not self._parser.should_keep_alive():
            self._open = False
        reply, self._reply = self._reply, None
        if reply is not None and not reply.done():
            reply.set_result(Reply(status, self._headers, b"".join(self._chunks)))
