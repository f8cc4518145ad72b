"""The HTTP door: makes a connection of every client."""

from __future__ import annotations

import asyncio

from farthing.serve.http.connection import Connection
from farthing.serve.http.door import Door

__all__ = ["HttpServer"]


class HttpServer(Door):
    """Listens for HTTP; see :class:`~farthing.serve.http.door.Door`."""

    def protocol_factory(self) -> asyncio.Protocol:
        """For ``loop.create_server``."""
        return Connection(self)
