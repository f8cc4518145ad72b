"""One HTTP connection: bytes in, exchanges in order, bytes out.

llhttp (through httptools) does the parsing and refuses what smugglers use: Content-Length beside Transfer-Encoding or
twice, folded headers, bare line feeds. Clients send the same head again and again on a connection that is kept, so a
request with a head whose meaning is known does not go through the parser at all: the meaning of a head depends on its
bytes only.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import cast

import httptools

from farthing.serve.http.door import Door
from farthing.serve.http.exchanges import Exchange
from farthing.serve.http.feeding import HEADS_BYTES, Fed
from farthing.serve.http.heads import Head, HeadLines, read_head
from farthing.serve.http.pacing import Phase
from farthing.serve.http.replies import CONTINUE
from farthing.wire.requests import Problem

__all__ = ["Connection"]

_HEAD_END = b"\r\n\r\n"
_UNSENT_BYTES = 2**20
_KEPT_HEAD_BYTES = 2048
_FIRST_LETTERS = frozenset(b"GHP")


class Connection(Fed):
    """A client's connection.

    Args:
        server: To which it came.
    """

    def __init__(self, server: Door) -> None:
        super().__init__(server)
        self._lines = HeadLines(server.limits)
        self.on_url, self.on_header = self._lines.on_url, self._lines.on_header
        self._parser = httptools.HttpRequestParser(self)
        self._exchanges: deque[Exchange] = deque()
        self._parked: deque[Exchange] = deque()
        self._flushing = False
        self._unsent_bytes = 0
        self._left_bytes = 0
        self._candidate: bytes | None = None

    # the transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        self._transport = cast(asyncio.Transport, transport)
        if not self.server.welcome(self):
            self._gone = self._closing = True
            self._transport.abort()
        self._since_s = self.server.now_s

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone; what models still work on is dropped when it comes."""
        self._gone = self._closing = True
        for exchange in self._exchanges:
            exchange.abandon()
        self._exchanges.clear()
        self._parked.clear()
        self._current = None
        self.server.farewell(self)

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        if self._closing or self._deaf:
            return
        if self._unfed:  # what came after reading was to pause
            self._unfed += data
            return
        self._corked = True
        if self._left_bytes:
            data = self._rest_of_body(data)
        if data and not (self._phase is Phase.IDLE and self._repeated(data)):
            if len(data) > HEADS_BYTES:
                self._feed_in_steps(data)
            else:
                self._feed(data)
        self._corked = False
        if not self._waits():
            self._flush()

    def _waits(self) -> bool:
        """Whether there is nothing to write, to start or to pause until a model answers."""
        exchanges = self._exchanges
        return (
            bool(exchanges)
            and exchanges[0].out is None
            and not exchanges[0].continue_due
            and not self._parked
            and len(exchanges) < self.server.limits.pipelined
        )

    def eof_received(self) -> bool:
        """The client sends no more; what it asked before is still answered."""
        if self._closing:
            return False
        if self._unfed:
            data, self._unfed = self._unfed, bytearray()
            self._feed(bytes(data))
        current, self._current = self._current, None
        if current is not None and current in self._exchanges:
            self._exchanges.remove(current)
            current.release()
        if not self._exchanges:
            return False
        self._exchanges[-1].last = self._deaf = True
        return True

    def pause_writing(self) -> None:
        """The client reads more slowly than answers come."""
        self._stuck_at_s = self.server.now_s
        self._balance()

    def resume_writing(self) -> None:
        """It caught up."""
        self._stuck_at_s = None
        self._flush()

    # reading

    def _repeated(self, data: bytes) -> bool:
        """Take a request whose head is known already, whole or its beginning; False when the parser must see it."""
        end = data.find(_HEAD_END) + len(_HEAD_END)
        if end < len(_HEAD_END) or end > _KEPT_HEAD_BYTES or self._ends():
            return False
        raw = data[:end]
        head = self.server.heads.get(raw)
        if head is None:
            if raw[0] in _FIRST_LETTERS and raw.count(b"\n") == raw.count(b"\r\n"):
                self._candidate = raw
            return False
        left_bytes = (head.length_bytes or 0) - len(data) + end
        if left_bytes < 0:
            return False
        if not left_bytes and not self._exchanges and not self._unsent_bytes and self._stuck_at_s is None:
            self._since_s = self.server.now_s
            exchange = Exchange(self, head)
            self._exchanges.append(exchange)
            exchange.whole(data[end:])
            return True
        exchange = self._open(head)
        if end < len(data):
            exchange.take(data[end:])
        self._left_bytes = left_bytes
        if not left_bytes:
            self._close_body(exchange)
        return True

    def _rest_of_body(self, data: bytes) -> bytes:
        """Take what a body after a known head still lacks; returns what follows it."""
        part = data[: self._left_bytes]
        self._left_bytes -= len(part)
        exchange = self._current
        if exchange is not None:
            exchange.take(part)
            if not self._left_bytes:
                self._close_body(exchange)
        return data[len(part) :]

    def _feed(self, data: bytes) -> None:
        began = self._phase is not Phase.IDLE
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._broken(Problem(400, "this server does not upgrade connections"))
        except httptools.HttpParserCallbackError as e:
            cause = e.__context__
            if not isinstance(cause, Problem):
                raise
            self._broken(cause)
        except httptools.HttpParserError as e:
            self._broken(Problem(400, f"this is no HTTP 1.1: {e}"))
        else:
            problem = self._lines.sent(len(data)) if self._phase is Phase.HEAD and began else None
            if problem is not None:
                self._broken(problem)
        self._candidate = None

    def on_message_begin(self) -> None:
        """A head begins."""
        if self._closing or self._ends():
            raise Problem(400, "a request follows the last of its connection")
        self._phase = Phase.HEAD
        self._since_s = self.server.now_s
        self._lines.begin()

    def _ends(self) -> bool:
        """Whether the last request so far is the last of this connection."""
        return bool(self._exchanges) and self._exchanges[-1].last

    def on_headers_complete(self) -> None:
        """The head is there: decide whether the body is wanted."""
        if self._parser.should_upgrade():
            raise Problem(400, "this server does not upgrade connections")
        parser, server = self._parser, self.server
        head = read_head(
            method=parser.get_method().decode("latin-1"),
            target=self._lines.target,
            version=parser.get_http_version(),
            keep_alive=parser.should_keep_alive(),
            headers=self._lines.headers,
            limits=server.limits,
            tenant_salt=server.tenant_salt,
            api_keys=server.api_keys,
        )
        if self._candidate is not None:
            if head.repeats:
                server.remember(self._candidate, head)
            self._candidate = None
        self._open(head)

    def on_body(self, chunk: bytes) -> None:
        """A part of the body."""
        if self._current is not None:
            self._current.take(chunk)

    def on_message_complete(self) -> None:
        """The body is there."""
        if self._current is not None:
            self._close_body(self._current)

    def _open(self, head: Head) -> Exchange:
        self._phase = Phase.BODY
        self._since_s = self.server.now_s
        exchange = self._current = Exchange(self, head)
        self._exchanges.append(exchange)
        exchange.admit()
        if exchange.continue_due:
            self._flush()
        return exchange

    def _close_body(self, exchange: Exchange) -> None:
        self._current = None
        self._phase = Phase.IDLE
        if exchange.finish():
            if self._crowded():
                self._parked.append(exchange)
            else:
                exchange.run()

    def _broken(self, problem: Problem) -> None:
        """Answer what is no HTTP after all that came before it, then end."""
        current = self._current
        if current is not None and current.out is None:
            current.last = True
            current.refuse(problem)
        elif current is None and not self._ends():
            exchange = Exchange(self, Head(method="", address=None, problem=problem, fatal=True))
            self._exchanges.append(exchange)
            exchange.admit()
        elif self._exchanges:
            self._exchanges[-1].last = True
        self._current, self._phase, self._deaf = None, Phase.IDLE, True
        self._flush()
        if not self._exchanges and not self._closing:
            self._end()

    # what exchanges ask and tell

    def body_ended(self, exchange: Exchange) -> bool:
        """Whether nothing more of that request will come."""
        return exchange is not self._current

    def ends_with(self, exchange: Exchange) -> bool:
        """Whether the connection ends after that exchange, since the server drains and it is the last one."""
        if not self.server.draining or self._phase is not Phase.IDLE:
            return False
        return bool(self._exchanges) and self._exchanges[-1] is exchange

    def answered(self, size_bytes: int) -> None:
        """An exchange has its answer."""
        if self._corked:
            self._unsent_bytes += size_bytes
        elif not self._write_only():
            self._unsent_bytes += size_bytes
            self._flush()

    def _write_only(self) -> bool:
        """Write the answer of the only exchange there is, the usual case; False when there is more to think of."""
        exchanges = self._exchanges
        if len(exchanges) != 1 or self._flushing or self._gone or self._parked or not self._reading:
            return False
        only = exchanges[0]
        if only.out is None or only.last or self._phase is not Phase.IDLE or self.server.draining:
            return False
        exchanges.clear()
        self._since_s = self.server.now_s
        if only.rest:
            self._transport.writelines([only.out, *only.rest])
        else:
            self._transport.write(only.out)
        return True

    # writing

    def _crowded(self) -> bool:
        running = len(self._exchanges) - len(self._parked)
        return (
            bool(self._parked)
            or running > self.server.limits.pipelined
            or self._stuck_at_s is not None
            or self._unsent_bytes > _UNSENT_BYTES
        )

    def _flush(self) -> None:
        """Write what can be written in order; start what was parked."""
        if self._flushing or self._gone:
            return
        self._flushing = True
        while True:
            self._write_ready()
            if self._closing or not self._parked or not self._start_parked():
                break
        self._flushing = False
        self._balance()

    def _write_ready(self) -> None:
        exchanges = self._exchanges
        ready: list[bytes | memoryview] = []
        last = whole = False
        while exchanges and not last:
            out = exchanges[0].out
            if out is None:
                break
            exchange = exchanges.popleft()
            last, whole = exchange.last, whole or bool(exchange.rest)
            self._unsent_bytes -= exchange.out_bytes
            ready += (out, *exchange.rest)
        if exchanges and not last and exchanges[0].continue_due:
            exchanges[0].continue_due = False
            ready.append(CONTINUE)
        if whole:
            self._transport.writelines(ready)
        elif ready:
            self._transport.write(ready[0] if len(ready) == 1 else b"".join(ready))
        if last:
            self._end()
        elif not exchanges and self._phase is Phase.IDLE:
            self._since_s = self.server.now_s
            if self.server.draining:
                self._end()

    def _start_parked(self) -> bool:
        """Run parked exchanges while there is room; whether any was."""
        began = False
        limit = self.server.limits.pipelined
        while self._parked and self._stuck_at_s is None and self._unsent_bytes <= _UNSENT_BYTES:
            unread = self._current is not None  # whose body is still being read, and waits for what is parked
            if len(self._exchanges) - len(self._parked) - unread >= limit:
                break
            exchange = self._parked.popleft()
            self._corked = True
            exchange.run()
            self._corked = False
            began = True
        return began

    def _balance(self) -> None:
        """Read on only while answers get away."""
        if not self._closing:
            pause = not self._may_feed() or bool(self._parked or self._unfed) or self._stuck_at_s is not None
            if pause is self._reading:
                self._pause(pause)
            if self._unfed and not self._planned and self._may_feed():
                self._planned = True
                asyncio.get_running_loop().call_soon(self._feed_rest)

    def _end(self) -> None:
        """Close after what was written; go on reading a moment, so that a client still sending gets the answer."""
        self._closing = True
        self._since_s = self.server.now_s
        self._pause(False)
        for exchange in self._exchanges:
            exchange.release()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def drain(self) -> None:
        """End when idle; else after what was accepted."""
        if not self._closing and not self._exchanges and self._phase is Phase.IDLE and not self._unfed:
            self._end()
