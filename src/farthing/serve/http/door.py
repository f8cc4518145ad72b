"""The HTTP door: makes a connection of every client."""

from __future__ import annotations

import asyncio

from farthing.serve.http.common import Door
from farthing.serve.http.connection import Connection

__all__ = ["HttpServer"]


class HttpServer(Door):
    """Listens for HTTP; see :class:`~farthing.serve.http.common.Door`."""

    def protocol_factory(self) -> asyncio.Protocol:
        """For ``loop.create_server``."""
        return Connection(self)
