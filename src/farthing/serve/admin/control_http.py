"""Just enough HTTP for the second listener: one small request a connection, read strictly and in bounded time."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Collection
from dataclasses import dataclass, field

import httptools

from farthing.wire.requests import Problem

__all__ = ["Call", "check_host", "read_call"]

HEAD_BYTES = 16 * 2**10
BODY_BYTES = 64 * 2**10
_PIECE_BYTES = 16 * 2**10
_ONCE = frozenset((b"authorization", b"content-length", b"host", b"origin"))


@dataclass(slots=True, kw_only=True)
class Call:
    """One request.

    Attributes:
        method: As sent.
        path: Without the query.
        headers: Names in small letters; of those that say who asks there is one each.
        body: Whole.
    """

    method: str = ""
    path: str = ""
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""


class _Parts:
    """What httptools calls back."""

    def __init__(self) -> None:
        self.call = Call()
        self.url = b""
        self.done = False
        self.problem: Problem | None = None
        self._size = 0

    def on_url(self, url: bytes) -> None:
        self.url += url
        self._count(len(url), HEAD_BYTES, 431, "the head")

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._count(len(name) + len(value), HEAD_BYTES, 431, "the head")
        if name in _ONCE and name in self.call.headers:
            self.problem = Problem(400, f"the header {name.decode('latin-1')} is there twice")
        self.call.headers[name] = value.strip()

    def on_headers_complete(self) -> None:
        self._size = 0
        if b"transfer-encoding" in self.call.headers:
            self.problem = Problem(501, "bodies come with a Content-Length here")

    def on_body(self, piece: bytes) -> None:
        self.call.body += piece
        self._count(len(piece), BODY_BYTES, 413, "the body")

    def on_message_complete(self) -> None:
        self.done = True

    def _count(self, size: int, limit: int, status: int, what: str) -> None:
        self._size += size
        if self._size > limit:
            self.problem = Problem(status, f"{what} is longer than {limit:,} bytes")


async def read_call(reader: asyncio.StreamReader) -> Call | None:
    """Read one request; None when the client left before its end.

    Raises:
        Problem: 400 when it is no HTTP, 413 or 431 when it is too long, 501 when its body comes in chunks.
    """
    parts = _Parts()
    parser = httptools.HttpRequestParser(parts)
    received = 0
    while not parts.done:
        piece = await reader.read(_PIECE_BYTES)
        if not piece:
            return None
        received += len(piece)
        if received > HEAD_BYTES + BODY_BYTES:
            raise Problem(431, f"the request is longer than {HEAD_BYTES + BODY_BYTES:,} bytes")
        try:
            parser.feed_data(piece)
        except httptools.HttpParserUpgrade as e:
            raise Problem(400, "there is nothing to upgrade to here") from e
        except httptools.HttpParserError as e:
            raise Problem(400, "this is no HTTP request") from e
        if parts.problem is not None:
            raise parts.problem
    call = parts.call
    call.method = parser.get_method().decode("latin-1")
    call.path = parts.url.partition(b"?")[0].decode("latin-1")
    return call


def check_host(headers: dict[bytes, bytes], names: Collection[str]) -> None:
    """Refuse requests that were lured here by a foreign name that resolves to this address (DNS rebinding).

    An address cannot be rebound, so every IP literal passes; of names only ``localhost`` and those given do.

    Args:
        headers: Of the request.
        names: Under which this listener may be asked, in small letters.

    Raises:
        Problem: 400 without a Host, 403 (as browsers may show it) for a foreign one.
    """
    host = headers.get(b"host", b"").decode("latin-1").lower()
    if not host:
        raise Problem(400, "a Host header is needed here")
    bare, _, port = host.rpartition(":")
    name = bare if bare and port.isdigit() and not host.endswith("]") else host
    try:
        ipaddress.ip_address(name[1:-1] if name.startswith("[") and name.endswith("]") else name)
    except ValueError:
        if name != "localhost" and name not in names:
            raise Problem(403, f"this listener is not called {name[:80]!r}") from None
