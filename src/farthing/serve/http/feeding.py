"""Bytes of one read, given to the parser a little at a time, so that a row of requests keeps nobody waiting."""

from __future__ import annotations

from abc import abstractmethod

from farthing.serve.http.door import Door
from farthing.serve.http.pacing import Paced, Phase
from farthing.serve.turns import STEP_BYTES

__all__ = ["HEADS_BYTES", "Fed"]

HEADS_BYTES = 2**10
"""About as much of heads, which take longer than bodies, is parsed in one step."""
_FEED_S = 0.002
"""After which the rest of what came (chunks of two bytes, a row of requests) waits for the next turn of the loop."""


class Fed(Paced):
    """What a connection has received and not parsed yet.

    Args:
        server: To which it came.
    """

    def __init__(self, server: Door) -> None:
        super().__init__(server)
        self._corked = self._deaf = False
        self._unfed = bytearray()
        self._planned = False

    @abstractmethod
    def _feed(self, data: bytes) -> None:
        """Parse some bytes."""

    @abstractmethod
    def _flush(self) -> None:
        """Write what can be written in order."""

    @abstractmethod
    def _balance(self) -> None:
        """Read on only while answers get away."""

    def _feed_in_steps(self, data: bytes | bytearray) -> None:
        """Feed the parser a little at a time; what takes too long, or finds too many requests in flight, waits."""
        now_s = self.server.clock.monotonic_s
        until_s = now_s() + _FEED_S
        at = 0
        while at < len(data) and not self._closing and not self._deaf:
            if at and (not self._may_feed() or now_s() >= until_s):
                self._unfed = bytearray(memoryview(data)[at:])
                self._balance()
                return
            size = STEP_BYTES if self._phase is Phase.BODY else HEADS_BYTES
            self._feed(bytes(data[at : at + size]))
            at += size

    def _is_full(self) -> bool:
        """Whether as many requests are in flight as may be."""
        return len(self._exchanges) >= self.server.limits.pipelined

    def _may_feed(self) -> bool:
        """Whether the parser may go on: to the end of a body always, to another request while there is room for it."""
        return self._phase is Phase.BODY or not self._is_full()

    def _feed_rest(self) -> None:
        data, self._unfed, self._planned = self._unfed, bytearray(), False
        if self._closing or self._deaf:
            return
        self._corked = True
        self._feed_in_steps(data)
        self._corked = False
        self._flush()
