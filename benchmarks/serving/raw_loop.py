"""The smallest HTTP server there can be on uvloop and httptools: reads a request, answers a constant body.

    python benchmarks/serving/raw_loop.py PORT BODY_BYTES

It is the floor under every latency: what is above it is a server's own work.
"""

from __future__ import annotations

import asyncio
import sys

import httptools
import uvloop


class Constant(asyncio.Protocol):
    """Answers each complete request with the same bytes."""

    def __init__(self, reply: bytes) -> None:
        self.reply = reply

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A parser for each connection."""
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        """The request is there: answer."""
        self.transport.write(self.reply)  # type: ignore[attr-defined]


async def serve(port: int, body_bytes: int) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {body_bytes}\r\n\r\n"
    reply = head.encode() + b"x" * body_bytes
    server = await asyncio.get_running_loop().create_server(lambda: Constant(reply), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
