"""Shapes of traffic and the batch queue."""
