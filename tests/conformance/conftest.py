"""A server with a tiny model for the whole room, and others on demand."""

from server_fixtures import served, start_server, tiny

__all__ = ["served", "start_server", "tiny"]
