"""How long a client may take, and when it is not listened to: what the one timer looks at of a connection."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sized
from enum import Enum

from farthing.serve.http.door import Door
from farthing.serve.http.exchanges import Exchange
from farthing.wire.requests import Problem

__all__ = ["Paced", "Phase"]

_LINGER_S = 2.0


class Phase(Enum):
    """What of a request is being read."""

    IDLE = 0
    HEAD = 1
    BODY = 2


class Paced(asyncio.Protocol, ABC):
    """The pace of a connection; what is read and written is its subclass's.

    Args:
        server: To which it came; its ``now_s`` is the time as of the timer's last tick.
    """

    _exchanges: Sized

    def __init__(self, server: Door) -> None:
        self.server = server
        self._transport: asyncio.Transport
        self._phase = Phase.IDLE
        self._since_s = 0.0
        self._current: Exchange | None = None
        self._closing = self._gone = False
        self._reading = True
        self._paused_at_s: float | None = None
        self._stuck_at_s: float | None = None

    @abstractmethod
    def _broken(self, problem: Problem) -> None:
        """Answer what cannot be read on, then end."""

    @abstractmethod
    def _end(self) -> None:
        """Close after what was written."""

    def check(self, now_s: float) -> None:
        """Called by the server's one timer: end what takes too long."""
        if self._gone:
            return
        limits = self.server.limits
        if self._closing:
            limit_s = _LINGER_S if self._stuck_at_s is None else limits.write_s
            if now_s - self._since_s > limit_s:
                self._transport.abort()
        elif self._stuck_at_s is not None:
            if now_s - self._stuck_at_s > limits.write_s:
                self._transport.abort()
        elif self._reading:
            self._check_reading(now_s - self._since_s)

    def cut(self) -> None:
        """Called by the server when it has ended: nobody answers any more."""
        if not self._gone:
            self._transport.abort()

    def _check_reading(self, took_s: float) -> None:
        limits = self.server.limits
        if self._phase is Phase.HEAD:
            if took_s > limits.head_s:
                self._broken(Problem(408, f"the head took longer than {limits.head_s:g} s"))
        elif self._phase is Phase.BODY and self._current is not None:
            beyond = max(0, self._current.received_bytes - limits.body_floor_bytes)
            if took_s > limits.body_s + beyond / limits.body_bytes_per_s:
                self._broken(Problem(408, "the body came too slowly"))
        elif not self._exchanges and took_s > limits.idle_s:
            self._end()

    def _pause(self, pause: bool) -> None:
        if pause is not self._reading or self._gone or self._transport.is_closing():
            return
        now_s = self.server.now_s
        if pause:
            self._transport.pause_reading()
            self._paused_at_s = now_s
        else:
            self._transport.resume_reading()
            if self._paused_at_s is not None:
                self._since_s += now_s - self._paused_at_s
            self._paused_at_s = None
        self._reading = not pause
