"""What connections of the HTTP door have in common: bounds, the one coarse timer, the drain."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from typing import Protocol

from farthing.ports import Clock
from farthing.serve.http.heads import Head
from farthing.serve.limits import Limits
from farthing.serve.protocol.api_keys import ApiKeys
from farthing.serve.turns import Turns
from farthing.wire.requests import Models, Observer

__all__ = ["Door", "Open"]

_KNOWN_HEADS = 512
_SLOWEST_TICK_S = 1.0
_TICKS_PER_LIMIT = 4
_DRAIN_POLL_S = 0.01


class Open(Protocol):
    """A connection, as the door sees it."""

    def drain(self) -> None:
        """End when idle; else after what was accepted."""
        ...

    def check(self, now_s: float) -> None:
        """End what takes too long."""
        ...

    def cut(self) -> None:
        """End at once, whatever is under way."""
        ...


class Door:
    """What connections have in common: their bounds, the one coarse timer, the drain.

    Args:
        models: Who answers.
        observer: Told of every request.
        limits: Bounds.
        clock: Monotonic.
        tenant_salt: For the hash of ``Authorization`` in the ledger; None for no tenants.
        expose_cost: Answers say what they cost.
        turns: Do long work; None for its own.
        api_keys: Of which clients must show one; None for none.

    Attributes:
        turns: As given.
        api_keys: As given.
        draining: No connection is kept beyond what it has accepted.
        held_bytes: Of bodies in flight.
        heads: Heads known by their bytes.
        now_s: Monotonic time as of the timer's last tick, for the bounds on slowness.
        date: The ``Date`` header's line, made by the timer.
    """

    def __init__(
        self,
        models: Models,
        observer: Observer,
        limits: Limits,
        clock: Clock,
        *,
        tenant_salt: bytes | None = None,
        expose_cost: bool = False,
        turns: Turns | None = None,
        api_keys: ApiKeys | None = None,
    ) -> None:
        self.turns, self.api_keys = turns or Turns(clock), api_keys
        self.models, self.observer, self.limits, self.clock = models, observer, limits, clock
        self.tenant_salt, self.expose_cost = tenant_salt, expose_cost
        self.draining = False
        self.held_bytes = 0
        self.heads: dict[bytes, Head] = {}
        self.now_s = 0.0
        self.date = b""
        self._connections: set[Open] = set()
        self._timer: asyncio.TimerHandle | None = None
        shortest_s = min(limits.head_s, limits.body_s, limits.idle_s, limits.write_s)
        self._tick_s = min(_SLOWEST_TICK_S, shortest_s / _TICKS_PER_LIMIT)

    @property
    def open_connections(self) -> int:
        """How many there are."""
        return len(self._connections)

    async def drain(self) -> None:
        """Finish what was accepted, keep no connection; returns when all are closed. The listener is closed before."""
        self.draining = True
        for connection in list(self._connections):
            connection.drain()
        while self._connections:
            await asyncio.sleep(_DRAIN_POLL_S)

    def cut(self) -> None:
        """End all connections at once."""
        for connection in list(self._connections):
            connection.cut()

    def welcome(self, connection: Open) -> bool:
        """Whether there is room for one more."""
        if len(self._connections) >= self.limits.connections:
            return False
        if self._timer is None:
            self._tell_time()
        self._connections.add(connection)
        return True

    def farewell(self, connection: Open) -> None:
        """A connection is gone."""
        self._connections.discard(connection)

    def report(self, error: Exception) -> None:
        """Tell the loop's exception handler of something that should not have happened."""
        context = {"message": "an answer could not be encoded", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)

    def remember(self, raw: bytes, head: Head) -> None:
        """Keep the meaning of a head that may come again."""
        if len(self.heads) >= _KNOWN_HEADS:
            self.heads.clear()
        self.heads[raw] = head

    def _tell_time(self) -> None:
        self.now_s = self.clock.monotonic_s()
        self.date = f"Date: {formatdate(usegmt=True)}\r\n".encode()
        self._timer = asyncio.get_running_loop().call_later(self._tick_s, self._tick)

    def _tick(self) -> None:
        """End what takes too long; goes on while there are connections."""
        self._timer = None
        if self._connections:
            self._tell_time()
            for connection in list(self._connections):
                connection.check(self.now_s)
