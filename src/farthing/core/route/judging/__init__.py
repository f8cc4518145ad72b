"""What a route is worth, beside honest controls."""
