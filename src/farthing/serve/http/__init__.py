"""The HTTP door: connections, heads, bodies, routes."""
