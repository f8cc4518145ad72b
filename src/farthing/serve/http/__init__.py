"""The HTTP door: connections, heads, bodies, addresses."""
